"""A topic's rematch in the background, for its page and for programs."""

from __future__ import annotations

import asyncio
import logging

from fastapi import Request

from monitor.errors import MonitorError
from monitor.web.pages import opened_of

log = logging.getLogger(__name__)


def rematch_soon(request: Request, slug: str) -> None:
    """Apply the saved query to the whole archive; it goes on where it was interrupted. Asked twice, it runs once."""
    tuning = opened_of(request).monitor.tuning
    name = f"rematch {slug}"
    tasks: set[asyncio.Task[None]] = request.app.state.tasks
    if any(task.get_name() == name for task in tasks):
        return

    async def work() -> None:
        try:
            await tuning.rematch(slug)
        except MonitorError as error:
            log.warning("rematch ended topic=%s reason=%s", slug, error)

    task = asyncio.create_task(work(), name=name)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
