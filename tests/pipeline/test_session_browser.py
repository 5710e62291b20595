"""What only a page brings: typed text, a user who mutes himself, a network that goes and comes back."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.config import SessionConfig
from pipeline.endpointing.evidence import TurnReason
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotPaused,
    BotResumed,
    CallEnded,
    CallHeld,
    CallMuted,
    CallUnheld,
    EndReason,
    TurnContinued,
    TurnEnd,
    UserMessage,
)
from tests.pipeline.test_session import PLAIN, Scene, call

COUNT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def test_typed_text_is_a_turn_at_once() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        assert scene.session.typed("two tickets")
        await scene.leg.silence(1.0)

    scene = call(script)
    (message,) = scene.of(UserMessage)
    assert (message.text, message.segment_ids) == ("two tickets", ())
    (end,) = scene.of(TurnEnd)
    assert (end.text, end.reason, end.latency_ms) == ("two tickets", TurnReason.TYPED, 0)
    assert scene.at(TurnEnd) == pytest.approx(1.0, abs=0.03)


def test_it_silences_the_bot_and_waits_for_one_that_may_not_be() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(3.0)
        scene.session.typed("stop")
        await scene.leg.silence(1.0)
        scene.session.saying.reply("m2", COUNT, "", interruptible=False)
        await scene.leg.silence(1.0)
        scene.session.typed("and again")
        await scene.leg.silence(8.0)

    scene = call(script)
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m2"]
    assert [event.text for event in scene.of(TurnEnd)] == ["stop", "and again"]
    names = scene.names()
    assert names.index("BotFinished") < len(names) - names[::-1].index("TurnEnd")


def test_who_writes_while_he_speaks_has_one_turn() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        scene.session.typed("two tickets")
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.5)

    scene = call(script, "for tonight")
    (end,) = scene.of(TurnEnd)
    assert end.text == "two tickets for tonight"
    assert end.reason is TurnReason.SILENCE


def test_who_writes_on_before_he_is_answered_goes_on_with_his_turn() -> None:
    async def script(scene: Scene) -> None:
        scene.session.typed("two tickets")
        await scene.leg.silence(0.3)
        scene.session.typed("for tonight")
        await scene.leg.silence(1.0)

    scene = call(script)
    assert [event.text for event in scene.of(TurnEnd)] == ["two tickets", "two tickets for tonight"]
    assert len(scene.of(TurnContinued)) == 1


def test_who_has_muted_himself_can_write() -> None:
    async def script(scene: Scene) -> None:
        scene.session.mute("user")
        scene.session.typed("two tickets")
        await scene.leg.silence(0.5)
        scene.session.saying.reply("m1", "Certainly.", scene.session.saying.reply_to)
        await scene.leg.silence(2.0)
        scene.session.typed("for tonight")
        await scene.leg.silence(0.5)

    scene = call(script)
    assert [event.by for event in scene.of(CallMuted)] == ["user"]
    assert [event.text for event in scene.of(TurnEnd)] == ["two tickets", "for tonight"]


def test_on_hold_nothing_is_taken() -> None:
    async def script(scene: Scene) -> None:
        scene.session.hold()
        assert not scene.session.typed("two tickets")
        await scene.leg.silence(0.5)

    assert call(script).of(UserMessage) == []


def test_a_lost_network_pauses_the_bot_and_a_new_one_lets_it_go_on() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(1.0)
        scene.session.on_lost()
        scene.session.on_lost()
        await scene.leg.silence(2.0)
        scene.session.on_back()
        await scene.leg.silence(8.0)

    scene = call(script)
    assert [event.by for event in scene.of(CallHeld)] == ["network"]
    assert len(scene.of(BotPaused)) == len(scene.of(BotResumed)) == len(scene.of(CallUnheld)) == 1
    assert [event.message_id for event in scene.of(BotFinished)] == ["m1"]


def test_agent_and_network_must_both_let_go() -> None:
    async def script(scene: Scene) -> None:
        scene.session.hold()
        scene.session.on_lost()
        scene.session.unhold()
        await scene.leg.silence(0.2)
        assert scene.of(CallUnheld) == []
        scene.session.on_back()
        assert len(scene.of(CallUnheld)) == 1
        scene.session.on_back()
        scene.session.unhold()

    scene = call(script)
    assert len(scene.of(CallHeld)) == len(scene.of(CallUnheld)) == 1


def test_how_long_a_lost_caller_is_waited_for_is_his_legs_to_say() -> None:
    async def script(scene: Scene) -> None:
        scene.session.on_lost()
        await asyncio.sleep(30.0)
        scene.session.on_back()
        await scene.leg.silence(0.5)

    config = SessionConfig(endpointing=PLAIN, media_timeout_s=5.0)
    (ended,) = call(script, config=config).of(CallEnded)
    assert ended.reason is EndReason.HANGUP
