"""What an operator sets: settings with their defaults, and the sources and topics of the first run."""

from config.first_run import load_sources, load_topics
from config.settings import Settings, load

__all__ = ["Settings", "load", "load_sources", "load_topics"]
