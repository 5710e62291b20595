"""Events as async iterators, for whoever reads rather than handles them."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Iterable, MutableMapping
from typing import Any

from talkwire_agent import sse
from talkwire_agent.base import Event
from talkwire_agent.names import ANY, event_name

SUBTITLES = (
    "call.started",
    "bot.speaking",
    "bot.word",
    "message.confirmed",
    "user.speaking",
    "user.message",
    "call.ended",
)
"""What a page that shows conversations needs."""
ONE_CALL = (
    "call.started",
    "bot.word",
    "message.confirmed",
    "user.speaking",
    "user.message",
    "llm.tool_call",
    "call.ended",
)
"""What a page that shows one call needs."""
KEPT = 1000
"""Events that wait for a reader; of more the oldest are dropped."""


class Feed:
    """An async iterator of events. It ends when what it is read from ends, or on ``close``.

    It is a response, too, of server-sent events: an ASGI application, that Starlette and others take as one.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._waiting: deque[Event] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._closed = False
        self.dropped = 0
        """Events that were lost, for the reader was too slow."""

    def put(self, event: Event) -> None:
        if self._closed or not (event.event in self._wanted or ANY in self._wanted):
            return
        if len(self._waiting) == KEPT:
            self.dropped += 1
        self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        """No more events; those that wait can still be read."""
        self._closed = True
        self._news.set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: sse.Receive, send: sse.Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"a stream of events is a response to an HTTP request, not to {scope['type']}")
        await sse.respond(self, receive, send)

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Feeds:
    """All that are being read. One that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self._feeds: weakref.WeakSet[Feed] = weakref.WeakSet()

    def open(
        self, events: Iterable[str] | None, default: tuple[str, ...] = SUBTITLES, *, over: bool = False
    ) -> Feed:
        """Raises ``ValueError`` for a name that no event has."""
        feed = Feed(frozenset(event_name(name) for name in (default if events is None else events)))
        if over:
            feed.close()
        else:
            self._feeds.add(feed)
        return feed

    def put(self, event: Event) -> None:
        for feed in list(self._feeds):
            feed.put(event)

    def close(self) -> None:
        for feed in list(self._feeds):
            feed.close()
