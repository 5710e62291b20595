"""Server-sent events: how they are written, and an answer that goes on until its reader or its writer has enough.

Source: WHATWG HTML, 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING: Final = b":ping\n\n"
RETRY: Final = b"retry: 1000\n\n"
"""How long a browser waits until it connects again, milliseconds."""


def event(name: str, data: bytes, seq: int | None = None) -> bytes:
    """One event. ``data`` is JSON, which has no line breaks; ``seq`` is where a reader that comes back goes on."""
    place = b"" if seq is None else b"id: %d\n" % seq
    return b"%sevent: %s\ndata: %s\n\n" % (place, name.encode(), data)


STALLED: Final = "talkwire.stalled"
"""In ``scope["state"]``: the web server has cut the reader off, who took nothing."""

Write = Callable[[bytes], Awaitable[None]]


class EventStream(Response):
    """An answer that ``produce`` writes. It is cancelled when the reader is gone; a reader that takes nothing is the web
    server's to cut off (``server.serve``), which then says so in the request's state: that is what ``stalled`` hears."""

    media_type = "text/event-stream"

    def __init__(
        self,
        produce: Callable[[Write], Awaitable[None]],
        headers: Mapping[str, str] | None = None,
        stalled: Callable[[], None] = lambda: None,
    ) -> None:
        # A proxy in between must neither keep nor collect what it passes on.
        kept = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(headers={**(headers or {}), **kept})
        del self.headers["content-length"]
        self._produce = produce
        self._stalled = stalled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_gone(receive), name="sse reader")
            writing = tasks.create_task(self._write_all(write), name="sse writer")
            await asyncio.wait((watching, writing), return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            writing.cancel()
        if scope.get("state", {}).get(STALLED):
            self._stalled()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write_all(self, write: Write) -> None:
        try:
            await write(RETRY)
            await self._produce(write)
        except OSError:
            return  # The reader is gone.


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
