"""The queue of the distributed engine: procrastinate's tables in a schema of their own, beside ours.

The truth of what is due stays in our columns. A job is only a wish that somebody looks: "visit this server", "send what
waits". It is made in one transaction with the check that its maker still leads; running one twice is harmless, for
each job claims what it does. No job ever waits for a time: one that did would block its server's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from monitor.errors import StorageError
from storage.engine import Repository, checked_url, explain, reads, writes

if TYPE_CHECKING:
    from procrastinate import App, JobContext, PsycopgConnector
    from procrastinate.manager import JobManager

log = logging.getLogger(__name__)

SCHEMA = "engine"
QUEUE = "work"
VISIT, SEND, PAPERS = "visit", "send", "papers"
DEAD = (
    40 / 3
)  # seconds without a sign of life of a worker after which its jobs are another's; it gives four in that time
LOOK_AGAIN = 2.0  # seconds until an idle worker looks by itself: of a job handed on nobody tells it
MOST_TRIES = 5  # of a job whose worker died: the job may be what killed it
REST = timedelta(hours=1)  # a server whose job was given up is left alone for so long
LOOK = 20  # due rows looked at for each free place: many of one server make one job
STUCK = 15.0  # seconds after its work was done in which a job must have left the queue
_LOCK = 0x656E67696E65  # "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leadership:
    """Proof of leading: valid while the lease row says the same."""

    name: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Live workers, and jobs by state."""

    workers: int
    todo: int
    doing: int
    failed: int


def install(url: str) -> bool:
    """Make the queue's tables, or bring them to this procrastinate's; True if there was anything to do.

    Raises StorageError where procrastinate is not installed, or on SQLite.
    """
    parsed = checked_url(url)
    if parsed.get_backend_name() == "sqlite":
        raise StorageError("the distributed engine needs PostgreSQL")
    _require()
    engine = sa.create_engine(parsed, poolclass=NullPool)
    try:
        with engine.begin() as db:
            return _install(db)
    except sa.exc.DBAPIError as error:
        raise StorageError(explain(error, parsed)) from error
    finally:
        engine.dispose()


def _require() -> None:
    try:
        import procrastinate  # noqa: F401
    except ModuleNotFoundError as error:
        raise StorageError(
            'the distributed engine needs procrastinate: pip install "medical-news-monitor[scale]"'
        ) from error


def _install(db: sa.Connection) -> bool:
    db.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    db.exec_driver_sql("create schema if not exists engine")
    db.exec_driver_sql("create table if not exists engine.step (name text primary key)")
    done = set(db.scalars(sa.text("select name from engine.step")))
    places = resources.files("procrastinate.sql")
    steps = {f.name: f for f in (places / "migrations").iterdir() if f.name.endswith(".sql")}
    new = sorted({*steps, _OURS_STEP} - done)
    if not new:
        return False
    _search_here(db)
    raw = cast(psycopg.Connection[Any], db.connection.driver_connection)  # takes whole scripts
    if done:
        for name in new:
            if name in steps:
                raw.execute(steps[name].read_bytes())
    else:
        raw.execute((places / "schema.sql").read_bytes())
    raw.execute(_OURS.encode())
    db.execute(sa.text("insert into engine.step (name) values (:name)"), [{"name": name} for name in new])
    return True


def _search_here(db: sa.Connection) -> None:
    """procrastinate's own functions name their tables without a schema. Ends with the transaction."""
    db.execute(sa.text("select set_config('search_path', 'engine,' || current_setting('search_path'), true)"))


_LEADS = sa.text("select 1 from lease where name = :name and holder = :holder and epoch = :epoch for share")

_LOAD = sa.text("""
    select (select count(*) from engine.procrastinate_workers
             where last_heartbeat > clock_timestamp() - make_interval(secs => :dead)) as workers,
           count(*) filter (where status = 'todo') as todo,
           count(*) filter (where status = 'doing') as doing,
           count(*) filter (where status = 'failed') as failed
      from engine.procrastinate_jobs
""")

# One job for each server that has something due and no job yet, the longest waiting first.
_VISITS = sa.text("""
    with polls as (
        select key, due_at
          from (select 'visit:' || coalesce(engine.server(url), kind) as key, next_poll_at as due_at from source
                 where active and (next_poll_at is null or next_poll_at <= :now)
                   and (lease_until is null or lease_until <= :now)) due
         where not engine.busy(key) and key <> all(:resting) order by due_at nulls first limit :look
    ), pages as (
        select key, due_at
          from (select 'visit:' || coalesce(engine.server(url), '') as key, due_at from page
                 where due_at <= :now and (lease_until is null or lease_until <= :now)) due
         where not engine.busy(key) and key <> all(:resting) order by due_at limit :look
    ), servers as (
        select key from (select * from polls union all select * from pages) due
         group by key order by min(coalesce(due_at, '-infinity')) limit :free
    )
    insert into procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
    select 'work', 'visit', key, key, jsonb_strip_nulls(jsonb_build_object(
        'key', substring(key from 7), 'trace', cast(:trace as text))) from servers
    on conflict (queueing_lock) where status = 'todo' do nothing
""")

_BATCHES = sa.text("""
    insert into procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
    select 'work', cast(:kind as text), 1, key, key,
           jsonb_strip_nulls(jsonb_build_object('key', '', 'trace', cast(:trace as text)))
      from (select cast(:kind as text) || ':' || n as key from generate_series(1, :count) n) batches
     where not engine.busy(key)
    on conflict (queueing_lock) where status = 'todo' do nothing
""")

_RESTING = sa.text("""
    select distinct job.lock from procrastinate_jobs job join procrastinate_events event on event.job_id = job.id
     where job.status = 'failed' and job.lock is not null and event.type = 'failed'
       and event.at > clock_timestamp() - make_interval(secs => :rest)
""")

_WAITING = sa.text("""
    select (select count(*) from (select 1 from delivery where state in ('queued', 'deferred')
                                     and (not_before is null or not_before <= :now) limit :most) d),
           (select count(*) from (select 1 from enrichment where due_at <= :now
                                     and (lease_until is null or lease_until <= :now) limit 1) e)
""")

_OURS_STEP = "ours-1"  # count up when _OURS changes
_OURS = """
-- the server that an address belongs to: the same that politeness counts as one (monitor.fetch.guard)
create or replace function engine.server(url text) returns text language sql immutable parallel safe as $$
    select regexp_replace(
        substring(lower(url) from '^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#]+)'), '[.]?(:(80|443))?$', '')
$$;
create or replace function engine.busy(key text) returns boolean language sql stable as $$
    select exists (select 1 from engine.procrastinate_jobs where queueing_lock = key and status = 'todo')
        or exists (select 1 from engine.procrastinate_jobs where lock = key and status = 'doing')
$$;
create index if not exists source_server_idx on source (coalesce(engine.server(url), kind), next_poll_at);
create index if not exists page_server_idx on page (coalesce(engine.server(url), ''), due_at);
-- its rows live for seconds: swept soon and often, with room on each page for the change of state
alter table engine.procrastinate_jobs set (autovacuum_vacuum_scale_factor=0.01, fillfactor=70);
"""


class Jobs(Repository):
    """What the leader asks of the queue. PostgreSQL only."""

    @writes
    def feed(
        self,
        db: sa.Connection,
        leadership: Leadership,
        now: datetime,
        *,
        concurrency: int,
        batch: int,
        papers: bool,
        trace: str = "",
    ) -> int | None:
        """Enqueue what is due and not yet in work, as far as live workers have room: twice what they can run at once.
        How many jobs; None, and nothing enqueued, if `leadership` is over.

        `batch`: messages one sending job takes at once. `papers`: look papers up, too. `trace`: what
        the jobs' spans belong below, if anything.
        """
        if db.execute(_LEADS, _of(leadership)).first() is None:
            return None
        _search_here(db)
        load = Load(**db.execute(_LOAD, {"dead": DEAD}).one()._mapping)
        messages, looks = db.execute(_WAITING, {"now": now, "most": batch * load.workers}).one()
        made = 0
        above = {"trace": trace or None}
        for kind, count in ((SEND, -(-messages // batch)), (PAPERS, looks if papers else 0)):
            made += db.execute(_BATCHES, {"kind": kind, "count": count, **above}).rowcount if count else 0
        free = 2 * load.workers * concurrency - load.todo - made
        if free <= 0:
            return made
        resting = list(db.scalars(_RESTING, {"rest": REST.total_seconds()}))
        wanted = {"now": now, "free": free, "look": LOOK * free, "resting": resting, **above}
        return made + db.execute(_VISITS, wanted).rowcount

    @reads
    def load(self, db: sa.Connection) -> Load:
        """How much there is to do, and how many are there to do it."""
        return Load(**db.execute(_LOAD, {"dead": DEAD}).one()._mapping)


def _of(leadership: Leadership) -> dict[str, Any]:
    return {"name": leadership.name, "holder": leadership.holder, "epoch": leadership.epoch}


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A job whose workers died again and again."""

    kind: str
    key: str


class Queue:
    """The workers' side: `async with Queue(url) as queue: await queue.work({"visit": visit, …}, concurrency=20)`."""

    def __init__(self, url: str, *, dead: float = DEAD) -> None:
        _require()
        from procrastinate import App, PsycopgConnector

        plain = checked_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        connector = PsycopgConnector(
            conninfo=plain,
            kwargs={"options": f"-c search_path={SCHEMA}"},
            configure=_alone,
            min_size=1,
            max_size=4,
            timeout=10,
        )
        self._app: App = App(connector=connector)
        self._app.job_manager = _enduring(connector)
        self._dead = dead
        self._done: dict[int, float] = {}  # jobs whose work is done, and when: they should be leaving the queue

    async def __aenter__(self) -> Queue:
        with _as_ours():
            await self._app.open_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._app.close_async()

    async def work(
        self, kinds: Mapping[str, Callable[[str, str], Awaitable[object]]], *, concurrency: int, drain: float
    ) -> None:
        """Run jobs until cancelled; then wait `drain` seconds for those in hand. Survives a database that goes away.
        Each is a function of its key, and of the trace that it belongs to.
        """
        for kind, function in kinds.items():
            self._app.task(name=kind, queue=QUEUE, pass_context=True)(self._noting(function))
        sweeping = asyncio.create_task(self._sweep_again_and_again())
        try:
            while True:
                try:
                    await self._app.run_worker_async(
                        queues=[QUEUE],
                        concurrency=concurrency,
                        shutdown_graceful_timeout=drain,
                        delete_jobs="successful",
                        install_signal_handlers=False,
                        fetch_job_polling_interval=LOOK_AGAIN,
                        update_heartbeat_interval=self._dead / 4,
                        stalled_worker_timeout=self._dead,
                    )
                    log.warning("worker stopped, starting again")
                except Exception as error:  # the boundary: whatever the queue's connection does, we begin again
                    log.warning("worker failed, starting again reason=%s", error)
                await asyncio.sleep(1)
        finally:
            sweeping.cancel()

    async def rescue(self) -> list[GivenUp]:
        """Hand the jobs of dead workers on. One that has been through this too often is given up, and returned."""
        from procrastinate.jobs import Status

        given_up = []
        with _as_ours():
            manager = self._app.job_manager
            for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self._dead):
                with contextlib.suppress(_gone()):  # another took care of it just now
                    if job.attempts + 1 < MOST_TRIES:
                        await manager.retry_job(job, retry_at=datetime.now(UTC) - timedelta(days=1))
                        log.warning("job handed on kind=%s key=%s", job.task_name, job.task_kwargs.get("key"))
                    else:
                        await manager.finish_job(job, status=Status.FAILED, delete_job=False)
                        given_up.append(GivenUp(kind=job.task_name, key=str(job.task_kwargs.get("key", ""))))
        return given_up

    async def prune(self, hours: int) -> None:
        """Forget jobs that failed longer ago."""
        with _as_ours():
            await self._app.job_manager.delete_old_jobs(
                nb_hours=hours, queue=QUEUE, include_failed=True, include_aborted=True
            )

    def _noting(self, function: Callable[[str, str], Awaitable[object]]) -> Callable[..., Awaitable[None]]:
        async def run(context: JobContext, key: str, trace: str = "") -> None:
            try:
                await function(key, trace)
            except Exception:  # the boundary: what is due stays due; a failed job is one whose workers died
                log.exception("job failed kind=%s key=%s", context.job.task_name, key)
            finally:
                if context.job.id is not None:
                    self._done[context.job.id] = time.monotonic()

        return run

    async def _sweep_again_and_again(self) -> None:
        while await asyncio.sleep(STUCK / 3, result=True):
            try:
                await self.sweep()
            except Exception as error:  # the boundary: tried again in a moment
                log.warning("sweep failed reason=%s", error)

    async def sweep(self, after: float = STUCK) -> int:
        """End jobs whose work is done but whose end could not be written (the database was away just then): such a job
        would hold its server's lock for as long as this worker lives.
        """
        old = [number for number, at in self._done.items() if time.monotonic() - at > after]
        if not old:
            return 0
        with _as_ours():
            rows = await self._app.connector.execute_query_all_async(
                "delete from procrastinate_jobs where id = any(%(ids)s) and status = 'doing' returning id", ids=old
            )
        for number in old:
            del self._done[number]
        return len(rows)


def _enduring(connector: PsycopgConnector) -> JobManager:
    """procrastinate's own, but a sign of life or a listener that failed once goes on. Without that a worker is counted
    as dead for ever, for nobody looks after these two once its periodic tasks, of which we have none, have ended.
    """
    from procrastinate.manager import JobManager

    class Enduring(JobManager):
        async def update_heartbeat(self, worker_id: int) -> None:
            try:
                await super().update_heartbeat(worker_id)
            except _gone() as error:
                log.warning("no sign of life given reason=%s", error.__cause__ or error)

        async def listen_for_jobs(self, **wanted: Any) -> None:
            while True:
                try:
                    await super().listen_for_jobs(**wanted)
                except _gone() as error:
                    log.warning("not listening reason=%s", error.__cause__ or error)
                await asyncio.sleep(1)

    return Enduring(connector)


async def _alone(connection: psycopg.AsyncConnection[Any]) -> None:
    """Each question of the queue is one statement: without BEGIN and COMMIT around it that is a third of the way."""
    await connection.set_autocommit(True)


def _gone() -> type[Exception]:
    from procrastinate.exceptions import ConnectorException

    return ConnectorException


@contextlib.contextmanager
def _as_ours() -> Iterator[None]:
    from procrastinate.exceptions import ConnectorException

    try:
        yield
    except (ConnectorException, psycopg.Error) as error:
        raise StorageError(f"the queue: {error.__cause__ or error}") from error


__all__ = ["PAPERS", "SCHEMA", "SEND", "VISIT", "GivenUp", "Jobs", "Leadership", "Load", "Queue", "install"]
