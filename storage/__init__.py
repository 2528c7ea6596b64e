"""What is kept: sources, articles, topics, readers, the outbox. The only place that knows SQL."""

from storage.browse import Funnel, SourceDay
from storage.migrate import SchemaState, exclusive, migrate, schema_state
from storage.sources import Learned
from storage.store import Storage
from storage.upkeep import Gauges, News
from storage.values import AuditEntry, Concept, Counts, EnrichTask, Example, PageTask, Rematch, Saved, SentDigest

__all__ = [
    "AuditEntry",
    "Concept",
    "Counts",
    "EnrichTask",
    "Example",
    "Funnel",
    "Gauges",
    "Learned",
    "News",
    "PageTask",
    "Rematch",
    "Saved",
    "SchemaState",
    "SentDigest",
    "SourceDay",
    "Storage",
    "exclusive",
    "migrate",
    "schema_state",
]
