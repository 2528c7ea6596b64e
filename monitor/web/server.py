"""uvicorn inside our own event loop: `monitor run` is one process with one heart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import uvicorn
from fastapi import FastAPI

from monitor.errors import ConfigError


class _Server(uvicorn.Server):
    """Leaves the signals to the worker, which drains before it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: FastAPI, host: str, port: int, proxies: Sequence[str] = ()) -> None:
    """Serve until cancelled. Raises ConfigError when the address cannot be had.

    Only `proxies` (addresses, networks) are believed when they say in X-Forwarded-For and -Proto who asks.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    try:
        await server.serve()
    except asyncio.CancelledError:
        if server.started:
            await server.shutdown()
        raise
    except SystemExit as error:  # uvicorn's way to say that it could not listen
        raise ConfigError(f"cannot listen on {host}:{port}: is another program there? Set MONITOR_WEB__PORT") from error
