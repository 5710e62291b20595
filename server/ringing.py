"""What becomes of a call that rings here: taken, refused, or left ringing while its agent decides.

Every carrier's door asks ``Ringing.decide`` and tells its network the verdict. The same call may be asked about
twice, also while it rings: it is one call, and both are told the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from pipeline.events import CallRejected, CallRinging, EndReason
from server.agents import Line
from server.call import Call, CallState
from server.calls import AtCapacity, CallRegistry
from server.lines import user_of
from server.resolve import Defaults, resolve
from server.wire import CallFacts
from telephony.ports import Answer, Capabilities, HangUp, Incoming, Refuse, RefuseReason, Verdict

if TYPE_CHECKING:
    from server.agents import Agent, AgentRegistry, Channel

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RingingRules:
    accept_after_s: float = 5.0
    """A call whose agent says nothing is taken after so long."""
    nobody_text: str = ""
    """What a caller hears where no agent answers; empty: he is rejected."""


@dataclass(slots=True)
class _Pending:
    """A call that rings while its agent decides."""

    call: Call
    verdict: asyncio.Future[Verdict]
    timer: asyncio.TimerHandle
    asking: int = 0
    """Requests of the carrier that wait for the verdict."""


class Ringing:
    """Of all carriers."""

    def __init__(
        self, agents: AgentRegistry, calls: CallRegistry, defaults: Defaults, rules: RingingRules
    ) -> None:
        self._agents = agents
        self._calls = calls
        self._defaults = defaults
        self._rules = rules
        self._loop = asyncio.get_running_loop()
        self._pending: dict[str, _Pending] = {}
        self.refused: Counter[str] = Counter()
        """How many calls, by why."""

    async def decide(self, incoming: Incoming, capabilities: Capabilities) -> Verdict:
        """What to do with a call; of one that is taken, the registry has it. Cancelled, where the caller or his
        network does not wait any longer, the call is over."""
        call_id = incoming.call_id
        known = self._calls.get(call_id)
        if self._calls.is_over(call_id) or (known is not None and known.state is CallState.LIVE):
            # A late repetition. The audio path, where there is one, goes on by itself.
            log.info("call.asked_again", call_id=call_id)
            return HangUp()
        if known is None:
            refusal = self._take(incoming, capabilities)
            if refusal is not None:
                return refusal
        pending = self._pending.get(call_id)
        return Answer() if pending is None else await self._wait(pending)

    def _take(self, incoming: Incoming, capabilities: Capabilities) -> Refuse | None:
        answering = self._agents.answering(incoming.to, incoming.from_)
        if answering is None:
            self.refused["no_agent"] += 1
            log.warning("call.refused", call_id=incoming.call_id, to=incoming.to, reason="no agent answers")
            return Refuse("rejected", self._rules.nobody_text, self._defaults.language)
        agent, channel = answering
        facts = CallFacts(
            incoming.call_id,
            agent.agent_id,
            incoming.from_,
            incoming.to,
            metadata=dict(incoming.metadata) or None,
            trace=incoming.trace,
        )
        line = agent if isinstance(agent, Line) else None
        if line is not None:
            facts = replace(facts, owner="line", extension=user_of(incoming.to))
        layers = [channel.configuration, agent.configuration]
        config = resolve(layers, self._defaults, mind=line is None)
        try:
            call = self._calls.ring(facts, agent, config)
        except AtCapacity as full:
            self.refused[full.why] += 1
            live = len(self._calls)
            log.warning("call.refused", call_id=incoming.call_id, reason=str(full), calls=live)
            return Refuse("busy")
        if line is not None and capabilities.digits_in and facts.extension is None:
            call.extension_window_s = line.window_ms / 1000
        if channel.ringing and capabilities.screens and self._rules.accept_after_s > 0:
            self._ring(call, agent, channel)
        return None

    def _ring(self, call: Call, agent: Agent, channel: Channel) -> None:
        log.info("call.ringing", call_id=call.call_id, agent=agent.agent_id, channel=channel.ref)
        timer = self._loop.call_later(self._rules.accept_after_s, self._settle, call.call_id, Answer())
        self._pending[call.call_id] = _Pending(call, self._loop.create_future(), timer)
        call.journal.append(CallRinging())

    async def _wait(self, pending: _Pending) -> Verdict:
        pending.asking += 1
        try:
            return await asyncio.shield(pending.verdict)
        finally:
            pending.asking -= 1
            if not pending.asking and not pending.verdict.done():
                self._settle(pending.call.call_id, HangUp())
                self._calls.never_began(pending.call, EndReason.HANGUP, "the caller hung up while it rang")

    # --- the agent's word -----------------------------------------------------------------------------------

    def accept(self, call_id: str) -> bool:
        """False: it does not ring (any more)."""
        return self._settle(call_id, Answer())

    def reject(self, call_id: str, reason: RefuseReason) -> bool:
        """The caller is refused as the carrier can. False: it does not ring (any more)."""
        pending = self._pending.get(call_id)
        if pending is None or not self._settle(call_id, Refuse(reason)):
            return False
        self.refused["agent"] += 1
        pending.call.journal.append(CallRejected(reason))
        detail = f"the agent rejected the call: {reason}"
        self._calls.never_began(pending.call, EndReason.CLIENT_HANGUP, detail)
        return True

    def over(self, call_id: str, detail: str) -> None:
        """The carrier says that a call which rings is over."""
        pending = self._pending.get(call_id)
        if pending is not None and self._settle(call_id, HangUp()):
            self._calls.never_began(pending.call, EndReason.HANGUP, detail)

    def _settle(self, call_id: str, verdict: Verdict) -> bool:
        pending = self._pending.pop(call_id, None)
        if pending is None:
            return False
        pending.timer.cancel()
        if not pending.verdict.done():
            pending.verdict.set_result(verdict)
        return True
