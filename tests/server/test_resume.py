"""An agent that was away: it has its calls back, and is told each event that it missed, in order and once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.events import CallStarted, EndReason
from server import owners as owners_module
from server.agents import Agent, AgentRegistry
from server.call import Call, CallState
from server.calls import CallLimits, CallRegistry
from server.clock import Clock
from server.engines import EnginePool
from server.protocol import AgentCreate, AwaySettings
from server.recordings import Recordings
from server.resolve import Defaults, resolve
from server.ring import Entry, Ring
from server.selection import Available, Offer
from server.wire import CallFacts
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad

DEFAULTS = Defaults(tts=Offer("tts", (Available("fake"),)))


class Owner:
    """A connection that sends only the first ``sends`` of the events that it takes."""

    last_heard = 0.0
    elsewhere = ()

    def __init__(
        self, resume: dict[str, int] | None = None, *, modern: bool = True, sends: int = 10_000
    ) -> None:
        self.modern = modern
        self.resume = resume
        self.sends = sends
        self.told: list[dict[str, Any]] = []
        self.unsent: list[Entry] = []

    def has_room(self, size: int) -> bool:
        return True

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        if entry is not None and len(self.seqs()) >= self.sends:
            self.unsent.append(entry)
        else:
            self.told.append(orjson.loads(data))
        return True

    def displace(self, agent_id: str, reason: str) -> None: ...

    def seqs(self, call_id: str = "CA1") -> list[int]:
        """Without announcements."""
        return [frame["seq"] for frame in self.told if "seq" in frame and not _again(frame)]

    def announced(self) -> int:
        return sum(_again(frame) for frame in self.told)

    def back(self) -> list[tuple[dict[str, bool], list[str]]]:
        """What ``agent.resumed`` said: the calls, each with whether it is live, and those that are gone."""
        return [
            ({call["call_id"]: call["live"] for call in frame["calls"]}, frame["gone"])
            for frame in self.told
            if frame["event"] == "agent.resumed"
        ]

    def warned(self) -> list[str]:
        return [frame["code"] for frame in self.told if frame["event"] == "server.warning"]


def _again(frame: dict[str, Any]) -> bool:
    return bool((frame.get("metadata") or {}).get("resumed"))


class House:
    """A registry with one agent, whose connections come and go."""

    def __init__(self, calls: CallRegistry, clock: Clock) -> None:
        self.calls = calls
        self.agents = AgentRegistry()
        self.clock = clock
        self.tasks: list[asyncio.Task[None]] = []

    def comes(self, owner: Owner, agent_id: str = "x") -> Agent:
        agent = self.agents.create(agent_id, owner, AgentCreate(agent_id=agent_id), 0.0)
        self.calls.owners.came(agent)
        return agent

    def goes(self, owner: Owner) -> None:
        self.agents.leave(owner)
        self.calls.owners.left(owner, owner.unsent, self.agents.get)

    def call(self, agent: Agent, call_id: str = "CA1") -> Call:
        facts = CallFacts(call_id, agent.agent_id, "+1", "+2")
        return self.calls.ring(facts, agent, resolve([agent.configuration], DEFAULTS))

    def live(self, agent: Agent, call_id: str = "CA1") -> tuple[Call, FakeLeg]:
        call, leg = self.call(agent, call_id), FakeLeg()
        self.calls.connecting(call)
        leg.listener = self.calls.start(call, leg)
        return call, leg


@asynccontextmanager
async def house(tmp_path: Path, **limits: float) -> AsyncIterator[House]:
    voice = FakeTts()
    await voice.start()
    clock = Clock(asyncio.get_running_loop())
    async with asyncio.TaskGroup() as tasks:
        engines = EnginePool(FakeVad(), (), (voice,)).for_call
        made = CallRegistry(engines, CallLimits(**limits), clock, Recordings(tmp_path), tasks)  # type: ignore[arg-type]
        yield House(made, clock)
        await made.drain(0.0)


def happen(call: Call, count: int = 1) -> None:
    for _ in range(count):
        call.journal.append(CallStarted("en"))


def test_a_client_that_says_where_it_was_is_told_what_came_after_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first = Owner({}, sends=4)
            call = at.call(at.comes(first))
            happen(call, 6)
            at.goes(first)
            happen(call, 2)
            second = Owner({"CA1": 3})
            at.comes(second)
            happen(call)
            assert second.seqs() == [4, 5, 6, 7, 8, 9]
            assert second.announced() == 0
            assert second.back() == [({"CA1": True}, [])]
            assert second.told[0]["event"] == "agent.resumed"
            assert second.told[0]["calls"][0]["last_seq"] == 8
            assert not second.warned()

    run_virtual(main())


def test_a_client_that_does_not_say_is_announced_the_call_and_told_what_was_not_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first = Owner(modern=False, sends=4)
            call = at.call(at.comes(first))
            happen(call, 6)
            at.goes(first)
            happen(call, 2)
            second = Owner(modern=False)
            agent = at.comes(second)
            assert second.told[0]["event"] == "call.started"
            assert second.told[0]["seq"] == 1
            assert second.told[0]["metadata"] == {"resumed": True}
            assert second.seqs() == [5, 6, 7, 8]
            assert second.back() == []
            at.calls.owners.came(agent)
            at.comes(second)
            assert second.announced() == 1

    run_virtual(main())


def test_a_call_whose_beginning_was_never_sent_begins_for_the_next_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first = Owner(sends=0)
            call = at.call(at.comes(first))
            happen(call, 3)
            at.goes(first)
            second = Owner()
            at.comes(second)
            assert (second.seqs(), second.announced()) == ([1, 2, 3], 0)

    run_virtual(main())


def test_what_was_announced_again_and_not_sent_does_not_send_all_once_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first, second, third = Owner(), Owner(sends=0), Owner()
            call = at.call(at.comes(first))
            happen(call, 3)
            at.goes(first)
            at.comes(second)
            at.goes(second)
            at.comes(third)
            assert (third.seqs(), third.announced()) == ([], 1)
            assert call.undelivered == 0

    run_virtual(main())


def test_many_connections_break_and_each_event_is_told_once_in_order(tmp_path: Path) -> None:
    async def main(seed: int) -> None:
        rng = random.Random(seed)
        async with house(tmp_path) as at:
            has: list[int] = []
            owner = Owner({})
            call = at.call(at.comes(owner))
            for _ in range(30):
                owner.sends = len(owner.seqs()) + rng.randrange(8)
                happen(call, rng.randrange(6))
                at.goes(owner)
                has += owner.seqs()
                happen(call, rng.randrange(6))
                owner = Owner({"CA1": has[-1]} if has else {})
                at.comes(owner)
            happen(call)
            has += owner.seqs()
            assert has == list(range(1, call.events.last_seq + 1)), seed

    for seed in range(20):
        run_virtual(main(seed))


def test_a_hole_is_told_with_its_size_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first = Owner({})
            call = at.call(at.comes(first))
            call.events = Ring(max_events=5)
            happen(call, 4)
            at.goes(first)
            happen(call, 8)
            second = Owner({"CA1": 4})
            at.comes(second)
            assert second.told[1]["code"] == "EVENTS_LOST"
            assert second.told[1]["call_id"] == "CA1"
            assert "3 events from seq 5 on" in second.told[1]["warning"]
            assert second.seqs() == [8, 9, 10, 11, 12]
            at.goes(second)
            third = Owner({"CA1": 10})
            at.comes(third)
            assert (third.seqs(), third.warned()) == ([11, 12], [])
            at.goes(third)
            happen(call, 8)
            fourth = Owner()
            at.comes(fourth)
            assert [frame["event"] for frame in fourth.told[:2]] == ["call.started", "server.warning"]
            assert fourth.seqs() == [16, 17, 18, 19, 20]

    run_virtual(main())


def test_a_call_whose_beginning_is_no_longer_kept_is_announced_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first, second = Owner(sends=0), Owner()
            call = at.call(at.comes(first))
            call.events = Ring(max_events=5)
            at.goes(first)
            happen(call, 8)
            at.comes(second)
            assert [frame["event"] for frame in second.told[:2]] == ["call.started", "server.warning"]
            assert (second.announced(), second.seqs()) == (1, [4, 5, 6, 7, 8])

    run_virtual(main())


def test_a_place_that_the_call_has_not_reached_is_told_and_the_call_announced(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first = Owner({}, sends=2)
            call = at.call(at.comes(first))
            happen(call, 3)
            at.goes(first)
            second = Owner({"CA1": 4})
            at.comes(second)
            assert second.warned() == ["CURSOR_UNKNOWN"]
            assert (second.announced(), second.seqs()) == (1, [3])

    run_virtual(main())


def test_a_call_that_ended_meanwhile_is_told_to_its_end_from_any_place(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first = Owner({})
            call, leg = at.live(at.comes(first))
            await leg.silence(0.1)
            at.goes(first)
            assert call.session is not None
            call.session.end(EndReason.HANGUP, "")
            await asyncio.sleep(1)
            last = call.events.last_seq
            second = Owner({"CA1": 1})
            at.comes(second)
            assert second.back() == [({"CA1": False}, [])]
            assert second.seqs() == list(range(2, last + 1))
            assert second.told[-1]["event"] == "call.ended"
            assert second.announced() == 0
            at.goes(second)
            # Also where all of it was sent to a connection that broke: nobody knows what arrived.
            third = Owner({"CA1": last - 1, "CA9": 3})
            at.comes(third)
            assert third.back() == [({"CA1": False}, ["CA9"])]
            assert third.seqs() == [last]
            at.goes(third)
            fourth, fifth = Owner({"CA1": last}), Owner()
            at.comes(fourth)
            assert fourth.back() == [({}, [])]
            assert len(fourth.told) == 1
            at.goes(fourth)
            at.comes(fifth)
            assert fifth.told == []

    run_virtual(main())


def test_calls_go_to_a_connection_that_came_before_the_old_one_was_found_dead(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first = Owner({}, sends=2)
            agent = at.comes(first)
            call, leg = at.live(agent, "CA2")
            await leg.silence(0.1)
            other = at.call(agent)
            happen(other, 3)
            assert call.session is not None
            call.session.end(EndReason.HANGUP, "")
            await asyncio.sleep(1)
            at.agents.leave(first)
            second = Owner({"CA1": 1, "CA2": 0})
            at.comes(second)
            assert second.back() == [({}, [])]
            at.goes(first)
            assert second.back()[1:] == [({"CA2": False}, []), ({"CA1": True}, [])]
            ids = [(frame["call_id"], frame["seq"]) for frame in second.told if "seq" in frame]
            assert [seq for call_id, seq in ids if call_id == "CA1"] == [2, 3]
            assert [seq for call_id, seq in ids if call_id == "CA2"] == [*range(1, call.events.last_seq + 1)]

    run_virtual(main())


def test_a_greeting_is_not_said_twice_to_a_caller_whose_call_is_announced_again(tmp_path: Path) -> None:
    async def main(resume: dict[str, int] | None) -> list[str]:
        async with house(tmp_path) as at:
            first = Owner(resume)
            call, leg = at.live(at.comes(first))
            session = call.session
            assert session is not None
            session.saying.reply("m1", "Hello.", "")
            await leg.silence(1.0)
            at.goes(first)
            await leg.silence(1.0)
            second = Owner({"CA1": 1} if resume is not None else None)
            at.comes(second)
            session.saying.reply("m2", "Hello.", "")
            await leg.silence(2.0)
            return [f["message_id"] for f in second.told if f["event"] == "bot.interrupted"]

    assert run_virtual(main(None)) == ["m2"]
    assert run_virtual(main({})) == []


@pytest.mark.parametrize(
    ("mode", "spoken"), [("wait", []), ("line", ["Call again."]), ("message", ["Call again."])]
)
def test_an_agent_that_stays_away_ends_its_calls_when_it_wishes(
    tmp_path: Path, mode: str, spoken: list[str]
) -> None:
    async def main() -> None:
        async with house(tmp_path, agent_grace_s=60.0) as at:
            first = Owner({})
            agent = at.comes(first)
            away = {"mode": mode, "text": "Call again.", "after_ms": 500, "grace_s": 3}
            agent.configuration["away"] = AwaySettings.model_validate(away)
            call, leg = at.live(agent)
            await leg.silence(0.5)
            at.goes(first)
            await leg.silence(2.9)
            assert call.state is CallState.LIVE
            await leg.silence(1.5)
            assert call.is_over
            second = Owner({"CA1": 0})
            at.comes(second)
            assert [f["text"] for f in second.told if f["event"] == "bot.speaking"] == spoken
            ended = second.told[-1]
            assert (ended["event"], ended["reason"]) == ("call.ended", "failed")
            assert ended["detail"] == "the agent did not come back within 3 s"

    run_virtual(main())


def test_a_caller_whose_agent_went_while_it_rang_is_told_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first, second = Owner({}), Owner({})
            agent = at.comes(first)
            away = {"mode": "line", "text": "One moment.", "after_ms": 500}
            agent.configuration["away"] = AwaySettings.model_validate(away)
            call, leg = at.call(agent), FakeLeg()
            at.goes(first)
            at.calls.connecting(call)
            leg.listener = at.calls.start(call, leg)
            await leg.silence(3.0)
            at.comes(second)
            events = [frame["event"] for frame in second.told if "seq" in frame]
            assert events[:2] == ["call.started", "session.created"]
            assert [f["text"] for f in second.told if f["event"] == "bot.speaking"] == ["One moment."]

    run_virtual(main())


def test_an_agent_that_is_taken_away_and_given_back_is_not_told_the_same_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first, other = Owner({"CA1": 2}), Owner({})
            call = at.call(at.comes(other))
            happen(call, 4)
            at.goes(other)
            at.comes(first)
            assert first.seqs() == [3, 4]
            at.goes(first)
            at.comes(first)
            happen(call)
            assert first.seqs() == [3, 4, 5]

    run_virtual(main())


def test_a_call_whose_agent_comes_back_in_time_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, agent_grace_s=3.0) as at:
            first, second = Owner({}), Owner({"CA1": 1})
            call, leg = at.live(at.comes(first))
            await leg.silence(0.5)
            at.goes(first)
            await leg.silence(2.9)
            at.comes(second)
            await leg.silence(5.0)
            assert not call.is_over

    run_virtual(main())


def test_an_agent_is_given_back_its_own_calls_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            first, other = Owner({}), Owner({})
            mine, theirs = at.call(at.comes(first)), at.call(at.comes(other, "y"), "CA2")
            at.call(at.agents.create("x", first, AgentCreate(agent_id="x"), 0.0), "CA3")
            happen(mine, 3)
            happen(theirs, 3)
            at.goes(first)
            second = Owner({"CA1": 1, "CA2": 1, "CA9": 5})
            at.comes(second)
            assert {frame["call_id"] for frame in second.told if "seq" in frame} == {"CA1"}
            # CA3 rings: it has yet to begin for anybody.
            assert second.back() == [({"CA1": True}, ["CA9"])]

    run_virtual(main())


def test_ended_calls_are_kept_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            owner = Owner({})
            agent = at.comes(owner)
            for number in range(4):
                call, _ = at.live(agent, f"CA{number}")
                await asyncio.sleep(0.1)
                assert call.session is not None
                call.session.end(EndReason.HANGUP, "")
                await asyncio.sleep(0.1)
                monkeypatch.setattr(owners_module, "KEPT_BYTES", call.events.size * 7 // 2)
            at.goes(owner)
            again = Owner({f"CA{number}": 0 for number in range(4)})
            at.comes(again)
            assert again.back() == [({"CA1": False, "CA2": False, "CA3": False}, ["CA0"])]

    run_virtual(main())
