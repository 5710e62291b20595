"""The registry: a call that was given up stays given up, and no event is lost between two connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from pipeline.events import CallStarted, ToolCallsRequested, TurnRef
from pipeline.ports import ToolCall
from pipeline.tools import ToolBatch
from server.agents import Agent, AgentRegistry
from server.call import Call, CallIsOver, CallState
from server.calls import AtCapacity, CallLimits, CallRegistry
from server.clock import Clock
from server.engines import EnginePool
from server.protocol import AgentCreate
from server.recordings import Recordings
from server.resolve import Defaults, resolve
from server.ring import Entry
from server.selection import Available, Offer
from server.wire import CallFacts
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad

DEFAULTS = Defaults(tts=Offer("tts", (Available("fake"),)))


class Owner:
    """A connection that takes so many events and no more."""

    modern = True
    resume: dict[str, int] | None = None
    last_heard = 0.0
    elsewhere = ()

    def __init__(self, room: int = 10_000) -> None:
        self.room = room
        self.seqs: list[int] = []

    def has_room(self, size: int) -> bool:
        return True

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        if len(self.seqs) >= self.room:
            return False
        self.seqs.append(orjson.loads(data)["seq"])
        return True

    def displace(self, agent_id: str, reason: str) -> None: ...


def agent_of(owner: Owner) -> Agent:
    return AgentRegistry().create("x", owner, AgentCreate(agent_id="x"), 0.0)


def call_for(agent: Agent, call_id: str = "CA1") -> Call:
    config = resolve([agent.configuration], DEFAULTS)
    return Call(CallFacts(call_id, "x", "+1", "+2"), agent, config, Clock(asyncio.get_running_loop()))


@asynccontextmanager
async def registry(tmp_path: Path, **limits: float) -> AsyncIterator[CallRegistry]:
    voice = FakeTts()
    await voice.start()
    clock = Clock(asyncio.get_running_loop())
    async with asyncio.TaskGroup() as tasks:
        engines = EnginePool(FakeVad(), (), (voice,)).for_call
        made = CallRegistry(engines, CallLimits(**limits), clock, Recordings(tmp_path), tasks)  # type: ignore[arg-type]
        yield made
        await made.drain(0.0)


def test_a_call_whose_media_never_comes_is_given_up_and_cannot_begin(tmp_path: Path) -> None:
    async def main() -> None:
        agent = agent_of(Owner())
        async with registry(tmp_path, no_media_s=5.0, max_calls=1) as calls:
            config = resolve([agent.configuration], DEFAULTS)
            call = calls.ring(CallFacts("CA1", "x", "+1", "+2"), agent, config)
            with pytest.raises(AtCapacity):
                calls.ring(CallFacts("CA2", "x", "+1", "+2"), agent, config)
            await asyncio.sleep(6.0)
            assert len(calls) == 0
            assert calls.is_over("CA1")
            with pytest.raises(CallIsOver):
                calls.start(call, FakeLeg())

    run_virtual(main())


def test_a_call_that_is_connecting_does_not_wait_for_the_webhooks_deadline(tmp_path: Path) -> None:
    async def main() -> None:
        agent = agent_of(Owner())
        async with registry(tmp_path, no_media_s=5.0) as calls:
            config = resolve([agent.configuration], DEFAULTS)
            call = calls.ring(CallFacts("CA1", "x", "+1", "+2"), agent, config)
            await asyncio.sleep(4.9)
            calls.connecting(call)
            await asyncio.sleep(1.0)
            leg = FakeLeg()
            leg.listener = calls.start(call, leg)
            assert calls.get("CA1") is call
            await leg.silence(0.1)

    run_virtual(main())


def test_a_connection_that_takes_only_some_loses_none() -> None:
    async def main() -> None:
        small, large = Owner(room=20), Owner()
        call = call_for(agent_of(Owner()))
        call.journal.append(CallStarted("en"))
        call.owner = None
        for _ in range(50):
            call.journal.append(CallStarted("en"))
        call.attach(small)
        assert small.seqs == [1, *range(2, 21)]
        assert call.undelivered == 31
        call.owner = None
        call.attach(large)
        assert large.seqs == [1, *range(21, 52)]
        assert call.undelivered == 0

    run_virtual(main())


def test_what_a_connection_could_not_send_goes_to_the_next_in_its_place(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = Owner(), Owner()
        agent = agent_of(first)
        async with registry(tmp_path) as calls:
            config = resolve([agent.configuration], DEFAULTS)
            call = calls.ring(CallFacts("CA1", "x", "+1", "+2"), agent, config)
            entries = [call.journal.append(CallStarted("en")) for _ in range(5)]
            calls.owners.left(first, entries[3:], lambda _: None)
            call.journal.append(CallStarted("en"))
            agent.owner = second
            calls.owners.came(agent)
            assert second.seqs == [1, 4, 5, 6]

    run_virtual(main())


class Running:
    """A session whose tools never end."""

    def __init__(self, *msg_ids: str) -> None:
        calls = (ToolCall("c", "clock", "{}"),)
        self.batches = [ToolBatch(msg_id, TurnRef(1, "c0ffee"), (), calls) for msg_id in msg_ids]
        self.answering = self.saying = self

    def unanswered_tools(self) -> list[ToolBatch]:
        return self.batches

    def announced_again(self) -> None: ...

    def guarded(self, act: Callable[[], None]) -> None:
        act()


def test_an_agent_that_is_back_is_asked_once_more_for_what_it_was_told_and_for_nothing_else() -> None:
    async def main() -> None:
        first, second = Owner(), Owner()
        call = call_for(agent_of(first))
        call.state, session = CallState.LIVE, Running("told", "answered", "untold")
        call.session = session  # type: ignore[assignment]
        call.journal.append(CallStarted("en"))
        for msg_id in ("told", "answered"):
            call.journal.append(ToolCallsRequested(TurnRef(1, "c0ffee"), msg_id, ()))
        call.owner = None
        call.journal.append(ToolCallsRequested(TurnRef(1, "c0ffee"), "untold", ()))
        owed = call.attach(second)
        assert owed == {"told", "answered"}
        assert second.seqs == [1, 4]
        del session.batches[1]
        call.ask_again(owed)
        call.ask_again(owed)
        assert second.seqs == [1, 4, 5]
        assert call.owed() == {"told", "untold"}
        call.owner = None
        call.ask_again({"untold"})
        assert call.undelivered == 0

    run_virtual(main())
