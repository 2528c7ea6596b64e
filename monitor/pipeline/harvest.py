"""Drives a harvester (monitor.parse.asking): fetch what it asks, read the answer in the sandbox, store what it brings.

An index that counts requests by the second says "too many" or breaks off as a matter of course: its answers are tried
again here, within one visit. Other sites are not pressed: their failure ends the visit, and the schedule comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from monitor.errors import FetchError, FetchRefused, FetchStatus, FetchTooLarge, NothingSelected, ParseError
from monitor.fetch import LARGE, Fetcher
from monitor.model import Feed, Fetched, Source, Validators
from monitor.parse.asking import Harvest, Harvested, Request
from monitor.sandbox import Sandbox

log = logging.getLogger(__name__)

NO_VALIDATORS = Validators()
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class _UnchangedError(Exception):
    """The first answer is what it was at the last visit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How an index's request is tried again: `tries` in all, after `first_wait` seconds, doubled each time; a server
    that asks for more than `longest` seconds is left alone until the next visit.
    """

    tries: int = 5
    first_wait: float = 1.0
    longest: float = 120.0


@dataclass(slots=True)
class Driver:
    """One visit. `first` is the first answer's head: where it moved, how fresh it is."""

    fetcher: Fetcher
    sandbox: Sandbox
    patience: Patience = Patience()
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    first: Fetched | None = field(default=None, init=False)

    async def run(
        self, source: Source, harvest: Harvest, store: Callable[[Feed], Awaitable[object]]
    ) -> Harvested | None:
        """Each Feed is stored before the next question is asked. None: nothing has changed since the last visit.

        Raises FetchError or ParseError; what was stored until then stays.
        """
        try:
            asked = next(harvest)
            while True:
                if isinstance(asked, Feed):
                    await store(asked)
                    asked = harvest.send(None)
                    continue
                try:
                    value = await self.ask(asked, source.validators)
                except ParseError as error:
                    asked = harvest.throw(error)
                else:
                    asked = harvest.send(value)
        except StopIteration as end:
            told: Harvested = end.value
            return told
        except _UnchangedError:
            return None
        finally:
            harvest.close()

    async def ask(self, request: Request, validators: Validators = NO_VALIDATORS) -> Any:
        """What `request.read` makes of the answer, after as many tries as it deserves."""
        attempt = 1
        while True:
            try:
                return await self._once(request, validators)
            except (FetchError, ParseError) as error:
                wait = self._wait(request, error, attempt)
                if wait is None:
                    raise
                log.info("asking again attempt=%d wait=%.1f reason=%s", attempt + 1, wait, error.reason)
            await self.sleep(wait)
            attempt += 1

    async def _once(self, request: Request, validators: Validators) -> Any:
        fetched = await self.fetcher.get(
            request.url,
            validators=validators if request.conditional else NO_VALIDATORS,
            robots=request.robots,
            accept=request.accept,
            form=request.form,
            keys=request.keys,
            delay=request.delay,
            limits=LARGE if request.large else None,
        )
        self.first = self.first or fetched
        if fetched.unchanged:
            raise _UnchangedError
        return await self.sandbox.run(request.read, fetched.body, url=fetched.final_url, **request.arguments)

    def _wait(self, request: Request, error: FetchError | ParseError, attempt: int) -> float | None:
        """Seconds until the next try; None: there is none."""
        if request.delay is None or attempt >= self.patience.tries:
            return None
        if isinstance(error, FetchRefused | FetchTooLarge | NothingSelected):
            return None
        if isinstance(error, FetchStatus) and error.status not in _PASSING:
            return None
        doubled: float = self.patience.first_wait * 2 ** (attempt - 1)
        asked_for = error.retry_after if isinstance(error, FetchStatus) and error.retry_after is not None else 0.0
        return None if asked_for > self.patience.longest else max(doubled, asked_for)
