"""The distributed engine's queue: who may fill it, how far, and what becomes of jobs whose workers die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from pgtemp import TempPostgres

import storage as store
from monitor.errors import StorageError
from monitor.fetch.guard import check_url
from monitor.model import Source
from storage import jobs as queue
from storage.jobs import Leadership, Queue

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
ALLOWED = frozenset({"news.example:8080", "[2001:db8::1]:8080"})
Rows = list[tuple[object, ...]]


@pytest.fixture(scope="module")
def engine_url(postgres: TempPostgres) -> str:
    url = postgres.create("engine")
    store.migrate(url)
    queue.install(url)
    return url


@pytest.fixture
def url(engine_url: str) -> Iterator[str]:
    yield engine_url
    with psycopg.connect(engine_url) as db:
        db.execute("truncate source, lease, engine.procrastinate_jobs, engine.procrastinate_workers cascade")


@pytest.fixture
async def storage(url: str) -> AsyncIterator[store.Storage]:
    async with store.Storage.open(url) as opened:
        yield opened


def ask(url: str, query: str) -> Rows:
    with psycopg.connect(url) as db:
        return db.execute(query).fetchall()


def change(url: str, statement: str) -> None:
    with psycopg.connect(url) as db:
        db.execute("set local search_path = engine, public")
        db.execute(statement)


def jobs(url: str) -> Rows:
    return ask(url, "select task_name, args->>'key', status from engine.procrastinate_jobs order by 1, 2, 3")


def live_workers(url: str, count: int) -> None:
    change(url, f"insert into engine.procrastinate_workers select from generate_series(1, {count})")


async def add(storage: store.Storage, *addresses: str) -> None:
    for number, address in enumerate(addresses):
        slug = f"s{number}-{abs(hash(address))}"
        await storage.sources.add(Source(slug=slug, name=slug, url=address, interval=timedelta(hours=1)))


async def lead(storage: store.Storage, holder: str = "one", now: datetime = NOW) -> Leadership | None:
    epoch = await storage.leases.acquire("scheduler", holder, now, LEASE)
    return Leadership(name="scheduler", holder=holder, epoch=epoch) if epoch is not None else None


async def feed(storage: store.Storage, leadership: Leadership | None, concurrency: int = 10) -> int | None:
    assert leadership is not None
    return await storage.jobs.feed(leadership, NOW, concurrency=concurrency, batch=4, papers=False)


async def test_a_server_gets_one_job_however_many_of_its_feeds_are_due(storage: store.Storage, url: str) -> None:
    await add(storage, *(f"https://A.example:443/{n}" for n in range(5)), "https://a.example/x", "https://b.example/")
    live_workers(url, 1)
    leadership = await lead(storage)

    made = await feed(storage, leadership), await feed(storage, leadership)

    assert made == (2, 0)
    assert jobs(url) == [("visit", "a.example", "todo"), ("visit", "b.example", "todo")]


@pytest.mark.parametrize(
    "address",
    [
        "https://news.example/feed",
        "http://NEWS.example:80/feed?x=https://other.example/",
        "https://news.example.:443#top",
        "http://news.example:8080/",
        "http://[2001:db8::1]:8080/",
        "https://news.example?q=a@b",
    ],
)
def test_a_server_is_named_as_politeness_names_it(url: str, address: str) -> None:
    [(server,)] = ask(url, f"select engine.server('{address}')")

    assert server == check_url(address, ALLOWED).server


async def test_the_queue_never_holds_more_than_twice_what_live_workers_can_do(storage: store.Storage, url: str) -> None:
    await add(storage, *(f"https://h{n}.example/" for n in range(30)))
    live_workers(url, 2)
    change(url, "insert into engine.procrastinate_workers (last_heartbeat) values (now() - interval '1 hour')")
    leadership = await lead(storage)

    made = [await feed(storage, leadership, concurrency=3) for _ in range(2)]

    assert made == [12, 0]


async def test_without_workers_nothing_is_enqueued(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")

    assert await feed(storage, await lead(storage)) == 0


async def test_a_big_server_in_work_hides_no_small_one(storage: store.Storage, url: str) -> None:
    await add(storage, *(f"https://big.example/{n}" for n in range(queue.LOOK * 2 + 5)))
    live_workers(url, 1)
    leadership = await lead(storage)
    assert await feed(storage, leadership, concurrency=1) == 1
    await add(storage, "https://small.example/")

    await feed(storage, leadership, concurrency=1)

    assert ("visit", "small.example", "todo") in jobs(url)


async def test_a_leader_that_was_overtaken_enqueues_nothing(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    live_workers(url, 1)
    frozen = await lead(storage, "frozen")
    later = NOW + LEASE * 2
    assert await lead(storage, "next", later) is not None

    made = await feed(storage, frozen)

    assert made is None
    assert jobs(url) == []


async def test_a_leader_that_lost_and_won_again_has_a_new_epoch(storage: store.Storage) -> None:
    first = await lead(storage, "one")
    await lead(storage, "two", NOW + LEASE * 2)

    again = await lead(storage, "one", NOW + LEASE * 4)

    assert first is not None
    assert again is not None
    assert again.epoch > first.epoch


async def test_feeding_is_one_transaction_with_the_proof_of_leading(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    live_workers(url, 1)
    leadership = await lead(storage)
    with psycopg.connect(url) as other:
        other.execute("update lease set holder = 'two', epoch = epoch + 1")  # not committed yet
        feeding = asyncio.create_task(feed(storage, leadership))
        await asyncio.sleep(0.2)
        waited = not feeding.done()
        other.commit()

        made = await feeding

    assert waited
    assert made is None
    assert jobs(url) == []


async def test_what_is_due_of_one_server_is_claimed_alone(storage: store.Storage) -> None:
    await add(storage, "https://a.example/1", "https://a.example/2", "https://b.example/")

    claimed = await storage.sources.claim_due(NOW, 10, LEASE, server="a.example")

    assert {source.url for source in claimed} == {"https://a.example/1", "https://a.example/2"}


async def test_jobs_reach_a_worker_and_leave_the_queue(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/", "https://b.example/")
    seen: list[str] = []
    done = asyncio.Event()

    async def visit(key: str) -> None:
        seen.append(key)
        if len(seen) == 2:
            done.set()

    async with Working(url, visit):
        leadership = await lead(storage)
        await until_fed(storage, leadership)
        await asyncio.wait_for(done.wait(), 10)
        await asyncio.sleep(0.3)

    assert sorted(seen) == ["a.example", "b.example"]
    assert jobs(url) == []


async def test_one_server_is_never_visited_by_two_workers_at_once(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    at_once, most, visits = 0, 0, 0
    done = asyncio.Event()

    async def visit(_key: str) -> None:
        nonlocal at_once, most, visits
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.3)
        at_once -= 1
        visits += 1
        if visits == 2:
            done.set()

    async with Working(url, visit), Working(url, visit):
        leadership = await lead(storage)
        await until_fed(storage, leadership)
        await asyncio.sleep(0.1)
        change(url, ANOTHER)
        await asyncio.wait_for(done.wait(), 10)

    assert most == 1


ANOTHER = """insert into procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
values ('work', 'visit', 'visit:a.example', 'visit:a.example', '{"key": "a.example"}')"""


async def test_a_job_that_fails_is_no_trouble_of_its_server(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    tried = asyncio.Event()

    async def visit(_key: str) -> None:
        tried.set()
        raise StorageError("the database is away")

    async with Working(url, visit):
        leadership = await lead(storage)
        await until_fed(storage, leadership)
        await asyncio.wait_for(tried.wait(), 10)
        await asyncio.sleep(0.3)
        again = await feed(storage, leadership)

    assert again == 1


async def test_the_job_of_a_dead_worker_is_handed_on_and_given_up_in_the_end(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    live_workers(url, 1)
    leadership = await lead(storage)
    await feed(storage, leadership)
    given_up = []
    async with Queue(url) as rescuer:
        for _ in range(queue.MOST_TRIES):
            change(url, "update engine.procrastinate_jobs set status = 'doing', worker_id = null")
            given_up.append([job.key for job in await rescuer.rescue()])
    change(url, "update engine.procrastinate_workers set last_heartbeat = now()")

    again = await feed(storage, leadership)

    assert given_up == [[], [], [], [], ["a.example"]]
    assert again == 0  # the server rests


async def test_the_job_of_a_live_worker_is_left_alone(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    live_workers(url, 1)
    await feed(storage, await lead(storage))
    change(
        url, "update procrastinate_jobs set status = 'doing', worker_id = (select min(id) from procrastinate_workers)"
    )

    async with Queue(url) as rescuer:
        await rescuer.rescue()

    assert jobs(url) == [("visit", "a.example", "doing")]


async def test_no_job_waits_for_a_time_to_come(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    live_workers(url, 1)
    await feed(storage, await lead(storage))
    change(url, "update engine.procrastinate_jobs set status = 'doing'")

    async with Queue(url) as rescuer:
        await rescuer.rescue()

    assert ask(url, "select count(*) from engine.procrastinate_jobs where scheduled_at > now()") == [(0,)]


async def test_a_job_whose_end_could_not_be_written_frees_its_server(storage: store.Storage, url: str) -> None:
    await add(storage, "https://a.example/")
    tried = asyncio.Event()

    async def visit(_key: str) -> None:
        change(url, "alter function procrastinate_finish_job_v1 rename to away")  # its end cannot be written now
        tried.set()

    async with Working(url, visit) as worker:
        await until_fed(storage, await lead(storage))
        await asyncio.wait_for(tried.wait(), 10)
        await asyncio.sleep(0.3)
        change(url, "alter function away rename to procrastinate_finish_job_v1")
        stuck = jobs(url)

        swept = await worker.sweep(after=0)

    assert stuck == [("visit", "a.example", "doing")]
    assert swept == 1
    assert jobs(url) == []


async def test_a_worker_that_could_not_give_a_sign_of_life_gives_the_next(storage: store.Storage, url: str) -> None:
    async def visit(_key: str, _trace: str = "") -> None:
        pass

    async with Working(url, visit, dead=0.8):
        await until_alive(url, "true")
        change(url, "alter function procrastinate_update_heartbeat_v1 rename to away")
        await until_alive(url, "last_heartbeat < now() - interval '0.6 seconds'")
        change(url, "alter function away rename to procrastinate_update_heartbeat_v1")

        await until_alive(url, "last_heartbeat > now() - interval '0.3 seconds'")


async def until_alive(url: str, what: str) -> None:
    for _ in range(200):
        if ask(url, f"select 1 from engine.procrastinate_workers where {what}"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no worker of which {what}")


def test_installing_twice_changes_nothing_more(engine_url: str) -> None:
    assert queue.install(engine_url) is False


def test_sqlite_has_no_queue(tmp_path: object) -> None:
    with pytest.raises(StorageError, match="needs PostgreSQL"):
        queue.install(f"sqlite:///{tmp_path}/x.db")


class Working:
    """A worker in this process, for as long as the block runs."""

    def __init__(self, url: str, visit: Callable[[str], Awaitable[object]], **options: float) -> None:
        self._queue = Queue(url, **options)

        async def visit_only(key: str, _trace: str) -> object:
            return await visit(key)

        self._visit = visit_only

    async def __aenter__(self) -> Queue:
        await self._queue.__aenter__()
        self._task = asyncio.create_task(self._queue.work({"visit": self._visit}, concurrency=4, drain=5))
        return self._queue

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._queue.__aexit__()


async def until_fed(storage: store.Storage, leadership: Leadership | None) -> None:
    for _ in range(100):
        if await feed(storage, leadership):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no worker came")
