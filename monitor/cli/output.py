"""See monitor.console."""

from monitor.console import *  # noqa: F403
