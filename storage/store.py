"""Everything that is kept, behind one door: a repository for each noun."""

from __future__ import annotations

from types import TracebackType

import sqlalchemy as sa

from monitor.errors import StorageError
from monitor.story.settle import Bounds
from storage.articles import Articles
from storage.audit import Audit
from storage.browse import Browse
from storage.clock import SharedClock
from storage.concepts import Concepts
from storage.corrections import Corrections
from storage.engine import Database
from storage.jobs import Jobs
from storage.leases import Leases
from storage.migrate import SchemaState, newer, schema_state
from storage.notices import Notices
from storage.outbox import Outbox
from storage.papers import Papers
from storage.people import People
from storage.readers import Readers
from storage.sources import Sources
from storage.stories import Stories
from storage.topics import Topics
from storage.upkeep import Upkeep
from storage.users import Users

_USUAL = Bounds()
_STATES = {SchemaState.EMPTY: "empty", SchemaState.OLD: "of an older version of this program"}


class Storage:
    """`async with Storage.open(url) as storage: await storage.sources.list()`.

    Values of monitor.model go in and come out; no row, session or cursor leaves. Every method is one transaction and
    raises StorageError when the database cannot do it. Times are arguments.
    """

    def __init__(self, url: str, bounds: Bounds = _USUAL) -> None:
        """Connects at the first question. Raises StorageError for a URL that cannot be one."""
        database = Database(url)
        self._database = database
        self.sources = Sources(database)
        self.articles = Articles(database)
        self.papers = Papers(database)
        self.stories = Stories(database, bounds)
        self.corrections = Corrections(database)
        self.topics = Topics(database)
        self.concepts = Concepts(database)
        self.readers = Readers(database)
        self.people = People(database)
        self.outbox = Outbox(database)
        self.notices = Notices(database)
        self.audit = Audit(database)
        self.leases = Leases(database)
        self.jobs = Jobs(database)
        self.clock = SharedClock(database)
        self.upkeep = Upkeep(database)
        self.users = Users(database)
        self.browse = Browse(database)

    @classmethod
    def open(cls, url: str, bounds: Bounds = _USUAL) -> Storage:
        """A storage whose schema is this program's; `bounds` are those of stories.

        Raises StorageError, saying what to do, when it is not.
        """
        state = schema_state(url)
        if state is SchemaState.NEWER:
            raise StorageError(newer(url))
        if state is not SchemaState.CURRENT:
            raise StorageError(f"the database is {_STATES[state]}: run `monitor migrate`")
        return cls(url, bounds)

    async def __aenter__(self) -> Storage:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let running transactions end, then close every connection."""
        await self._database.close()

    async def ping(self) -> None:
        """Raises StorageError when the database does not answer."""
        await self._database.read(lambda db: db.execute(sa.text("select 1")).scalar())

    async def tidy(self) -> None:
        """Housekeeping, cheap enough for every ten minutes: write-ahead log cut, planner's figures refreshed."""
        if self._database.is_sqlite:
            await self._database.tidy()
