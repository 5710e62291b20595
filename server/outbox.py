"""What waits to be sent on a socket: bounded, so that a peer who does not read costs memory up to a limit
and no call any time."""

from __future__ import annotations

import asyncio
from collections import deque

from server.frames import Send
from server.ring import Entry

ENVELOPE_BYTES = 4096
"""Of a message beside the one large thing in it."""


class Outbox:
    """Texts for one socket, in order. One task sends them (``run``); offering never waits."""

    def __init__(self, max_messages: int = 4096, max_bytes: int = 64 << 20) -> None:
        self._queue: deque[tuple[bytes, Entry | None]] = deque()
        self._bytes = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._wake = asyncio.Event()
        self._closing = False
        self.overflowed = False
        """A message did not fit: the peer is too slow, and has lost something."""
        self._patience: asyncio.Timeout | None = None

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """Queue a message; ``entry``: the event of a call that it tells. False: it did not fit, or the box is
        closed; the socket is to be closed."""
        if self._closing or self.overflowed:
            return False
        if len(self._queue) >= self._max_messages or self._bytes + len(data) > self._max_bytes:
            self.overflow()
            return False
        self._queue.append((data, entry))
        self._bytes += len(data)
        self._wake.set()
        return True

    def has_room(self, size: int) -> bool:
        """A message of so many bytes leaves half of the box to those that must be told."""
        return not self.overflowed and self._bytes + size <= self._max_bytes // 2

    def overflow(self) -> None:
        """Whoever does not read at all holds up the message on its way for ever: it is given up, too."""
        self.overflowed = True
        self._wake.set()
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())

    def unsent(self) -> list[Entry]:
        """Events of calls that were taken and never sent; the first one may have been on its way."""
        return [entry for _, entry in self._queue if entry is not None]

    def close(self) -> None:
        """What is queued is still sent; then ``run`` returns."""
        self._closing = True
        self._wake.set()

    async def run(self, send: Send) -> None:
        """Send until closed or overflowed: one by one, for what was not sent is told again elsewhere. What ``send``
        raises passes through."""
        try:
            async with asyncio.timeout(None) as self._patience:
                await self._run(send)
        except TimeoutError:
            if not self.overflowed:
                raise
        finally:
            self._patience = None

    async def _run(self, send: Send) -> None:
        while True:
            while self._queue and not self.overflowed:
                await send((self._queue[0][0],))
                self._bytes -= len(self._queue.popleft()[0])
            if self._closing or self.overflowed:
                return
            self._wake.clear()
            await self._wake.wait()


def takes(largest: int | None, size: int) -> bool:
    """Whether a client that takes messages of so many bytes takes one with something of this size in it."""
    return largest is None or size + ENVELOPE_BYTES <= largest
