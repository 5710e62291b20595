"""Events as server-sent events (WHATWG HTML, section 9.2), for a page that shows a conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from talkwire_agent.base import Event

if TYPE_CHECKING:
    from talkwire_agent.feed import Feed

MEDIA_TYPE = "text/event-stream"
PING_S = 30.0

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def message(event: Event) -> str:
    """One event: its name on the wire, and its fields as JSON."""
    return f"event: {event.event}\ndata: {json.dumps(event.frame(), ensure_ascii=False)}\n\n"


async def body(feed: Feed, *, ping_s: float = PING_S) -> AsyncGenerator[str, None]:
    """The body of a response: a comment, so that the page knows that it is connected, then the events, and a
    comment in each silence of ``ping_s`` seconds, so that proxies keep it open. For a framework that wants a
    response of its own kind, as FastAPI does::

        StreamingResponse(sse.body(agent.stream()), media_type=sse.MEDIA_TYPE)
    """
    try:
        yield ":connected\n\n"
        while True:
            try:
                async with asyncio.timeout(ping_s):
                    event = await anext(feed)
            except TimeoutError:
                yield ":ping\n\n"
            except StopAsyncIteration:
                return
            else:
                yield message(event)
    finally:
        feed.close()


async def respond(feed: Feed, receive: Receive, send: Send) -> None:
    """A whole response, in the terms of ASGI: until the feed ends, or the page goes away."""
    headers = [
        (b"content-type", f"{MEDIA_TYPE}; charset=utf-8".encode()),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async with asyncio.TaskGroup() as tasks:
        gone = tasks.create_task(_until_gone(feed, receive))
        async for text in body(feed):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        gone.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(feed: Feed, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    feed.close()
