"""What is done with a live call through its carrier: keys are pressed for the other side, and the caller is joined to
somebody else.

For that the carrier takes the audio path away, and may bring it back: the call stays the same one, with its history,
its clocks and its recording, and is on hold meanwhile. What is asked for one call is done one after the other.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from pipeline.events import (
    CarrierFault,
    ControlEvent,
    DigitsSent,
    EndReason,
    Forwarded,
    ForwardFailed,
    ForwardFailure,
)
from pipeline.session import Session
from server.call import Call
from server.calls import CallRegistry
from server.protocol import CallForward, ErrorCode
from telephony.errors import CarrierError, NoSuchCall
from telephony.numbers import ANY, can_be_called, normalise
from telephony.ports import Capabilities, Carrier, ForwardOrder, Reopens

log = structlog.get_logger(__name__)

REOPEN_S: Final = 10.0
"""How long the audio path may be gone, besides what the keys or the ringing take."""
SAID_S: Final = 10.0
"""How long what is being said holds a forward up."""
MAX_WAITING: Final = 8
"""Orders of one call that are not carried out yet."""


class ControlRefused(Exception):
    """It is not even begun; ``str()`` says why and what to do."""

    def __init__(self, code: ErrorCode, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.key = key


@dataclass(slots=True)
class Line:
    """A call and its carrier, while something is asked of it."""

    call: Call
    session: Session
    leg: Reopens
    carrier: Carrier
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    asked: ForwardOrder | None = None
    """The newest forward, as long as it waits, or may still come about."""
    order: ForwardOrder | None = None
    """The forward that is under way."""
    joined: bool = False
    """Somebody has picked up."""
    failed: bool = False
    leaving: str = ""
    """That it is being transferred, and where to."""


class Control:
    """Of all calls. ``tasks`` owns a task for each order until it is carried out."""

    def __init__(self, calls: CallRegistry, tasks: asyncio.TaskGroup) -> None:
        self._calls = calls
        self._tasks = tasks
        self._lines: dict[str, Line] = {}

    def busy(self, call: Call) -> bool:
        """Something that was asked for the call is not carried out yet."""
        return call.call_id in self._lines

    # --- what agents ask for ------------------------------------------------------------------------------

    def press(self, call: Call, digits: str) -> None:
        """Press keys for the other side. Raises ``ControlRefused``."""
        line = self.line(call, lambda can: can.digits_out == "reopens_stream", "press keys")
        self.begin(line, partial(self._press, line, digits))

    def forward(self, call: Call, command: CallForward) -> None:
        """Join the caller to somebody else. Raises ``ControlRefused``."""
        line = self.line(call, lambda can: can.forwards, "forward calls")
        to = normalise(command.to)
        if to == ANY or not can_be_called(to) or not to.startswith(("+", "sip:", "sips:")):
            text = f"{command.to[:60]!r} is no number: give one such as +15550002222, or a sip: address"
            raise ControlRefused(ErrorCode.FORWARD_REFUSED, text, key="to")
        if line.asked is not None:
            text = f"the call is being forwarded to {line.asked.to} already"
            raise ControlRefused(ErrorCode.CALL_BUSY, text)
        if line.leaving:
            raise ControlRefused(ErrorCode.CALL_BUSY, line.leaving)
        facts = call.facts
        ours = normalise(facts.to if facts.direction == "inbound" else facts.from_)
        order = ForwardOrder(
            to,
            # The caller's own number may be shown only where the carrier knows that it is his.
            ours if ours.startswith("+") else "",
            announcement=command.message if command.announce else "",
            language=call.config.session.language,
        )
        message = "" if command.announce else command.message
        self.begin(line, partial(self._forward, line, order, message))
        line.asked = order

    def line(self, call: Call, able: Callable[[Capabilities], bool], what: str) -> Line:
        """Where something can be asked of the carrier of a call. Raises ``ControlRefused`` where it cannot."""
        carrier, session = call.carrier, call.session
        leg: object = call.leg
        if carrier is None:
            text = (
                f"a call without a phone network cannot {what}: in a browser, or between agents, nobody can"
            )
            raise ControlRefused(ErrorCode.CARRIER_UNSUPPORTED, text)
        if not able(carrier.capabilities) or not isinstance(leg, Reopens) or session is None:
            text = f"{carrier.name} cannot {what}, as it is set up here (docs/telephony.md)"
            raise ControlRefused(ErrorCode.CARRIER_UNSUPPORTED, text)
        return self._lines.get(call.call_id) or Line(call, session, leg, carrier)

    def begin(self, line: Line, act: Callable[[], Awaitable[None]]) -> None:
        """Carry an order out when its turn has come. Raises ``ControlRefused``."""
        if line.waiting >= MAX_WAITING:
            text = f"{MAX_WAITING} orders of this call wait already: wait for their events"
            raise ControlRefused(ErrorCode.CALL_BUSY, text)
        self._lines[line.call.call_id] = line
        line.waiting += 1
        self._tasks.create_task(self._in_turn(line, act), name=f"control {line.call.call_id}")

    async def _in_turn(self, line: Line, act: Callable[[], Awaitable[None]]) -> None:
        try:
            async with line.turn:
                if not line.session.ended:
                    await act()
        except Exception:
            # In the group of all calls an exception would end all of them.
            log.exception("control.crashed", call_id=line.call.call_id)
            line.session.end(EndReason.FAILED, "internal error")
        finally:
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(line.call.call_id, None)

    # --- carried out --------------------------------------------------------------------------------------

    async def _press(self, line: Line, digits: str) -> None:
        line.leg.reopening(REOPEN_S + len(digits))
        send = line.carrier.send_digits(line.call.call_id, digits)
        if await self.ask(line, send) and await line.leg.reopened():
            self.tell(line, DigitsSent(digits))

    async def _forward(self, line: Line, order: ForwardOrder, message: str) -> None:
        session = line.session
        line.order, line.joined, line.failed = order, False, False
        if message:
            self.say(session, message)
        await session.said(SAID_S)
        try:
            if session.ended:
                return
            line.leg.reopening(order.ring_timeout_s + REOPEN_S)
            if await self.ask(line, line.carrier.forward(line.call.call_id, order)):
                await line.leg.reopened()
        finally:
            line.order = None
            if line.asked is order:
                line.asked = None

    @staticmethod
    def say(session: Session, text: str) -> None:
        """The agent's words, and its answer where it owes one."""

        def reply() -> None:
            session.saying.reply(f"msg_{secrets.token_hex(6)}", text, "")

        session.guarded(reply)

    async def ask(self, line: Line, asking: Awaitable[None]) -> bool:
        """Ask the carrier, with the call on hold. False: it does not do it, which is told."""
        session = line.session
        # What lies at the carrier would be lost: from here on nothing is said.
        session.on_lost()
        try:
            await asking
        except CarrierError as error:
            line.leg.stays()
            code = error.code if error.code in ErrorCode.__members__ else ErrorCode.CARRIER_ERROR.value
            self.tell(line, CarrierFault(code, str(error), error.retryable))
            if isinstance(error, NoSuchCall):
                session.end(EndReason.HANGUP, "the carrier says that the call is over")
            elif line.leg.open:
                session.on_back()
            return False
        return True

    def tell(self, line: Line, event: ControlEvent | CarrierFault) -> None:
        """Unless the call is over."""
        if not line.session.ended:
            line.call.journal.append(event)

    # --- what carriers tell -------------------------------------------------------------------------------

    def announcement(self, call_id: str) -> tuple[str, str]:
        """What is said to who picks up, and its language; empty: nothing."""
        line = self._lines.get(call_id)
        return (line.order.announcement, line.order.language) if line and line.order else ("", "")

    def joined(self, call_id: str) -> None:
        """Somebody has picked up. Told twice it is once."""
        line = self._lines.get(call_id)
        if line is not None and line.order is not None and not line.joined:
            line.joined = True
            line.leg.reopening(None)
            self.tell(line, Forwarded(line.order.to))

    def parted(self, call_id: str) -> None:
        """Who had picked up has hung up, or the caller has."""
        line = self._lines.get(call_id)
        if line is not None and line.joined:
            self._calls.over_at_carrier(line.call)

    def forwarded(self, call_id: str, failure: ForwardFailure | None, detail: str = "") -> bool:
        """The forward is over; ``failure``: nobody has picked up. True: the caller comes back."""
        line = self._lines.get(call_id)
        if line is None or line.order is None or line.session.ended:
            return False
        if failure is None or line.joined:
            self.joined(call_id)
            line.session.end(EndReason.HANGUP, f"the conversation with {line.order.to} is over")
            return False
        if not line.failed:
            line.failed = True
            line.asked = None  # From here on the agent may try somebody else.
            line.leg.reopening(REOPEN_S)
            self.tell(line, ForwardFailed(line.order.to, failure, detail))
        return True
