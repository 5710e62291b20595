"""What becomes of a call that rings, on virtual time: for whoever asks, and however often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from server.agents import AgentRegistry
from server.calls import CallRegistry
from server.protocol import AgentCreate, ChannelAdd
from server.ringing import Ringing, RingingRules
from telephony.ports import Answer, Capabilities, HangUp, Incoming, Refuse
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.server.test_calls import DEFAULTS, registry
from tests.server.test_dialling import Owner

FROM, TO = "+15550001111", "+15550002222"
SCREENS = Capabilities(screens=True)


class Bell:
    def __init__(self, calls: CallRegistry, rules: RingingRules, *, ringing: bool) -> None:
        self.owner, self.calls, self.agents = Owner(), calls, AgentRegistry()
        agent = self.agents.create("x", self.owner, AgentCreate(agent_id="x"), 0.0)
        self.agents.add_number(agent, TO, ChannelAdd(agent_id="x", type="phone", ref=TO), ringing=ringing)
        self.ringing = Ringing(self.agents, calls, DEFAULTS, rules)

    async def ask(self, call_id: str = "CA1", to: str = TO, capabilities: Capabilities = SCREENS) -> object:
        return await self.ringing.decide(Incoming(call_id, FROM, to, "fake"), capabilities)


def on_virtual_time(
    test: Callable[[Bell], Awaitable[None]],
    tmp_path: Path,
    *,
    ringing: bool = True,
    max_calls: int = 10,
    rules: RingingRules | None = None,
) -> list[tuple[str, str]]:
    async def main() -> list[tuple[str, str]]:
        async with registry(tmp_path, max_calls=max_calls) as calls:
            bell = Bell(calls, rules or RingingRules(), ringing=ringing)
            await test(bell)
            return bell.owner.told()

    return run_virtual(main())


def test_it_is_answered_after_five_seconds_without_a_word(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        began = asyncio.get_running_loop().time()
        assert await bell.ask() == Answer()
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.0, abs=0.01)
        assert not bell.ringing.accept("CA1")
        assert not bell.ringing.reject("CA1", "busy")

    assert on_virtual_time(script, tmp_path)[:1] == [("call.ringing", "")]


def test_all_who_ask_are_told_the_same(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(bell.ask()) for _ in range(3)]
            await asyncio.sleep(1.0)
            assert bell.ringing.reject("CA1", "rejected")
        assert [task.result() for task in asked] == [Refuse("rejected")] * 3
        # Asked once more, it is over.
        assert await bell.ask() == HangUp()

    assert on_virtual_time(script, tmp_path) == [
        ("call.ringing", ""),
        ("call.rejected", "rejected"),
        ("call.ended", "client_hangup"),
    ]


def test_it_rings_on_as_long_as_one_of_the_requests_waits(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        async with asyncio.TaskGroup() as tasks:
            first, second = (tasks.create_task(bell.ask()) for _ in range(2))
            await asyncio.sleep(1.0)
            first.cancel()
            await asyncio.sleep(0.1)
            assert bell.ringing.accept("CA1")
        assert second.result() == Answer()

    assert ("call.ended", "hangup") not in on_virtual_time(script, tmp_path)


def test_a_caller_who_does_not_wait_has_hung_up(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await bell.ask()
        assert len(bell.calls) == 0
        assert not bell.ringing.accept("CA1")

    assert on_virtual_time(script, tmp_path) == [("call.ringing", ""), ("call.ended", "hangup")]


def test_the_carrier_may_say_that_it_is_over(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(bell.ask())
            await asyncio.sleep(1.0)
            bell.ringing.over("CA2", "another one")
            bell.ringing.over("CA1", "the caller hung up")
        assert asked.result() == HangUp()

    assert on_virtual_time(script, tmp_path) == [("call.ringing", ""), ("call.ended", "hangup")]


@pytest.mark.parametrize("how", ["not wanted", "not possible", "switched off"])
def test_otherwise_it_is_answered_at_once_and_nothing_is_told(tmp_path: Path, how: str) -> None:
    async def script(bell: Bell) -> None:
        began = asyncio.get_running_loop().time()
        capabilities = Capabilities() if how == "not possible" else SCREENS
        assert await bell.ask(capabilities=capabilities) == Answer()
        assert await bell.ask(capabilities=capabilities) == Answer()
        assert asyncio.get_running_loop().time() == began
        assert len(bell.calls) == 1

    rules = RingingRules(accept_after_s=0.0) if how == "switched off" else None
    told = on_virtual_time(script, tmp_path, ringing=how != "not wanted", rules=rules)
    assert told == []


def test_a_call_that_has_begun_is_not_begun_again(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        assert await bell.ask() == Answer()
        call = bell.calls.get("CA1")
        assert call is not None
        bell.calls.connecting(call)
        leg = FakeLeg()
        leg.listener = bell.calls.start(call, leg)
        assert await bell.ask() == HangUp()
        await leg.silence(0.1)
        assert leg.hung_up is None

    on_virtual_time(script, tmp_path, ringing=False)


def test_nobody_and_no_room(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        assert await bell.ask("CA1", "+15559990000") == Refuse("rejected", "We are closed.", "en")
        assert await bell.ask("CA2") == Answer()
        assert await bell.ask("CA3") == Refuse("busy")

    rules = RingingRules(nobody_text="We are closed.")
    assert on_virtual_time(script, tmp_path, ringing=False, max_calls=1, rules=rules) == []


def test_an_agent_that_goes_while_it_rings_gets_the_call_when_it_is_back(tmp_path: Path) -> None:
    async def script(bell: Bell) -> None:
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(bell.ask())
            await asyncio.sleep(1.0)
            bell.calls.owners.left(bell.owner, [], lambda _: None)
        assert asked.result() == Answer()
        agent = bell.agents.get("x")
        assert agent is not None
        agent.owner = other = Owner()
        bell.calls.owners.came(agent)
        call = bell.calls.get("CA1")
        assert call is not None
        assert call.owner is other

    on_virtual_time(script, tmp_path)
