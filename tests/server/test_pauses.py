"""Pauses of an agent's calls: which of them hold for a call, and that they survive the agent's connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.call import Call
from server.calls import CallRegistry
from server.pauses import MAX_CONTACTS, Pauses
from server.pausing import MAX_PAUSED_AGENTS
from server.resolve import resolve
from server.wire import CallFacts
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.server.test_calls import DEFAULTS, Owner, agent_of, registry


def test_a_call_is_paused_while_any_level_says_so() -> None:
    pauses = Pauses()
    assert not pauses
    pauses.pause("CA1", None)
    pauses.pause(None, "+1 (555) 000-1111")
    assert pauses.holds("CA1", "+15550002222")
    assert pauses.holds("CA2", "+15550001111")
    assert not pauses.holds("CA2", "+15550002222")
    pauses.pause(None, None)
    assert pauses.holds("CA2", "+15550002222")
    pauses.resume("CA1", None)
    assert pauses.holds("CA1", "+15550002222")


def test_each_level_is_taken_back_by_itself_or_all_at_once() -> None:
    pauses = Pauses()
    pauses.pause(None, "+15550001111")
    pauses.pause("CA1", None)
    pauses.resume(None, "1 555 000 1111 or so")
    assert pauses.holds("CA2", "+15550001111")
    pauses.resume(None, "+1 555-000-1111")
    assert not pauses.holds("CA2", "+15550001111")
    pauses.pause(None, None)
    pauses.resume(None, None)
    assert not pauses


def test_contacts_have_a_bound() -> None:
    pauses = Pauses()
    for number in range(MAX_CONTACTS):
        pauses.pause(None, f"+1555{number:07d}")
    with pytest.raises(ValueError, match="resume some first"):
        pauses.pause(None, "+4420")
    pauses.pause(None, "+15550000000")


def begun(calls: CallRegistry, call_id: str, from_: str = "+15550001111") -> Call:
    agent = agent_of(Owner())
    call = calls.ring(CallFacts(call_id, "x", from_, "+2"), agent, resolve([agent.configuration], DEFAULTS))
    calls.connecting(call)
    leg = FakeLeg()
    leg.listener = calls.start(call, leg)
    return call


def paused(call: Call) -> bool:
    assert call.session is not None
    return call.session.answering.paused


def test_calls_that_are_live_and_calls_to_come_are_paused(tmp_path: Path) -> None:
    async def main() -> None:
        async with registry(tmp_path) as calls:
            live = begun(calls, "CA1")
            other = begun(calls, "CA2", "+15550009999")
            calls.pausing.pause("x", None, "+1 555 000 1111")
            assert (paused(live), paused(other)) == (True, False)
            assert paused(begun(calls, "CA3"))
            calls.owners.left(other.owner or Owner(), [], lambda _: None)
            assert paused(begun(calls, "CA4"))
            calls.pausing.pause("y", None, None)
            assert not paused(other)
            calls.pausing.resume("x", None, None)
            assert not paused(live)
            assert not paused(begun(calls, "CA5"))

    run_virtual(main())


def test_the_pause_of_a_call_ends_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with registry(tmp_path) as calls:
            call = begun(calls, "CA1")
            calls.pausing.pause("x", "CA1", None)
            assert paused(call)
            await calls.drain(0.0)
            assert calls.pausing.of("x") is None

    run_virtual(main())


def test_paused_agents_have_a_bound(tmp_path: Path) -> None:
    async def main() -> None:
        async with registry(tmp_path) as calls:
            for number in range(MAX_PAUSED_AGENTS):
                calls.pausing.pause(f"a{number}", None, None)
            with pytest.raises(ValueError, match="resume some first"):
                calls.pausing.pause("x", None, None)
            calls.pausing.pause("a1", None, "+1555")
            calls.pausing.resume("a0", None, None)
            calls.pausing.pause("x", None, None)
            assert paused(begun(calls, "CA1"))

    run_virtual(main())
