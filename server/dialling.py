"""Calls that agents place: ordered, paced, answered or not, and each told to its end.

A dial is known by an id of ours from the order on. The carrier's own id, which becomes the call's, is known when it
has taken the call; what it tells of the call may come before that, twice, and in any order.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from pipeline.events import CallAnsweredBy, CallDialing, CarrierFault, EndReason, Event, UserMessage
from server.agents import Agent, AgentRegistry
from server.call import Call, CallState
from server.calls import CallRegistry
from server.cluster.ids import new_id
from server.pacing import Pace
from server.protocol import CallDial, ErrorCode, ErrorEvent
from server.resolve import CallConfig, Defaults, resolve
from server.wire import CallFacts
from telephony.errors import CarrierError, Unsupported
from telephony.machines import recognise
from telephony.numbers import ANY, can_be_called, normalise
from telephony.ports import (
    Answer,
    AnsweredBy,
    Carrier,
    DialOrder,
    DialProgress,
    DialState,
    HangUp,
    Verdict,
)

log = structlog.get_logger(__name__)

KEPT = 2000
"""Dials that are remembered when they are over: what is told of them late must not be a stranger's."""
LATE_S = 30.0
"""How much longer than it shall ring a call may go on without a word from its carrier."""
FIRST_WORDS = 3
"""Utterances of the other side in which a machine gives itself away."""
_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_ENDS: dict[DialState, tuple[EndReason, str]] = {
    "busy": (EndReason.BUSY, "the other side is busy, or declined"),
    "no_answer": (EndReason.NO_ANSWER, "nobody answered"),
    "failed": (EndReason.FAILED, "the carrier could not place the call"),
    "canceled": (EndReason.CLIENT_HANGUP, "given up before it was answered"),
    "completed": (EndReason.FAILED, "it was answered, and over before its audio came"),
}


class DialRefused(Exception):
    """It is not even tried; ``str()`` says why and what to do."""

    def __init__(self, code: ErrorCode, message: str, **extras: Any) -> None:
        super().__init__(message)
        self.code = code
        self.extras = extras


@dataclass(frozen=True, slots=True)
class DialRules:
    dials_per_s: float = 1.0
    queue: int = 100
    """Dials that wait for their turn; of more none is taken."""


@dataclass(slots=True, eq=False)
class Dial:
    """One call that is being placed."""

    dial_id: str
    agent: Agent
    facts: CallFacts
    """``call_id`` is the dial's until the carrier has told its own."""
    order: DialOrder
    config: CallConfig
    hang_up_on_machine: bool
    placed: asyncio.Future[str | None]
    """The call's id, when the carrier has taken it; None where it never does: ``why``."""
    why: str = ""
    carrier: Carrier | None = None
    call: Call | None = None
    over: bool = False
    sequence: int = -1
    timer: asyncio.TimerHandle | None = None
    utterances: int = 0
    told: set[str] = field(default_factory=set)
    """What was said of who answered."""


class Dialling:
    """Of all carriers and agents. ``tasks`` owns a task for each dial until it is placed."""

    def __init__(
        self,
        agents: AgentRegistry,
        calls: CallRegistry,
        carriers: Mapping[str, Carrier],
        defaults: Defaults,
        rules: DialRules,
        tasks: asyncio.TaskGroup,
        node: str = "",
    ) -> None:
        self._node = node
        self._agents = agents
        self._calls = calls
        self._carriers = carriers
        self._defaults = defaults
        self._rules = rules
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(rules.dials_per_s)
        self._dials: OrderedDict[str, Dial] = OrderedDict()
        self.waiting = 0
        """Dials that no carrier has been asked for yet."""

    # --- orders ---------------------------------------------------------------------------------------------

    def place(
        self,
        agent: Agent,
        wanted: CallDial,
        transfer_of: str | None = None,
        trace: Mapping[str, str] | None = None,
    ) -> Dial:
        """Take an order. Raises ``DialRefused``; whatever becomes of it later is told by events. ``transfer_of``: the
        call whose caller is to be joined to who picks up. ``trace`` as in ``CallFacts``."""
        to, from_ = self._ends(agent, wanted)
        if not any(carrier.capabilities.dials for carrier in self._carriers.values()):
            text = "no phone network here can dial: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
            raise DialRefused(ErrorCode.CARRIER_UNSUPPORTED, text)
        if self._calls.is_full:
            text = "the server takes no more calls at the moment: try again when some are over"
            raise DialRefused(ErrorCode.SERVER_AT_CAPACITY, text, retry_after_s=5.0)
        if self.waiting >= self._rules.queue:
            retry_s = round(self.waiting / self._rules.dials_per_s, 1)
            text = f"{self.waiting} dials wait for their turn already (TALKWIRE_DIAL_QUEUE): try again later"
            raise DialRefused(ErrorCode.DIAL_QUEUE_FULL, text, retry_after_s=retry_s)
        dial_id = new_id("dial", self._node)
        facts = CallFacts(
            dial_id,
            agent.agent_id,
            from_,
            wanted.to,
            direction="outbound",
            metadata=wanted.metadata,
            transfer_of=transfer_of,
            trace=trace or {},
        )
        ring_s, detect = int(wanted.ring_timeout_seconds or 30), wanted.machine_detection or "no"
        order = DialOrder(dial_id, to, normalise(from_), ring_s, detect)
        config = resolve(self._layers(agent, from_, wanted), self._defaults)
        hang_up = wanted.on_machine == "hangup"
        dial = Dial(dial_id, agent, facts, order, config, hang_up, self._loop.create_future())
        self._remember(dial)
        self.waiting += 1
        self._calls.expected += 1
        self._tasks.create_task(self._carry_out(dial), name=f"dial {dial_id}")
        return dial

    def turn_s(self) -> float:
        """Take the next turn to ask a carrier for a call, for somebody else; returns how long it is until then."""
        now = self._loop.time()
        return self._pace.reserve(now) - now

    def refused(self, agent: Agent, wanted: CallDial, refusal: DialRefused) -> ErrorEvent:
        """What is told of an order that is not taken; its end is told, too, for that is what clients wait for."""
        dial_id = new_id("dial", self._node)
        facts = CallFacts(
            dial_id,
            agent.agent_id,
            wanted.from_ or "",
            wanted.to,
            direction="outbound",
            metadata=wanted.metadata,
        )
        call = self._calls.dialing(facts, agent, resolve([agent.configuration], self._defaults))
        text = str(refusal)
        self._loop.call_soon(self._calls.never_began, call, EndReason.FAILED, text)
        place = {"agent_id": agent.agent_id, "call_id": dial_id, "session_id": dial_id}
        return ErrorEvent(error=text, code=refusal.code, **place, **refusal.extras)

    def _ends(self, agent: Agent, wanted: CallDial) -> tuple[str, str]:
        """Whom to call, in the network's spelling, and the caller's number as it was typed."""
        to = normalise(wanted.to)
        if not _E164.fullmatch(to) and not (to.startswith(("sip:", "sips:")) and can_be_called(to)):
            text = (
                f"{wanted.to[:60]!r} cannot be called: give a number such as +15550002222, or a sip: address"
            )
            raise DialRefused(ErrorCode.DIAL_REFUSED, text, key="to")
        if wanted.from_ is not None:
            return to, wanted.from_
        own = [c.ref for ref, c in agent.channels.items() if c.type == "phone" and ref != ANY]
        if len(own) != 1:
            text = "from is missing: give the number that the other side shall see"
            text += f" ({', '.join(own)})" if own else "; the agent has no phone channel with one"
            raise DialRefused(ErrorCode.CALLER_ID_REFUSED, text, key="from")
        return to, own[0]

    def _layers(self, agent: Agent, from_: str, wanted: CallDial) -> list[dict[str, Any]]:
        own: dict[str, Any] = {}
        if wanted.config is not None:
            given = type(wanted.config).model_fields.keys() & wanted.config.model_fields_set
            own = {name: getattr(wanted.config, name) for name in given}
        if wanted.greeting is not None:
            own["greeting"] = wanted.greeting
        if wanted.detect_turn_end:
            own["greet_after_turn"] = True
        channel = self._agents.channel(agent, from_)
        return [own, *([channel.configuration] if channel is not None else []), agent.configuration]

    def _remember(self, dial: Dial) -> None:
        self._dials[dial.dial_id] = dial
        while len(self._dials) > KEPT:
            oldest = next(iter(self._dials.values()))
            if not oldest.over:
                return
            del self._dials[oldest.dial_id]

    async def _carry_out(self, dial: Dial) -> None:
        try:
            await asyncio.sleep(max(0.0, self._pace.reserve(self._loop.time()) - self._loop.time()))
            self.waiting -= 1
            if dial.over:
                return
            dial.carrier = await self._carrier_for(dial.order)
            if not dial.over:
                call_id = await dial.carrier.dial(dial.order)
                self._bind(dial, call_id)
        except CarrierError as error:
            log.warning("dial.failed", dial_id=dial.dial_id, code=error.code, error=str(error))
            self._fail(dial, error)
        except Exception:
            # In the group of all calls an exception would end all of them.
            log.exception("dial.crashed", dial_id=dial.dial_id)
            self._fail(dial, CarrierError("a fault of the server; its log has the details"))

    async def _carrier_for(self, order: DialOrder) -> Carrier:
        able = [carrier for carrier in self._carriers.values() if carrier.capabilities.dials]
        owner = None
        for carrier in able:
            if await carrier.owns(order.from_):
                owner = carrier
                break
        if owner is None:
            raise _NotOurs(
                f"{order.from_} is no number of the account: give one of its own as from, or verify this one there"
            )
        if order.detect_machine != "no" and not owner.capabilities.detects_machines:
            raise Unsupported(owner.name, "find out whether a machine answers: leave machine_detection out")
        return owner

    # --- what becomes of them -------------------------------------------------------------------------------

    def _bind(self, dial: Dial, call_id: str) -> None:
        """The carrier has it, under this id. Told twice, by its answer and by a callback."""
        if dial.call is not None:
            return
        if dial.over:
            # Nobody wants it any more, or it was taken for failed.
            self._hang_up(dial, call_id)
            return
        dial.call = call = self._call(dial, call_id)
        call.carrier = dial.carrier
        call.given_up = partial(self._given_up, dial)
        call.overhears = partial(self._overhear, dial)
        self._calls.expected -= 1
        call.journal.append(CallDialing(dial.dial_id))
        longest_s = dial.order.ring_timeout_s + LATE_S
        dial.timer = self._loop.call_later(longest_s, self._silent, dial)
        dial.placed.set_result(call_id)
        log.info("call.dialing", call_id=call_id, dial_id=dial.dial_id, agent=dial.facts.agent_id)

    def _call(self, dial: Dial, call_id: str) -> Call:
        agent = self._agents.get(dial.agent.slug)
        facts = replace(dial.facts, call_id=call_id)
        call = self._calls.dialing(facts, agent or dial.agent, dial.config)
        if agent is None:
            call.owner = None  # It went meanwhile, and is told when it comes back.
        return call

    def _fail(self, dial: Dial, error: CarrierError) -> None:
        code = error.code if error.code in ErrorCode.__members__ else ErrorCode.CARRIER_ERROR.value
        self._never(dial, EndReason.FAILED, str(error), CarrierFault(code, str(error), error.retryable))

    def _never(self, dial: Dial, reason: EndReason, detail: str, fault: CarrierFault | None = None) -> None:
        """It is over before the carrier has told its id: under ours."""
        if dial.over or dial.call is not None:
            return
        dial.over = True
        self._calls.expected -= 1
        call = self._call(dial, dial.dial_id)
        if fault is not None:
            call.journal.append(fault)
        self._calls.never_began(call, reason, detail)
        dial.why = detail
        dial.placed.set_result(None)

    def cancel(self, dial_id: str, detail: str) -> bool:
        """Give one up that its carrier has not taken yet. False: there is none such."""
        dial = self._dials.get(dial_id)
        if dial is None or dial.over or dial.call is not None:
            return False
        self._never(dial, EndReason.CLIENT_HANGUP, detail)
        return True

    def owner_of(self, dial_id: str) -> Agent | None:
        """The agent whose dial it is."""
        dial = self._dials.get(dial_id)
        return dial.agent if dial is not None else None

    def _given_up(self, dial: Dial) -> None:
        """The call is over on our side before it began: the carrier may not know."""
        if dial.timer is not None:
            dial.timer.cancel()
        if not dial.over and dial.call is not None:
            dial.over = True
            self._hang_up(dial, dial.call.call_id)

    def _hang_up(self, dial: Dial, call_id: str) -> None:
        carrier = dial.carrier

        async def end() -> None:
            try:
                if carrier is not None:
                    await carrier.hang_up(call_id)
            except CarrierError as error:
                log.warning("dial.not_ended", call_id=call_id, error=str(error))

        self._tasks.create_task(end(), name=f"give up {call_id}")

    def _silent(self, dial: Dial) -> None:
        call = dial.call
        if call is not None and call.state is CallState.DIALING:
            log.warning("dial.silent", call_id=call.call_id)
            self._calls.never_began(call, EndReason.FAILED, "the carrier told nothing more of it")

    # --- what carriers tell ---------------------------------------------------------------------------------

    def answered(self, dial_id: str, call_id: str) -> Verdict:
        """Somebody picked up: what to do with him."""
        dial = self._dials.get(dial_id)
        if dial is None:
            log.warning("dial.unknown", dial_id=dial_id[:60], call_id=call_id)
            return HangUp()
        self._bind(dial, call_id)
        call = dial.call
        if dial.over or call is None or call.call_id != call_id or call.is_over:
            return HangUp()
        if call.state is CallState.LIVE:
            return HangUp()  # A late repetition: the audio path goes on by itself.
        if dial.timer is not None:
            dial.timer.cancel()
        self._calls.answered(call)
        return Answer()

    def progress(self, dial_id: str, told: DialProgress) -> None:
        """A callback: of those that come late only the end of the call counts, and that once."""
        dial = self._dials.get(dial_id)
        if dial is None:
            return
        self._bind(dial, told.call_id)
        call = dial.call
        if dial.over or call is None or call.call_id != told.call_id:
            return
        if told.state not in _ENDS:
            if told.sequence > dial.sequence:
                dial.sequence = told.sequence
                log.info("dial.progress", call_id=call.call_id, state=told.state)
            return
        dial.over = True
        if dial.timer is not None:
            dial.timer.cancel()
        if call.session is not None:
            self._calls.over_at_carrier(call)
            return
        reason, detail = _ENDS[told.state]
        self._calls.never_began(call, reason, f"{detail}: {told.detail}" if told.detail else detail)

    def machine(self, dial_id: str, call_id: str, answered_by: AnsweredBy, detail: str) -> None:
        """The carrier has found out who picked up."""
        dial = self._dials.get(dial_id)
        call = dial.call if dial is not None else None
        if dial is None or call is None or call.call_id != call_id or call.is_over:
            return
        self._tell(dial, call, CallAnsweredBy(answered_by, "carrier", detail))

    def _overhear(self, dial: Dial, event: Event) -> None:
        if not isinstance(event, UserMessage) or dial.utterances >= FIRST_WORDS or dial.call is None:
            return
        dial.utterances += 1
        found = recognise(event.text)
        if found is not None:
            self._tell(dial, dial.call, CallAnsweredBy(found.kind, "transcript", found.words))

    def _tell(self, dial: Dial, call: Call, event: CallAnsweredBy) -> None:
        if event.known_from in dial.told:
            return  # A repeated callback; the same voicemail, a sentence later.
        dial.told.add(event.known_from)
        call.journal.append(event)
        session = call.session
        if dial.hang_up_on_machine and event.answered_by in ("machine", "fax") and session is not None:
            detail = f"not a human answered: {event.answered_by}"
            self._loop.call_soon(session.guarded, partial(session.end, EndReason.CLIENT_HANGUP, detail))


class _NotOurs(CarrierError):
    code = ErrorCode.CALLER_ID_REFUSED.value
    blame = "client"
