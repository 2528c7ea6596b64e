"""How a source is doing, told to an admin: each trouble once, and once more when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor import schedule
from monitor.errors import FetchRefused, FetchStatus, NothingSelected
from monitor.model import Level, Source
from monitor.schedule import Pacing
from storage import Storage

FAILURES_BEFORE_NOTICE = 3
GONE = 410
_TROUBLES = ("failing", "selectors", "gone", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Notices about sources. No source is switched off here: each is asked again, and recovers by itself."""

    storage: Storage
    pacing: Pacing

    def over(self, *, new: int, missed: bool) -> tuple[str, ...]:
        """The codes of what a visit that went well puts an end to."""
        brought = ("stale", *(() if missed else ("missed-window",))) if new else ()
        return (*_TROUBLES, *brought)

    async def went_well(
        self,
        source: Source,
        now: datetime,
        *,
        closed: Sequence[str],
        new: int,
        missed: bool,
        pace: timedelta | None,
        moved_to: str,
    ) -> None:
        """Tell what is news after a visit; `closed` are those of `over` that were open."""
        over = [code for code in closed if code != "missed-window"]
        if over:
            text = f"{source.name} is read again ({', '.join(over)} no more); it brought {new} new entries."
            await self._raise(source, "recovered", Level.INFO, text, now)
        if moved_to:
            text = f"{source.name} has moved for good from {source.url} to {moved_to}; the new address is now used."
            await self._raise(source, "moved", Level.INFO, text, now)
        if missed:
            await self._missed(source, pace, now)
        if not new and schedule.is_stale(source, now, self.pacing):
            since = source.last_new_at.strftime("%Y-%m-%d") if source.last_new_at else "its first visit"
            text = f"{source.name} answers, but has brought nothing new since {since}, much longer than usual."
            if await self._raise(source, "stale", Level.WARNING, text, now):
                await self._close(source, "recovered", now)

    async def _missed(self, source: Source, pace: timedelta | None, now: datetime) -> None:
        since = source.last_success_at.strftime("%Y-%m-%d %H:%M") if source.last_success_at else "the last visit"
        text = (
            f"{source.name} lists nothing that was there at {since} (UTC): articles may have come and gone in between. "
            + (f"It is now read every {_minutes(pace)} minutes." if pace else "Poll it more often.")
        )
        await self._raise(source, "missed-window", Level.WARNING, text, now)

    async def failed(self, source: Source, error: Exception, reason: str, failures: int, now: datetime) -> None:
        code, text = "", ""
        if isinstance(error, FetchStatus) and error.status == GONE:
            days = self.pacing.gone.days
            text = (
                f"{source.name} says that it is gone for good (410) from {source.url}; it is asked every {days} days."
            )
            code = "gone"
        elif isinstance(error, NothingSelected):
            code, text = "selectors", f"{source.name}: {reason}"
        elif isinstance(error, FetchRefused):
            code, text = "refused", f"{source.name} cannot be read: {reason}"
        elif failures >= FAILURES_BEFORE_NOTICE:
            code, text = "failing", f"{source.name} could not be read {failures} times in a row: {reason}"
        if code:
            await self._raise(source, code, Level.ERROR if code == "gone" else Level.WARNING, text, now)
            await self._close(source, "recovered", now)

    def wait_after(self, error: Exception, due: datetime, now: datetime) -> datetime:
        """When to ask again: an address that is gone for good less often than one that fails."""
        gone = isinstance(error, FetchStatus) and error.status == GONE
        return max(due, now + self.pacing.gone) if gone else due

    async def _raise(self, source: Source, code: str, level: Level, text: str, now: datetime) -> bool:
        return await self.storage.notices.raise_once(f"source:{source.slug}", code, level, text, now)

    async def _close(self, source: Source, code: str, now: datetime) -> bool:
        return await self.storage.notices.close(f"source:{source.slug}", code, now)


def _minutes(span: timedelta) -> int:
    return max(round(span.total_seconds() / 60), 1)
