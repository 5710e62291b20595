"""Random calls whose server thinks by itself and has tools, of an agent that answers late, in parts, twice or never,
while the caller speaks in between."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.events import (
    CallEnded,
    Event,
    LlmAnswered,
    MessageAborted,
    MessageConfirmed,
    NoResponse,
    ToolCallsRequested,
    ToolCompleted,
    ToolFailed,
    ToolStarted,
)
from pipeline.ports import LlmEvent, LlmRequest, ToolCall, ToolSpec
from pipeline.thinking import MAX_ROUNDS
from pipeline.tools import Tool, ToolResult
from tests.fakes.llm import FakeLlm, Says
from tests.fakes.vad import FakeVad
from tests.pipeline.test_session import Scene, call
from tests.pipeline.test_session_random_mind import HEARD, RandomVoice, _ear, _fault
from tests.pipeline.test_session_thinking import NEVER, chain
from tests.pipeline.test_session_tools import settled, well_formed

SEEDS = range(60)
TEXTS = ("", "", "Let me look. ", "It is ten. What else?", "la " * 20 + "end.", "...")
TOOLS = (
    Tool(ToolSpec("quick"), timeout_s=1.0),
    Tool(ToolSpec("slow"), filler="I am at it."),
    Tool(ToolSpec("own"), run=lambda arguments: dict(arguments)),
    Tool(ToolSpec("broken"), run=lambda arguments: 1 / 0),
)


class ToolLlm(FakeLlm):
    """Asks for tools as the dice fall; each call has an id of its own."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._numbers = itertools.count(1)
        self.at: list[float] = []
        """Of each request, in seconds of the scene."""

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        rng = self._rng
        self.at.append(asyncio.get_running_loop().time() - 1000.0)
        calls = tuple(
            ToolCall(
                f"call_{next(self._numbers)}",
                rng.choice([*["slow"] * 6, "quick", "quick", "own", "broken", "none"]),
                rng.choice([*['{"a": 1}'] * 6, "{}", "", '{"a', "[]"]),
            )
            for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))
        )
        fault = rng.random() < 0.08
        text = rng.choice(TEXTS)
        says = Says(
            text.replace(".", f" {len(self.at)}.") if text != "..." else text,
            first_s=rng.choice([0.05, 0.3, 1.0]),
            word_s=rng.choice([0, 0.05, 0.2]),
            fail_after=rng.randrange(4) if fault else None,
            error=_fault(rng, "llm"),
            calls=calls,
            finish_reason=rng.choice([None, None, None, "length"]),
        )
        self.script.append(says)
        async for event in super().generate(request):
            yield event


class RandomAgent:
    def __init__(self, rng: random.Random, scene: Scene) -> None:
        self._rng = rng
        self._scene = scene
        self._emit = scene.session._telling._emit
        self.given: dict[str, list[str]] = {}
        """Texts by the id of a call, the one that counts first."""
        self.ephemeral: set[str] = set()
        scene.session._telling._emit = self._tell

    def _tell(self, event: Event) -> None:
        self._emit(event)
        if isinstance(event, ToolCallsRequested):
            for asked in event.calls:
                for _ in range(self._rng.choice([0, 1, 1, 1, 2])):
                    self._later(event.msg_id, asked.id)

    def _later(self, msg_id: str, call_id: str) -> None:
        rng = self._rng
        text = f"result {rng.randrange(10**6)}"
        result = ToolResult(call_id, text, rng.random() < 0.2, rng.random() < 0.2)
        delay_s = rng.choice([0, 0.1, 0.5, 2.0, 4.0, 6.0])
        asyncio.get_running_loop().call_later(delay_s, self._give, msg_id, result)

    def _give(self, msg_id: str, result: ToolResult) -> None:
        found = self._scene.session.answering.tool_result(msg_id, [result, ToolResult("nobody", 1)])
        if not self._scene.session.ended:
            assert found["nobody"] == "unknown"
            assert found[result.tool_call_id] in ("settled", "late", "twice")
        if found[result.tool_call_id] in ("settled", "late"):
            self.given.setdefault(result.tool_call_id, []).append(str(result.result))
            if result.ephemeral:
                self.ephemeral.add(result.tool_call_id)


async def _step(scene: Scene, rng: random.Random, changed: Engines, config: SessionConfig) -> None:
    session = scene.session
    match rng.randrange(12):
        case 0:
            session.saying.reply(f"m{rng.randrange(10**9)}", "From the agent.", "", known=rng.random() < 0.5)
        case 1:
            session.saying.cancel(None)
        case 2 if rng.random() < 0.4:
            (session.presence.gone if rng.random() < 0.5 else session.presence.back)()
        case 3 if rng.random() < 0.5:
            session.reconfigure(changed, config, other_ears=False)
        case 4:
            session.saying.finish_streams()
        case _:
            await scene.leg.speak(rng.choice([0.06, 0.2, 0.5, 1.2]))
    await scene.leg.silence(rng.choice([0.1, 0.4, 0.8, 2.0, 4.0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_each_call_of_a_tool_has_one_end_and_one_result(seed: int) -> None:
    rng = random.Random(seed)
    model = ToolLlm(rng)
    config = SessionConfig(
        prompt="Be kind.",
        raw_prompt=True,
        holding_text=rng.choice(["", "One moment."]),
        trouble_text=rng.choice(["", "Say that again."]),
        endpointing=Endpointing(mode="silence", silence_ms=rng.choice([300, 500, 1000])),
        tools=TOOLS,
        tool_timeout_s=rng.choice([3.0, NEVER]),
    )
    problems: list[object] = []
    agents: list[RandomAgent] = []

    async def script(scene: Scene) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        agents.append(RandomAgent(rng, scene))
        mind = scene.session._engines.llm
        other = replace(scene.session._engines, vad=FakeVad(), llm=rng.choice([None, mind, mind]))
        for _ in range(14):
            await _step(scene, rng, other, config)

    texts = [rng.choice(HEARD) for _ in range(40)]
    scene = call(script, *texts, config=config, voice=RandomVoice(rng), ear=_ear(rng), mind=chain(model))
    assert problems == []
    settled(scene, model)
    _each_call_is_remembered_once(scene, agents[0])
    _nothing_unheard_is_remembered(scene, model)
    _no_turn_is_asked_for_ever(scene)


def _each_call_is_remembered_once(scene: Scene, agent: RandomAgent) -> None:
    started = [event.tool_call_id for event in scene.of(ToolStarted)]
    ended = [event.tool_call_id for event in scene.of(ToolCompleted)]
    ended += [event.tool_call_id for event in scene.of(ToolFailed)]
    assert sorted(started) == sorted(ended)
    (last,) = scene.of(CallEnded)
    results = {m.tool_call_id or "": m.content for m in last.messages if m.role == "tool"}
    assert len(results) == sum(m.role == "tool" for m in last.messages)
    assert set(results) <= set(started), "a call that never ran is remembered"
    assert set(started) - set(results) <= agent.ephemeral, "a call is forgotten"
    for call_id, given in agent.given.items():
        assert len(given) == 1, "of two results for one call the first counts"
        if call_id in results:
            assert results[call_id] == given[0]


def _nothing_unheard_is_remembered(scene: Scene, model: ToolLlm) -> None:
    settled_at = {
        event.message_id: at
        for at, event in scene.log
        if isinstance(event, MessageConfirmed | MessageAborted)
    }
    told = len(scene.of(MessageConfirmed)) + len(scene.of(MessageAborted))
    assert len(settled_at) == told, "a message is settled twice"
    (last,) = scene.of(CallEnded)
    confirmed = {event.text: at for at, event in reversed(scene.log) if isinstance(event, MessageConfirmed)}
    assert {m.content for m in last.messages if m.role == "assistant" and m.content} <= set(confirmed)
    open_until = {
        event.text.strip(): settled_at.get(event.message_id, 0.0)
        for event in scene.of(LlmAnswered)
        if event.text
    }
    for at, request in zip(model.at, model.requests, strict=True):
        well_formed(request.messages)
        assert (request.messages[0].role, request.messages[0].content) == ("system", "Be kind.")
        known = request.messages[-1].role == "assistant"
        assert not known or request.messages[-1].content.split("\n")[-1].strip() in (
            "From the agent.",
            "From",
        )
        for message in request.messages[1:]:
            if message.role == "assistant":
                for line in filter(None, (line.strip() for line in message.content.split("\n"))):
                    # What is in the midst of being heard is taken for said, until it is cut off.
                    assert confirmed.get(line, NEVER) <= at or at <= open_until.get(line, -1.0), line


def _no_turn_is_asked_for_ever(scene: Scene) -> None:
    batches: dict[str, int] = {}
    for event in scene.of(ToolCallsRequested):
        batches[event.turn.correlation_id] = batches.get(event.turn.correlation_id, 0) + 1
    continued = 1 + scene.names().count("TurnContinued")
    assert all(count <= MAX_ROUNDS * continued for count in batches.values())
    silent = [event.message_id for event in scene.of(NoResponse) if event.message_id]
    assert len(silent) == len(set(silent))
