"""What commands share: the options before the command, and a Monitor around an async body."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from monitor import app as composition
from monitor.app import Opened
from monitor.console import err
from storage.audit import acting

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
config_file: Path | None = None  # the --config before the command


def run(body: Callable[[Opened], Coroutine[Any, Any, T]]) -> T:
    """Run an async command body with an open Monitor."""

    async def whole() -> T:
        async with composition.open_monitor(composition.settings(config_file)) as opened:
            with acting(actor(), opened.monitor.now):
                return await body(opened)

    return asyncio.run(whole())


def author() -> str:
    """Who is at the keyboard."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "admin"


def actor() -> str:
    """The same, as the audit names them."""
    return f"cli:{author()}"


@contextlib.asynccontextmanager
async def progress(text: str) -> AsyncIterator[None]:
    """A spinner on stderr while something takes its time; nothing where stderr is no terminal."""
    if not err.is_terminal:
        yield
        return
    with err.status(text):
        yield
