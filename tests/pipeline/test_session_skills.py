"""Calls whose model is taught skills: what it is told and offered before and after, and what is told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from pipeline.config import SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.events import (
    LlmAsked,
    SkillLoaded,
    SkillUnloaded,
    ToolCallsRequested,
    ToolCompleted,
    ToolFailed,
    ToolStarted,
    TurnEnd,
    Warned,
)
from pipeline.ports import ToolSpec
from pipeline.skills import NOTE, Skill
from pipeline.tools import Tool
from tests.fakes.llm import FakeLlm, asks
from tests.pipeline.test_session import Scene, call
from tests.pipeline.test_session_thinking import chain, heard

SKILLS = (
    Skill("billing", "Invoices.", "Be exact with {{name}}.", (Tool(ToolSpec("invoice")),)),
    Skill("staff", "For staff.", "Use first names.", (Tool(ToolSpec("badge")),), "manual"),
    Skill("base", "", "Say you.", (Tool(ToolSpec("clock")),), "always"),
)
CONFIG = SessionConfig(
    prompt="Be kind.",
    raw_prompt=True,
    variables={"name": "Ada"},
    tools=(Tool(ToolSpec("weather")),),
    skills=SKILLS,
    endpointing=Endpointing(mode="silence"),
)
META = ["loadSkill", "unloadSkill"]
LOADED, UNLOADED = ("loadSkill", '{"name":"billing"}'), ("unloadSkill", '{"name":"billing"}')


def turns(
    model: FakeLlm,
    *between: Callable[[Scene], Awaitable[None] | None],
    config: SessionConfig = CONFIG,
) -> Scene:
    """One turn more than there is to be done between them."""

    async def script(scene: Scene) -> None:
        for act in (*between, None):
            await scene.leg.speak(1.0)
            await scene.leg.silence(4.0)
            if act is not None:
                act(scene)

    return call(script, *["hello"] * (len(between) + 1), config=config, mind=chain(model))


def offered(model: FakeLlm) -> list[list[str]]:
    return [[tool.name for tool in request.tools] for request in model.requests]


def systems(model: FakeLlm) -> list[str]:
    return [request.messages[0].content for request in model.requests]


def test_a_skill_that_the_model_loads_is_there_in_its_next_generation() -> None:
    model = FakeLlm(asks(LOADED), asks(UNLOADED), "Done.")
    scene = turns(model)
    assert offered(model) == [
        ["weather", *META, "clock"], ["weather", *META, "invoice", "clock"], ["weather", *META, "clock"],
    ]  # fmt: skip
    assert systems(model)[0] == systems(model)[2] == "Be kind.\n\nSay you."
    assert systems(model)[1] == "Be kind.\n\nBe exact with Ada.\n\nSay you."
    assert scene.of(ToolCallsRequested) == [], "the server does it"
    turn = scene.of(TurnEnd)[0].turn
    assert scene.of(SkillLoaded) == [SkillLoaded(turn, "billing", "model")]
    assert scene.of(SkillUnloaded) == [SkillUnloaded(turn, "billing", "model")]
    names = [
        name for name in scene.names() if name in ("ToolStarted", "ToolCompleted", "SkillLoaded", "LlmAsked")
    ]
    assert names[:5] == ["LlmAsked", "ToolStarted", "ToolCompleted", "SkillLoaded", "LlmAsked"]
    first, _ = scene.of(ToolCompleted)
    assert (first.kind, first.result) == ("system", {"loaded": "billing"})
    assert heard(scene) == ["Done."]


def test_a_skill_stays_loaded_and_its_tools_are_run_by_the_agent() -> None:
    model = FakeLlm(asks(LOADED), "Loaded.", asks(("invoice", "{}")))
    scene = turns(model, lambda scene: None)
    (batch,) = scene.of(ToolCallsRequested)
    assert batch.calls[0].name == "invoice"
    assert "invoice" in offered(model)[2]


def test_what_is_not_loaded_cannot_be_asked_for() -> None:
    model = FakeLlm(asks(("invoice", "{}"), ("loadSkill", '{"name":"staff"}'), ("loadSkill", "{}")), "Sorry.")
    scene = turns(model)
    unknown, hidden, nameless = scene.of(ToolFailed)
    assert (unknown.code, unknown.name) == ("unknown_tool", "invoice")
    assert hidden.error == "there is no skill 'staff'; the skills are: billing"
    assert nameless.code == "error"
    assert len(scene.of(ToolStarted)) == 3
    assert scene.of(SkillLoaded) == []


def test_the_agent_loads_and_unloads_by_itself() -> None:
    def load(scene: Scene) -> None:
        answering = scene.session.answering
        assert answering.briefing.load_skill("staff")
        assert answering.briefing.load_skill("staff")
        assert not answering.briefing.load_skill("nobody")

    def unload(scene: Scene) -> None:
        assert scene.session.answering.briefing.unload_skill("staff")

    model = FakeLlm()
    scene = turns(model, load, unload)
    assert ["badge" in tools for tools in offered(model)] == [False, True, False]
    assert [(event.skill, event.by) for event in scene.of(SkillLoaded)] == [("staff", "manual")]
    assert [(event.skill, event.by) for event in scene.of(SkillUnloaded)] == [("staff", "manual")]
    (warned,) = scene.of(Warned)
    assert (warned.code, warned.names) == ("SKILL_UNKNOWN", ("nobody",))
    assert "billing, staff, base" in warned.text


def test_another_configuration_unloads_what_is_no_more() -> None:
    def change(scene: Scene) -> None:
        scene.session.reconfigure(
            scene.session._engines, replace(CONFIG, skills=SKILLS[1:2]), other_ears=False
        )

    model = FakeLlm(asks(LOADED), "Loaded.")
    scene = turns(model, change)
    assert [event.skill for event in scene.of(SkillUnloaded)] == ["billing", "base"]
    assert offered(model)[-1] == ["weather"]
    assert systems(model)[-1] == "Be kind."


def test_the_model_is_told_how_to_load_unless_its_prompt_is_verbatim() -> None:
    model = FakeLlm()
    turns(model, config=replace(CONFIG, raw_prompt=False))
    assert NOTE in systems(model)[0]
    model = FakeLlm()
    turns(model, config=replace(CONFIG, raw_prompt=False, skills=SKILLS[1:]))
    assert NOTE not in systems(model)[0]


def test_an_answer_that_is_void_loads_nothing() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.6)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    model = FakeLlm(asks(LOADED, first_s=0.01), "Hello.")
    config = replace(CONFIG, endpointing=Endpointing(mode="silence", silence_ms=1000))
    scene = call(script, "bill", "no", config=config, mind=chain(model))
    assert len(scene.of(LlmAsked)) == 2
    assert scene.of(SkillLoaded) == []
