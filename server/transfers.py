"""Warm transfers: a caller waits in a conference, with music, until a human is joined to him; or he comes back.

The carrier has both while that goes on, and tells of them by webhooks. What they mean is ``server.transfer``'s to say;
here is asked of the carrier what follows from it. Whoever is left over at the end is hung up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

import orjson
import structlog

from pipeline.events import (
    CarrierFault,
    EndReason,
    TransferFailed,
    TransferFailure,
    Transferred,
    Transferring,
)
from pipeline.session import Session
from server.agents import Agent
from server.call import Call
from server.calls import CallRegistry
from server.cluster.ids import new_id
from server.control import REOPEN_S, SAID_S, Control, ControlRefused, Line
from server.dialling import Dialling, DialRefused
from server.protocol import CallDial, CallTransfer, ErrorCode
from server.ring import Entry
from server.transfer import Step, Transfer
from telephony.errors import CarrierError, NoSuchCall
from telephony.numbers import ANY, can_be_called, normalise
from telephony.ports import AnsweredBy, DialProgress, TransferOrder

log = structlog.get_logger(__name__)

KEPT: Final = 500
"""Transfers that are remembered: what is told of them late must not be a stranger's."""
LATE_S: Final = 30.0
"""How much longer than it shall ring who is called may go without a word from the carrier."""
TRIES: Final = 3
"""Requests to bring a caller back, where the carrier does not do what it is asked."""
_CONSULTED: Final[dict[str, TransferFailure]] = {
    "busy": "busy",
    "no_answer": "no_answer",
    "hangup": "declined",
    "client_hangup": "canceled",
}
"""From how the call with the human ended."""


class Transfers:
    """Of all calls."""

    def __init__(
        self,
        control: Control,
        calls: CallRegistry,
        dialling: Dialling,
        tasks: asyncio.TaskGroup,
        node: str = "",
    ) -> None:
        self._node = node
        self._control = control
        self._calls = calls
        self._dialling = dialling
        self._tasks = tasks
        self._known: OrderedDict[str, Transfer] = OrderedDict()
        self._live: dict[str, Transfer] = {}
        """By the caller's call."""

    # --- what agents ask for ------------------------------------------------------------------------------

    def begin(
        self,
        call: Call,
        agent: Agent,
        command: CallTransfer,
        say: Callable[[Session, str], None] | None = None,
    ) -> None:
        """Hand a caller over. ``say``: whose word it is what he is told before; None: the agent's. Raises
        ``ControlRefused``."""
        line = self._control.line(call, lambda can: can.transfers, "transfer calls")
        if line.asked is not None or line.leaving:
            text = line.leaving or "the call is being forwarded already"
            raise ControlRefused(ErrorCode.CALL_BUSY, text)
        to = normalise(command.to)
        if to == ANY or not can_be_called(to) or not to.startswith(("+", "sip:", "sips:")):
            text = f"{command.to[:60]!r} is no number: give one such as +15550002222, or a sip: address"
            raise ControlRefused(ErrorCode.TRANSFER_REFUSED, text, key="to")
        facts = call.facts
        ours = normalise(command.from_ or (facts.to if facts.direction == "inbound" else facts.from_))
        if not ours.startswith("+"):
            text = f"{ours[:60]!r} cannot be shown to who is called: give one of your own numbers as from"
            raise ControlRefused(ErrorCode.CALLER_ID_REFUSED, text, key="from")
        ring_s, detect = int(command.ring_timeout_seconds or 25), command.machine_detection or "no"
        order = TransferOrder(
            new_id("transfer", self._node),
            to,
            ours,
            ring_s,
            announcement=command.announcement,
            language=call.config.session.language,
            detect_machine=detect,
        )
        transfer = Transfer(line, order, agent)
        if command.consult:
            transfer.consult = CallDial(
                agent_id=agent.agent_id,
                to=to,
                from_=ours,
                greeting=command.greeting,
                config=command.config,
                metadata={"transfer_of": call.call_id},
                machine_detection=command.machine_detection,
                ring_timeout_seconds=ring_s,
            )
        first = partial(say or self._control.say, line.session, command.message) if command.message else None
        self._control.begin(line, partial(self._carry_out, transfer, first))
        line.leaving = f"the call is being transferred to {to} already"
        self._live[call.call_id] = self._known[transfer.reference] = transfer
        while len(self._known) > KEPT and next(iter(self._known.values())).decided.done():
            self._known.popitem(last=False)

    def complete(self, call: Call) -> None:
        """Join the human, with whom the agent speaks, to the caller. Raises ``ControlRefused``."""
        transfer = self._live.get(call.call_id)
        human = self._calls.get(transfer.invited) if transfer is not None else None
        if transfer is None or transfer.consult is None or transfer.decided.done():
            text = "the call is not being transferred with consult: send call.transfer with it first"
            raise ControlRefused(ErrorCode.TRANSFER_REFUSED, text)
        if human is None or human.session is None or human.session.ended:
            text = "the agent does not speak with the human yet: wait for the call.started with transfer_of"
            raise ControlRefused(ErrorCode.TRANSFER_REFUSED, text)
        line = self._control.line(human, lambda can: can.transfers, "be joined to another one")
        self._control.begin(line, partial(self._join, transfer, line))

    def cancel(self, call: Call) -> None:
        """Have the caller come back. Raises ``ControlRefused``."""
        transfer = self._live.get(call.call_id)
        if transfer is None or transfer.decided.done():
            text = "the call is not being transferred, or is already"
            raise ControlRefused(ErrorCode.TRANSFER_REFUSED, text)
        transfer.fail("canceled", "given up by the agent")

    # --- carried out --------------------------------------------------------------------------------------

    async def _carry_out(self, transfer: Transfer, first: Callable[[], None] | None) -> None:
        line, session = transfer.line, transfer.line.session
        try:
            if first is not None:
                first()
            await session.said(SAID_S)
            if session.ended:
                return
            if transfer.decided.done():
                self._tell_failure(transfer)
                return
            line.leg.reopening(None)
            if await self._control.ask(line, line.carrier.confer(transfer.caller, transfer.reference)):
                self._control.tell(line, Transferring(transfer.order.to))
                await self._held(transfer)
        finally:
            self._forget(transfer)
            transfer.fail("canceled", "the call is over")
            await self._let_go(transfer)

    async def _held(self, transfer: Transfer) -> None:
        """From the caller's going until he is back, or over."""
        caller = self._tasks.create_task(transfer.line.leg.reopened(), name=f"transfer {transfer.reference}")
        try:
            if transfer.consult is None:
                await self._invite(transfer, caller)
            else:
                await self._consult(transfer, transfer.consult, caller)
            await asyncio.wait((caller, transfer.decided), return_when=asyncio.FIRST_COMPLETED)
            if caller.done():
                return
            if transfer.joined:
                self._control.tell(transfer.line, Transferred(transfer.order.to))
            else:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._bring_back(transfer), name="bring the caller back")
                    both.create_task(self._let_go(transfer), name="let the human go")
            await caller
        finally:
            caller.cancel()

    async def _invite(self, transfer: Transfer, caller: asyncio.Task[bool]) -> None:
        line, order = transfer.line, transfer.order
        # The carrier counts all calls that it is asked for.
        await asyncio.wait(
            (caller, transfer.decided),
            timeout=self._dialling.turn_s(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if caller.done() or transfer.decided.done():
            return
        transfer.within(order.ring_timeout_s + LATE_S)
        try:
            transfer.is_his(await line.carrier.invite(order))
        except CarrierError as error:
            self._refused(transfer, error)

    async def _consult(self, transfer: Transfer, wanted: CallDial, caller: asyncio.Task[bool]) -> None:
        try:
            dial = self._dialling.place(
                transfer.agent, wanted, transfer_of=transfer.caller, trace=transfer.line.call.facts.trace
            )
        except DialRefused as refused:
            transfer.fail("failed", str(refused))
            return
        await asyncio.wait((caller, transfer.decided, dial.placed), return_when=asyncio.FIRST_COMPLETED)
        if not dial.placed.done():
            # The caller does not wait that long, or shall not.
            self._dialling.cancel(dial.dial_id, "the transfer was given up")
        call_id = await dial.placed
        if call_id is None:
            transfer.invited_over = True
            transfer.fail("failed", dial.why)
            return
        transfer.is_his(call_id)
        if self._calls.is_over(call_id):
            transfer.fail("failed", "the call with the human was over at once")
        else:
            stop = self._calls.watch(_Ends(partial(self._consulted, transfer)), call_id)
            transfer.decided.add_done_callback(lambda _: stop())

    def _consulted(self, transfer: Transfer, reason: str, detail: str) -> None:
        """The call with the human is over, and they were not joined."""
        if transfer.consult is not None:
            transfer.fail(_CONSULTED.get(reason, "failed"), detail)

    async def _join(self, transfer: Transfer, line: Line) -> None:
        """What the agent is saying to him is heard before."""
        await line.session.said(SAID_S)
        if transfer.decided.done() or line.session.ended:
            return
        # From here on the end of their call is no refusal: the carrier takes his audio path away for this.
        transfer.consult = None
        line.leg.moves_on(f"joined to the caller of {transfer.caller}")
        try:
            await line.carrier.join(line.call.call_id, transfer.reference)
            transfer.sent_in()
        except CarrierError as error:
            line.leg.moves_on("")
            self._refused(transfer, error)

    async def _bring_back(self, transfer: Transfer) -> None:
        """The caller goes on with his agent."""
        line = transfer.line
        self._tell_failure(transfer)
        if transfer.comes_back:
            return
        line.leg.reopening(REOPEN_S)
        for attempt in range(1, TRIES + 1):
            try:
                await line.carrier.bring_back(transfer.caller)
            except NoSuchCall:
                line.session.end(EndReason.HANGUP, "the carrier says that the call is over")
            except CarrierError as error:
                if attempt < TRIES and error.retryable and not line.session.ended:
                    continue
                self._tell_fault(transfer, error)
            return

    async def _let_go(self, transfer: Transfer) -> None:
        """Nobody is left with a telephone at his ear for whom there is nobody."""
        human = self._calls.get(transfer.invited)
        if human is not None:
            detail = "the caller is gone, or was not joined"
            if human.session is not None:
                human.session.guarded(partial(human.session.end, EndReason.HANGUP, detail))
            else:
                self._calls.never_began(human, EndReason.CLIENT_HANGUP, detail)
        elif transfer.invited and not transfer.invited_over:
            transfer.invited_over = True
            try:
                await transfer.line.carrier.hang_up(transfer.invited)
            except CarrierError as error:
                log.warning("transfer.not_ended", call_id=transfer.invited, error=str(error))

    # --- what became of it --------------------------------------------------------------------------------

    def _forget(self, transfer: Transfer) -> None:
        """From here on the agent may try somebody else; perhaps he does already."""
        if self._live.get(transfer.caller) is transfer:
            transfer.line.leaving = ""
            del self._live[transfer.caller]

    def _refused(self, transfer: Transfer, error: CarrierError) -> None:
        self._tell_fault(transfer, error)
        transfer.fail("failed", str(error))

    def _tell_fault(self, transfer: Transfer, error: CarrierError) -> None:
        code = error.code if error.code in ErrorCode.__members__ else ErrorCode.CARRIER_ERROR.value
        self._control.tell(transfer.line, CarrierFault(code, str(error), error.retryable))

    def _tell_failure(self, transfer: Transfer) -> None:
        failure = transfer.decided.result()
        if failure is not None:
            self._forget(transfer)
            self._control.tell(transfer.line, TransferFailed(transfer.order.to, *failure))

    # --- what carriers tell -------------------------------------------------------------------------------

    def _of(self, reference: str, invited: str) -> Transfer | None:
        """The transfer of this name, where the call of the human is this one."""
        transfer = self._known.get(reference)
        return transfer if transfer is not None and transfer.is_his(invited) else None

    def answered(self, reference: str, call_id: str) -> Step:
        """Who was called has picked up: what he hears first."""
        transfer = self._of(reference, call_id)
        return transfer.answered() if transfer is not None else "hang_up"

    def ready(self, reference: str, call_id: str) -> Step:
        """He has heard what was announced."""
        transfer = self._of(reference, call_id)
        return transfer.ready() if transfer is not None else "hang_up"

    def announcement(self, reference: str) -> tuple[str, str]:
        """What he is told, and its language."""
        transfer = self._known.get(reference)
        return (transfer.order.announcement, transfer.order.language) if transfer is not None else ("", "")

    def machine(self, reference: str, call_id: str, answered_by: AnsweredBy, detail: str) -> None:
        """The carrier has found out who picked up."""
        transfer = self._of(reference, call_id)
        if transfer is not None:
            transfer.judged(answered_by, detail)

    def progress(self, reference: str, told: DialProgress) -> None:
        """How the call to him goes on."""
        transfer = self._of(reference, told.call_id)
        if transfer is not None:
            transfer.progress(told)

    def waits(self, reference: str, call_id: str) -> None:
        """Somebody is alone in the conference, for what he hears is asked for: the news of his coming may be lost."""
        transfer = self._known.get(reference)
        if transfer is not None and call_id == transfer.caller:
            transfer.came(call_id)

    def came(self, reference: str, call_id: str) -> None:
        """Somebody is in the conference."""
        if (transfer := self._known.get(reference)) is not None:
            transfer.came(call_id)

    def went(self, reference: str, call_id: str) -> None:
        """Somebody has left it."""
        if (transfer := self._known.get(reference)) is not None:
            transfer.went(call_id)

    def left(self, reference: str, call_id: str, *, hung_up: bool) -> bool:
        """The conference is over for the caller. True: his audio path is to be opened again."""
        transfer = self._known.get(reference)
        if transfer is None or transfer.caller != call_id:
            return False
        return transfer.left(hung_up=hung_up)


class _Ends:
    """Waits for the end of a call."""

    def __init__(self, then: Callable[[str, str], None]) -> None:
        self._then = then

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        if entry is not None and entry.event == "call.ended":
            ended = orjson.loads(data)
            self._then(ended["reason"], ended.get("detail") or "")
        return True
