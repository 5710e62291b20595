"""Texts on a WebSocket without what each message costs on its way through the application's layers.

What readers of logs are sent is made once and is the same for all of them: frames of a server are not masked (RFC
6455, 5.1). Where the web server lets a door write frames (``EXTENSION`` in the scope), those that wait go out as one
piece, and only a peer that has left too much unread is waited for. Elsewhere each is a message of ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

from starlette.websockets import WebSocket

EXTENSION: Final = "talkwire.frames"
"""In ``scope["extensions"]``: ``{"writer": FrameWriter}``."""
AT_ONCE: Final = 64 << 10
"""Bytes that are written at once, unless one text has more: a peer that does not read has no more of ours in memory."""

Send = Callable[[Sequence[bytes]], Awaitable[None]]
"""Send texts in order. Raises ``TimeoutError`` where nothing of them is taken, ``OSError`` where the peer is gone."""


class FrameWriter(Protocol):
    """A connection that takes frames as they are."""

    def has_room(self) -> bool:
        """The peer keeps up."""

    async def room(self) -> None:
        """Wait until it does, or is gone."""

    def write(self, frames: bytes) -> None:
        """Raises ``OSError``: the peer is gone, or was told that this is the end."""


def frame(text: bytes) -> bytes:
    """One text as a server sends it. Source: RFC 6455, 5.2."""
    length = len(text)
    if length < 126:
        return b"\x81%c%b" % (length, text)
    if length < 1 << 16:
        return b"\x81\x7e%b%b" % (length.to_bytes(2), text)
    return b"\x81\x7f%b%b" % (length.to_bytes(8), text)


def pieces(texts: Sequence[bytes]) -> Iterator[bytes]:
    """The frames of texts, joined up to ``AT_ONCE``."""
    joined: list[bytes] = []
    size = 0
    for made in map(frame, texts):
        if size and size + len(made) > AT_ONCE:
            yield b"".join(joined)
            joined, size = [], 0
        joined.append(made)
        size += len(made)
    if joined:
        yield b"".join(joined)


def sending(websocket: WebSocket, patience_s: float | None = None) -> Send:
    """How texts go to a peer that may leave them unread for so long; None: its sender has a patience of its own."""
    extension = websocket.scope.get("extensions", {}).get(EXTENSION)
    if extension is None:
        return _as_messages(websocket, patience_s)
    return _as_frames(extension["writer"], patience_s)


def _as_frames(writer: FrameWriter, patience_s: float | None) -> Send:
    async def send(texts: Sequence[bytes]) -> None:
        for piece in pieces(texts) if len(texts) > 1 else map(frame, texts):
            if not writer.has_room():
                async with asyncio.timeout(patience_s):
                    await writer.room()
            writer.write(piece)

    return send


def _as_messages(websocket: WebSocket, patience_s: float | None) -> Send:
    async def send(texts: Sequence[bytes]) -> None:
        async with asyncio.timeout(patience_s):
            for text in texts:
                await websocket.send_text(text.decode())

    return send
