"""Pages and health checks over HTTP."""

from monitor.web.app import make_app
from monitor.web.health import make_health_app, serve_metrics
from monitor.web.server import serve

__all__ = ["make_app", "make_health_app", "serve", "serve_metrics"]
