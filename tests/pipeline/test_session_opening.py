"""Calls whose greeting waits for the agent to configure them: what ends the wait, and what is said then."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pipeline.config import SessionConfig
from pipeline.events import BotSpeaking, LlmBefore
from pipeline.preparing import Preparing
from tests.fakes.llm import FakeLlm
from tests.pipeline.test_session import PLAIN, Scene, call
from tests.pipeline.test_session_thinking import chain

OPEN = SessionConfig(endpointing=PLAIN, greeting="Hello there.", opening_ms=600)


def configure(scene: Scene, config: SessionConfig) -> None:
    """As the agent's ``session.configure`` does."""
    session = scene.session
    session.reconfigure(session._engines, config, other_ears=False)
    session.answering.readiness.opened()


def spoken(scene: Scene) -> list[tuple[float, str]]:
    told = [(now, event) for now, event in scene.log if isinstance(event, BotSpeaking)]
    return [(round(now, 1), event.text) for now, event in told]


def opened(after_s: float | None, config: SessionConfig = OPEN, before: SessionConfig = OPEN) -> Scene:
    async def script(scene: Scene) -> None:
        if after_s is not None:
            asyncio.get_running_loop().call_later(after_s, configure, scene, config)
        await scene.leg.silence(4.0)

    return call(script, config=before)


@pytest.mark.parametrize(("after_s", "at"), [(None, 0.6), (0.3, 0.3), (0.0, 0.0), (2.0, 0.6)])
def test_the_greeting_waits_for_a_configuration_and_no_longer(after_s: float | None, at: float) -> None:
    assert [when for when, _ in spoken(opened(after_s))] == [pytest.approx(at, abs=0.1)]


def test_what_was_configured_meanwhile_is_what_is_said() -> None:
    scene = opened(0.3, replace(OPEN, greeting="Welcome back, Ada."))
    assert [text for _, text in spoken(scene)] == ["Welcome back, Ada."]


def test_a_call_without_a_greeting_can_be_given_one() -> None:
    none = replace(OPEN, greeting="")
    assert [text for _, text in spoken(opened(0.3, OPEN, before=none))] == ["Hello there."]
    assert spoken(opened(None, before=none)) == []


def test_a_greeting_can_be_taken_away() -> None:
    assert spoken(opened(0.3, replace(OPEN, greeting=""))) == []


def test_without_an_opening_nothing_waits() -> None:
    scene = opened(0.3, before=replace(OPEN, opening_ms=0))
    assert [when for when, _ in spoken(scene)] == [pytest.approx(0.0, abs=0.1)]


def test_what_the_agent_says_by_itself_comes_behind_the_greeting() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.2)
        scene.session.saying.reply("m1", "How can I help?", "")
        await scene.leg.silence(4.0)

    told = spoken(call(script, config=OPEN))
    assert [text for _, text in told] == ["Hello there.", "How can I help?"]
    assert told[0][0] == pytest.approx(0.2, abs=0.1)


def test_typed_text_ends_the_wait() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.2)
        scene.session.typed("two tickets")
        await scene.leg.silence(4.0)

    scene = call(script, config=OPEN, mind=chain(FakeLlm("Certainly.")))
    assert spoken(scene)[0][1] == "Hello there."
    assert spoken(scene)[0][0] == pytest.approx(0.2, abs=0.15)


@pytest.mark.parametrize("gone_first", [True, False])
def test_an_agent_that_is_away_is_not_waited_for(gone_first: bool) -> None:
    async def script(scene: Scene) -> None:
        if not gone_first:
            await scene.leg.silence(0.2)
            scene.session.guarded(scene.session.presence.left)
        await scene.leg.silence(3.0)

    scene = call(script, config=OPEN, before=lambda s: s.presence.left() if gone_first else None)
    assert [when for when, _ in spoken(scene)] == [pytest.approx(0.0 if gone_first else 0.2, abs=0.1)]


@pytest.mark.parametrize(
    ("ready_s", "configured_s", "at"), [(0.2, 0.4, 0.4), (0.4, 0.2, 0.4), (0.2, None, 0.6)]
)
def test_it_overlaps_with_the_agents_getting_ready(
    ready_s: float, configured_s: float | None, at: float
) -> None:
    config = replace(OPEN, preparing=Preparing(1500, opted_in=True))

    async def script(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(ready_s, scene.session.answering.readiness.ready, 0)
        if configured_s is not None:
            loop.call_later(configured_s, configure, scene, config)
        await scene.leg.silence(4.0)

    scene = call(script, config=config, mind=chain(FakeLlm("Hello.")))
    assert scene.at(LlmBefore) == pytest.approx(0.0, abs=0.02)
    assert [when for when, _ in spoken(scene)] == [pytest.approx(at, abs=0.1)]


def test_a_call_that_is_taken_over_meanwhile_is_not_greeted() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.2)
        scene.session.pause(on=True)
        await scene.leg.silence(3.0)

    assert spoken(call(script, config=OPEN)) == []


def test_a_call_that_ends_meanwhile_says_nothing() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.2)

    assert spoken(call(script, config=OPEN)) == []
