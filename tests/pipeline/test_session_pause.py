"""A bot that is paused and goes on, and a caller who is muted or held: whole calls on virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotPaused,
    BotResumed,
    BotSpeaking,
    BotWord,
    CallEnded,
    CallHeld,
    CallMuted,
    CallUnheld,
    CallUnmuted,
    MessageConfirmed,
    SpeechEnded,
    TurnEnd,
    UserMessage,
    Utterance,
)
from pipeline.ports import TtsAudio, TtsEvent, TtsRequest
from pipeline.speech import MAX_MESSAGES
from pipeline.turns import TurnParams
from tests.fakes.leg import FakeLeg
from tests.fakes.tts import FakeTts
from tests.pipeline.test_session import PLAIN, Scene, call

COUNT = "one two three four five six seven eight nine ten eleven twelve"


def heard_of(leg: FakeLeg) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """What reached the ear, one after the other."""
    parts = [s.pcm if s.heard < 0 else s.pcm[: s.heard] for s in leg.stretches]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


@pytest.mark.parametrize("text", ["mhm", ""])
def test_a_bot_that_was_paused_for_nothing_says_all_of_it(text: str) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(1.35)
        await scene.leg.speak(0.4)
        await scene.leg.silence(6.0)

    scene = call(script, text)
    (paused,), (resumed,) = scene.of(BotPaused), scene.of(BotResumed)
    assert (paused.message_id, resumed.message_id, paused.reason) == ("m1", "m1", "user_spoke")
    assert not scene.of(BotInterrupted)
    assert [word.word for word in scene.of(BotWord)] == COUNT.split()
    assert [word.word_index for word in scene.of(BotWord)] == list(range(12))
    # It had said 1.65 s of words that last 0.3 s: the sixth was cut in its middle, and is said again.
    assert (paused.words_spoken, resumed.word_index) == (6, 5)
    (confirmed,) = scene.of(MessageConfirmed)
    assert confirmed.text == COUNT
    (finished,) = scene.of(BotFinished)
    assert finished.duration_ms == pytest.approx(3560 + 150, abs=40)


def test_no_sound_is_lost_and_none_is_heard_twice_but_the_cut_word() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(1.35)
        await scene.leg.speak(0.4)
        await scene.leg.silence(6.0)

    async def plainly(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(8.0)

    whole = heard_of(call(plainly).leg)
    scene = call(script, "mhm")
    broken = heard_of(scene.leg)
    heard = scene.of(BotPaused)[0].played_ms * 8
    np.testing.assert_array_equal(broken[:heard], whole[:heard])
    rest = broken[heard + 40 :]  # It comes back in 5 ms, so that it does not click.
    sixth = 5 * 2400
    assert [
        at for at in range(sixth - 320, sixth + 1)
        if np.array_equal(rest[: len(whole) - at - 40], whole[at + 40 :])
    ]  # fmt: skip


def test_a_message_that_was_paused_twice_and_then_cut_tells_what_was_heard() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(0.9)
        await scene.leg.speak(0.4)
        await scene.leg.silence(1.2)
        await scene.leg.speak(0.4)
        await scene.leg.silence(1.2)
        await scene.leg.speak(1.2)
        await scene.leg.silence(2.0)

    scene = call(script, "mhm", "", "no stop")
    assert len(scene.of(BotPaused)) == 3
    assert len(scene.of(BotResumed)) == 2
    (cut,) = scene.of(BotInterrupted)
    (confirmed,) = scene.of(MessageConfirmed)
    words = [word.word for word in scene.of(BotWord)]
    assert confirmed.text.split() == words[: cut.words_spoken] == COUNT.split()[: cut.words_spoken]
    assert cut.played_ms == scene.of(BotPaused)[-1].played_ms
    assert cut.reason == "user_spoke"


def test_a_word_that_was_heard_is_confirmed_though_it_is_cut_off_while_it_is_said_again() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(2.55)  # In the middle of the ninth word.
        scene.session.hold()
        await scene.leg.silence(0.5)
        scene.session.unhold()
        scene.session.saying.cancel("m1")

    scene = call(script)
    ((paused,), (interrupted,), (confirmed,)) = (
        scene.of(BotPaused), scene.of(BotInterrupted), scene.of(MessageConfirmed)
    )  # fmt: skip
    assert (paused.words_spoken, interrupted.words_spoken) == (9, 9)
    assert confirmed.text == "one two three four five six seven eight nine"


def test_a_pause_in_the_last_word_finishes_it() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three", "")
        await scene.leg.silence(0.5)
        await scene.leg.speak(0.4)
        await scene.leg.silence(4.0)

    scene = call(script, "mhm")
    assert scene.of(BotResumed)[0].word_index == 2
    assert scene.of(BotFinished)
    assert [word.word for word in scene.of(BotWord)] == ["one", "two", "three"]


def test_the_next_message_waits_for_the_one_that_is_paused() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four", "")
        scene.session.saying.reply("m2", "five six", "")
        await scene.leg.silence(0.6)
        await scene.leg.speak(0.4)
        await scene.leg.silence(5.0)

    scene = call(script, "mhm")
    assert [event.message_id for event in scene.of(BotFinished)] == ["m1", "m2"]


class InPieces(FakeTts):
    """Gives its audio in pieces of 100 ms."""

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        async for event in super().speak(request):
            if isinstance(event, TtsAudio):
                for at in range(0, len(event.pcm), 800):
                    yield TtsAudio(event.pcm[at : at + 800])
            else:
                yield event


@pytest.mark.parametrize(("word_ms", "again_ms"), [(3000, 2000), (9000, 6000)])
def test_a_pause_within_a_long_word_loses_nothing(word_ms: int, again_ms: int) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three", "")
        await scene.leg.silence((word_ms * 2 - 1000) / 1000)
        scene.session.hold()
        await scene.leg.silence(0.5)
        scene.session.unhold()
        await scene.leg.silence(word_ms * 3 / 1000)

    scene = call(script, voice=InPieces(word_ms=word_ms))
    assert [word.word for word in scene.of(BotWord)] == ["one", "two", "three"]
    (finished,) = scene.of(BotFinished)
    assert finished.duration_ms == pytest.approx(3 * word_ms + again_ms, abs=400)


def test_an_agent_cancels_a_message_that_is_paused() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(2.2)
        await scene.leg.speak(0.4)
        assert scene.of(BotPaused)
        scene.session.saying.cancel("m1")
        await scene.leg.silence(3.0)

    scene = call(script, "mhm")
    (cut,) = scene.of(BotInterrupted)
    assert cut.reason == "cancelled"
    assert cut.played_ms == scene.of(BotPaused)[0].played_ms
    assert not scene.of(BotResumed)


def test_a_streamed_message_grows_while_it_is_paused() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_start("m1", "")
        scene.session.saying.stream_chunk("m1", "one two three four. ")
        await scene.leg.silence(0.6)
        await scene.leg.speak(0.4)
        scene.session.saying.stream_chunk("m1", "five six.")
        scene.session.saying.stream_end("m1")
        await scene.leg.silence(5.0)

    scene = call(script, "mhm")
    assert [word.word for word in scene.of(BotWord)] == ["one", "two", "three", "four.", "five", "six."]
    assert scene.of(MessageConfirmed)[0].text == "one two three four. five six."


def test_the_greeting_may_be_locked() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(6.0)

    config = SessionConfig(endpointing=PLAIN, greeting=COUNT, greeting_interruptible=False)
    scene = call(script, "I am in a hurry", config=config)
    assert not scene.of(BotPaused)
    assert not scene.of(BotInterrupted)
    assert scene.of(BotFinished)
    assert scene.of(TurnEnd)[0].text == "I am in a hurry"
    assert scene.names().index("TurnEnd") > scene.names().index("BotFinished")


def test_a_message_may_be_one_that_must_be_heard() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "", interruptible=False)
        await scene.leg.silence(1.0)
        await scene.leg.speak(1.5)
        await scene.leg.silence(6.0)

    scene = call(script, "stop it now")
    assert not scene.of(BotPaused)
    assert scene.of(BotFinished)[0].message_id == "m1"


def test_what_must_be_heard_and_waits_is_not_dropped_with_what_is_cut_off() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        scene.session.saying.reply("m2", "This call is recorded.", "", interruptible=False)
        await scene.leg.silence(2.5)
        await scene.leg.speak(1.5)
        await scene.leg.silence(6.0)

    scene = call(script, "stop it now")
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m2"]


def test_no_sound_is_given_to_the_recogniser_twice() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        await scene.leg.speak(1.0)
        scene.session.mute()
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)

    scene = call(script, "one", "two")
    assert sum(scene.ear.fed) / 8000 == pytest.approx(2.0 + 0.3 + 0.3, abs=0.1)


def test_what_is_paused_first_may_be_cut_at_once() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(2.5)
        await scene.leg.speak(0.4)
        await scene.leg.silence(3.0)

    config = SessionConfig(endpointing=PLAIN, turns=replace(TurnParams(), pause_first=False))
    scene = call(script, "mhm", config=config)
    assert not scene.of(BotPaused)
    assert scene.of(BotInterrupted)


# --- mute and hold ----------------------------------------------------------------------------------------


def test_a_muted_caller_is_heard_by_nobody_and_told_afterwards() -> None:
    async def script(scene: Scene) -> None:
        scene.session.mute()
        scene.session.mute()
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.5)
        scene.session.saying.reply("m1", "I do not listen.", "")
        await scene.leg.silence(0.2)
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.5)
        scene.session.unmute()
        scene.session.unmute()
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.5)

    scene = call(script, "are you there", "hello", "at last")
    assert len(scene.of(CallMuted)) == 1
    assert [event.muted_transcript for event in scene.of(CallUnmuted)] == ["are you there hello"]
    assert scene.of(BotFinished)
    assert [event.text for event in scene.of(UserMessage)] == ["at last"]
    assert len(scene.of(SpeechEnded)) == 3


def test_who_is_muted_in_the_middle_of_a_word_has_said_what_he_said() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        scene.session.mute()
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)
        scene.session.unmute()
        await scene.leg.silence(1.0)

    scene = call(script, "book a table", "not you")
    assert scene.of(TurnEnd)[0].text == "book a table"
    assert scene.of(CallUnmuted)[0].muted_transcript == "not you"
    names = scene.names()
    assert names.index("SpeechEnded") < names.index("CallMuted") < names.index("TurnEnd")


def test_a_held_call_is_silent_and_goes_on_where_it_was() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(1.35)
        scene.session.hold()
        scene.session.hold()
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)
        scene.session.saying.reply("m2", "Are you still there?", "")
        await scene.leg.silence(1.0)
        scene.session.unhold()
        scene.session.unhold()
        await scene.leg.silence(6.0)
        assert scene.ear.fed == []  # Nobody listened.
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)

    scene = call(script, "here I am")
    assert (len(scene.of(CallHeld)), len(scene.of(CallUnheld))) == (1, 1)
    (paused,), (resumed,) = scene.of(BotPaused), scene.of(BotResumed)
    assert (paused.reason, resumed.word_index) == ("held", 4)
    assert [event.message_id for event in scene.of(BotFinished)] == ["m1", "m2"]
    assert [event.text for event in scene.of(UserMessage)] == ["here I am"]
    assert len(scene.of(SpeechEnded)) == 2
    while_held = [
        now for now, event in scene.log
        if isinstance(event, BotWord | BotSpeaking) and scene.at(CallHeld) < now < scene.at(CallUnheld)
    ]  # fmt: skip
    assert not while_held


@pytest.mark.parametrize("state", ["mute", "hold"])
def test_a_call_may_end_muted_or_held(state: str) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(0.5)
        getattr(scene.session, state)()
        await scene.leg.speak(0.5)

    scene = call(script, "hello")
    assert scene.of(BotInterrupted)[0].reason == "cancelled"
    assert scene.of(CallEnded)


def test_an_unmuted_caller_who_is_held_in_doubt_resumes_once() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(1.35)
        await scene.leg.speak(0.4)
        scene.session.hold()
        await scene.leg.silence(2.0)
        scene.session.unhold()
        await scene.leg.silence(6.0)

    scene = call(script, "mhm")
    assert (len(scene.of(BotPaused)), len(scene.of(BotResumed)), len(scene.of(BotFinished))) == (1, 1, 1)


# --- the default judge ------------------------------------------------------------------------------------


def test_by_default_the_words_say_when_a_turn_is_over() -> None:
    ends = {}
    for text in ("I would like to", "no thank you"):

        async def script(scene: Scene) -> None:
            await scene.leg.speak(1.0)
            await scene.leg.silence(3.0)

        scene = call(script, text, config=SessionConfig(endpointing=Endpointing()))
        ends[text] = scene.of(TurnEnd)[0]
    slow, fast = ends["I would like to"], ends["no thank you"]
    assert fast.latency_ms < 500 < slow.latency_ms < 1500
    assert fast.reason == slow.reason == "transcript"


@pytest.mark.parametrize("instant_ms", range(300, 3500, 170))
@pytest.mark.parametrize("times", [True, False])
def test_whenever_it_is_paused_what_is_committed_is_what_was_told(instant_ms: int, times: bool) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(instant_ms / 1000)
        await scene.leg.speak(0.4)
        await scene.leg.silence(1.3)
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    scene = call(script, "mhm", "stop now", voice=FakeTts(word_times=times))
    words = [word.word for word in scene.of(BotWord)]
    assert words == COUNT.split()[: len(words)]
    ended = scene.of(CallEnded)[0]
    said = [u.content for u in ended.transcript if u == Utterance("assistant", u.content)]
    assert all(" ".join(words).startswith(text) for text in said)


def test_cancel_without_a_name_stops_what_is_being_said_and_no_more() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        scene.session.saying.reply("m2", "five six", "")
        await scene.leg.silence(1.0)
        scene.session.saying.cancel(scene.session.saying.next)
        await scene.leg.silence(3.0)

    scene = call(script)
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m2"]


def test_what_is_said_to_a_full_queue_is_settled_at_once() -> None:
    async def script(scene: Scene) -> None:
        for number in range(MAX_MESSAGES + 1):
            scene.session.saying.reply(f"m{number}", "one", "")
        await scene.leg.silence(0.1)

    scene = call(script)
    first = scene.of(BotInterrupted)[0]
    assert (first.message_id, first.played_ms, first.reason) == (f"m{MAX_MESSAGES}", 0, "cancelled")
