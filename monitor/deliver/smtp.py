"""Mail through a relay: a few connections, used again and again, at the pace that the relay allows."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

from monitor.deliver.connection import (
    Connection,
    Progress,
    Relay,
    Security,
    Step,
    TokenSource,
    checked,
    open_connection,
)
from monitor.errors import ConfigError, DeliveryError, RelayUnreachable
from monitor.model import Message

PROBE = 10.0  # seconds for a look at the relay that sends nothing
LONGEST_IDLE = 30.0  # seconds; servers and firewalls drop idle connections after minutes, some without a word


class SmtpMailer:
    """Sends each message to its one recipient. Any number of tasks may call `send` at the same time.

    `timeout` bounds one message from connecting to the final answer, whatever the server does; waiting for a free
    connection or for the rate limit does not count. `messages_per_minute` holds for this mailer; None or 0 is no limit.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: Security = "starttls",
        username: str = "",
        password: str = "",
        oauth_token: TokenSource | None = None,
        timeout: float = 60.0,
        connections: int = 4,
        messages_per_connection: int = 50,
        messages_per_minute: float | None = None,
        local_hostname: str = "localhost",
        tls_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._relay = Relay(
            host=host,
            port=port,
            security=security,
            username=username,
            password=password,
            oauth_token=oauth_token,
            timeout=timeout,
            local_hostname=_host_name(local_hostname),
            tls_context=tls_context or (None if security == "none" else ssl.create_default_context()),
        )
        self._per_connection = messages_per_connection
        self._clock = clock
        self._pace = Pace(messages_per_minute, clock=clock, sleep=sleep)
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._farewells: set[asyncio.Task[None]] = set()

    async def send(self, message: Message) -> str:
        """Returns the server's final answer. Raises what its Mailer promises."""
        data = checked(message.data)
        async with self._slots:
            await self._pace.wait()
            progress = Progress()
            try:
                async with asyncio.timeout(self._relay.timeout):
                    return await self._transmit(message, data, progress)
            except TimeoutError as error:
                raise progress.failure(f"no complete answer within {self._relay.timeout:g} seconds") from error

    async def probe(self) -> str:
        """Connect, greet, encrypt and log in, and send nothing; what was reached. Raises RelayUnreachable or
        RelayUnusable.
        """
        relay = self._relay
        try:
            async with asyncio.timeout(min(relay.timeout, PROBE)):
                connection = await open_connection(relay, self._clock())
                await connection.quit()
        except TimeoutError as error:
            raise RelayUnreachable(f"no greeting within {min(relay.timeout, PROBE):g} seconds") from error
        return f"{relay.host}:{relay.port} greets us ({relay.security}{', logged in' if relay.username else ''})"

    async def aclose(self) -> None:
        """Say good-bye on every idle connection. Call it when no `send` runs."""
        while self._idle:
            self._retire(self._idle.pop())
        await asyncio.gather(*self._farewells)

    async def _transmit(self, message: Message, data: bytes, progress: Progress) -> str:
        while True:
            connection = await self._connection(progress)
            reused = connection.transactions > 0
            try:
                return await connection.send(message, data, progress)
            except DeliveryError as error:
                # The server dropped an idle connection. Nothing was sent yet: a fresh one does.
                if not (reused and progress.step is Step.MAIL and error.code in (None, 421)):
                    raise
                connection.close()
            except BaseException:  # the deadline or a cancelled sender: an answer is still under way
                connection.close()
                raise
            finally:
                self._give_back(connection)

    async def _connection(self, progress: Progress) -> Connection:
        progress.step = Step.CONNECT
        while self._idle:
            connection = self._idle.pop()
            try:
                if self._clock() - connection.used_at <= LONGEST_IDLE and await connection.ready():
                    return connection
            except asyncio.CancelledError:
                connection.close()
                raise
            self._retire(connection)
        return await open_connection(self._relay, self._clock())

    def _give_back(self, connection: Connection) -> None:
        connection.used_at = self._clock()
        if connection.alive and connection.transactions < self._per_connection:
            self._idle.append(connection)
        else:
            self._retire(connection)

    def _retire(self, connection: Connection) -> None:
        """Part in the background: the message that went before is accepted now, not after QUIT."""
        if not connection.alive:
            connection.close()
            return
        task = asyncio.create_task(connection.quit())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)


class Pace:
    """A token bucket of one: events follow each other at even distance, so no minute has more than its share."""

    def __init__(
        self,
        per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._distance = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = float("-inf")

    async def wait(self) -> None:
        """Return when the next event may happen. Callers are served in the order in which they called."""
        now = self._clock()
        turn = max(now, self._next)
        self._next = turn + self._distance
        if turn > now:
            await self._sleep(turn - now)


def _host_name(name: str) -> str:
    """Our name for EHLO, in ASCII."""
    try:
        return name.strip().encode("idna").decode() or "localhost"
    except UnicodeError as error:
        raise ConfigError(f"{name!r} is no host name to greet a mail server with") from error
