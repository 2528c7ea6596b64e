"""The composition root: Settings -> Monitor. The only place where parts meet, and the only one that reads settings."""

from config import Settings
from monitor.app.assembly import Clock
from monitor.app.opening import Opened, Role, first_run, healthy, migrate, open_monitor, settings, utc_now
from monitor.app.places import backup_directory, storage_url, web_address

__all__ = [
    "Clock",
    "Opened",
    "Role",
    "Settings",
    "backup_directory",
    "first_run",
    "healthy",
    "migrate",
    "open_monitor",
    "settings",
    "storage_url",
    "utc_now",
    "web_address",
]
