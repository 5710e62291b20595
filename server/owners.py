"""Who is told of calls: agents that go and come back, and what they are told then.

A call belongs to the registry, and waits for its agent. One that is over is kept for a while, for an agent that was not
told of its end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

import structlog

from pipeline.events import EndReason
from server.agents import Agent, Owner
from server.call import Call
from server.catching_up import Archive, catch_up, guarded, missed
from server.part import Part
from server.protocol import AgentResumed, ResumedCall, to_json
from server.ring import Entry

log = structlog.get_logger(__name__)

ASK_AGAIN_S: Final = 2.0
"""How long an agent that is back may take to give the results that it owed, until it is asked for them again."""
KEPT_CALLS: Final = 100
KEPT_BYTES: Final = 16 << 20
KEPT_S: Final = 300.0
"""How long, how many, and how much of them, ended calls are kept for agents that were not told of their end."""


class GivesUp(Protocol):
    """Ends a call whose audio has not come."""

    def __call__(self, call: Call, reason: EndReason, detail: str) -> None: ...


class Owners:
    """Of all calls: ``calls`` has those that are not over, by id. ``tasks`` owns what is read for them; ``grace_s``: how
    long a call waits for an agent that does not say."""

    def __init__(
        self, calls: Mapping[str, Call], grace_s: float, tasks: asyncio.TaskGroup, give_up: GivesUp
    ) -> None:
        self._calls = calls
        self._grace_s = grace_s
        self._tasks = tasks
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._ended: OrderedDict[str, tuple[float, Call]] = OrderedDict()
        self.archive: Archive | None = None
        """Where events are kept that went out of memory; None: nowhere."""

    # --- calls that are over ------------------------------------------------------------------------------

    def keep(self, call: Call) -> None:
        """An ended call stays at hand for a while: its agent may not know of its end. Its conversation, with the audio in
        it, does not."""
        call.session = call.listener = None
        now = self._loop.time()
        self._ended[call.call_id] = (now, call)
        size = sum(kept.events.size for _, kept in self._ended.values())
        while self._ended:
            at, oldest = next(iter(self._ended.values()))
            if len(self._ended) <= KEPT_CALLS and size <= KEPT_BYTES and now - at < KEPT_S:
                return
            size -= oldest.events.size
            if oldest.undelivered:
                log.warning("call.undelivered", call_id=oldest.call_id, events=oldest.undelivered)
            del self._ended[oldest.call_id]

    def drop(self, call_ids: Iterable[str]) -> None:
        """Nobody is told of the end of these calls any more: they are to be forgotten."""
        for call_id in call_ids:
            self._ended.pop(call_id, None)

    # --- they go ------------------------------------------------------------------------------------------

    def left(
        self,
        owner: Owner,
        unsent: list[Entry],
        successor: Callable[[str], Agent | None],
        only: str | None = None,
    ) -> None:
        """An agent's connection is gone, and could not send some of what it was given. Its calls wait for it,
        unless another connection has taken it over already (``successor`` tells, by slug). ``only``: the
        connection has lost this one of its agents, by slug, and goes on."""

        def lost(part: Part) -> bool:
            return part.owner is owner and only in (None, part.key)

        for entry in unsent:
            known = self._known(entry.call_id)
            part = known.parts.get(entry.key) if known is not None else None
            if part is not None and lost(part):
                part.not_sent(entry)
        for call, part in [*self._parts()]:
            if _is_live(call, part) or not lost(part):
                continue
            part.owner = None
            if (agent := successor(part.key)) is not None and part.untold(agent.owner):
                self._give_back([(call, part)], agent)
        for call in list(self._calls.values()):
            if not lost(call.part):
                continue
            call.owner = None
            if call.session is not None:
                call.session.guarded(call.session.presence.left)
            agent = successor(call.slug)
            if agent is not None:
                self._give_back([(call, call.part)], agent)
                continue
            wanted_s = call.config.session.away.grace_s
            grace_s = self._grace_s if wanted_s is None else wanted_s
            call.grace = self._loop.call_later(grace_s, self._stayed_away, call, grace_s)

    def _stayed_away(self, call: Call, grace_s: float) -> None:
        session = call.session
        if session is not None and session.supervised.by is not None:
            # A person has the conversation: it does not end for want of the bot.
            call.grace = self._loop.call_later(grace_s, self._stayed_away, call, grace_s)
            return
        detail = f"the agent did not come back within {grace_s:g} s"
        if session is not None:
            session.guarded(session.presence.gone)
            session.guarded(lambda: session.presence.part(EndReason.FAILED, detail))
        else:
            self._give_up(call, EndReason.FAILED, detail)

    # --- and come ----------------------------------------------------------------------------------------

    def came(self, agent: Agent) -> None:
        """An agent is online: the calls that wait for it go on with it, and it is told how those ended that
        ended without it."""
        back = [
            (call, part)
            for call, part in self._parts()
            if part.key == agent.slug and part.owner is None
            if _is_live(call, part) or part.untold(agent.owner)
        ]
        unknown = (call_id for call_id in agent.owner.resume or {} if self._known(call_id) is None)
        elsewhere = agent.owner.elsewhere
        gone = () if elsewhere is None else tuple(call_id for call_id in unknown if call_id not in elsewhere)
        if gone and self.archive is not None:
            reading = missed(agent, gone, self.archive)
            self._tasks.create_task(guarded(reading), name=f"what {agent.agent_id} missed")
            gone = ()
        self._give_back(back, agent, gone)

    def catch_up(self, part: Part) -> bool:
        """Read what went out of memory before its owner had it. False: nobody has it, or nobody is there."""
        owner, archive = part.owner, self.archive
        if owner is None or archive is None:
            return False
        reading = catch_up(part, owner, archive)
        self._tasks.create_task(guarded(reading), name=f"what was missed of {part.call_id}")
        return True

    def _parts(self) -> Iterator[tuple[Call, Part]]:
        """Of all calls that are known: of those that are over first."""
        for call in (*(call for _, call in self._ended.values()), *self._calls.values()):
            for part in call.parts.values():
                yield call, part

    def _give_back(self, parts: list[tuple[Call, Part]], agent: Agent, gone: tuple[str, ...] = ()) -> None:
        told = tuple(
            ResumedCall(call_id=call.call_id, last_seq=part.last_seq, live=_is_live(call, part))
            for call, part in parts
            if part.last_seq  # Of one that only rings nobody has heard.
        )
        owner = agent.owner
        # Of a connection at another node that node tells, unless there is something to add.
        if owner.resume is not None and owner.modern and (told or owner.elsewhere is not None):
            owner.offer(to_json(AgentResumed(agent_id=agent.agent_id, calls=told, gone=gone)))
        for call, part in parts:
            if part is not call.part:
                part.attach(agent.owner)
                part.flush()
            elif call.is_over:
                call.attach(agent.owner)
            else:
                self._attach(call, agent.owner)

    def _known(self, call_id: str) -> Call | None:
        return self._calls.get(call_id) or self._ended.get(call_id, (0.0, None))[1]

    def _attach(self, call: Call, owner: Owner) -> None:
        owed = call.attach(owner)
        session = call.session
        if session is not None:
            session.guarded(session.presence.back)
        if owed:
            if call.asking_again is not None:
                call.asking_again.cancel()
            call.asking_again = self._loop.call_later(ASK_AGAIN_S, call.ask_again, owed)


def _is_live(call: Call, part: Part) -> bool:
    """Whoever it is of has the call, and it is not over."""
    return part is call.part and not call.is_over
