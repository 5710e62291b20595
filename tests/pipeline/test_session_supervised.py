"""A person beside the bot: what the caller hears, what the model is told, and what both do while he has the call."""

from __future__ import annotations

import pytest

from pipeline.config import SessionConfig
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    HandoffActive,
    HandoffReleased,
    HandoffRequested,
    LlmAsked,
    MessageAborted,
    MessageConfirmed,
    NoResponse,
    ReplyRejected,
    SupervisorSaid,
    SupervisorWhispered,
)
from pipeline.presence import Presence
from pipeline.speech import MAX_MESSAGES
from tests.fakes.llm import FakeLlm
from tests.pipeline.test_session import PLAIN, Scene, call
from tests.pipeline.test_session_thinking import told

MIND = SessionConfig(endpointing=PLAIN, prompt="Be kind.", raw_prompt=True)
COUNT = "one two three four five six seven eight nine ten"


def take(scene: Scene, *, interrupt: bool = False) -> None:
    """As the registry of calls does."""
    scene.session.pause(on=True)
    scene.session.supervised.take_over("Ann", interrupt=interrupt)


def release(scene: Scene) -> None:
    scene.session.pause(on=False)
    scene.session.supervised.release("Ann")


def heard(scene: Scene) -> list[str]:
    return [event.text for event in scene.of(MessageConfirmed)]


def test_what_he_says_is_heard_and_the_model_knows_it() -> None:
    model = FakeLlm("Yes.")

    async def script(scene: Scene) -> None:
        message_id, place = scene.session.supervised.say("The shop is open.", "Ann", interrupt=False)
        assert place == 1
        assert scene.of(SupervisorSaid) == [SupervisorSaid("The shop is open.", "Ann", message_id)]
        await scene.leg.silence(3.0)
        assert scene.of(BotFinished)[0].message_id == message_id
        await scene.leg.speak(0.5)
        await scene.leg.silence(2.0)

    scene = call(script, "really", config=MIND, mind=model)
    assert heard(scene) == ["The shop is open.", "Yes."]
    assert told(model, 0) == [("assistant", "The shop is open."), ("user", "really")]
    names = scene.names()
    assert names.index("SupervisorSaid") < names.index("BotSpeaking")


@pytest.mark.parametrize("interrupt", [False, True])
def test_he_waits_for_the_bot_or_cuts_it_off(interrupt: bool) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(0.7)
        scene.session.supervised.say("Stop.", "Ann", interrupt=interrupt)
        await scene.leg.silence(6.0)

    scene = call(script)
    if interrupt:
        (cut,) = scene.of(BotInterrupted)
        assert (cut.message_id, cut.reason) == ("m1", "cancelled")
        assert heard(scene)[-1] == "Stop."
        assert len(heard(scene)[0].split()) <= 3
    else:
        assert heard(scene) == [COUNT, "Stop."]


def test_too_much_that_waits_is_refused_and_not_told() -> None:
    async def script(scene: Scene) -> None:
        for number in range(MAX_MESSAGES):
            scene.session.saying.reply(f"m{number}", COUNT, "")
        with pytest.raises(ValueError, match="too many"):
            scene.session.supervised.say("Stop.", "Ann", interrupt=False)

    assert not call(script).of(SupervisorSaid)


def test_a_whisper_is_known_at_the_next_answer_and_heard_by_nobody() -> None:
    model = FakeLlm("It is noon.", "Ten percent less.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(3.0)
        scene.session.supervised.whisper("Offer ten percent.", "Ann")
        await scene.leg.silence(1.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(3.0)

    scene = call(script, "what time is it", "too dear", config=MIND, mind=model)
    assert scene.of(SupervisorWhispered) == [SupervisorWhispered("Offer ten percent.", "Ann")]
    assert heard(scene) == ["It is noon.", "Ten percent less."]
    assert told(model, 1) == [
        ("user", "what time is it"),
        ("assistant", "It is noon."),
        ("system", "Offer ten percent."),
        ("user", "too dear"),
    ]


def test_a_whisper_in_the_middle_of_a_turn_does_not_cut_it_in_two() -> None:
    model = FakeLlm("Yes.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(0.3)
        scene.session.supervised.whisper("Be quick.", "Ann")
        await scene.leg.speak(0.5)
        await scene.leg.silence(3.0)

    scene = call(script, "I would", "like a room", config=MIND, mind=model)
    last = model.requests[-1].messages
    assert [(message.role, message.content) for message in last] == [
        ("system", "Be kind.\nBe quick."),
        ("user", "I would like a room"),
    ]
    assert heard(scene) == ["Yes."]


def test_a_whisper_without_a_model_is_told_to_the_agent() -> None:
    async def script(scene: Scene) -> None:
        scene.session.supervised.whisper("Be quick.", "Ann")

    assert call(script).of(SupervisorWhispered) == [SupervisorWhispered("Be quick.", "Ann")]


def test_while_he_has_the_call_the_model_is_silent_and_then_goes_on_knowing() -> None:
    model = FakeLlm("At nine.")

    async def script(scene: Scene) -> None:
        take(scene)
        await scene.leg.speak(0.5)
        await scene.leg.silence(2.0)
        assert not scene.of(LlmAsked)
        scene.session.supervised.say("Ann here, hello.", "Ann", interrupt=False)
        await scene.leg.silence(3.0)
        release(scene)
        await scene.leg.silence(2.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(3.0)

    scene = call(script, "a person please", "when do you open", config=MIND, mind=model)
    assert [event.reason for event in scene.of(NoResponse)] == ["paused"]
    assert heard(scene) == ["Ann here, hello.", "At nine."]
    assert len(model.requests) == 1, "what he has answered is not answered again"
    assert told(model, 0) == [
        ("user", "a person please"),
        ("assistant", "Ann here, hello."),
        ("user", "when do you open"),
    ]
    names = [name for name in scene.names() if name.startswith("Handoff")]
    assert names == ["HandoffRequested", "HandoffActive", "HandoffReleased"]


def test_released_while_the_caller_waits_the_model_answers_him() -> None:
    model = FakeLlm("At nine.")

    async def script(scene: Scene) -> None:
        take(scene)
        await scene.leg.speak(0.5)
        await scene.leg.silence(2.0)
        release(scene)
        await scene.leg.silence(3.0)

    scene = call(script, "when do you open", config=MIND, mind=model)
    assert heard(scene) == ["At nine."]


def test_what_the_caller_is_hearing_is_finished_and_what_waits_is_not_said() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        scene.session.saying.reply("m2", "And this.", "")
        await scene.leg.silence(0.7)
        take(scene)
        assert scene.of(HandoffRequested)
        assert not scene.of(HandoffActive)
        await scene.leg.silence(5.0)

    scene = call(script)
    assert heard(scene) == [COUNT]
    assert [event.message_id for event in scene.of(MessageAborted)] == ["m2"]
    names = scene.names()
    assert names.index("HandoffActive") > names.index("MessageConfirmed")


def test_cut_off_it_is_his_at_once() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(0.7)
        take(scene, interrupt=True)
        assert scene.of(HandoffActive) == [HandoffActive("Ann")]

    assert [event.reason for event in call(script).of(BotInterrupted)] == ["cancelled"]


def test_the_agent_is_told_that_it_is_not_heard() -> None:
    async def script(scene: Scene) -> None:
        take(scene)
        await scene.leg.speak(0.5)
        await scene.leg.silence(2.0)
        answer = scene.session.saying.reply("m1", "Yes.", scene.session.saying.reply_to)
        unasked = scene.session.saying.reply("m2", "By the way.", "")
        stream = scene.session.saying.stream_start("m3", scene.session.saying.reply_to)
        assert {answer.refused, unasked.refused, stream.refused} == {"taken_over"}
        release(scene)
        assert not scene.session.saying.reply("m4", "Yes.", scene.session.saying.reply_to).refused
        await scene.leg.silence(2.0)

    scene = call(script, "hello")
    assert [(event.message_id, event.reason) for event in scene.of(ReplyRejected)] == [
        ("m1", "taken_over"),
        ("m3", "taken_over"),
    ]
    # Who waits for the end of what it says unasked learns of it.
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m2"]
    assert heard(scene) == ["Yes."]


def test_there_is_no_holding_line_for_an_agent_that_is_away() -> None:
    async def script(scene: Scene) -> None:
        assert isinstance(scene.session.presence, Presence)
        scene.session.presence.left()
        take(scene)
        await scene.leg.speak(0.5)
        await scene.leg.silence(8.0)

    assert not call(script, "hello").of(BotSpeaking)


def test_twice_is_refused() -> None:
    async def script(scene: Scene) -> None:
        with pytest.raises(ValueError, match="nobody"):
            scene.session.supervised.release("Ann")
        take(scene)
        with pytest.raises(ValueError, match="Ann has taken"):
            scene.session.supervised.take_over("Bob", interrupt=False)
        release(scene)

    assert scene_names(call(script)) == [
        HandoffRequested("Ann"),
        HandoffActive("Ann"),
        HandoffReleased("Ann"),
    ]


def scene_names(scene: Scene) -> list[HandoffRequested | HandoffActive | HandoffReleased]:
    return [
        event
        for _, event in scene.log
        if isinstance(event, HandoffRequested | HandoffActive | HandoffReleased)
    ]


def test_at_the_end_the_last_word_is_heard_and_none_is_added() -> None:
    model = FakeLlm("Yes.")

    async def script(scene: Scene) -> None:
        scene.session.supervised.say("Good bye.", "Ann", interrupt=False)
        scene.session.conclude()
        await scene.session.said(10.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(2.0)

    scene = call(script, "wait", config=MIND, mind=model)
    assert heard(scene) == ["Good bye."]
    assert not model.requests


# --- what he says is not the agent's to stop --------------------------------------------------------------


@pytest.mark.parametrize("taken_over", [False, True])
def test_the_agent_cannot_clear_away_what_he_says_and_its_own_words_go(taken_over: bool) -> None:
    async def script(scene: Scene) -> None:
        if taken_over:
            take(scene)
        first, _ = scene.session.supervised.say(COUNT, "Ann", interrupt=False)
        if not taken_over:
            scene.session.saying.reply("m1", "And this.", "")
        second, _ = scene.session.supervised.say("That is all.", "Ann", interrupt=False)
        await scene.leg.silence(0.7)
        assert scene.session.saying.next == first
        assert scene.session.saying.is_a_persons(first)
        stopped, kept = scene.session.saying.clear()
        assert stopped == ([] if taken_over else ["m1"])
        assert kept == [first, second]
        await scene.leg.silence(6.0)

    scene = call(script)
    assert heard(scene) == [COUNT, "That is all."]
    assert [event.message_id for event in scene.of(BotInterrupted)] == ([] if taken_over else ["m1"])


def test_without_anything_of_his_all_is_cleared_away() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        scene.session.saying.reply("m2", "And this.", "")
        await scene.leg.silence(0.7)
        assert scene.session.saying.clear() == (["m1", "m2"], [])

    assert [event.message_id for event in call(script).of(BotInterrupted)] == ["m1", "m2"]


@pytest.mark.parametrize("interrupt", [False, True])
def test_taking_over_he_does_not_silence_himself(interrupt: bool) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(0.7)
        scene.session.supervised.say("Ann here.", "Ann", interrupt=False)
        scene.session.saying.reply("m2", "And this.", "")
        take(scene, interrupt=interrupt)
        await scene.leg.silence(6.0)

    scene = call(script)
    assert heard(scene)[-1] == "Ann here."
    assert [event.message_id for event in scene.of(BotInterrupted)] == (["m1", "m2"] if interrupt else ["m2"])


def test_while_he_speaks_the_bot_is_silent_already() -> None:
    async def script(scene: Scene) -> None:
        scene.session.supervised.say(COUNT, "Ann", interrupt=False)
        await scene.leg.silence(0.7)
        take(scene)
        assert scene.of(HandoffActive) == [HandoffActive("Ann")]

    call(script)


def test_the_caller_may_still_speak_over_him() -> None:
    async def script(scene: Scene) -> None:
        take(scene)
        scene.session.supervised.say(COUNT, "Ann", interrupt=False)
        await scene.leg.silence(2.5)
        await scene.leg.speak(1.5)
        await scene.leg.silence(2.0)

    assert [event.reason for event in call(script, "wait a moment").of(BotInterrupted)] == ["user_spoke"]
