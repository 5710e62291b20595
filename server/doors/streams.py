"""Events for pages that show conversations: ``GET /v1/agents/{slug}/stream`` and ``GET /v1/calls/{id}/stream``,
server-sent events in the spelling of JavaScript; and ``WS /ws/stream``, the entries of the call log of several agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.agents import slug
from server.book import Summary
from server.doors.attach import MAX_ATTACHED, SLOW_S, TRY_AGAIN, UNAUTHORIZED, refuse
from server.doors.browser import Refused
from server.doors.call_log import STREAM_S, Streamed, headers_for
from server.doors.call_query import number, whole
from server.doors.grants import Grant, granted
from server.doors.guard import Guard
from server.doors.handshake import close, receive
from server.doors.log_query import MAX_SEQ
from server.envelopes import CAUGHT_UP, GAP, LogEntry, Wanted, in_call, marker
from server.following import following_call
from server.narration import PING, PING_S, is_end, narrated
from server.past import StoreUnavailable
from server.protocol import CloseCode
from server.recent import Happened
from server.services import Services
from server.sse import Write, event

IDLE_S: Final = 60.0

Telling = Callable[[WebSocket, Grant], Coroutine[None, None, tuple[int, str]]]


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
        self._guard = guard
        self.count = 0

    async def door(self, websocket: WebSocket) -> None:
        """Serve one to its end."""
        await websocket.accept()
        try:
            grant = granted(websocket, self._services, self._guard)
            if self.count >= MAX_ATTACHED:
                raise Refused(503, f"{MAX_ATTACHED} streams are being read, and no more are allowed")
            telling = await self._wanted(websocket, grant)
        except Refused as refused:
            await refuse(websocket, refused)
            return
        except StoreUnavailable:
            await close(websocket, TRY_AGAIN, "unavailable: come back with your cursor")
            return
        self.count += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(_hear(websocket), name="event stream: reader")
                writing = tasks.create_task(
                    self._tell(websocket, grant, telling), name="event stream: writer"
                )
                await asyncio.wait((hearing, writing), return_when=asyncio.FIRST_COMPLETED)
                hearing.cancel()
                writing.cancel()
        finally:
            self.count -= 1

    async def _wanted(self, websocket: WebSocket, grant: Grant) -> Telling:
        """Raises ``Refused``, ``StoreUnavailable``."""
        params = websocket.query_params
        after = number(params, "after", 0, 0, MAX_SEQ) if "after" in params else None
        key, call_id = slug(params.get("agent") or "") or None, params.get("session") or grant.call_id
        if call_id is None:
            if key is not None and not grant.allows_agent(key):
                raise Refused(403, "the token is for another agent")
            keys = (key,) if key is not None else grant.agents
            return lambda socket, grant: self._of_agents(socket, grant, keys, after)
        call = await self._book.find(call_id)
        if call is None:
            raise Refused(404, "session is not known, or not kept any more")
        if not grant.allows_call(call) or key not in (None, call.slug):
            raise Refused(403, "the token, or agent, is of another call")
        return lambda socket, grant: self._of_call(socket, grant, call, after or 0)

    async def _tell(self, websocket: WebSocket, grant: Grant, telling: Telling) -> None:
        code: int
        try:
            code, reason = await telling(websocket, grant)
        except TimeoutError:
            code, reason = CloseCode.SLOW_CONSUMER, "slow_consumer"
        except StoreUnavailable:
            code, reason = TRY_AGAIN, "unavailable"
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # The reader is gone.
        await close(websocket, code, reason)

    def _over(self, grant: Grant) -> tuple[int, str] | None:
        if self._book.closed:
            return CloseCode.RESTART, "server_stopped"
        if grant.until is not None and self._book.now() >= grant.until:
            return UNAUTHORIZED, "the token has expired"
        return None

    async def _of_agents(
        self, websocket: WebSocket, grant: Grant, keys: Collection[str] | None, after: int | None
    ) -> tuple[int, str]:
        """Calls as they come. ``seq`` is the place among the events of all calls, for each call counts from 1."""
        async with self._book.recent.following(keys, after) as reader:
            caught_up = False
            while (over := self._over(grant)) is None:
                cursor = reader.after
                page = reader.read()
                if page.resume_from:
                    gap = {"from": cursor, "resume_from": page.resume_from}
                    await _send(websocket, [self._mark(GAP, gap, cursor)])
                made = [_placed(happened) for happened in page.happened]
                await _send(websocket, [entry for entry in made if entry is not None])
                if not caught_up and not reader.bell.is_set():
                    caught_up = True
                    await _send(websocket, [self._mark(CAUGHT_UP, {"seq": reader.after}, reader.after)])
                await reader.wait(IDLE_S)
        return over

    def _mark(self, kind: str, data: dict[str, int], seq: int) -> LogEntry:
        return marker(kind, data, seq, self._book.now(), None, "")

    async def _of_call(
        self, websocket: WebSocket, grant: Grant, call: Summary, after: int
    ) -> tuple[int, str]:
        """Its log. It stays open behind the end: its reader would only come back."""
        wanted = Wanted(agents=grant.agents)
        with following_call(self._book, call.call_id, call.slug, after, wanted) as follower:
            while (over := self._over(grant)) is None:
                batch = await follower.read()
                if batch is not None:
                    await _send(websocket, batch.entries)
                if batch is None or batch.over:
                    break
                await follower.wait(IDLE_S)
            while (over := self._over(grant)) is None:
                await follower.rest(IDLE_S)
        return over


def _placed(happened: Happened) -> LogEntry | None:
    """An entry of a call's log with its place among those of all calls."""
    made = in_call(happened.entry)
    if made is None:
        return None
    _, _, rest = made.data.partition(b",")
    data = b'{"seq":%d,%b' % (happened.place, rest)
    return LogEntry(happened.place, made.type, made.ephemeral, made.agent, data)


async def _send(websocket: WebSocket, entries: list[LogEntry]) -> None:
    """Raises ``TimeoutError`` where they are not taken."""
    if entries:
        async with asyncio.timeout(SLOW_S):
            for entry in entries:
                await websocket.send_text(entry.data.decode())


async def _hear(websocket: WebSocket) -> None:
    try:
        while (message := await receive(websocket)) is not None:
            if _is_ping(message[0]):
                async with asyncio.timeout(SLOW_S):
                    await websocket.send_text('{"event":"pong"}')
    except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        return


def _is_ping(message: str | bytes) -> bool:
    try:
        told = orjson.loads(message)
    except orjson.JSONDecodeError:
        return False
    return isinstance(told, dict) and told.get("action") == "ping"
