"""Events for pages that show conversations: ``GET /v1/agents/{slug}/stream`` and ``GET /v1/calls/{id}/stream``,
server-sent events in the spelling of JavaScript; and ``WS /ws/stream``, the entries of the call log of several agents.
"""

from __future__ import annotations

from collections.abc import Collection

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from server.agents import key_asked
from server.book import Summary
from server.doors.browser import Refused
from server.doors.call_log import STREAM_S, Streamed, headers_for
from server.doors.call_query import number, whole
from server.doors.grants import Grant
from server.doors.guard import Guard
from server.doors.log_query import MAX_SEQ
from server.doors.readers import IDLE_S, Ended, Readers, Reading, over
from server.envelopes import CAUGHT_UP, GAP, Wanted, in_call, marker
from server.following import following_call
from server.frames import Send
from server.narration import PING, PING_S, is_end, narrated
from server.past import StoreUnavailable
from server.recent import Happened
from server.services import Services
from server.sse import Write, event

# --- server-sent events -----------------------------------------------------------------------------------


def agent_stream(
    request: Request, key: str, services: Services, grant: Grant, streamed: Streamed
) -> Response:
    """What happens in the calls of an agent from here on; from behind ``Last-Event-ID``, where that is not long ago.
    Raises ``Refused``."""
    if not grant.allows_agent(key):
        raise Refused(403, "the token is for another agent, or for one call")
    after = _cursor(request)
    book = services.book

    async def produce(write: Write) -> None:
        until = min(book.now() + STREAM_S, grant.until or float("inf"))
        async with book.recent.following((key,), after) as reader:
            await write(event("connected", orjson.dumps({"agent": key})))
            pinged = book.now()
            while not book.closed and book.now() < until:
                page = reader.read()
                told = [(h.place, narrated(h.entry)) for h in page.happened]
                body = b"".join(event(*made, place) for place, made in told if made is not None)
                if body:
                    await write(body)
                    pinged = book.now()
                if not await reader.wait(PING_S) or book.now() - pinged >= PING_S:
                    await write(PING)
                    pinged = book.now()

    return streamed(produce, headers_for(grant))


def call_stream(
    request: Request, call: Summary, services: Services, grant: Grant, streamed: Streamed
) -> Response:
    """What happens in a call, from its beginning or from behind a cursor, to its end. Raises ``Refused``."""
    if not grant.allows_call(call):
        raise Refused(403, "the token is for another agent, or another call")
    after = max(number(request.query_params, "after", 0, 0, MAX_SEQ), _cursor(request) or 0)
    book = services.book

    async def produce(write: Write) -> None:
        until = min(book.now() + STREAM_S, grant.until or float("inf"))
        pinged = book.now()
        with book.reading(call.call_id, after) as reader:
            while not book.closed and book.now() < until:
                try:
                    page = await reader.read()
                except StoreUnavailable:
                    return
                if page is None:
                    return
                wanted = [e for e in page.entries if not (e.event == "call.ended" and not is_end(e))]
                told = [(e.seq, narrated(e)) for e in wanted]
                body = b"".join(event(*made, seq) for seq, made in told if made is not None)
                if body:
                    await write(body)
                    pinged = book.now()
                if (page.over and reader.after >= page.last_seq) or any(map(is_end, wanted)):
                    return
                if not await reader.wait(PING_S) or book.now() - pinged >= PING_S:
                    await write(PING)
                    pinged = book.now()

    return streamed(produce, headers_for(grant))


def _cursor(request: Request) -> int | None:
    given = request.headers.get("last-event-id")
    return None if given is None else whole("Last-Event-ID", given, 0, MAX_SEQ)


# --- /ws/stream -------------------------------------------------------------------------------------------


class EventStreams:
    """``WS /ws/stream?token=&agent=&session=&after=``, all of them."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._book = services.book
        self.door = Readers("stream", self._wanted, services, guard).serve

    async def _wanted(self, websocket: WebSocket, grant: Grant) -> Reading:
        params = websocket.query_params
        after = number(params, "after", 0, 0, MAX_SEQ) if "after" in params else None
        key, call_id = key_asked(params.get("agent") or "") or None, params.get("session") or grant.call_id
        if call_id is None:
            if key is not None and not grant.allows_agent(key):
                raise Refused(403, "the token is for another agent")
            keys = (key,) if key is not None else grant.agents
            return Reading(lambda send: self._of_agents(send, grant, keys, after))
        call = await self._book.find(call_id)
        if call is None:
            raise Refused(404, "session is not known, or not kept any more")
        if not grant.allows_call(call) or key not in (None, call.slug):
            raise Refused(403, "the token, or agent, is of another call")
        return Reading(lambda send: self._of_call(send, grant, call, after or 0))

    async def _of_agents(
        self, send: Send, grant: Grant, keys: Collection[str] | None, after: int | None
    ) -> Ended:
        """Calls as they come. ``seq`` is the place among the events of all calls, for each call counts from 1."""
        async with self._book.recent.following(keys, after) as reader:
            caught_up = False
            while (ended := over(self._services, grant)) is None:
                cursor = reader.after
                page = reader.read()
                texts: list[bytes] = []
                if page.resume_from:
                    texts.append(self._mark(GAP, {"from": cursor, "resume_from": page.resume_from}, cursor))
                texts += filter(None, map(_placed, page.happened))
                if not caught_up and not reader.bell.is_set():
                    caught_up = True
                    texts.append(self._mark(CAUGHT_UP, {"seq": reader.after}, reader.after))
                if texts:
                    await send(texts)
                await reader.wait(IDLE_S)
        return ended

    def _mark(self, kind: str, data: dict[str, int], seq: int) -> bytes:
        return marker(kind, data, seq, self._book.now(), None, "").data

    async def _of_call(self, send: Send, grant: Grant, call: Summary, after: int) -> Ended:
        """Its log. It stays open behind the end: its reader would only come back."""
        wanted = Wanted(agents=grant.agents)
        with following_call(self._book, call.call_id, call.slug, after, wanted) as follower:
            while (ended := over(self._services, grant)) is None:
                batch = await follower.read()
                if batch is not None and batch.entries:
                    await send([entry.data for entry in batch.entries])
                if batch is None or batch.over:
                    break
                await follower.wait(IDLE_S)
            while (ended := over(self._services, grant)) is None:
                await follower.rest(IDLE_S)
        return ended


def _placed(happened: Happened) -> bytes | None:
    """An entry of a call's log with its place among those of all calls."""
    made = in_call(happened.entry)
    if made is None:
        return None
    _, _, rest = made.data.partition(b",")
    return b'{"seq":%d,%b' % (happened.place, rest)
