"""A connection within the process."""

from __future__ import annotations

import asyncio

from talkwire_agent.errors import ConnectionLost


class End:
    """One end; what is sent comes out of the other."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[str | ConnectionLost] = asyncio.Queue()
        self._lost: ConnectionLost | None = None
        self.peer: End = self

    async def send(self, text: str) -> None:
        if self._lost is not None:
            raise self._lost
        self.peer._inbox.put_nowait(text)

    async def receive(self) -> str | bytes:
        if self._lost is not None and self._inbox.empty():
            raise self._lost
        item = await self._inbox.get()
        if isinstance(item, ConnectionLost):
            raise item
        return item

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.cut(ConnectionLost(reason or "closed", code))

    def cut(self, lost: ConnectionLost) -> None:
        """End it for both; what was sent before is still received."""
        for end in (self, self.peer):
            if end._lost is None:
                end._lost = lost
                end._inbox.put_nowait(lost)

    @property
    def idle(self) -> bool:
        """Nothing is on its way to this end."""
        return self._inbox.empty()


def linked() -> tuple[End, End]:
    """Both ends of a new connection."""
    one, other = End(), End()
    one.peer, other.peer = other, one
    return one, other
