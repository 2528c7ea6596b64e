"""Address to bytes: bounded, polite, and only to public servers. The one way out of the program to the web."""

from monitor.fetch.client import BULK, LARGE, Fetcher, Limits

__all__ = ["BULK", "LARGE", "Fetcher", "Limits"]
