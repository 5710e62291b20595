"""Calls that are placed, on virtual time, with a carrier that is a list: whatever it tells, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.events import TurnRef, UserMessage
from server.agents import Agent, AgentRegistry
from server.call import CallState
from server.calls import CallRegistry
from server.dialling import LATE_S, Dialling, DialRefused, DialRules
from server.protocol import AgentCreate, CallDial, ChannelAdd
from server.ring import Entry
from telephony.errors import CarrierError, CarrierUnreachable, Unsupported
from telephony.ports import (
    Answer,
    Capabilities,
    DialOrder,
    DialProgress,
    DialState,
    ForwardOrder,
    HangUp,
    OwnNumber,
    TransferOrder,
)
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.server.test_calls import DEFAULTS, registry

FROM, TO = "+15550002222", "+15550001111"


class Owner:
    modern = True
    resume: dict[str, int] | None = None
    last_heard = 0.0
    elsewhere = ()

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        self.frames.append(orjson.loads(data))
        return True

    def has_room(self, size: int) -> bool:
        return True

    def displace(self, agent_id: str, reason: str) -> None: ...

    def told(self) -> list[tuple[str, str]]:
        """Event, and of an end its reason."""
        return [(frame["event"], frame.get("reason", "")) for frame in self.frames]


class FakeCarrier:
    name = "fake"

    def __init__(self) -> None:
        self.capabilities = Capabilities(dials=True, hangs_up=True)
        self.orders: list[tuple[float, DialOrder]] = []
        self.ended: list[str] = []
        self.takes_s = 0.1
        self.fault: CarrierError | None = None
        self.own = {FROM}

    async def dial(self, order: DialOrder) -> str:
        self.orders.append((asyncio.get_running_loop().time(), order))
        await asyncio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        return f"CA{len(self.orders)}"

    async def hang_up(self, call_id: str) -> None:
        self.ended.append(call_id)

    async def forward(self, call_id: str, order: ForwardOrder) -> None:
        raise Unsupported(self.name, "forward calls")

    async def send_digits(self, call_id: str, digits: str) -> None:
        raise Unsupported(self.name, "send digits")

    async def confer(self, call_id: str, reference: str) -> None:
        raise Unsupported(self.name, "transfer calls")

    async def invite(self, order: TransferOrder) -> str:
        raise Unsupported(self.name, "transfer calls")

    async def join(self, call_id: str, reference: str) -> None:
        raise Unsupported(self.name, "transfer calls")

    async def bring_back(self, call_id: str) -> None:
        raise Unsupported(self.name, "transfer calls")

    async def owns(self, number: str) -> bool:
        return number in self.own

    async def numbers(self) -> list[OwnNumber]:
        return [OwnNumber(number) for number in self.own]

    async def aclose(self) -> None: ...


class Desk:
    def __init__(self, calls: CallRegistry, tasks: asyncio.TaskGroup, rules: DialRules) -> None:
        self.owner, self.carrier, self.calls = Owner(), FakeCarrier(), calls
        self.agents = AgentRegistry()
        self.agent: Agent = self.agents.create("x", self.owner, AgentCreate(agent_id="x"), 0.0)
        self.agents.add_number(self.agent, FROM, ChannelAdd(agent_id="x", type="phone", ref=FROM))
        self.dialling = Dialling(self.agents, calls, {"fake": self.carrier}, DEFAULTS, rules, tasks)

    def place(self, **fields: Any) -> str:
        return self.dialling.place(self.agent, CallDial(agent_id="x", **{"to": TO, **fields})).dial_id

    def progress(self, dial_id: str, state: DialState, sequence: int, call_id: str = "CA1") -> None:
        self.dialling.progress(dial_id, DialProgress(call_id, state, sequence, ""))

    def begins(self, dial_id: str, call_id: str = "CA1") -> FakeLeg:
        """Somebody picks up, and his audio comes."""
        assert self.dialling.answered(dial_id, call_id) == Answer()
        call = self.calls.get(call_id)
        assert call is not None
        self.calls.connecting(call)
        leg = FakeLeg()
        leg.listener = self.calls.start(call, leg)
        return leg


@asynccontextmanager
async def desk(tmp_path: Path, **rules: Any) -> AsyncIterator[Desk]:
    async with registry(tmp_path) as calls, asyncio.TaskGroup() as tasks:
        yield Desk(calls, tasks, DialRules(**rules))
        assert calls.expected == 0


def on_virtual_time(
    test: Callable[[Desk], Awaitable[None]], tmp_path: Path, **rules: Any
) -> list[tuple[str, str]]:
    async def main() -> list[tuple[str, str]]:
        async with desk(tmp_path, **rules) as made:
            await test(made)
            await asyncio.sleep(0.01)
            told = made.owner.told()
            for call in [call for n in range(1, 5) if (call := made.calls.get(f"CA{n}")) is not None]:
                if call.session is not None:
                    call.session.on_closed("hangup", "")
                    await asyncio.sleep(0.1)
        return told

    return run_virtual(main())


def test_a_callback_may_overtake_the_carriers_own_answer(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        dial_id = desk.place()
        await asyncio.sleep(0.05)
        desk.progress(dial_id, "ringing", 1)
        assert desk.owner.told() == [("call.dialing", "")]
        leg = desk.begins(dial_id)
        await asyncio.sleep(1.0)
        assert leg.hung_up is None

    told = on_virtual_time(script, tmp_path)
    assert [name for name, _ in told].count("call.dialing") == 1
    assert ("call.started", "") in told


def test_a_call_that_was_taken_for_failed_is_hung_up_when_it_comes_all_the_same(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.carrier.fault = CarrierUnreachable("no answer")
        dial_id = desk.place()
        await asyncio.sleep(0.2)
        assert desk.owner.told() == [("error", ""), ("call.ended", "failed")]
        desk.progress(dial_id, "ringing", 1, "CA7")
        await asyncio.sleep(0.1)
        assert desk.carrier.ended == ["CA7"]
        assert desk.dialling.answered(dial_id, "CA7") == HangUp()

    told = on_virtual_time(script, tmp_path)
    assert len(told) == 2


def test_a_call_of_nobodys_dial_is_hung_up(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        assert desk.dialling.answered("dial-nobody", "CA1") == HangUp()
        desk.progress("dial-nobody", "busy", 1)
        desk.dialling.machine("dial-nobody", "CA1", "human", "")
        dial_id = desk.place()
        await asyncio.sleep(0.2)
        # Another call's id under this dial: a forgery, or a mistake.
        assert desk.dialling.answered(dial_id, "CA99") == HangUp()
        desk.progress(dial_id, "busy", 5, "CA99")
        assert desk.owner.told() == [("call.dialing", "")]
        desk.progress(dial_id, "busy", 5)

    assert on_virtual_time(script, tmp_path) == [("call.dialing", ""), ("call.ended", "busy")]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("busy", "busy"),
        ("no_answer", "no_answer"),
        ("failed", "failed"),
        ("canceled", "client_hangup"),
        ("completed", "failed"),
    ],
)
def test_each_final_state_has_its_reason_and_is_told_once(
    tmp_path: Path, state: DialState, reason: str
) -> None:
    async def script(desk: Desk) -> None:
        dial_id = desk.place()
        await asyncio.sleep(0.2)
        for sequence in (3, 3, 2):
            desk.progress(dial_id, state, sequence)
        desk.progress(dial_id, "ringing", 1)
        assert desk.carrier.ended == []

    assert on_virtual_time(script, tmp_path) == [("call.dialing", ""), ("call.ended", reason)]


def test_a_carrier_that_says_nothing_more_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.place(ring_timeout_seconds=20)
        await asyncio.sleep(20 + LATE_S - 1)
        assert desk.owner.told() == [("call.dialing", "")]
        await asyncio.sleep(2)
        assert desk.carrier.ended == ["CA1"]

    assert on_virtual_time(script, tmp_path)[-1] == ("call.ended", "failed")


def test_dials_are_paced_and_their_queue_is_bounded(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        began = asyncio.get_running_loop().time()
        ids = [desk.place(to=f"+1555000111{n}") for n in range(3)]
        with pytest.raises(DialRefused, match="wait for their turn"):
            desk.place()
        await asyncio.sleep(5.0)
        at = [round(when - began, 2) for when, _ in desk.carrier.orders]
        assert at == [0.0, 0.5, 1.0]
        for number, dial_id in enumerate(ids, 1):
            desk.progress(dial_id, "busy", 1, f"CA{number}")

    on_virtual_time(script, tmp_path, dials_per_s=2.0, queue=3)


def test_one_that_is_given_up_while_it_waits_or_is_being_asked_for_is_not_left_ringing(
    tmp_path: Path,
) -> None:
    async def script(desk: Desk) -> None:
        desk.carrier.takes_s = 1.0
        asked, waiting = desk.place(), desk.place(to="+15550003333")
        await asyncio.sleep(0.1)
        assert desk.dialling.cancel(asked, "no more")
        assert desk.dialling.cancel(waiting, "no more")
        assert not desk.dialling.cancel(waiting, "no more")
        await asyncio.sleep(5.0)
        assert len(desk.carrier.orders) == 1
        assert desk.carrier.ended == ["CA1"]

    told = on_virtual_time(script, tmp_path)
    assert told == [("call.ended", "client_hangup")] * 2


def test_a_number_of_nobodys_is_not_shown(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.place(from_="+15559990000")
        await asyncio.sleep(1.0)
        assert desk.carrier.orders == []
        assert desk.owner.frames[0]["code"] == "CALLER_ID_REFUSED"

    assert on_virtual_time(script, tmp_path) == [("error", ""), ("call.ended", "failed")]


def test_a_carrier_that_cannot_tell_machines_is_not_asked_to(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.place(machine_detection="start")
        await asyncio.sleep(1.0)
        assert desk.carrier.orders == []
        assert desk.owner.frames[0]["code"] == "CARRIER_UNSUPPORTED"

    assert on_virtual_time(script, tmp_path)[-1] == ("call.ended", "failed")


def heard(desk: Desk, text: str) -> None:
    """The other side has said something."""
    call = desk.calls.get("CA1")
    assert call is not None
    assert call.overhears is not None
    call.overhears(UserMessage(TurnRef(1, "c0ffee"), "m1", text, 1.0, ()))


def test_a_voicemail_gives_itself_away_by_its_words_once(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        dial_id = desk.place()
        await asyncio.sleep(0.2)
        desk.begins(dial_id)
        heard(desk, "Hello, you have reached the voicemail of Bob.")
        heard(desk, "Please leave a message after the tone.")
        (told,) = [frame for frame in desk.owner.frames if frame["event"] == "call.answered_by"]
        assert (told["answered_by"], told["known_from"]) == ("machine", "transcript")
        assert told["detail"] == "reached the voicemail"

    on_virtual_time(script, tmp_path)


def test_only_the_first_words_are_looked_at(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        dial_id = desk.place()
        await asyncio.sleep(0.2)
        desk.begins(dial_id)
        for text in ("Hello?", "Yes.", "Fine.", "I left a note, leave a message after the tone, he said."):
            heard(desk, text)
        assert not [frame for frame in desk.owner.frames if frame["event"] == "call.answered_by"]

    on_virtual_time(script, tmp_path)


@pytest.mark.parametrize(("answered_by", "over"), [("machine", True), ("fax", True), ("human", False)])
def test_a_machine_is_hung_up_on_where_that_is_wanted(tmp_path: Path, answered_by: Any, over: bool) -> None:
    async def script(desk: Desk) -> None:
        desk.carrier.capabilities = replace(desk.carrier.capabilities, detects_machines=True)
        dial_id = desk.place(on_machine="hangup", machine_detection="start")
        await asyncio.sleep(0.2)
        desk.begins(dial_id)
        for _ in range(2):
            desk.dialling.machine(dial_id, "CA1", answered_by, "")
        await asyncio.sleep(0.1)
        call = desk.calls.get("CA1")
        assert (call is None) is over
        assert len([f for f in desk.owner.frames if f["event"] == "call.answered_by"]) == 1

    told = on_virtual_time(script, tmp_path)
    assert (("call.ended", "client_hangup") in told) is over


def test_a_call_that_lives_ends_by_its_audio_and_else_some_seconds_after_its_carrier(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        dial_id = desk.place()
        await asyncio.sleep(0.2)
        leg = desk.begins(dial_id)
        await leg.silence(1.0)
        desk.progress(dial_id, "completed", 4)
        await leg.silence(3.0)
        call = desk.calls.get("CA1")
        assert call is not None
        assert call.state is CallState.LIVE
        await leg.silence(3.0)
        assert desk.calls.get("CA1") is None

    assert on_virtual_time(script, tmp_path)[-1] == ("call.ended", "hangup")
