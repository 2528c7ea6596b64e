"""Stops PostgreSQL at once inside a transaction of a chosen kind, in the process under test.

    with TempPostgres(synchronous_commit="on") as server, Crashes(server) as crashes:
        crashes.arm("Outbox.accepted", Point.ANSWER)
        ...                      # work; the first transaction of that kind is the one
        crashes.start_again()    # True once, when the server has been down

A kind is a method that writes ("Sources.finish"), or a statement of the queue's own ("queue.fetch_job"). `seen` holds
every kind that was met, so that a sweep can go through all of them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import procrastinate
import psycopg
import sqlalchemy as sa
from pgtemp import TempPostgres
from procrastinate import sql
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from storage import engine as storage_engine


class Point(StrEnum):
    INSIDE = "inside"  # its first statement is done, and nothing committed
    COMMIT = "commit"  # just before COMMIT is sent
    ANSWER = "answer"  # committed, but the answer never comes


_QUEUE_WAYS = ("execute_query_async", "execute_query_one_async", "execute_query_all_async")
_QUEUE_NAMES = {text: f"queue.{name}" for name, text in sql.queries.items()}


class Crashes:
    def __init__(self, server: TempPostgres) -> None:
        self.seen: Counter[str] = Counter()
        self._server = server
        self._armed: tuple[str, Point] | None = None
        self._down = False
        self._lock = threading.Lock()
        self._here = threading.local()
        self._undo: list[Callable[[], None]] = []

    def arm(self, kind: str, point: Point) -> None:
        with self._lock:
            self._armed = (kind, point)

    @property
    def armed(self) -> bool:
        return self._armed is not None

    def disarm(self) -> bool:
        """False if there was no such transaction."""
        with self._lock:
            unused, self._armed = self._armed, None
        return unused is None

    def start_again(self) -> bool:
        """Start the server if it is down; whether it was. Call it in a thread that lives long."""
        with self._lock:
            down, self._down = self._down, False
        if down:
            self._server.run()
        return down

    def __enter__(self) -> Self:
        self._replace(storage_engine, "_run", self._run(storage_engine._run))
        self._replace(PGDialect_psycopg, "do_commit", self._do_commit(PGDialect_psycopg.do_commit))
        for way in _QUEUE_WAYS:
            original = getattr(procrastinate.PsycopgConnector, way)
            self._replace(procrastinate.PsycopgConnector, way, self._ask(original))
        event.listen(sa.Engine, "after_cursor_execute", self._executed)
        self._undo.append(lambda: event.remove(sa.Engine, "after_cursor_execute", self._executed))
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for undo in reversed(self._undo):
            undo()

    def _replace(self, owner: Any, name: str, new: Any) -> None:
        old = getattr(owner, name)
        setattr(owner, name, new)
        self._undo.append(lambda: setattr(owner, name, old))

    def _hit(self, kind: str | None, point: Point) -> bool:
        with self._lock:
            if kind is None or self._armed != (kind, point):
                return False
            self._armed = None
        self._server.crash()
        with self._lock:
            self._down = True
        return True

    def _run(self, original: Any) -> Any:
        def run(engine: sa.Engine, work: Any) -> Any:
            cells = dict(zip(work.__code__.co_freevars, work.__closure__ or (), strict=True))
            change = cells["change"].cell_contents if "change" in cells else None
            self._here.kind = change.__qualname__ if change is not None else None
            try:
                if self._here.kind:
                    self.seen[self._here.kind] += 1
                return original(engine, work)
            finally:
                self._here.kind = None

        return run

    def _executed(self, *_: object) -> None:
        self._hit(getattr(self._here, "kind", None), Point.INSIDE)

    def _do_commit(self, original: Any) -> Any:
        def do_commit(dialect: Any, connection: Any) -> None:
            kind = getattr(self._here, "kind", None)
            self._hit(kind, Point.COMMIT)
            original(dialect, connection)
            if self._hit(kind, Point.ANSWER):
                connection.execute("select 1")  # fails as the COMMIT would have done

        return do_commit

    def _ask(self, original: Any) -> Any:
        async def ask(connector: Any, query: str, **arguments: Any) -> Any:
            kind = _QUEUE_NAMES.get(query)
            if kind:
                self.seen[kind] += 1
            self._hit(kind, Point.COMMIT)
            answer = await original(connector, query, **arguments)
            if self._hit(kind, Point.ANSWER):
                raise procrastinate.exceptions.ConnectorException from psycopg.OperationalError(
                    "server closed the connection unexpectedly"
                )
            return answer

        return ask
