"""A whole server without engines and sockets: calls are told of by hand, and asked for over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from media.ports import LegListener
from pipeline.events import CallStarted, EndReason
from server.addresses import Proxies
from server.agents import Agent, AgentRegistry
from server.app import create_app
from server.auth import KeyRing, open_door
from server.book import CallBook
from server.bridging import Bridging
from server.call import Call
from server.calls import CallLimits, CallRegistry
from server.clock import Clock
from server.control import Control
from server.dialling import Dialling, DialRules
from server.engines import EnginePool
from server.looplag import LoopLag
from server.metrics import Metrics, Standing
from server.past import MemoryStore
from server.protocol import AgentCreate
from server.recordings import Recordings
from server.resolve import resolve
from server.ringing import Ringing, RingingRules
from server.routing import Routing
from server.services import Services
from server.settings import Settings
from server.store.opened import Kept
from server.strangers import Allowed, Strangers
from server.supervising import Supervising
from server.tokens import Tokens
from server.transfers import Transfers
from server.wire import CallFacts
from tests.fakes.asgi import Web
from tests.fakes.leg import FakeLeg
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad
from tests.server.test_calls import DEFAULTS, Owner

KEY = "tw_" + "0" * 32
PASSWORD = "correct horse"
BEARER = {"authorization": f"Bearer {KEY}"}
PUBLIC: dict[str, Any] = {"host": "0.0.0.0", "public_url": "https://voice.example.org"}


@dataclass
class Site:
    services: Services
    web: Web
    agent: Agent

    @property
    def book(self) -> CallBook:
        return self.services.book

    @property
    def calls(self) -> CallRegistry:
        return self.services.calls

    def ring(self, call_id: str = "CA1", **facts: Any) -> Call:
        config = resolve([self.agent.configuration], DEFAULTS)
        return self.calls.ring(CallFacts(call_id, "Tester", "+1", "+2", **facts), self.agent, config)

    def begin(self, call_id: str = "CA1", **facts: Any) -> Call:
        call = self.ring(call_id, **facts)
        self.calls.connecting(call)
        call.journal.append(CallStarted("en"))
        return call

    def end(self, call: Call) -> None:
        self.calls.never_began(call, EndReason.HANGUP, "")

    def live(self, call: Call, there_s: float = 0.0, back_s: float = 0.0) -> tuple[FakeLeg, LegListener]:
        """With a conversation, over a line of so long ways."""
        self.calls.connecting(call)
        leg = FakeLeg(way_s=there_s, delay_s=back_s)
        leg.listener = self.calls.start(call, leg)
        return leg, leg.listener


@asynccontextmanager
async def site(tmp_path: Path, keys: tuple[str, ...] = (KEY,), **settings: Any) -> AsyncIterator[Site]:
    made = Settings(data_dir=tmp_path, **{"webrtc": False, **settings})
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    voice = FakeTts()
    await voice.start()
    lag = LoopLag()
    async with asyncio.TaskGroup() as tasks:
        kept = Kept(MemoryStore(made.keep_calls, 1 << 20))
        book = CallBook(kept.calls, clock, drawn=made.console)
        engines = EnginePool(FakeVad(), (), (voice,)).for_call
        calls = CallRegistry(engines, CallLimits(), clock, Recordings(tmp_path / "recordings"), tasks, book)
        agents, control = AgentRegistry(), Control(calls, tasks)
        ringing = Ringing(agents, calls, DEFAULTS, RingingRules(5.0, ""))
        dialling = Dialling(agents, calls, {}, DEFAULTS, DialRules(), tasks)
        metrics = Metrics(Standing(calls, agents, ringing, dialling, lag, made.max_calls, kept, book))
        calls.watch(metrics, None)
        control = Control(calls, tasks)
        transfers = Transfers(control, calls, dialling, tasks)
        services = Services(
            settings=made,
            keys=KeyRing(keys),
            tokens=Tokens("s" * 64),
            strangers=Strangers(Allowed()),
            proxies=Proxies(made.trusted_proxies),
            clock=clock,
            agents=agents,
            calls=calls,
            book=book,
            kept=kept,
            ringing=ringing,
            dialling=dialling,
            control=control,
            routing=Routing(agents, calls, control, DEFAULTS, tasks),
            transfers=transfers,
            bridging=Bridging(agents, calls, DEFAULTS, made.max_bridges),
            supervising=Supervising(calls, agents, transfers, tasks),
            carriers={},
            defaults=DEFAULTS,
            hold_music=None,
            lag=lag,
            metrics=metrics,
            tasks=tasks,
            open_door=partial(open_door, made.host, made.public_url),
        )
        agent = agents.create("Tester", Owner(), AgentCreate(agent_id="Tester"), loop.time())
        try:
            yield Site(services, Web(create_app(services)), agent)
            await calls.drain(0.0)
        finally:
            lag.close()
