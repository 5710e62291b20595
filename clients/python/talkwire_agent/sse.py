"""Events as server-sent events (WHATWG HTML, section 9.2), for a page that shows a conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from talkwire_agent.base import Event
from talkwire_agent.feed import Feed

MEDIA_TYPE = "text/event-stream"
PING_S = 30.0


def message(event: Event) -> str:
    """One event: its name on the wire, and its fields as JSON."""
    return f"event: {event.event}\ndata: {json.dumps(event.frame(), ensure_ascii=False)}\n\n"


async def body(feed: Feed, *, ping_s: float = PING_S) -> AsyncIterator[str]:
    """The body of a response, with a comment in each silence of ``ping_s`` seconds, so that proxies keep it
    open. For Starlette and FastAPI::

        StreamingResponse(sse.body(agent.stream()), media_type=sse.MEDIA_TYPE)
    """
    try:
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
