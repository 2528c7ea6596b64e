"""Pages and health checks over HTTP."""

from monitor.web.app import make_app
from monitor.web.server import serve

__all__ = ["make_app", "serve"]
