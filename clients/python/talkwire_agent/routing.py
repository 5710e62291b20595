"""Which call, and whose, an event concerns; and what is told twice or not at all when a connection is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from talkwire_agent.base import Event
from talkwire_agent.beginnings import RingingCall
from talkwire_agent.call import Call
from talkwire_agent.connection import Connection
from talkwire_agent.errors import ConnectionLost
from talkwire_agent.events import Ack, AgentResumed, CallDialing, CallEnded, CallStarted, ErrorEvent
from talkwire_agent.local import CallResumed

if TYPE_CHECKING:
    from talkwire_agent.agent import Agent
    from talkwire_agent.client import Talkwire

log = logging.getLogger("talkwire_agent")

ROUTED = "routed"
"""``call.ended.reason`` of a call that was handed over: it may come back."""
LOST = "connection_lost"
"""``call.ended.reason`` of a call that the server did not tell of again."""


MAX_CURSORS = 1000
"""As many calls as may be named when one connects again."""


class Router:
    """Hands each event of a call to it, then to its handlers, each of them once."""

    def __init__(self, client: Talkwire) -> None:
        self._client = client

    def route(self, event: Event) -> None:
        agent_id = getattr(event, "agent_id", None)
        call_id = getattr(event, "call_id", None) or getattr(event, "session_id", None)
        agent = self._client.find(agent_id) if isinstance(agent_id, str) else None
        if isinstance(event, AgentResumed) and agent is not None:
            self._resumed(event, agent)
        if isinstance(event, Ack) and agent is not None:
            agent.beginnings.acknowledged(event)
        if not isinstance(call_id, str):
            self._fire(event, None, agent)
            return
        call = self._call(call_id, agent)
        if isinstance(event, CallStarted) and agent is not None:
            self._started(event, call, agent)
        elif call is None:
            self._before(event, agent)
        elif self._is_new(event, call):
            self._happened(event, call)

    def _before(self, event: Event, agent: Agent | None) -> None:
        """Of a call that has not begun, or never will; or of one that ended before this process began."""
        ringing = agent.beginnings.take(event) if agent is not None else None
        told = ringing is not None or isinstance(event, CallDialing | ErrorEvent)
        if not isinstance(event, CallEnded) and (told or getattr(event, "seq", None) is None):
            self._fire(event, ringing, agent)

    def _call(self, call_id: str, agent: Agent | None) -> Call | None:
        places = (agent,) if agent is not None else self._client.everyone
        found = [call for place in places if (call := place.call(call_id)) is not None]
        # One that was handed over within this client is known twice.
        return next((call for call in found if call.live), found[0] if found else None)

    def _started(self, event: CallStarted, known: Call | None, agent: Agent) -> None:
        again = known is not None and known.end_reason == ROUTED and event.seq > known.last_seq
        if known is None or known.end_reason == LOST or again:
            # One that was given up too early is a new call to whoever was told of its end.
            last_seq = event.seq if known is None or again else known.last_seq
            known = agent.calls[event.call_id] = Call(agent, event)
            known.seen_on, known.last_seq = self._client.generation, last_seq
            agent.beginnings.began(known)
            self._happened(event, known)
        elif known.live:
            # Announced once more after a reconnect: the call goes on.
            self._goes_on(known)

    def _goes_on(self, call: Call) -> None:
        """The server still has it: told once for each connection."""
        if call.seen_on != self._client.generation:
            call.seen_on = self._client.generation
            ids = {"agent_id": call.agent.id, "call_id": call.id, "session_id": call.id}
            self._happened(CallResumed(**ids, seq=call.last_seq, ts=_now()), call)

    def _resumed(self, event: AgentResumed, agent: Agent) -> None:
        """What the server says of the calls that were named to it: what was missed of them follows, or nothing
        more at all."""
        for told in event.calls:
            call = agent.call(told.call_id)
            if told.live and call is not None and call.live:
                self._goes_on(call)
        for call_id in event.gone:
            call = self._call(call_id, None)
            if call is not None and call.live:
                self._happened(_ended(call), call)

    def _is_new(self, event: Event, call: Call) -> bool:
        """What was on its way when a connection broke may come again on the next one."""
        seq = getattr(event, "seq", None)
        if seq is None:
            return True
        if seq <= call.last_seq:
            return False
        joined = call.last_seq == 1 and call.metadata.get("resumed")
        if seq > call.last_seq + 1 and not joined:
            log.warning("call %s: events %d to %d were lost", call.id, call.last_seq + 1, seq - 1)
        call.last_seq = seq
        return True

    def _happened(self, event: Event, call: Call) -> None:
        call.take(event)
        if isinstance(event, CallEnded):
            call.agent.over(call)
        self._fire(event, call, call.agent)

    def _fire(self, event: Event, call: Call | RingingCall | None, agent: Agent | None) -> None:
        if isinstance(call, Call):
            call.tell(event)
        if agent is not None:
            agent.feeds.put(event)
        self._client.feeds.put(event)
        heard_on = (call if isinstance(call, Call) else None, agent)
        places = tuple(place for place in heard_on if place is not None)
        self._client.fire(event, call, places)

    # --- after a reconnect --------------------------------------------------------------------------------

    def cursors(self) -> dict[str, int]:
        """How far each call that is known has come, for the next connection. One that was given up is not: if
        the server has it still, it is a new one to whoever was told of its end."""
        calls = [call for agent in self._client.everyone for call in agent.known_calls]
        found: dict[str, int] = {}
        for call in calls[-MAX_CURSORS:]:
            if call.end_reason != LOST:
                found[call.id] = max(call.last_seq, found.get(call.id, 0))
        return found

    async def catch_up(self, agent: Agent, connection: Connection, generation: int, wait_s: float) -> None:
        """Once the server has told of all calls that it still has: repeat what may have been lost. A call
        that it does not tell of, for it was restarted, is over; it may take a moment to tell, where the
        earlier connection is only just found dead."""
        if not agent.calls:
            return
        try:
            await connection.barrier()
        except ConnectionLost:
            return
        for call in list(agent.calls.values()):
            if call.seen_on == generation:
                call.repeat(generation)
        if all(call.seen_on == generation for call in agent.calls.values()):
            return
        await asyncio.sleep(wait_s)
        for call in list(agent.calls.values()):
            if call.seen_on == generation:
                call.repeat(generation)
            else:
                self._happened(_ended(call), call)


def _now() -> float:
    return time.time()  # noqa: TID251  the wire's times are epoch seconds


def _ended(call: Call) -> CallEnded:
    now = _now()
    said = tuple(call.transcript)
    return CallEnded(
        agent_id=call.agent.id,
        call_id=call.id,
        session_id=call.id,
        seq=call.last_seq + 1,
        ts=now,
        reason=LOST,
        detail="the server no longer has this call",
        duration_seconds=max(0.0, now - call.started_at),
        started_at=call.started_at,
        ended_at=now,
        messages=said,
        transcript=said,
        direction=call.direction,
        from_=call.from_,
        to=call.to,
    )
