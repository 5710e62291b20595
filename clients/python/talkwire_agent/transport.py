"""A connection as the client sees it: texts in, texts out. Over the network it is a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import websockets
from websockets.asyncio.client import ClientConnection, connect

from talkwire_agent.errors import ConnectionLost, TooLarge

MAX_SENT = 1 << 20
"""Bytes of a message that a server takes."""
MAX_RECEIVED = 32 << 20
"""Bytes of a message that is taken: recordings are long."""
OPEN_S = 10.0


class Transport(Protocol):
    """One connection."""

    async def send(self, text: str) -> None:
        """Raises ``ConnectionLost``."""

    async def receive(self) -> str | bytes:
        """The next message. Raises ``ConnectionLost`` once it is closed, with what the other side said."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Without effect where it is closed already."""


Dial = Callable[[str], Awaitable[Transport]]
"""Makes a connection to an address. Raises ``ConnectionLost``."""


class WebSocket:
    """A connection over the network."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except websockets.ConnectionClosed as closed:
            raise _lost(closed) from None

    async def receive(self) -> str | bytes:
        try:
            return await self._socket.recv()
        except websockets.ConnectionClosed as closed:
            raise _lost(closed) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)


def _lost(closed: websockets.ConnectionClosed) -> ConnectionLost:
    if closed.rcvd is None:
        return ConnectionLost("the connection broke")
    return ConnectionLost(closed.rcvd.reason or "the server closed the connection", closed.rcvd.code)


async def dial(address: str) -> Transport:
    """A connection over the network.

    The library's own keep-alive is off: the protocol has one, which the server counts by.
    """
    try:
        socket = await connect(
            address, compression=None, max_size=MAX_RECEIVED, open_timeout=OPEN_S, ping_interval=None
        )
    except (OSError, TimeoutError, websockets.WebSocketException) as error:
        raise ConnectionLost(f"no connection to {address}: {str(error) or type(error).__name__}") from error
    return WebSocket(socket)


def encoded(frame: dict[str, Any], limit: int = MAX_SENT) -> str:
    """The text of a message of at most ``limit`` bytes. Raises ``TooLarge``, and ``TypeError`` for what JSON
    does not have."""
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text) > limit // 4 and (size := len(text.encode())) > limit:
        raise TooLarge(f"{frame.get('event')} has {size} bytes; a server takes {limit} at most")
    return text
