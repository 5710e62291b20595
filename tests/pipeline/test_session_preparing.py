"""Calls whose agent gets ready before an answer is made: what waits, for how long, and what the model then knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.config import SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.events import (
    BotSpeaking,
    CallEnded,
    EagerTurn,
    EndReason,
    Event,
    LlmAsked,
    LlmBefore,
    PreparingTimeout,
    TurnEnd,
    Warned,
)
from pipeline.ports import ChatMessage
from pipeline.preparing import Preparing
from pipeline.prompt import MAX_CHARS
from tests.fakes.llm import FakeLlm, Says, asks
from tests.pipeline.test_session import Scene, call
from tests.pipeline.test_session_thinking import chain, heard

NEVER = 1e6
OPTED_IN = Preparing(1500, opted_in=True)
CONFIG = SessionConfig(
    prompt="Be kind to {{name}}.",
    raw_prompt=True,
    variables={"name": "all"},
    preparing=OPTED_IN,
    endpointing=Endpointing(mode="silence"),
)


@dataclass
class Agent:
    """Is ready after so many seconds, from inside the script's call."""

    after_s: float = 0.3
    prepares: Callable[[Scene], None] = lambda scene: None
    says_turn: bool = True
    asked: list[int] = field(default_factory=list)

    def attach(self, scene: Scene) -> None:
        emit = scene.session._telling._emit

        def tell(event: Event) -> None:
            emit(event)
            if isinstance(event, LlmBefore):
                self._asked(scene, event)

        scene.session._telling._emit = tell
        for event in scene.of(LlmBefore):
            self._asked(scene, event)  # That of the greeting comes before the script.

    def _asked(self, scene: Scene, event: LlmBefore) -> None:
        self.asked.append(event.turn.turn_id if event.turn is not None else 0)
        if self.after_s < NEVER:
            asyncio.get_running_loop().call_later(self.after_s, self._ready, scene, self.asked[-1])

    def _ready(self, scene: Scene, turn: int) -> None:
        self.prepares(scene)
        scene.session.answering.readiness.ready(turn if self.says_turn else None)


def turns(
    model: FakeLlm, agent: Agent, config: SessionConfig = CONFIG, count: int = 1, first_s: float = 0.0
) -> Scene:
    async def script(scene: Scene) -> None:
        agent.attach(scene)
        await scene.leg.silence(first_s)
        for _ in range(count):
            await scene.leg.speak(1.0)
            await scene.leg.silence(4.0)

    return call(script, *["hello"] * count, config=config, mind=chain(model))


def system(model: FakeLlm, index: int = 0) -> str:
    first = model.requests[index].messages[0]
    return first.content if first.role == "system" else ""


def waited_s(scene: Scene) -> list[float]:
    """From the question whether the agent is ready to that of the model, for each."""
    before = [now for now, event in scene.log if isinstance(event, LlmBefore) and event.turn is not None]
    asked = [now for now, event in scene.log if isinstance(event, LlmAsked)]
    return [round(b - a, 2) for a, b in zip(before, asked, strict=True)]


@pytest.mark.parametrize("says_turn", [True, False])
def test_what_the_agent_sets_meanwhile_is_in_the_prompt_of_that_answer(says_turn: bool) -> None:
    def prepare(scene: Scene) -> None:
        answering = scene.session.answering
        answering.briefing.prompt.set_vars({"name": "Ada"})
        answering.briefing.prompt.add_context("She likes tea.")
        answering.briefing.prompt.put("cart", "It is empty.")
        answering.dialogue.set([ChatMessage("assistant", "We have met."), *answering.dialogue.get()])

    model, agent = FakeLlm("Hello Ada."), Agent(0.3, prepare, says_turn)
    scene = turns(model, agent)
    assert system(model) == "Be kind to Ada.\n\nShe likes tea.\n\nIt is empty."
    assert [m.content for m in model.requests[0].messages[1:]] == ["We have met.", "hello"]
    assert waited_s(scene) == [0.3]
    assert agent.asked == [1]
    assert scene.at(EagerTurn) == scene.at(LlmBefore) < scene.at(TurnEnd)
    assert scene.of(PreparingTimeout) == []
    assert heard(scene) == ["Hello Ada."]


def test_an_agent_that_is_late_is_told_so_and_the_answer_goes_on() -> None:
    model, agent = (
        FakeLlm(),
        Agent(2.0, lambda scene: scene.session.answering.briefing.prompt.set_vars({"name": "Ada"})),
    )
    scene = turns(model, agent, count=2)
    first, second = scene.of(PreparingTimeout)
    assert (first.waited_ms, first.budget_ms) == (1500, 1500)
    assert (first.turn, second.turn) == tuple(event.turn for event in scene.of(LlmBefore))
    assert waited_s(scene) == [1.5, 1.5]
    assert (system(model, 0), system(model, 1)) == ("Be kind to all.", "Be kind to Ada.")
    assert len(heard(scene)) == 2


def test_for_an_answer_that_nobody_wants_any_more_no_agent_is_late() -> None:
    model = FakeLlm()

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.8)
        assert len(scene.of(LlmBefore)) == 1
        scene.session.saying.cancel(None)
        await scene.leg.silence(3.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert scene.of(PreparingTimeout) == []
    assert model.requests == []


def test_an_agent_that_does_not_know_it_costs_three_turns_a_moment() -> None:
    model, agent = FakeLlm(), Agent(NEVER)
    scene = turns(model, agent, replace(CONFIG, preparing=Preparing()), count=5)
    assert agent.asked == [1, 2, 3]
    assert [round(at - began, 2) for began, at in zip(
        [now for now, event in scene.log if isinstance(event, LlmBefore)],
        [now for now, event in scene.log if isinstance(event, LlmAsked)], strict=False,
    )] == [0.15, 0.15, 0.15]  # fmt: skip
    assert scene.of(PreparingTimeout) == []
    assert len(heard(scene)) == 5


def test_without_it_nobody_is_asked() -> None:
    for config in (replace(CONFIG, preparing=None), CONFIG):
        agent = Agent()

        async def script(scene: Scene, agent: Agent = agent, away: bool = config is CONFIG) -> None:
            agent.attach(scene)
            if away:
                scene.session.presence.left()
            await scene.leg.speak(1.0)
            await scene.leg.silence(3.0)

        model = FakeLlm()
        scene = call(script, "hello", config=config, mind=chain(model))
        assert agent.asked == []
        assert scene.at(LlmAsked) == scene.at(EagerTurn)


def test_a_call_may_be_configured_to_wait_and_not_to_wait() -> None:
    async def script(scene: Scene) -> None:
        agent.attach(scene)
        for preparing in (OPTED_IN, None, Preparing(1000, opted_in=True)):
            config = replace(CONFIG, preparing=preparing)
            scene.session.reconfigure(scene.session._engines, config, other_ears=False)
            await scene.leg.speak(1.0)
            await scene.leg.silence(4.0)

    agent = Agent(NEVER)
    scene = call(script, *["hello"] * 3, config=replace(CONFIG, preparing=None), mind=chain(FakeLlm()))
    assert agent.asked == [1, 3]
    assert [missed.budget_ms for missed in scene.of(PreparingTimeout)] == [1500, 1000]


def test_an_agent_that_goes_away_is_not_waited_for() -> None:
    async def script(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        agent.attach(scene)
        agent.prepares = lambda scene: None
        emit = scene.session._telling._emit

        def tell(event: Event) -> None:
            emit(event)
            if isinstance(event, LlmBefore) and len(agent.asked) == 1:
                loop.call_later(0.2, scene.session.presence.left)
                loop.call_later(4.0, scene.session.presence.back)

        scene.session._telling._emit = tell
        for _ in range(2):
            await scene.leg.speak(1.0)
            await scene.leg.silence(4.0)

    model, agent = FakeLlm(), Agent(NEVER)
    scene = call(script, "hello", "hello", config=CONFIG, mind=chain(model))
    assert agent.asked == [1, 2]
    assert waited_s(scene) == [0.2, 1.5]
    assert len(scene.of(PreparingTimeout)) == 1


def test_a_turn_that_goes_on_asks_again_and_waits_for_both() -> None:
    async def script(scene: Scene) -> None:
        agent.attach(scene)
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.6)
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    model, agent = FakeLlm(), Agent(1.4)
    config = replace(CONFIG, preparing=Preparing(5000, opted_in=True))
    config = replace(config, endpointing=Endpointing(mode="silence", silence_ms=1000))
    scene = call(script, "hello", "there", config=config, mind=chain(model))
    assert agent.asked == [1, 1]
    first, second = (now for now, event in scene.log if isinstance(event, LlmBefore))
    assert first + 1.4 < second + 1.4 == pytest.approx(scene.at(LlmAsked))
    assert len(model.requests) == 1
    assert [m.content for m in model.requests[0].messages[1:]] == ["hello there"]


def test_it_is_once_an_answer_and_not_once_a_generation() -> None:
    model, agent = FakeLlm(asks(("nothing", "{}")), "Done."), Agent(0.1)
    turns(model, agent)
    assert len(model.requests) == 2
    assert agent.asked == [1]


# --- the greeting -----------------------------------------------------------------------------------------


def test_the_greeting_waits_and_is_filled_in() -> None:
    model = FakeLlm()
    agent = Agent(0.4, lambda scene: scene.session.answering.briefing.prompt.set_vars({"name": "Ada"}))
    scene = turns(model, agent, replace(CONFIG, greeting="Hello {{name}}{{what}}."), first_s=3.0)
    assert scene.names()[:4] == ["CallStarted", "AgentState", "LlmBefore", "Warned"]
    assert scene.of(LlmBefore)[0].turn is None
    assert scene.at(Warned) == pytest.approx(0.4, abs=0.01)
    assert heard(scene)[0] == "Hello Ada."
    assert agent.asked == [0, 1]


@pytest.mark.parametrize(("preparing", "after_s"), [(Preparing(), 0.15), (OPTED_IN, 1.5), (None, 0.0)])
def test_the_greeting_does_not_wait_for_ever(preparing: Preparing | None, after_s: float) -> None:
    config = replace(CONFIG, greeting="Hello.", preparing=preparing)
    scene = turns(FakeLlm(), Agent(NEVER), config, first_s=3.0)
    plain = turns(FakeLlm(), Agent(NEVER), replace(config, preparing=None), first_s=3.0)
    assert scene.at(BotSpeaking) - plain.at(BotSpeaking) == pytest.approx(after_s, abs=0.03)
    assert [event.turn for event in scene.of(PreparingTimeout)[:1]] == ([None] if after_s == 1.5 else [])


def test_without_a_model_the_greeting_does_not_wait() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(2.0)

    scene = call(script, config=replace(CONFIG, greeting="Hello {{name}}."))
    assert scene.of(LlmBefore) == []
    assert heard(scene) == ["Hello all."]


def test_a_call_that_ends_meanwhile_has_no_greeting() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.5)
        scene.session.end(EndReason.HANGUP, "the caller hung up")
        scene.session.presence.left()

    scene = call(script, config=replace(CONFIG, greeting="Hello."), mind=chain(FakeLlm()))
    assert scene.names() == ["CallStarted", "AgentState", "LlmBefore", "CallEnded"]


def test_a_call_that_is_paused_meanwhile_has_no_greeting() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.5)
        scene.session.pause(on=True)
        await scene.leg.silence(3.0)

    scene = call(script, config=replace(CONFIG, greeting="Hello."), mind=chain(FakeLlm()))
    assert len(scene.of(LlmBefore)) == 1
    assert scene.of(BotSpeaking) == []


def test_a_caller_who_speaks_first_is_answered_behind_the_greeting() -> None:
    model = FakeLlm("Yes.")
    scene = turns(model, Agent(NEVER), replace(CONFIG, greeting="Hello."))
    assert heard(scene) == ["Hello.", "Yes."]


# --- the prompt -------------------------------------------------------------------------------------------


def test_the_prompt_is_made_anew_for_each_answer_and_names_the_time_of_its_zone() -> None:
    model = FakeLlm()
    started = datetime(2026, 7, 1, 22, 59, 50, tzinfo=UTC).timestamp()

    async def script(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        scene.session.epoch = lambda: started + loop.time() - 1000.0
        for _ in range(3):
            await scene.leg.speak(1.0)
            await scene.leg.silence(4.0)

    config = replace(CONFIG, prompt="{{datetime}}", timezone=ZoneInfo("Europe/Madrid"), preparing=None)
    call(script, *["hello"] * 3, config=config, mind=chain(model))
    assert [system(model, i) for i in range(3)] == [
        "2026-07-02 00:59",
        "2026-07-02 00:59",
        "2026-07-02 01:00",
    ]


def test_a_variable_that_nobody_has_set_is_told_once() -> None:
    model = FakeLlm()
    config = replace(CONFIG, prompt="Be {{how}} to {{whom}}{{MEMORY}}.", preparing=None)
    scene = turns(model, Agent(), config, count=2)
    assert system(model, 1) == "Be  to ."
    (warned,) = scene.of(Warned)
    assert (warned.code, warned.names) == ("UNKNOWN_VARIABLE", ("how", "whom"))
    assert warned.turn == scene.of(TurnEnd)[0].turn


def test_a_prompt_that_is_too_long_is_cut_and_told_once() -> None:
    model = FakeLlm()
    scene = turns(model, Agent(), replace(CONFIG, prompt="x" * (MAX_CHARS + 1), preparing=None), count=2)
    assert len(system(model, 1)) == MAX_CHARS
    (warned,) = scene.of(Warned)
    assert warned.code == "PROMPT_TOO_LONG"


def test_instructions_and_another_configuration_change_the_prompt_of_the_next_answer() -> None:
    model = FakeLlm(Says("One."), Says("Two."), Says("Three."))

    async def script(scene: Scene) -> None:
        for step in range(3):
            if step == 1:
                scene.session.answering.briefing.prompt.instruct("Be brief with {{name}}.")
            if step == 2:
                config = replace(CONFIG, prompt="Be slow.", preparing=None)
                scene.session.reconfigure(scene.session._engines, config, other_ears=False)
            await scene.leg.speak(1.0)
            await scene.leg.silence(3.0)

    call(script, *["hello"] * 3, config=replace(CONFIG, preparing=None), mind=chain(model))
    assert [system(model, i) for i in range(3)] == ["Be kind to all.", "Be brief with all.", "Be slow."]


def test_a_history_of_ten_thousand_messages_is_cut_for_the_model() -> None:
    model = FakeLlm()

    async def script(scene: Scene) -> None:
        past = [ChatMessage("user" if i % 2 else "assistant", f"word {i}") for i in range(9_990)]
        assert scene.session.answering.dialogue.set(past) == 9_990
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    said = model.requests[0].messages
    assert len(said) <= 401
    assert said[-1].content == "word 9989\nhello"
    assert len(scene.of(CallEnded)[0].messages) == 9_992
