"""``WS /v1/attach``: the log of a call, or of an agent, from a cursor on: what is kept, ``log.caught_up``, what comes.

A reader costs no call anything: it is a cursor, and whoever does not take what he is sent is closed, and may come back
to where he was. Whoever may supervise can also say what is to be done (``Verbs``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from starlette.websockets import WebSocket

from server.agents import key_asked
from server.book import CallBook
from server.call import Call
from server.doors.browser import Refused
from server.doors.grants import Grant
from server.doors.guard import Guard
from server.doors.log_query import after_of, wanted_of
from server.doors.readers import IDLE_S, NORMAL, UNKNOWN, Ended, Readers, Reading, over
from server.following import Follower, following_agent, following_call
from server.frames import Send
from server.services import Services

Verbs = Callable[[Call, dict[str, Any]], Awaitable[dict[str, Any] | None]]
"""What a supervisor says of a live call, as JSON, and what is answered; None: nothing. It answers refusals itself."""


class Attached:
    """All readers of logs on sockets. ``verbs`` None: nobody does what supervisors say."""

    def __init__(self, services: Services, guard: Guard, verbs: Verbs | None = None) -> None:
        self._services = services
        self._book: CallBook = services.book
        self._verbs = verbs
        self.door = Readers("attach", self._wanted, services, guard).serve

    async def _wanted(self, websocket: WebSocket, grant: Grant) -> Reading:
        params = websocket.query_params
        call_id, agent = params.get("call"), params.get("agent")
        if (call_id is None) == (agent is None):
            raise Refused(400, "name exactly one of call and agent")
        wanted, after = wanted_of(params, grant), after_of(params)
        if call_id is None:
            key = key_asked(agent or "")
            if not key:
                raise Refused(400, "agent must be the id of an agent, or line: and a number")
            if not grant.allows_agent(key):
                raise Refused(403, "the token is for another agent, or for one call")
            return self._reading(following_agent(self._book, key, after, wanted), grant, None)
        call = await self._book.find(call_id)
        if call is None:
            raise Refused(404, "call is not known, or not kept any more")
        if not grant.allows_call(call):
            raise Refused(403, "the token is for another agent, or another call")
        following = following_call(self._book, call_id, call.slug, after, wanted)
        return self._reading(following, grant, call_id)

    def _reading(
        self, following: AbstractContextManager[Follower], grant: Grant, call_id: str | None
    ) -> Reading:
        async def tell(send: Send) -> Ended:
            with following as follower:
                return await self._told(send, follower, grant)

        said = Said(self._services, self._verbs, call_id if grant.supervise else None)
        return Reading(tell, said.answer)

    async def _told(self, send: Send, follower: Follower, grant: Grant) -> Ended:
        """All that comes; returns how it ended."""
        while (ended := over(self._services, grant)) is None:
            batch = await follower.read()
            if batch is None:
                return UNKNOWN, "the call is not kept any more"
            if batch.entries:
                await send([entry.data for entry in batch.entries])
            if batch.over:
                return NORMAL, "sealed"
            await follower.wait(IDLE_S)
        return ended


class Said:
    """What a supervisor says of a call. ``call_id`` None: he may say nothing here."""

    def __init__(self, services: Services, verbs: Verbs | None, call_id: str | None) -> None:
        self._services = services
        self._verbs = verbs
        self._call_id = call_id

    async def answer(self, command: Any) -> dict[str, Any] | None:
        """What is answered to a message, as JSON gave it; None: nothing."""
        if not isinstance(command, dict):
            return _error("BAD_MESSAGE", "send a JSON object with a verb")
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
