"""``WS /v1/attach``: the log of a call, or of an agent, from a cursor on: what is kept, ``log.caught_up``, what comes.

A reader costs no call anything: it is a cursor, and whoever does not take what he is sent is closed, and may come back
to where he was. Whoever may supervise can also say what is to be done (``Verbs``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.agents import slug
from server.book import CallBook
from server.call import Call
from server.doors.browser import Refused
from server.doors.grants import Grant, granted
from server.doors.guard import Guard
from server.doors.handshake import close, receive
from server.doors.log_query import after_of, wanted_of
from server.following import Follower, following_agent, following_call
from server.past import StoreUnavailable
from server.protocol import CloseCode
from server.services import Services

log = structlog.get_logger(__name__)

Verbs = Callable[[Call, dict[str, Any]], Awaitable[dict[str, Any] | None]]
"""What a supervisor says of a live call, as JSON, and what is answered; None: nothing. It answers refusals itself."""

NORMAL: Final = 1000
TRY_AGAIN: Final = 1013
BAD_QUERY: Final = 4000
UNAUTHORIZED: Final = 4001
FORBIDDEN: Final = 4003
UNKNOWN: Final = 4004
CODES: Final = {400: BAD_QUERY, 401: UNAUTHORIZED, 403: FORBIDDEN, 404: UNKNOWN}
"""Close codes by the status that the same refusal has over HTTP."""
SLOW_S: Final = 10.0
"""Whoever takes nothing of what he is sent for so long is closed."""
IDLE_S: Final = 60.0
"""So often it is looked whether the token still holds."""
MAX_ATTACHED: Final = 1000
MAX_REASON: Final = 120
"""Bytes of a close frame's reason (RFC 6455, 5.5), nearly."""

Send = Callable[[str], Awaitable[None]]


class Attached:
    """All readers of logs on sockets. ``verbs`` None: nobody does what supervisors say."""

    def __init__(self, services: Services, guard: Guard, verbs: Verbs | None = None) -> None:
        self._services = services
        self._book: CallBook = services.book
        self._guard = guard
        self._verbs = verbs
        self.count = 0

    async def door(self, websocket: WebSocket) -> None:
        """Serve one to its end. A refusal is told by the close code of an open socket: browsers tell no other."""
        await websocket.accept()
        try:
            grant = granted(websocket, self._services, self._guard)
            if self.count >= MAX_ATTACHED:
                raise Refused(503, f"{MAX_ATTACHED} readers are attached, and no more are allowed")
            call_id, following = await self._wanted(websocket, grant)
        except Refused as refused:
            peer = websocket.client.host if websocket.client else None
            log.warning("attach.refused", status=refused.status, peer=peer)
            await refuse(websocket, refused)
            return
        except StoreUnavailable:
            await close(websocket, TRY_AGAIN, "unavailable: come back with your cursor")
            return
        self.count += 1
        try:
            with following as follower:
                await self._serve(websocket, follower, grant, call_id)
        finally:
            self.count -= 1

    async def _wanted(
        self, websocket: WebSocket, grant: Grant
    ) -> tuple[str | None, AbstractContextManager[Follower]]:
        """Raises ``Refused``, ``StoreUnavailable``."""
        params = websocket.query_params
        call_id, agent = params.get("call"), params.get("agent")
        if (call_id is None) == (agent is None):
            raise Refused(400, "name exactly one of call and agent")
        wanted, after = wanted_of(params, grant), after_of(params)
        if call_id is None:
            key = slug(agent or "")
            if not key:
                raise Refused(400, "agent must be the id of an agent")
            if not grant.allows_agent(key):
                raise Refused(403, "the token is for another agent, or for one call")
            return None, following_agent(self._book, key, after, wanted)
        call = await self._book.find(call_id)
        if call is None:
            raise Refused(404, "call is not known, or not kept any more")
        if not grant.allows_call(call):
            raise Refused(403, "the token is for another agent, or another call")
        return call_id, following_call(self._book, call_id, call.slug, after, wanted)

    async def _serve(
        self, websocket: WebSocket, follower: Follower, grant: Grant, call_id: str | None
    ) -> None:
        verbs = Said(self._services, self._verbs, call_id if grant.supervise else None)
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(_hear(websocket, verbs), name="attached: reader")
            telling = tasks.create_task(self._tell(websocket, follower, grant), name="attached: writer")
            await asyncio.wait((hearing, telling), return_when=asyncio.FIRST_COMPLETED)
            hearing.cancel()
            telling.cancel()

    async def _tell(self, websocket: WebSocket, follower: Follower, grant: Grant) -> None:
        code: int
        try:
            code, reason = await self._told(websocket.send_text, follower, grant)
        except TimeoutError:
            code, reason = CloseCode.SLOW_CONSUMER, "slow_consumer"
        except StoreUnavailable:
            code, reason = TRY_AGAIN, "unavailable"
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # The reader is gone.
        await close(websocket, code, reason)

    async def _told(self, send: Send, follower: Follower, grant: Grant) -> tuple[int, str]:
        """All that comes; returns how it ended."""
        while not self._book.closed:
            if grant.until is not None and self._book.now() >= grant.until:
                return UNAUTHORIZED, "the token has expired"
            batch = await follower.read()
            if batch is None:
                return UNKNOWN, "the call is not kept any more"
            if batch.entries:
                async with asyncio.timeout(SLOW_S):
                    for entry in batch.entries:
                        await send(entry.data.decode())
            if batch.over:
                return NORMAL, "sealed"
            await follower.wait(IDLE_S)
        return CloseCode.RESTART, "server_stopped"


class Said:
    """What a supervisor says of a call. ``call_id`` None: he may say nothing here."""

    def __init__(self, services: Services, verbs: Verbs | None, call_id: str | None) -> None:
        self._services = services
        self._verbs = verbs
        self._call_id = call_id

    async def answer(self, message: str | bytes) -> dict[str, Any] | None:
        """What is answered to a message; None: nothing."""
        try:
            command = orjson.loads(message)
        except orjson.JSONDecodeError:
            command = None
        if not isinstance(command, dict):
            return _error("BAD_MESSAGE", "send a JSON object with a verb")
        if command.get("action") == "ping":
            return {"event": "pong"}
        if self._call_id is None:
            return _error(
                "FORBIDDEN", "only whoever attaches to a call, with scope=supervise, may send verbs"
            )
        if self._verbs is None:
            return _error("NOT_AVAILABLE", "this server has no verbs for supervisors")
        call = self._services.calls.get(self._call_id)
        if call is None:
            return _error("CALL_OVER", "the call is not live here")
        return await self._verbs(call, command)


def _error(code: str, text: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "error": text}


async def _hear(websocket: WebSocket, said: Said) -> None:
    try:
        while (message := await receive(websocket)) is not None:
            answered = await said.answer(message[0])
            if answered is not None:
                async with asyncio.timeout(SLOW_S):
                    await websocket.send_text(orjson.dumps(answered).decode())
    except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        return  # He takes nothing, or is gone; whoever tells him finds that, too.


async def refuse(websocket: WebSocket, refused: Refused) -> None:
    code = CODES.get(refused.status, TRY_AGAIN)
    await close(websocket, code, str(refused).encode()[:MAX_REASON].decode(errors="ignore"))
