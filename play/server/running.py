"""The server as a process: its socket, how long it waits for others, and how it ends."""

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_WITHIN = 10.0
"""Seconds in which a connection must have said what it wants."""
KEPT_ALIVE = 30
"""Seconds that an idle connection is kept for its next request."""
PING = 20.0
"""Seconds between pings of a WebSocket, and until one that is not answered means that nobody is there."""
SPARE = 64
"""Connections beside those of clients: pages, health, metrics."""


def _is_news(record: logging.LogRecord) -> bool:
    """uvicorn calls it an error if an application answers a handshake by a refusal, as ASGI lets it."""
    return "without completing handshake" not in record.getMessage()


class TimedProtocol(H11Protocol):
    """HTTP that lets a connection go whose request does not arrive: one byte a second would hold it for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._late = self.loop.call_later(HEADERS_WITHIN, self._let_go)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        working = self.cycle is not None and not self.cycle.response_complete
        if working or self.transport.get_protocol() is not self:
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(HEADERS_WITHIN, self._let_go)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _let_go(self) -> None:
        self._late = None
        if self.transport.get_protocol() is self and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn; at SIGTERM or Ctrl-C it takes nobody any more, answers who has asked, and ends. Again, it ends at once.

    Args:
        busy: whether somebody is still connected.
        grace: seconds that are waited for them.
        ready: called with the address once it listens.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        leaving: asyncio.Event,
        busy: Callable[[], bool],
        grace: float,
        ready: Callable[[str, int], None] = lambda host, port: None,
    ):
        super().__init__(config)
        self.leaving, self.busy, self.grace, self.ready = leaving, busy, grace, ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self.ready(host, port)

    def handle_exit(self, sig: int, frame: FrameType | None = None) -> None:
        if self.leaving.is_set() or self._loop is None:
            self.force_exit = self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self.leave)

    def leave(self) -> None:
        """Begin to end; to be called in the server's loop."""
        self.leaving.set()
        self._waiting = asyncio.ensure_future(self._wait_for_clients())

    async def _wait_for_clients(self) -> None:
        try:
            async with asyncio.timeout(self.grace):
                while self.busy():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        self.should_exit = True


def listening(host: str, port: int) -> socket.socket:
    """A socket at the address. Raises ValueError where it is taken or is none of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"cannot listen at {host} port {port}: {error}; choose another with --host and --port"
        ) from error


def server_of(
    app: Any,
    *,
    busy: Callable[[], bool],
    most: int,
    message: int,
    grace: float,
    ready: Callable[[str, int], None],
) -> Server:
    """The application as a server, whose `run(sockets=[...])` ends at a signal.

    Args:
        most: clients at a time.
        message: bytes of the largest message that is read.
        busy, grace, ready: see `Server`.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    config = uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="websockets-sansio",
        ws_max_size=message,
        ws_max_queue=2,
        ws_ping_interval=PING,
        ws_ping_timeout=PING,
        ws_per_message_deflate=False,
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=1,
        limit_concurrency=most + SPARE,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    return Server(config, leaving=app.state.leaving, busy=busy, grace=grace, ready=ready)
