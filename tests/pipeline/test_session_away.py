"""Calls whose agent goes away: what the caller hears, and what he does not hear twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.absence import FAREWELL_S, Away
from pipeline.config import SessionConfig
from pipeline.errors import ProviderError
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    CallEnded,
    EndReason,
    LlmAsked,
    MessageAborted,
    MessageConfirmed,
    NoResponse,
    TurnCompleted,
    TurnEnd,
    TurnMetrics,
)
from tests.fakes.llm import FakeLlm, Says
from tests.fakes.tts import FakeTts, Plan
from tests.pipeline.test_session import PLAIN, Scene, call
from tests.pipeline.test_session_thinking import chain

LINE = SessionConfig(endpointing=PLAIN, away=Away("line", "One moment."))
LAST = SessionConfig(endpointing=PLAIN, away=Away("message", "Please call again."))


def spoken(scene: Scene) -> list[str]:
    return [event.text for event in scene.of(BotSpeaking)]


def test_a_caller_who_waits_for_an_answer_is_told_so_once_and_then_answered() -> None:
    async def script(scene: Scene) -> None:
        scene.session.presence.left()
        await scene.leg.speak(1.0)
        await scene.leg.silence(8.0)
        (end,) = scene.of(TurnEnd)
        scene.session.presence.back()
        scene.session.saying.reply("m1", "It is ten.", end.message_id)
        await scene.leg.silence(2.0)

    scene = call(script, "what time is it", config=LINE)
    assert spoken(scene) == ["One moment.", "It is ten."]
    assert scene.at(BotSpeaking) - scene.at(TurnEnd) == pytest.approx(2.0, abs=0.1)
    assert scene.of(BotSpeaking)[0].turn == scene.of(TurnEnd)[0].turn
    assert len(scene.of(BotFinished)) == 2


def test_an_agent_that_is_back_in_time_is_not_excused() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.7)
        scene.session.presence.left()
        await scene.leg.silence(1.5)
        scene.session.presence.back()
        await scene.leg.silence(3.0)

    assert spoken(call(script, "what time is it", config=LINE)) == []


def test_nothing_is_said_where_the_server_answers_or_nobody_asked() -> None:
    async def asked(scene: Scene) -> None:
        scene.session.presence.left()
        await scene.leg.speak(1.0)
        await scene.leg.silence(6.0)

    async def paused(scene: Scene) -> None:
        scene.session.pause(on=True)
        await asked(scene)

    async def silent(scene: Scene) -> None:
        scene.session.presence.left()
        await scene.leg.silence(6.0)

    mind = chain(FakeLlm(Says("It is ten.", first_s=4.0)))
    assert spoken(call(asked, "what time is it", config=LINE, mind=mind)) == [""]
    assert spoken(call(paused, "what time is it", config=LINE, mind=mind)) == ["One moment."]
    error = ProviderError("fake", "llm", "no", retryable=False)
    mute = chain(FakeLlm(Says("", fail_after=0, error=error)))
    assert spoken(call(asked, "what time is it", config=LINE, mind=mute)) == []
    assert spoken(call(silent, config=LINE)) == []
    assert spoken(call(asked, "what time is it", config=LAST)) == []


def test_a_long_absence_is_told_but_not_over_the_bot_and_not_on_hold() -> None:
    config = replace(LINE, away=replace(LINE.away, after_s=1.0))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five six seven", "")
        await scene.leg.silence(0.5)
        scene.session.presence.left()
        await scene.leg.silence(4.0)
        scene.session.presence.back()
        scene.session.hold()
        scene.session.presence.left()
        await scene.leg.silence(3.0)
        assert len(scene.of(BotSpeaking)) == 2
        scene.session.unhold()
        await scene.leg.silence(2.0)

    scene = call(script, config=config)
    assert spoken(scene) == ["one two three four five six seven", "One moment.", "One moment."]
    assert len(scene.of(BotFinished)) == 3


def test_another_configuration_holds_for_the_present_absence() -> None:
    async def script(scene: Scene) -> None:
        scene.session.presence.left()
        await scene.leg.silence(1.0)
        other = replace(LINE, away=Away("line", "Bear with me.", after_s=2.0))
        scene.session.reconfigure(scene.session._engines, other, other_ears=False)
        await scene.leg.silence(3.0)

    scene = call(script, config=LAST)
    assert spoken(scene) == ["Bear with me."]
    assert scene.at(BotSpeaking) == pytest.approx(2.0, abs=0.1)


def test_a_caller_whose_agent_stays_away_hears_a_last_word_before_the_end() -> None:
    async def script(scene: Scene) -> None:
        scene.session.presence.part(EndReason.FAILED, "the agent did not come back")
        await scene.leg.silence(3.0)
        assert scene.session.ended

    scene = call(script, config=LAST)
    assert spoken(scene) == ["Please call again."]
    assert len(scene.of(BotFinished)) == 1
    (ended,) = scene.of(CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.FAILED, "the agent did not come back")
    assert ended.duration_s == pytest.approx(1.0, abs=0.2)
    assert [line.content for line in ended.transcript] == ["Please call again."]


def test_a_last_word_that_takes_too_long_ends_with_the_call() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "word " * 60, "")
        await scene.leg.silence(0.5)
        scene.session.presence.part(EndReason.FAILED, "gone")
        await scene.leg.silence(FAREWELL_S + 0.5)
        assert scene.session.ended

    scene = call(script, config=LAST)
    assert scene.of(CallEnded)[0].duration_s == pytest.approx(0.5 + FAREWELL_S, abs=0.05)
    assert len(scene.of(BotInterrupted)) == 2


def test_a_last_word_that_no_voice_can_say_does_not_keep_the_caller() -> None:
    voice = FakeTts()
    voice.script(*[Plan(fail_after_words=0)] * 10)

    async def script(scene: Scene) -> None:
        scene.session.presence.part(EndReason.FAILED, "gone")
        await scene.leg.silence(FAREWELL_S - 1)
        assert scene.session.ended

    assert spoken(call(script, config=LAST, voice=voice)) == []


def test_a_last_word_is_no_answer() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)
        scene.session.presence.part(EndReason.FAILED, "gone")
        await scene.leg.silence(FAREWELL_S)

    scene = call(script, "what time is it", config=LAST)
    assert [event.turn for event in scene.of(BotFinished)] == [None]
    assert scene.of(TurnMetrics) == []
    assert [event.aborted for event in scene.of(TurnCompleted)] == [True]


def test_what_is_being_thought_of_is_not_added_to_a_last_word() -> None:
    model = FakeLlm(Says("It is ten.", first_s=1.0))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.7)
        scene.session.presence.part(EndReason.FAILED, "gone")
        await scene.leg.silence(FAREWELL_S)

    config = replace(LAST, away=Away("message", "one two three four five six seven eight nine ten"))
    scene = call(script, "what time is it", config=config, mind=chain(model))
    assert spoken(scene) == [config.away.text]
    assert len(scene.of(LlmAsked)) == model.cancelled == 1


def test_a_last_word_comes_behind_the_sentences_that_were_made_of_an_answer() -> None:
    model = FakeLlm(Says("One two. Three four. Five six seven eight.", word_s=0.5))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.0)
        scene.session.presence.part(EndReason.FAILED, "gone")
        await scene.leg.silence(3.0)
        assert scene.session.ended

    scene = call(script, "what time is it", config=LAST, mind=chain(model))
    assert [event.text for event in scene.of(MessageConfirmed)] == ["One two.", LAST.away.text]
    assert model.cancelled == 1


def test_who_speaks_while_he_is_parted_with_is_not_answered() -> None:
    model = FakeLlm("It is ten.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        scene.session.presence.part(EndReason.FAILED, "gone")
        await scene.leg.speak(0.5)
        await scene.leg.silence(FAREWELL_S)

    scene = call(script, "what time is it", config=LAST, mind=chain(model))
    assert spoken(scene) == [LAST.away.text]
    assert [event.reason for event in scene.of(NoResponse)] == ["ending"]
    assert model.requests == []


def test_without_a_last_word_the_call_ends_at_once() -> None:
    async def script(scene: Scene) -> None:
        scene.session.presence.part(EndReason.FAILED, "gone")
        assert scene.session.ended
        scene.session.presence.part(EndReason.FAILED, "gone")

    assert call(script, config=LINE).of(CallEnded)[0].reason is EndReason.FAILED


def test_a_greeting_that_a_handler_repeats_is_settled_and_not_spoken_twice() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "Hello there.", "", known=True)
        await scene.leg.silence(1.0)
        scene.session.saying.announced_again()
        placed = scene.session.saying.reply("m2", "Hello  there.", "", known=True)
        assert (placed.place, placed.refused) == (0, "")
        scene.session.saying.reply("m3", "Are you still there?", "")
        scene.session.saying.reply("m4", "Hello there.", "")
        await scene.leg.silence(5.0)

    scene = call(script)
    assert spoken(scene) == ["Hello there.", "Are you still there?", "Hello there."]
    (cut,) = scene.of(BotInterrupted)
    assert (cut.message_id, cut.played_ms, cut.words_spoken, cut.reason) == ("m2", 0, 0, "cancelled")
    assert [(e.message_id, e.reason) for e in scene.of(MessageAborted)] == [("m2", "duplicate_greeting")]


def test_the_servers_own_greeting_is_not_said_twice_either_and_one_never_heard_is_said() -> None:
    async def own(scene: Scene) -> None:
        await scene.leg.silence(0.1)
        scene.session.saying.announced_again()
        scene.session.saying.reply("m1", "Hello there.", "")
        await scene.leg.silence(2.0)

    async def unheard(scene: Scene) -> None:
        scene.session.hold()
        scene.session.saying.reply("m1", "Hello there.", "")
        await scene.leg.silence(0.5)
        scene.session.saying.cancel("m1")
        scene.session.unhold()
        scene.session.saying.announced_again()
        scene.session.saying.reply("m2", "Hello there.", "")
        await scene.leg.silence(2.0)

    greeting = SessionConfig(endpointing=PLAIN, greeting="Hello there.")
    assert spoken(call(own, config=greeting)) == ["Hello there."]
    scene = call(unheard)
    assert [event.message_id for event in scene.of(BotSpeaking)] == ["m2"]
