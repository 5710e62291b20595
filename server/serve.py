"""``talkwire serve``: load, listen, and end in order."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.app import create_app
from server.compose import services as composed
from server.frames import EXTENSION
from server.services import Services
from server.settings import Settings
from server.sse import STALLED

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent
    from websockets.http11 import Request

log = structlog.get_logger(__name__)

STALLED_S = 20.0
"""What a peer may leave unread before its connection is cut off."""
LINGER_S = 5.0
"""What a peer whose connection is over may take to read the rest."""
FLUSH_S = 0.1
"""For the last events on their way to agents."""
KEEP_ALIVE_S = 75
"""An idle connection is kept longer than those who call keep it (proxies up to 60 s, clients some 5). Where the server
hung up first, it would now and then do so on a request that is on its way, and a webhook that fails is a call lost."""
MAX_MESSAGE = 1 << 20
"""A larger WebSocket message closes its socket with 1009."""


class _WebSocket(WebSocketsSansIOProtocol):
    """Uvicorn's, but a peer that does not read cannot keep its socket: it would wait for ever to get rid of what is
    still to be sent. And doors may write frames themselves (``server.frames.FrameWriter``)."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # Else it was refused, and nobody serves it.
            self.scope["extensions"][EXTENSION] = {"writer": self}

    def has_room(self) -> bool:
        return self.writable.is_set()

    async def room(self) -> None:
        await self.writable.wait()

    def write(self, frames: bytes) -> None:
        if self.disconnected or self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        self.transport.write(frames)

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            # The last that is sent, and small: it need not wait for room.
            self.writable.set()
        await super().send(message)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self._let_go()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._let_go()

    def _let_go(self) -> None:
        if not self.disconnected:
            self.loop.call_later(LINGER_S, self.transport.abort)


class _Http(HttpToolsProtocol):
    """Uvicorn's, but a peer that does not read is cut off: what is on its way to it would wait for ever."""

    _impatient: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._impatient is None:
            self._impatient = self.loop.call_later(STALLED_S, self._cut_off)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._be_patient()

    def _cut_off(self) -> None:
        self.scope["state"][STALLED] = True
        self.transport.abort()

    def _be_patient(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None


class _Server(uvicorn.Server):
    """Uvicorn, but the signals are ours: live calls must be let finish."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listener(app: FastAPI) -> uvicorn.Server:
    """The web server for ``app``, without signal handlers of its own."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        http=_Http,
        ws=_WebSocket,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
    )
    return _Server(config)


def settle() -> None:
    """What is loaded by now stays: a full collection need not walk through it while calls are live. Of all that a server
    has loaded it takes 60 ms and more, which every call hears."""
    gc.collect()
    gc.freeze()


async def serve(settings: Settings, *sockets: socket.socket, supervised: bool = False) -> None:
    """Serve until a signal, then let the live calls finish. ``supervised``: or until whoever has started it
    is gone, which its input tells."""
    for warning in settings.warnings:
        log.warning("settings", warning=warning)
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, signals.put_nowait, which)
    if supervised:

        def orphaned() -> None:
            loop.remove_reader(sys.stdin)
            signals.put_nowait(signal.SIGTERM)

        loop.add_reader(sys.stdin, orphaned)
    async with composed(settings) as services:
        settle()
        server = listener(create_app(services))
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(_stop_on_signal(server, services, signals), name="signals")
            announcer = tasks.create_task(_announce(server, settings), name="announce")
            await server.serve(sockets=list(sockets))
            watcher.cancel()
            announcer.cancel()


async def _announce(server: uvicorn.Server, settings: Settings) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody; it is over within seconds
        await asyncio.sleep(0.02)
    log.info("server.ready", url=settings.public_url, host=settings.host, port=settings.port)


async def _stop_on_signal(
    server: uvicorn.Server, services: Services, signals: asyncio.Queue[signal.Signals]
) -> None:
    """The first signal drains. A second SIGINT stops at once; a second SIGTERM changes nothing, since
    supervisors repeat themselves."""
    first = await signals.get()
    calls, drain_s = services.calls, services.settings.drain_s
    log.info("server.draining", signal=first.name, calls=len(calls), at_most_s=drain_s)
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(calls.drain(drain_s), name="drain")
        impatient = tasks.create_task(_second_interrupt(signals, draining), name="second signal")
        await asyncio.wait([draining])
        impatient.cancel()
    # Where a second SIGINT cut that short: the calls end now, and their agents are told before the sockets go.
    await calls.drain(0.0)
    services.book.close()
    await asyncio.sleep(FLUSH_S)
    server.should_exit = True


async def _second_interrupt(signals: asyncio.Queue[signal.Signals], draining: asyncio.Task[None]) -> None:
    while await signals.get() is not signal.SIGINT:
        pass
    draining.cancel()
