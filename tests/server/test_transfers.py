"""Warm transfers on virtual time, with a carrier that is a list: whatever it tells, in any order, once or twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from server.agents import AgentRegistry
from server.control import REOPEN_S, Control, ControlRefused
from server.dialling import Dialling, DialRules
from server.pacing import Pace
from server.protocol import AgentCreate, CallForward, CallTransfer, ErrorCode
from server.resolve import resolve
from server.transfer import GONE_S, JOIN_S, SENT_S, VERDICT_ASKS
from server.transfers import LATE_S, Transfers
from server.wire import CallFacts
from telephony.errors import CarrierError, CarrierRefused, CarrierUnreachable, NoSuchCall
from telephony.ports import (
    Capabilities,
    DialOrder,
    DialProgress,
    DialState,
    ForwardOrder,
    OwnNumber,
    TransferOrder,
)
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.server.test_calls import DEFAULTS, registry
from tests.server.test_dialling import Owner

FROM, OURS, HUMAN = "+15550001111", "+15550002222", "+15550003333"


@dataclass
class ReopeningLeg(FakeLeg):
    """A leg whose carrier takes it away, and gives it back."""

    within_s: list[float | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.open = True
        self.gone = False
        self._settled = asyncio.Event()
        self._settled.set()

    def reopening(self, within_s: float | None) -> None:
        self.within_s.append(within_s)
        self._settled.clear()

    def stays(self) -> None:
        self._settled.set()

    def moves_on(self, detail: str) -> None: ...

    async def reopened(self) -> bool:
        await self._settled.wait()
        return not self.gone

    def back(self) -> None:
        self.open = True
        self._settled.set()
        assert self.listener is not None
        self.listener.on_back()

    async def hang_up(self, detail: str) -> None:
        self.gone = True
        self._settled.set()
        await super().hang_up(detail)


class FakeCarrier:
    name = "fake"
    capabilities = Capabilities(transfers=True, forwards=True, hangs_up=True)

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        """What, and of which call."""
        self.order: TransferOrder | None = None
        self.faults: dict[str, list[CarrierError]] = {}
        self.takes_s = 0.1

    async def _do(self, what: str, call_id: str) -> None:
        self.asked.append((what, call_id))
        await asyncio.sleep(self.takes_s)
        if self.faults.get(what):
            raise self.faults[what].pop(0)

    async def confer(self, call_id: str, reference: str) -> None:
        await self._do("confer", call_id)

    async def invite(self, order: TransferOrder) -> str:
        self.order = order
        await self._do("invite", order.to)
        return "CA2"

    async def join(self, call_id: str, reference: str) -> None:
        await self._do("join", call_id)

    async def bring_back(self, call_id: str) -> None:
        await self._do("bring_back", call_id)

    async def hang_up(self, call_id: str) -> None:
        await self._do("hang_up", call_id)

    async def dial(self, order: DialOrder) -> str:
        raise AssertionError

    async def forward(self, call_id: str, order: ForwardOrder) -> None:
        raise AssertionError

    async def send_digits(self, call_id: str, digits: str) -> None:
        raise AssertionError

    async def owns(self, number: str) -> bool:
        return True

    async def numbers(self) -> list[OwnNumber]:
        return []

    async def aclose(self) -> None: ...


class Desk:
    """A caller who speaks with an agent."""

    def __init__(self, calls: Any, tasks: asyncio.TaskGroup) -> None:
        self.owner, self.carrier, self.calls = Owner(), FakeCarrier(), calls
        agents = AgentRegistry()
        self.agent = agents.create("x", self.owner, AgentCreate(agent_id="x"), 0.0)
        self.control = Control(calls, tasks)
        self.dialling = Dialling(agents, calls, {"fake": self.carrier}, DEFAULTS, DialRules(100.0), tasks)
        self.transfers = Transfers(self.control, calls, self.dialling, tasks)
        facts = CallFacts("CA1", "x", FROM, OURS)
        self.call = calls.ring(facts, self.agent, resolve([self.agent.configuration], DEFAULTS))
        self.call.carrier = self.carrier
        calls.connecting(self.call)
        self.leg = ReopeningLeg()
        self.leg.listener = calls.start(self.call, self.leg)

    def transfer(self, **fields: Any) -> None:
        self.transfers.begin(self.call, self.agent, CallTransfer(call_id="CA1", **{"to": HUMAN, **fields}))

    async def begun(self, **fields: Any) -> str:
        """The caller waits and the human is being called; returns the reference."""
        self.transfer(**fields)
        await asyncio.sleep(0.25)
        assert self.carrier.order is not None
        self.leg.open = False
        return self.carrier.order.reference

    def told_by_status(self, reference: str, state: DialState, detail: str = "") -> None:
        self.transfers.progress(reference, DialProgress("CA2", state, 1, detail))

    def both_in(self, reference: str) -> None:
        assert self.transfers.answered(reference, "CA2") == "join"
        self.transfers.came(reference, "CA1")
        self.transfers.came(reference, "CA2")

    def told(self, *names: str) -> list[tuple[str, str]]:
        wanted = names or (
            "call.transferring",
            "call.transferred",
            "call.transfer_failed",
            "call.ended",
            "error",
        )
        return [(name, reason) for name, reason in self.owner.told() if name in wanted]


def on_virtual_time(script: Callable[[Desk], Awaitable[None]], tmp_path: Path) -> list[tuple[str, str]]:
    """What the agent was told; the call is over by then."""

    async def main() -> list[tuple[str, str]]:
        async with registry(tmp_path) as calls, asyncio.TaskGroup() as tasks:
            desk = Desk(calls, tasks)
            await asyncio.sleep(0.1)
            await script(desk)
            await asyncio.sleep(0.5)
            if desk.call.session is not None:
                desk.call.session.on_closed("hangup", "")
            await asyncio.sleep(0.5)
            return desk.told()

    return run_virtual(main())


def test_a_transfer_goes_its_way(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun(announcement="A caller.")
        assert desk.carrier.asked == [("confer", "CA1"), ("invite", HUMAN)]
        assert desk.transfers.answered(reference, "CA2") == "announce"
        assert desk.transfers.answered(reference, "CA2") == "announce"  # Asked twice.
        assert desk.transfers.announcement(reference) == ("A caller.", "en")
        desk.transfers.came(reference, "CA1")
        assert desk.transfers.ready(reference, "CA2") == "join"
        desk.transfers.came(reference, "CA2")
        await asyncio.sleep(60)
        assert desk.told() == [("call.transferring", ""), ("call.transferred", "")]
        desk.transfers.went(reference, "CA2")
        await asyncio.sleep(0.5)
        assert desk.told("call.ended") == [("call.ended", "hangup")]
        assert not desk.transfers.left(reference, "CA1", hung_up=False)

    on_virtual_time(script, tmp_path)


def test_the_human_is_called_when_it_is_the_turn_of_his_call(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.dialling._pace = Pace(1.0)
        for _ in range(3):
            desk.dialling.turn_s()  # Others are being dialled, one a second.
        desk.transfer()
        await asyncio.sleep(2.5)
        assert desk.carrier.asked == [("confer", "CA1")]
        await asyncio.sleep(1)
        assert desk.carrier.asked == [("confer", "CA1"), ("invite", HUMAN)]

    on_virtual_time(script, tmp_path)


def test_who_gives_up_before_that_has_nobody_called(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.dialling._pace = Pace(1.0)
        for _ in range(3):
            desk.dialling.turn_s()
        desk.transfer()
        await asyncio.sleep(1)
        desk.transfers.cancel(desk.call)
        await asyncio.sleep(5)
        assert [what for what, _ in desk.carrier.asked] == ["confer", "bring_back"]
        assert ("call.transfer_failed", "canceled") in desk.told()

    on_virtual_time(script, tmp_path)


ORDERS = [random.Random(seed).sample(range(7), 7) for seed in range(60)]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_in_whatever_order_things_are_told_each_is_told_once(tmp_path: Path, order: list[int]) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        transfers = desk.transfers

        def left() -> None:
            if transfers.left(reference, "CA1", hung_up=False):
                desk.leg.back()

        told: list[Callable[[], object]] = [
            lambda: transfers.answered(reference, "CA2"),
            lambda: transfers.came(reference, "CA1"),
            lambda: transfers.came(reference, "CA2"),
            lambda: desk.told_by_status(reference, "answered"),
            lambda: transfers.went(reference, "CA2"),
            lambda: desk.told_by_status(reference, "completed"),
            left,
        ]
        for place in order:
            for _ in range(2):
                told[place]()
            await asyncio.sleep(0.05)
        await asyncio.sleep(GONE_S + 1)

    names = [name for name, _ in on_virtual_time(script, tmp_path)]
    assert names[0] == "call.transferring"
    assert names.count("call.transferred") + names.count("call.transfer_failed") <= 1
    assert names[-1:] == ["call.ended"]
    assert names.count("call.ended") == 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("busy", "busy"),
        ("no_answer", "no_answer"),
        ("failed", "failed"),
        ("canceled", "canceled"),
        ("completed", "declined"),
    ],
)
def test_a_caller_comes_back_where_nobody_is(tmp_path: Path, state: DialState, reason: str) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        desk.told_by_status(reference, state)
        desk.told_by_status(reference, state)
        await asyncio.sleep(0.3)
        assert desk.carrier.asked[2:] == [("bring_back", "CA1")]
        assert desk.leg.within_s == [None, REOPEN_S]
        # Who picks up now is too late.
        assert desk.transfers.answered(reference, "CA2") == "hang_up"
        assert desk.transfers.ready(reference, "CA2") == "hang_up"
        desk.leg.back()
        await asyncio.sleep(0.1)
        assert desk.told() == [("call.transferring", ""), ("call.transfer_failed", reason)]
        # And somebody else may be tried.
        again = await desk.begun()
        desk.both_in(again)
        await asyncio.sleep(0.1)
        assert desk.told()[-1] == ("call.transferred", "")

    on_virtual_time(script, tmp_path)


def test_nobody_tells_anything_for_too_long(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.begun(ring_timeout_seconds=20)
        await asyncio.sleep(20 + LATE_S - 1)
        assert desk.told() == [("call.transferring", "")]
        await asyncio.sleep(2)
        desk.leg.back()
        assert desk.told()[-1] == ("call.transfer_failed", "failed")
        await asyncio.sleep(0.2)
        assert ("hang_up", "CA2") in desk.carrier.asked

    on_virtual_time(script, tmp_path)


def test_who_picks_up_and_never_comes_is_hung_up(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun(announcement="A caller.")
        assert desk.transfers.answered(reference, "CA2") == "announce"
        await asyncio.sleep(JOIN_S + 1)
        desk.leg.back()
        await asyncio.sleep(0.2)
        assert desk.told()[-1] == ("call.transfer_failed", "failed")
        assert ("hang_up", "CA2") in desk.carrier.asked

    on_virtual_time(script, tmp_path)


def test_a_verdict_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun(machine_detection="start")
        assert desk.carrier.order is not None
        assert desk.carrier.order.detect_machine == "start"
        steps = [desk.transfers.ready(reference, "CA2") for _ in range(VERDICT_ASKS + 1)]
        assert steps == ["wait"] * VERDICT_ASKS + ["join"]
        desk.transfers.machine(reference, "CA2", "machine", "machine_start")
        await asyncio.sleep(0.2)
        desk.leg.back()
        await asyncio.sleep(0.2)
        assert desk.told()[-1] == ("call.transfer_failed", "machine")
        assert ("hang_up", "CA2") in desk.carrier.asked

    on_virtual_time(script, tmp_path)


def test_news_of_a_conference_that_are_lost_part_nobody(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        desk.transfers.waits(reference, "CA1")
        assert desk.transfers.answered(reference, "CA2") == "join"
        await asyncio.sleep(SENT_S + 1)
        assert desk.told()[-1] == ("call.transferred", "")
        await asyncio.sleep(60)
        assert ("bring_back", "CA1") not in desk.carrier.asked

    on_virtual_time(script, tmp_path)


def test_a_caller_of_whom_nothing_is_known_is_looked_for(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        desk.carrier.faults["bring_back"] = [NoSuchCall("it is over", status=404)]
        desk.transfers.waits(reference, "CA2")  # He is alone in there.
        assert desk.transfers.answered(reference, "CA2") == "join"
        desk.transfers.came(reference, "CA2")
        await asyncio.sleep(SENT_S + 1)
        assert desk.told()[-1] == ("call.ended", "hangup")
        assert ("hang_up", "CA2") in desk.carrier.asked

    on_virtual_time(script, tmp_path)


def test_a_caller_who_leaves_while_the_carrier_is_asked_leaves_nobody_behind(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.carrier.takes_s = 1.0
        desk.transfer()
        await asyncio.sleep(1.5)  # It is asked to call the human.
        assert desk.call.session is not None
        desk.call.session.on_closed("hangup", "the caller hung up")
        await asyncio.sleep(5)
        assert desk.carrier.asked[-1] == ("hang_up", "CA2")
        assert desk.told() == [("call.transferring", ""), ("call.ended", "hangup")]

    on_virtual_time(script, tmp_path)


def test_a_caller_whose_leaving_only_the_conference_tells_is_gone(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        desk.transfers.came(reference, "CA1")
        desk.transfers.went(reference, "CA1")
        await asyncio.sleep(GONE_S - 0.1)
        assert not desk.told("call.ended")
        await asyncio.sleep(0.2)
        assert desk.told("call.ended") == [("call.ended", "hangup")]

    on_virtual_time(script, tmp_path)


def test_a_caller_who_has_gone_when_his_coming_is_told_is_not_joined(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        desk.transfers.went(reference, "CA1")
        desk.transfers.came(reference, "CA1")
        desk.transfers.came(reference, "CA2")
        await asyncio.sleep(GONE_S + 0.5)
        assert desk.told() == [("call.transferring", ""), ("call.ended", "hangup")]

    on_virtual_time(script, tmp_path)


def test_a_conference_that_ends_by_itself_gives_the_caller_back(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        assert desk.transfers.left(reference, "CA1", hung_up=False)
        assert desk.transfers.left(reference, "CA1", hung_up=False)  # Asked twice.
        await asyncio.sleep(0.2)
        desk.leg.back()
        await asyncio.sleep(0.2)
        assert ("bring_back", "CA1") not in desk.carrier.asked
        assert desk.told()[-1] == ("call.transfer_failed", "failed")

    on_virtual_time(script, tmp_path)


@pytest.mark.parametrize(
    ("faults", "asked", "ended"),
    [
        ([CarrierUnreachable("no answer")] * 2, 3, False),
        ([CarrierUnreachable("no answer")] * 3, 3, False),
        ([CarrierRefused("no", status=400)], 1, False),
        ([NoSuchCall("it is over", status=404)], 1, True),
    ],
)
def test_a_caller_whom_the_carrier_does_not_bring_back(
    tmp_path: Path, faults: list[CarrierError], asked: int, ended: bool
) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        desk.carrier.faults["bring_back"] = list(faults)
        desk.told_by_status(reference, "busy")
        await asyncio.sleep(1)
        assert desk.carrier.asked.count(("bring_back", "CA1")) == asked
        assert bool(desk.told("error")) == (not ended and len(faults) == asked)
        assert bool(desk.told("call.ended")) == ended

    on_virtual_time(script, tmp_path)


def test_a_carrier_that_refuses_the_human_is_told_of(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.carrier.faults["invite"] = [CarrierRefused("no such country", status=400)]
        await desk.begun()
        desk.leg.back()
        await asyncio.sleep(0.2)
        assert desk.told() == [("call.transferring", ""), ("error", ""), ("call.transfer_failed", "failed")]

    on_virtual_time(script, tmp_path)


def test_a_carrier_that_keeps_the_caller_changes_nothing(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.carrier.faults["confer"] = [CarrierUnreachable("no answer")]
        desk.transfer()
        await asyncio.sleep(0.5)
        assert desk.told() == [("error", "")]
        assert desk.owner.told()[-1][0] in ("call.unheld", "agent.state")
        await desk.begun()
        assert desk.told()[-1] == ("call.transferring", "")

    on_virtual_time(script, tmp_path)


def test_one_thing_at_a_time(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        forward = CallForward(call_id="CA1", to=HUMAN)
        for again in (desk.transfer, partial(desk.control.forward, desk.call, forward)):
            with pytest.raises(ControlRefused) as caught:
                again()
            assert caught.value.code is ErrorCode.CALL_BUSY
        desk.both_in(reference)
        with pytest.raises(ControlRefused, match="is already"):
            desk.transfers.cancel(desk.call)

    on_virtual_time(script, tmp_path)


def test_one_that_is_given_up_before_the_caller_left_leaves_him_alone(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.transfer(message="One moment, I look whether there is somebody.")
        await asyncio.sleep(0.1)
        desk.transfers.cancel(desk.call)
        await asyncio.sleep(6)
        assert desk.carrier.asked == []
        assert desk.told() == [("call.transfer_failed", "canceled")]

    on_virtual_time(script, tmp_path)


@pytest.mark.parametrize(
    ("fields", "code", "key"),
    [
        ({"to": "nobody"}, ErrorCode.TRANSFER_REFUSED, "to"),
        ({"from": "anonymous"}, ErrorCode.CALLER_ID_REFUSED, "from"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, fields: dict[str, str], code: ErrorCode, key: str) -> None:
    async def script(desk: Desk) -> None:
        with pytest.raises(ControlRefused) as caught:
            desk.transfer(**fields)
        assert (caught.value.code, caught.value.key) == (code, key)
        assert desk.carrier.asked == []

    on_virtual_time(script, tmp_path)


def test_what_is_told_of_a_strangers_transfer_changes_nothing(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        reference = await desk.begun()
        assert desk.transfers.answered("transfer-0", "CA2") == "hang_up"
        assert desk.transfers.answered(reference, "CA2") == "join"
        assert desk.transfers.answered(reference, "CA3") == "hang_up"
        desk.transfers.progress(reference, DialProgress("CA3", "busy", 1, ""))
        desk.transfers.machine(reference, "CA3", "machine", "")
        assert not desk.transfers.left(reference, "CA3", hung_up=True)
        await asyncio.sleep(0.2)
        assert desk.told() == [("call.transferring", "")]

    on_virtual_time(script, tmp_path)
