"""The few functions that every entrance calls. Read it as an article's way: ingest, then publish, then send."""

from monitor.pipeline.bounces import Bounces
from monitor.pipeline.ingest import Ingest
from monitor.pipeline.monitor import Monitor, Rules
from monitor.pipeline.publish import Publisher
from monitor.pipeline.readers import Readers
from monitor.pipeline.send import Sender

__all__ = ["Bounces", "Ingest", "Monitor", "Publisher", "Readers", "Rules", "Sender"]
