"""What is kept: sources, articles, topics, readers, the outbox. The only place that knows SQL."""

from storage.migrate import SchemaState, exclusive, migrate, schema_state
from storage.store import Storage
from storage.sources import Learned
from storage.values import AuditEntry, Concept, Counts, EnrichTask, Example, PageTask, Rematch, Saved, SentDigest

__all__ = [
    "AuditEntry",
    "Concept",
    "Counts",
    "Example",
    "EnrichTask",
    "PageTask",
    "Funnel",
    "Learned",
    "Rematch",
    "Saved",
    "SchemaState",
    "SentDigest",
    "Storage",
    "exclusive",
    "migrate",
    "schema_state",
]
