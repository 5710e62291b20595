"""Calls that are handed over, on virtual time: each owner has a log of its own, whole and in order, whatever happens to
its connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from server.agents import Agent, AgentRegistry, LineConflict, NumberInUse, merged
from server.call import Call
from server.calls import CallLimits, CallRegistry
from server.clock import Clock
from server.control import Control
from server.engines import EnginePool
from server.lines import host_of, key_of, user_of
from server.protocol import AgentCreate, CallRoute, ChannelAdd, LineSettings
from server.protocol import Configuration as PageSettings
from server.recordings import Recordings
from server.resolve import Defaults, resolve
from server.routing import MAX_ROUTES, RouteRefused, Routing
from server.selection import Available, Offer
from server.wire import CallFacts
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.fakes.parts import well_formed
from tests.fakes.stt import FakeStt, Hears
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad
from tests.server.test_resume import Owner

LINE = "line:+15550002222"
DEFAULTS = Defaults(tts=Offer("tts", (Available("fake"),)), stt=Offer("stt", (Available("fake"),)))
TEXTS = (
    "Yes.",
    "One moment please, I see what I can do.",
    "This is a long answer that nobody wants to hear.",
)


class House:
    """A registry, a line and agents, whose connections come and go."""

    def __init__(self, calls: CallRegistry, tasks: asyncio.TaskGroup) -> None:
        self.calls = calls
        self.agents = AgentRegistry()
        self.routing_by = partial(Routing, self.agents, calls, Control(calls, tasks), tasks=tasks)
        self.routing = self.routing_by(DEFAULTS)
        self.has: dict[str, list[dict[str, Any]]] = {}
        """All that each owner was told of its call, over all of its connections."""
        self.there: dict[str, Owner] = {}

    def comes(self, *keys: str, sends: int = 10_000) -> Owner:
        """A connection with these agents and lines."""
        known = [frame["seq"] for key in keys for frame in self.has.get(key, ())]
        owner = Owner({"CA1": max(known)} if known else {}, sends=sends)
        for key in keys:
            self.calls.owners.came(self._made(key, owner))
            self.there[key] = owner
        return owner

    def _made(self, key: str, owner: Owner) -> Agent:
        if key == LINE:
            return self.agents.create_line(key.removeprefix("line:"), owner, None, 0, 0.0)
        config = AgentCreate(agent_id=key, greeting="Hello." if key == "a" else None)
        return self.agents.create(key, owner, config, 0.0)

    def goes(self, owner: Owner) -> None:
        self.agents.leave(owner)
        self.calls.owners.left(owner, owner.unsent, self.agents.get)
        for key in [key for key, other in self.there.items() if other is owner]:
            del self.there[key]
        self.keep(owner)

    def keep(self, owner: Owner) -> None:
        for frame in owner.told:
            if "seq" in frame and not (frame.get("metadata") or {}).get("resumed"):
                self.has.setdefault(frame["agent_id"], []).append(frame)
        owner.told.clear()

    def rings(self) -> tuple[Call, FakeLeg]:
        line = self.agents.get(LINE)
        assert line is not None
        facts = CallFacts("CA1", LINE, "+1", "+15550002222", owner="line")
        call, leg = self.calls.ring(facts, line, resolve([{}], DEFAULTS, mind=False)), FakeLeg()
        self.calls.connecting(call)
        leg.listener = self.calls.start(call, leg)
        return call, leg

    def route(self, call: Call, agent: str, **fields: Any) -> str:
        """Ask for a hand-over; returns why it is refused, or nothing."""
        if call.session is None or call.session.ended:
            return "over"
        try:
            self.routing.route(call, call.session, CallRoute(call_id="CA1", agent=agent, **fields))
        except RouteRefused as refused:
            return refused.reason
        return ""

    def check(self, call: Call) -> None:
        """Each owner was told its part of the log: all of it, in order, once."""
        logged: dict[str, list[int]] = {}
        for entry in call.events.since(0):
            logged.setdefault(orjson.loads(entry.data)["agent_id"], []).append(entry.seq)
        told = {key: [frame["seq"] for frame in frames] for key, frames in self.has.items() if frames}
        for key, seqs in told.items():
            missing, extra = sorted(set(logged[key]) - set(seqs)), sorted(set(seqs) - set(logged[key]))
            assert (missing, extra, seqs) == ([], [], sorted(set(seqs))), key
        assert told == logged
        for frames in self.has.values():
            well_formed(frames)


@asynccontextmanager
async def house(tmp_path: Path, **limits: Any) -> AsyncIterator[House]:
    voice = FakeTts()
    ears = FakeStt(otherwise=Hears("hello there", final_delay_s=0.2))
    await voice.start()
    await ears.start()
    async with asyncio.TaskGroup() as tasks:
        engines = EnginePool(FakeVad(), (ears,), (voice,)).for_call
        calls = CallRegistry(
            engines, CallLimits(**limits), Clock(asyncio.get_running_loop()), Recordings(tmp_path), tasks
        )
        yield House(calls, tasks)
        await calls.drain(0.0)


@pytest.mark.parametrize("shared", [False, True])
def test_each_owner_has_a_whole_log_whatever_happens(tmp_path: Path, shared: bool) -> None:
    async def main(seed: int) -> int:
        rng = random.Random(seed)
        groups = [(LINE, "a"), ("b",)] if shared else [(LINE,), ("a",), ("b",)]
        async with house(tmp_path, agent_grace_s=60.0) as at:
            owners = {keys: at.comes(*keys) for keys in groups}
            call, leg = at.rings()
            await leg.silence(0.02)
            count = 0

            def step() -> None:
                nonlocal count
                session = call.session
                if session is None or session.ended:
                    return
                keys = rng.choice(groups)
                target = rng.choice(["a", "b", "nobody"])
                say = partial(session.saying.reply, f"m{count}", rng.choice(TEXTS), "")
                sends = min(owners[keys].sends, len(owners[keys].seqs()) + rng.randrange(4))
                lose = partial(setattr, owners[keys], "sends", sends)
                acts: dict[str, Any] = {
                    "say": say,
                    "route": partial(at.route, call, target),
                    "hold": session.hold,
                    "unhold": session.unhold,
                    "mute": session.mute,
                    "unmute": session.unmute,
                    "key": partial(session.on_dtmf, "5"),
                    "lost": session.on_lost,
                    "back": session.on_back,
                    "lose": lose,
                    "drop": partial(at.goes, owners[keys]),
                }
                count += 1
                name = rng.choice([*acts, "say", "route", "route", "unhold", "unmute", "back"])
                if name == "drop":
                    acts[name]()
                    owners[keys] = at.comes(*keys)
                else:
                    acts[name]()

            for _ in range(40):
                step()
                await (leg.speak if rng.random() < 0.4 else leg.silence)(rng.choice([0.02, 0.3, 1.0]))
            routes = call.routes
            leg.listener.on_closed("hangup", "the caller hung up")  # type: ignore[union-attr]
            await asyncio.sleep(1.0)
            for keys in groups:
                at.goes(owners[keys])
                owners[keys] = at.comes(*keys)
                at.goes(owners[keys])
            at.check(call)
            return routes

    handed_over = 0
    for seed in range(15):
        handed_over += run_virtual(main(seed))
    assert handed_over > 12


def test_the_keys_that_an_owner_is_told_are_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            line, sales = at.comes(LINE), at.comes("a")
            call, leg = at.rings()
            await leg.silence(0.1)
            call.session.on_dtmf("1")  # type: ignore[union-attr]
            assert at.route(call, "a") == ""
            await leg.silence(0.1)
            call.session.on_dtmf("2")  # type: ignore[union-attr]
            for owner, digits in ((line, "1"), (sales, "2")):
                told = [f["digits"] for f in owner.told if f["event"] == "call.dtmf_received"]
                assert told == [digits]

    run_virtual(main())


def test_the_limits_of_a_call_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            at.comes(LINE)
            owner = at.comes("a")
            agent = at.agents.get("a")
            assert agent is not None
            agent.configuration["session_limits"] = AgentCreate.model_validate(
                {"event": "agent.create", "agent_id": "a", "session_limits": {"max_duration_seconds": 20}}
            ).session_limits
            call, leg = at.rings()
            began = asyncio.get_running_loop().time()
            await leg.silence(15.0)
            at.route(call, "a")
            await leg.silence(10.0)
            ended = next(frame for frame in owner.told if frame["event"] == "session.timeout")
            assert ended["reason"] == "max_duration"
            assert asyncio.get_running_loop().time() - began < 40
            end = next(frame for frame in owner.told if frame["event"] == "call.ended")
            assert end["duration_seconds"] == pytest.approx(21.0, abs=1.5)

    run_virtual(main())


def test_two_agents_cannot_hand_a_call_back_and_forth_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            at.comes(LINE)
            at.comes("a", "b")
            call, leg = at.rings()
            await leg.silence(0.1)
            refusals = []
            for count in range(MAX_ROUTES + 1):
                refusals.append(at.route(call, "b" if count % 2 else "a", greeting=""))
                await leg.silence(0.04)
            assert refusals == [""] * MAX_ROUTES + ["capacity"]
            assert len(call.parts) == 3

    run_virtual(main())


def test_what_cannot_be_handed_over_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            line = at.comes(LINE)
            at.comes("a")
            call, leg = at.rings()
            await leg.silence(0.1)
            too_much = {f"k{n}": "x" * 20_000 for n in range(30)}
            assert at.route(call, "a", context=too_much) == "swap_failed"
            assert call.session is not None
            call.session.answering.briefing.prompt.put("menu", "kept")

            def broken(*_: object, **__: object) -> None:
                raise RuntimeError("no such engine")

            with monkeypatch.context() as patch, capture_logs():
                patch.setattr(at.calls, "_engines", broken)
                assert at.route(call, "a", context={"menu": "lost"}) == ""
                await leg.silence(0.1)
            failed = [frame for frame in line.told if frame["event"] == "call.route_failed"]
            assert [frame["reason"] for frame in failed] == ["swap_failed", "swap_failed"]
            assert (call.slug, call.routes) == (LINE, 0)
            assert call.session.answering.briefing.prompt.named == {"menu": "kept"}
            assert at.route(call, "a", context={"order": [17]}) == ""
            await leg.silence(0.1)
            assert call.slug == "a"
            assert call.session.answering.briefing.prompt.named == {"menu": "kept", "order": "[17]"}
            assert at.route(call, "a") == "swap_failed"

    run_virtual(main())


def test_where_the_operator_is_strict_nobody_is_handed_over_to_engines_that_are_not_there(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            line = at.comes(LINE)
            at.comes("a")
            at.routing = at.routing_by(replace(DEFAULTS, llm=Offer("llm", strict=True)))
            call, leg = at.rings()
            await leg.silence(0.1)
            at.agents.get("a").configuration["llm"] = "openai/gpt-4o"  # type: ignore[union-attr]
            assert at.route(call, "a") == "no_phone_config"
            failed = next(frame for frame in line.told if frame["event"] == "call.route_failed")
            assert "language model" in failed["detail"] or "openai" in failed["detail"]
            assert call.slug == LINE

    run_virtual(main())


def test_what_a_page_has_set_goes_with_its_call_and_what_a_hand_over_has_does_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            at.comes("a", "b")
            agent = at.agents.get("b")
            assert agent is not None
            page = merged({}, PageSettings(language="es"))
            facts = CallFacts("CA1", "b", "webrtc", "b", transport="webrtc")
            config = resolve([page, agent.configuration], DEFAULTS)
            call, leg = at.calls.ring(facts, agent, config), FakeLeg()
            at.calls.connecting(call)
            leg.listener = at.calls.start(call, leg)
            await leg.silence(0.1)
            assert at.route(call, "a", greeting="Only now.", prompt_vars={"name": "Ada"}) == ""
            await leg.silence(5.0)
            held = call.config.session
            assert (held.language, held.greeting, dict(held.variables)) == (
                "es",
                "Only now.",
                {"name": "Ada"},
            )
            assert at.route(call, "b") == ""
            await leg.silence(5.0)
            held = call.config.session
            assert (held.language, held.greeting, dict(held.variables)) == ("es", "", {})
            assert call.configured
            assert call.config.layers[1] is page

    run_virtual(main())


# --- who answers a number ---------------------------------------------------------------------------------


def test_a_line_goes_before_agents_and_a_developers_agent_gives_way() -> None:
    agents, ours, theirs = AgentRegistry(), Owner(), Owner()
    dev = agents.create("dev-a", ours, AgentCreate(agent_id="dev-a"), 0.0)
    any_ = agents.create("any", ours, AgentCreate(agent_id="any"), 0.0)
    agents.add_number(dev, "+15550002222", ChannelAdd(agent_id="x", type="phone", ref="x"))
    agents.add_number(any_, "*", ChannelAdd(agent_id="x", type="phone", ref="x"))
    line = agents.create_line("+1 555 000 2222", theirs, LineSettings(language="es"), 900, 0.0)
    assert (line.slug, line.agent_id, line.window_ms) == (LINE, "line:+1 555 000 2222", 900)
    found = agents.answering("+15550002222", "+1")
    assert found is not None
    assert found[0] is line
    assert resolve([found[1].configuration, line.configuration], DEFAULTS).session.language == "es"
    with pytest.raises(NumberInUse, match="a line answers"):
        agents.add_number(any_, "+15550002222", ChannelAdd(agent_id="x", type="phone", ref="x"))
    with pytest.raises(LineConflict, match="another live connection"):
        agents.create_line("+15550002222", ours, None, 0, 44.0)
    assert agents.create_line("+15550002222", theirs, None, 0, 0.0).window_ms == 0
    taken = agents.create_line("+15550002222", ours, None, 0, 46.0)
    assert (taken.owner, agents.get(LINE)) == (ours, taken)
    assert [one.slug for one in agents.online()] == ["dev-a", "any"]
    assert agents.remove_line("+15550002222", theirs) is False
    assert {gone.slug for gone in agents.leave(ours)} == {"dev-a", "any", LINE}
    assert agents.answering("+15550002222") is None
    assert agents.was_known("any")
    assert not agents.was_known("nobody")


def test_an_agent_is_not_called_as_a_line_is() -> None:
    with pytest.raises(ValueError, match="line:"):
        AgentRegistry().create("line:+1", Owner(), AgentCreate(agent_id="line:+1"), 0.0)


def test_the_parts_of_a_sip_address() -> None:
    assert key_of("SIP:204@PBX.example.org:5060") == "line:sip:204@pbx.example.org"
    for address, user, host in (
        ("sip:204@PBX.example.org", "204", "sip:pbx.example.org"),
        ("sips:a@example.org:7000", "a", "sips:example.org:7000"),
        ("sip:example.org", None, None),
        ("+15550002222", None, None),
        ("client:ann@x", None, None),
    ):
        assert (user_of(address), host_of(address)) == (user, host)
