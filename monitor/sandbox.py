"""Runs parsers on foreign bytes in child processes that may be killed: each call has its time and its memory.

A child is a fresh interpreter that talks over one socket and has nothing else of ours: no database, log or settings.
It ends with its parent, however that dies. It is a fence around resources, not a jail: a child has our user's rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

from monitor.errors import MonitorError, ParseError
from monitor.spans import OFF, Spans

P = ParamSpec("P")
T = TypeVar("T")

PRELOAD = ("lxml.etree", "lxml.html", "bs4", "feedparser", "trafilatura", "monitor.parse")
START_SECONDS = 60.0
MAX_RESULT = 64 * 1024 * 1024
MAX_CALLS = 2_000  # then a child is replaced: libraries leak, and memory once taken is not given back
CPU_GRACE = 5  # seconds of CPU beyond the timeout until the kernel ends a child whose parent sleeps

_LENGTH = struct.Struct("!Q")
_MEGABYTE = 1024 * 1024


class Sandbox:
    """A few child processes, started at need. `timeout`: seconds for one call; `memory_mb`: a child's address space.

    A function is called by its name: it must be one that the child can import, with arguments that pickle.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        timeout: float = 20,
        memory_mb: int = 1024,
        preload: tuple[str, ...] = PRELOAD,
        spans: Spans = OFF,
    ) -> None:
        self._spans = spans
        self._timeout = timeout
        self._memory = memory_mb * _MEGABYTE
        self._preload = preload
        self._free = asyncio.Semaphore(workers)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every child at once; calls under way fail with ParseError."""
        for child in self._busy:
            child.stop()
        while self._idle:
            self._idle.pop().kill()

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`fn(*args, **kwargs)`, elsewhere.

        A MonitorError of the function's own comes back as it is. ParseError for everything else: no result in time, too
        much memory, a crash, any other exception; the call's own `url` argument names the address in it.
        """
        with self._spans.span("parse", what=fn.__name__):
            return await self._run(fn, *args, **kwargs)

    async def _run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = pickle.dumps((fn, args, kwargs), pickle.HIGHEST_PROTOCOL)
        url = str(kwargs.get("url", ""))
        async with self._free:
            child = await self._child(url)
            self._busy.add(child)
            try:
                kind, value = await self._ask(child, call, url)
            except BaseException:  # whatever happened, the child is in the middle of something
                child.kill()
                raise
            finally:
                self._busy.discard(child)
            if kind == "spent" or child.calls >= MAX_CALLS:
                child.kill()
            else:
                self._idle.append(child)
        result: T = _opened(kind, value, url)
        return result

    async def _child(self, url: str) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive():
                return child
            child.kill()
        child = _Child(self._timeout, self._memory, self._preload)
        try:
            async with asyncio.timeout(START_SECONDS):
                await child.receive()
        except BaseException as error:
            child.kill()
            if isinstance(error, EOFError | TimeoutError | OSError):
                raise ParseError(url, "no parser process could be started") from error
            raise
        return child

    async def _ask(self, child: _Child, call: bytes, url: str) -> tuple[str, Any]:
        child.calls += 1
        try:
            async with asyncio.timeout(self._timeout):
                await child.send(call)
                return await child.receive()
        except TimeoutError as error:
            raise ParseError(url, f"parsing took longer than {self._timeout:g} s and was stopped") from error
        except (EOFError, OSError) as error:
            raise ParseError(url, f"the parser process ended unexpectedly ({child.end()})") from error


def _opened(kind: str, value: Any, url: str) -> Any:
    if kind == "result":
        return value
    if kind == "error":
        raise value
    if kind == "spent":
        raise ParseError(url, "parsing needed more memory than a parser process may use")
    reason, details = value
    error = ParseError(url, reason)
    error.add_note(details)
    raise error


class _Child:
    """The parent's end of one child."""

    def __init__(self, timeout: float, memory: int, preload: tuple[str, ...]) -> None:
        self.calls = 0
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        start = f"import sys; sys.path[:] = {sys.path!r}; from monitor.sandbox import serve; "
        start += f"serve({os.getpid()}, {timeout!r}, {memory!r}, {preload!r})"
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and text
                [sys.executable, "-c", start],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")},
            )

    def alive(self) -> bool:
        return self._process.poll() is None

    async def send(self, frame: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, _LENGTH.pack(len(frame)) + frame)

    async def receive(self) -> tuple[str, Any]:
        """The child's next word. EOFError if it has none left."""
        (length,) = _LENGTH.unpack(await self._exactly(_LENGTH.size))
        if length > MAX_RESULT:
            raise EOFError("a result beyond all bounds")
        kind, value = pickle.loads(await self._exactly(length))  # noqa: S301 - from our own child
        return kind, value

    async def _exactly(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        got = bytearray()
        while len(got) < length:
            piece = await loop.sock_recv(self._socket, min(length - len(got), _MEGABYTE))
            if not piece:
                raise EOFError
            got += piece
        return bytes(got)

    def end(self) -> str:
        """How it ended, for a person."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1)
            return signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return "no answer"

    def stop(self) -> None:
        """Kill it and leave the rest to whoever is talking to it."""
        self._process.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()


# --- the child's side -----------------------------------------------------------------------------------------


def serve(parent: int, timeout: float, memory: int, preload: tuple[str, ...]) -> NoReturn:
    """Answer calls on standard input, a socket, until the parent closes it or dies."""
    channel = socket.socket(fileno=os.dup(0))
    os.set_inheritable(channel.fileno(), False)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor, not a path
        os.dup2(nothing.fileno(), 0)
    for stop in (signal.SIGINT, signal.SIGTERM):  # meant for the parent, which ends us when it is done
        signal.signal(stop, signal.SIG_IGN)
    _die_with(parent)
    for module in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    with contextlib.suppress(ValueError, OSError):  # not every system can
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _say(channel, _packed("ready", None))
    while (call := _hear(channel)) is not None:
        _limit_cpu(timeout)
        _say(channel, _answer(call))
    os._exit(0)


def _answer(call: bytes) -> bytes:
    try:
        fn, args, kwargs = pickle.loads(call)  # noqa: S301 - from our own parent
        return _packed("result", fn(*args, **kwargs))
    except MemoryError:
        return _packed("spent", None)
    except RecursionError:
        return _packed("failed", ("nested too deeply", ""))
    except Exception as error:  # a parser met what it was not made for: foreign bytes do that, and the caller is told
        if isinstance(error, MonitorError) and (ours := _portable(error)):
            return ours
        return _packed("failed", (f"{type(error).__name__}: {str(error)[:300]}", traceback.format_exc()[-4_000:]))


def _portable(error: MonitorError) -> bytes | None:
    """The error packed, if it can be unpacked again."""
    try:
        packed = _packed("error", error)
        pickle.loads(packed)  # noqa: S301 - just packed
    except Exception:  # pickling runs the error's own code, which may raise anything
        return None
    return packed


def _packed(kind: str, value: object) -> bytes:
    return pickle.dumps((kind, value), pickle.HIGHEST_PROTOCOL)


def _die_with(parent: int) -> None:
    """Be killed with the parent. Off Linux the closed socket ends an idle child, the CPU limit a busy one."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _limit_cpu(timeout: float) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime + timeout) + CPU_GRACE
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _say(channel: socket.socket, frame: bytes) -> None:
    channel.sendall(_LENGTH.pack(len(frame)) + frame)


def _hear(channel: socket.socket) -> bytes | None:
    head = _read(channel, _LENGTH.size)
    return _read(channel, _LENGTH.unpack(head)[0]) if head else None


def _read(channel: socket.socket, length: int) -> bytes | None:
    got = bytearray(length)
    view = memoryview(got)
    while view:
        count = channel.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return bytes(got)
