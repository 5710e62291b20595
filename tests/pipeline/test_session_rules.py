"""The rules of a live call: its limits and farewell, who is listened to, who answers, what is heard on hold."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from media.frames import Pcm
from media.music import HoldMusic
from pipeline import turns
from pipeline.config import SessionConfig
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    CallEnded,
    CallHeld,
    CallStarted,
    CallUnheld,
    EndReason,
    LlmAnswered,
    LlmAsked,
    LlmBefore,
    MessageAborted,
    MessageConfirmed,
    NoResponse,
    RecordingChannels,
    RecordingFormat,
    SessionCreated,
    SessionIdleWarning,
    SessionReady,
    SessionTimeout,
    SpeechStarted,
    ToolCallsRequested,
    ToolCompleted,
    ToolStarted,
    TurnEnd,
    UserMessage,
    UserMuteStarted,
    UserMuteStopped,
)
from pipeline.limits import SessionLimits
from pipeline.ports import ToolSpec
from pipeline.preparing import Preparing
from pipeline.tools import Tool, ToolResult
from tests.fakes.leg import FakeLeg
from tests.fakes.llm import FakeLlm, Says, asks
from tests.pipeline.test_session import PLAIN, Scene, ScriptedEar, call

SHORT = SessionLimits(idle_timeout_s=4.0, idle_warning_s=2.0, idle_grace_s=1.0)
LIMITED = SessionConfig(endpointing=PLAIN, limits=SHORT)


def when(scene: Scene, kind: type) -> list[float]:
    return [round(at, 1) for at, event in scene.log if isinstance(event, kind)]


# --- the limits -------------------------------------------------------------------------------------------


def test_a_caller_who_says_nothing_is_warned_twice_and_then_the_call_ends() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(8.0)

    scene = call(script, config=LIMITED)
    assert when(scene, SessionIdleWarning) == [2.0, 4.0]
    assert scene.of(SessionIdleWarning) == [SessionIdleWarning(2.0, 4.0), SessionIdleWarning(0.0, 4.0)]
    assert when(scene, SessionTimeout) == [5.0]
    (ended,) = scene.of(CallEnded)
    assert ended.reason is EndReason.IDLE_TIMEOUT
    assert ended.duration_s == pytest.approx(6.0, abs=0.01)


def test_words_and_keys_and_the_agents_word_set_the_time_back() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.5)
        scene.session.on_dtmf("5")
        await scene.leg.silence(1.5)
        scene.session.activity()
        await scene.leg.silence(3.0)

    scene = call(script, "hello", config=LIMITED)
    assert when(scene, SessionIdleWarning) == [6.5]


def test_a_noise_that_is_no_word_stops_the_time_and_does_not_set_it_back() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "", config=LIMITED)
    (at,) = when(scene, SessionIdleWarning)
    assert 3.0 < at < 3.6


def test_what_comes_back_of_the_bots_own_words_is_no_sign_of_life() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        scene.session.perceived(turns.Echo(7))
        scene.session.perceived(turns.Heard(7, "how are you", 0.9, True))
        await scene.leg.silence(2.0)

    assert when(call(script, config=LIMITED), SessionIdleWarning) == [2.0]


def test_where_nobody_understands_words_a_voice_counts() -> None:
    async def script(scene: Scene) -> None:
        deaf = replace(scene.session._engines, stt=None)
        scene.session.reconfigure(deaf, LIMITED, other_ears=True)
        await scene.leg.silence(1.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(2.6)

    (at,) = when(call(script, config=LIMITED), SessionIdleWarning)
    assert 3.5 <= at <= 4.0


def test_other_rules_hold_at_once() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        config = SessionConfig(endpointing=PLAIN, limits=SHORT, mute_while_speaking=True)
        scene.session.reconfigure(scene.session._engines, config, other_ears=False)
        await scene.leg.silence(1.5)
        scene.session.saying.reply("m1", "one two", "")
        await scene.leg.silence(1.0)

    scene = call(script)
    assert when(scene, SessionIdleWarning) == [2.0]
    assert [event.reason for event in scene.of(UserMuteStarted)] == ["bot_speaking"]


def test_what_the_bot_says_stops_the_time() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        scene.session.saying.reply("m1", "one two three four", "")
        await scene.leg.silence(4.0)

    scene = call(script, config=LIMITED)
    (finished,) = when(scene, BotFinished)
    assert when(scene, SessionIdleWarning) == [pytest.approx(finished + 1.0, abs=0.11)]


def test_the_time_goes_on_at_the_instant_in_which_the_bot_has_finished() -> None:
    class NoMarks(FakeLeg):
        """Nothing comes back from the line: nobody wakes the call but its own timer."""

        def mark(self, name: str) -> None: ...

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four", "")
        await asyncio.sleep(8.0)

    scene = call(script, config=LIMITED, leg=NoMarks)
    assert scene.at(SessionIdleWarning) - scene.at(BotFinished) == pytest.approx(2.0, abs=0.01)


def test_nobody_is_idle_on_hold_or_muted() -> None:
    async def script(scene: Scene) -> None:
        scene.session.hold()
        await scene.leg.silence(10.0)
        scene.session.mute()
        scene.session.unhold()
        await scene.leg.silence(10.0)
        scene.session.unmute()
        await scene.leg.silence(2.5)

    assert when(call(script, config=LIMITED), SessionIdleWarning) == [22.0]


def test_nobody_is_idle_while_the_agent_is_away() -> None:
    async def script(scene: Scene) -> None:
        scene.session.presence.left()
        await scene.leg.silence(10.0)
        scene.session.presence.back()
        await scene.leg.silence(2.5)

    assert when(call(script, config=LIMITED), SessionIdleWarning) == [12.0]


def test_nobody_is_idle_while_an_answer_is_thought_about() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(10.0)

    scene = call(script, "hello", config=LIMITED, mind=FakeLlm(Says("Here I am.", first_s=3.5)))
    (finished,) = when(scene, BotFinished)
    assert all(at > finished for at in when(scene, SessionIdleWarning))


@pytest.mark.parametrize("reason", [EndReason.IDLE_TIMEOUT, EndReason.MAX_DURATION])
def test_what_the_agent_says_to_a_timeout_is_heard(reason: EndReason) -> None:
    limits = SHORT if reason is EndReason.IDLE_TIMEOUT else SessionLimits(max_duration_s=5.0)

    async def script(scene: Scene) -> None:
        await scene.leg.silence(5.5)
        scene.session.saying.reply("bye", "good bye then my friend", "")
        await scene.leg.silence(10.0)

    scene = call(script, config=SessionConfig(endpointing=PLAIN, limits=limits))
    assert [event.text for event in scene.of(MessageConfirmed)] == ["good bye then my friend"]
    assert [event.reason for event in scene.of(SessionTimeout)] == [reason.value]
    assert scene.of(CallEnded)[0].reason is reason
    assert scene.of(CallEnded)[0].at - 1000.0 == pytest.approx(scene.at(BotFinished), abs=0.05)


@pytest.mark.parametrize("first_s", [0.2, 3.0])
def test_an_answer_that_nobody_hears_yet_does_not_take_the_time_of_a_farewell(first_s: float) -> None:
    """Neither one that is thought about, nor one that is made and waits."""
    model = FakeLlm(Says("one two three four five six seven", first_s=first_s))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        scene.session.saying.reply("m1", "one two three four five six", "")
        await scene.leg.silence(1.5)
        assert scene.of(SessionTimeout)
        scene.session.saying.reply("bye", "Good bye.", "")
        await scene.leg.silence(5.0)

    limits = SessionLimits(max_duration_s=1.8, farewell_s=3.0)
    scene = call(script, "hello", config=SessionConfig(endpointing=PLAIN, limits=limits), mind=model)
    assert len(scene.of(LlmAsked)) == 1
    assert [event.message_id for event in scene.of(BotFinished)] == ["m1", "bye"]


def test_nobody_is_idle_while_the_agent_gets_ready_for_the_greeting() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(6.0)

    preparing = Preparing(3000, opted_in=True)
    config = replace(LIMITED, greeting="Hello.", preparing=preparing)
    scene = call(script, config=config, mind=FakeLlm())
    assert scene.at(SessionIdleWarning) > scene.at(BotFinished) > 3.0


def test_a_farewell_has_its_bound() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(5.5)
        scene.session.saying.reply("bye", "la " * 100, "")
        await scene.leg.silence(10.0)

    scene = call(script, config=replace(LIMITED, limits=replace(SHORT, farewell_s=3.0)))
    assert scene.of(CallEnded)[0].duration_s == pytest.approx(8.0, abs=0.01)
    (cut,) = scene.of(BotInterrupted)
    assert (cut.message_id, cut.reason) == ("bye", "cancelled")
    assert 2000 < cut.played_ms < 3000


def test_who_speaks_up_after_the_timeout_does_not_stop_the_end_and_is_not_answered() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(5.2)
        await scene.leg.speak(0.4)
        await scene.leg.silence(5.0)

    limits = replace(SHORT, farewell_s=3.0)
    config = SessionConfig(endpointing=PLAIN, limits=limits)
    scene = call(script, "I am here", config=config, mind=FakeLlm("Hello."))
    assert scene.of(LlmAsked) == []
    assert scene.of(CallEnded)[0].reason is EndReason.IDLE_TIMEOUT


def test_a_call_on_hold_has_its_end() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five six", "")
        await scene.leg.silence(1.0)
        scene.session.hold()
        await scene.leg.silence(20.0)

    config = SessionConfig(endpointing=PLAIN, limits=SessionLimits(max_duration_s=5.0))
    assert call(script, config=config).of(CallEnded)[0].duration_s == pytest.approx(6.0, abs=0.01)


# --- the begin --------------------------------------------------------------------------------------------


class SlowEar(ScriptedEar):
    async def warm(self) -> None:
        await asyncio.sleep(1.5)


class DeadEar(ScriptedEar):
    async def warm(self) -> None:
        await asyncio.sleep(1000.0)


@pytest.mark.parametrize(("ear", "ready_at"), [(ScriptedEar, 0.0), (SlowEar, 1.5), (DeadEar, 5.0)])
def test_a_session_is_ready_when_its_engines_are_warm(ear: type[ScriptedEar], ready_at: float) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(6.0)

    scene = call(script, ear=ear)
    assert [type(event) for _, event in scene.log[:2]] == [CallStarted, SessionCreated]
    assert when(scene, SessionReady) == [ready_at]


def test_a_call_that_ends_before_is_never_ready() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)

    assert call(script, ear=SlowEar).of(SessionReady) == []


# --- who is listened to -----------------------------------------------------------------------------------


def test_a_bot_that_does_not_listen_while_it_speaks_is_not_interrupted() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five six seven eight", "")
        await scene.leg.silence(0.5)
        await scene.leg.speak(1.5)
        await scene.leg.silence(2.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.0)

    config = SessionConfig(endpointing=PLAIN, mute_while_speaking=True)
    scene = call(script, "after the bot", config=config)
    assert len(scene.of(BotFinished)) == 1
    assert scene.at(BotSpeaking) == scene.at(UserMuteStarted)
    assert scene.at(BotFinished) == scene.at(UserMuteStopped)
    assert len(scene.of(SpeechStarted)) == 1
    assert scene.at(SpeechStarted) > scene.at(BotFinished)
    assert [event.text for event in scene.of(UserMessage)] == ["after the bot"]


def test_who_speaks_on_when_the_bot_has_finished_is_heard_from_there() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three", "")
        await scene.leg.silence(0.3)
        await scene.leg.speak(3.0)
        await scene.leg.silence(1.0)

    scene = call(script, "the rest", config=SessionConfig(endpointing=PLAIN, mute_while_speaking=True))
    (started,) = scene.of(SpeechStarted)
    assert started.at - 1000.0 >= scene.at(BotFinished) - 0.03
    assert [event.text for event in scene.of(UserMessage)] == ["the rest"]


def test_mute_and_hold_are_told_with_their_reasons() -> None:
    async def script(scene: Scene) -> None:
        scene.session.mute()
        scene.session.hold()
        await scene.leg.silence(0.5)
        scene.session.unhold()
        scene.session.unmute()
        scene.session.hold()

    scene = call(script)
    assert [name for name in scene.names() if name != "AgentState"] == [
        "CallStarted", "CallMuted", "UserMuteStarted", "CallHeld", "UserMuteStarted", "UserMuteStopped", "CallUnheld",
        "UserMuteStopped", "CallUnmuted", "CallHeld", "UserMuteStarted", "UserMuteStopped", "CallEnded",
    ]  # fmt: skip
    assert [event.reason for event in scene.of(UserMuteStarted)] == ["muted", "held", "held"]
    assert [event.reason for event in scene.of(UserMuteStopped)] == ["held", "muted", "held"]


# --- who answers ------------------------------------------------------------------------------------------


def test_a_paused_model_says_nothing_and_the_agent_still_can() -> None:
    async def script(scene: Scene) -> None:
        scene.session.pause(on=True)
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.0)
        scene.session.saying.reply("m1", "I will help you", scene.session.saying.reply_to)
        await scene.leg.silence(2.0)
        scene.session.pause(on=False)
        await scene.leg.silence(1.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(3.0)

    config = SessionConfig(endpointing=PLAIN, holding_text="One moment.", holding_after_s=0.5)
    scene = call(script, "hello", "are you back", config=config, mind=FakeLlm("Yes."))
    assert len(scene.of(TurnEnd)) == 2
    assert [(event.turn.turn_id, event.reason) for event in scene.of(NoResponse)] == [(1, "paused")]
    assert [event.turn.turn_id for event in scene.of(LlmAsked)] == [2]
    assert [event.text for event in scene.of(MessageConfirmed)] == ["I will help you", "Yes."]


def test_what_is_being_said_is_finished() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.6)
        assert len(scene.of(BotSpeaking)) == 1
        assert scene.of(LlmAnswered) == []
        scene.session.pause(on=True)
        await scene.leg.silence(4.0)

    words = "One two three. Four five six seven eight nine ten."
    scene = call(
        script, "hello", config=SessionConfig(endpointing=PLAIN), mind=FakeLlm(Says(words, word_s=0.2))
    )
    assert [event.text for event in scene.of(MessageConfirmed)] == [words]


def test_a_paused_model_gets_no_tools_and_does_not_go_on() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.6)
        assert len(scene.of(BotSpeaking)) == 1
        scene.session.pause(on=True)
        await scene.leg.silence(6.0)

    mind = FakeLlm(
        asks(("clock", "{}"), text="One two three. Let me look at the clock for you."), "It is ten."
    )
    mind.script[0] = replace(mind.script[0], word_s=0.2)
    config = SessionConfig(endpointing=PLAIN, tools=(Tool(ToolSpec("clock")),))
    scene = call(script, "hello", config=config, mind=mind)
    assert not scene.of(ToolCallsRequested)
    assert not scene.of(ToolStarted)
    assert len(scene.of(LlmAsked)) == len(scene.of(BotFinished)) == 1


def test_a_tool_that_runs_is_finished_and_not_answered_to() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.5)
        (asked,) = scene.of(ToolCallsRequested)
        scene.session.pause(on=True)
        scene.session.answering.tool_result(
            asked.msg_id, [ToolResult(asked.calls[0].id, "ten", False, False)]
        )
        await scene.leg.silence(3.0)

    config = SessionConfig(endpointing=PLAIN, tools=(Tool(ToolSpec("clock")),))
    scene = call(script, "hello", config=config, mind=FakeLlm(asks(("clock", "{}")), "It is ten."))
    assert len(scene.of(ToolCompleted)) == len(scene.of(LlmAsked)) == 1
    assert scene.of(BotSpeaking) == []


@pytest.mark.parametrize("first_s", [0.02, 5.0])
def test_an_answer_that_nobody_has_heard_yet_is_dropped(first_s: float) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(0.45)
        assert len(scene.of(LlmAsked)) == 1
        assert scene.of(TurnEnd) == []
        scene.session.pause(on=True)
        await scene.leg.silence(8.0)

    scene = call(script, "hello", config=SessionConfig(endpointing=PLAIN), mind=FakeLlm(Says("Hi.", first_s)))
    assert scene.of(BotSpeaking) == []
    assert [event.reason for event in scene.of(NoResponse)] == ["paused"]
    assert len(scene.of(MessageAborted)) == (1 if first_s < 1 else 0)


def test_a_call_that_begins_paused_has_no_greeting() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(2.0)

    config = SessionConfig(endpointing=PLAIN, greeting="Hello.")
    scene = call(script, config=config, before=lambda session: session.pause(on=True))
    assert scene.of(BotSpeaking) == []
    assert scene.names()[0] == "CallStarted"
    assert len(call(script, config=config).of(BotSpeaking)) == 1
    asked = replace(config, preparing=Preparing(1500, opted_in=True))
    scene = call(script, config=asked, mind=FakeLlm(), before=lambda session: session.pause(on=True))
    assert scene.of(LlmBefore) == []


def test_who_takes_over_while_the_agent_gets_ready_is_not_greeted_over() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.5)
        scene.session.pause(on=True)
        await scene.leg.silence(3.0)

    config = SessionConfig(endpointing=PLAIN, greeting="Hello.", preparing=Preparing(1500, True))
    assert call(script, config=config, mind=FakeLlm()).of(BotSpeaking) == []


# --- music on hold ----------------------------------------------------------------------------------------

MUSIC = HoldMusic(np.full(80_000, 4000, np.int16), 8000)
"""No voice of these tests sounds like it."""


def heard(scene: Scene) -> Pcm:
    """What the caller heard, from the begin of the call, with the silence between."""
    end = max(round((piece.at - 1000.0) * 8000) + len(piece.pcm) for piece in scene.leg.stretches)
    out = np.zeros(end, np.int16)
    for piece in scene.leg.stretches:
        start = round((piece.at - 1000.0) * 8000)
        pcm = piece.pcm if piece.heard < 0 else piece.pcm[: piece.heard]
        assert not out[start : start + len(pcm)].any(), "heard at the same time as something else"
        out[start : start + len(pcm)] = pcm
    return out


def test_on_hold_the_caller_hears_music_which_comes_in_softly_and_is_gone_at_once() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        scene.session.hold()
        await scene.leg.silence(3.0)
        scene.session.unhold()
        await scene.leg.silence(1.0)

    scene = call(script, music=MUSIC)
    pcm = heard(scene)
    begin, end = round((scene.at(CallHeld)) * 8000), round(scene.at(CallUnheld) * 8000)
    assert not pcm[:begin].any()
    assert np.abs(pcm[begin : begin + 800]).max() < 1000
    assert (pcm[begin + 8000 : end - 160] == 4000).all()
    assert not pcm[end:].any()
    assert scene.of(BotSpeaking) == []
    assert len(scene.leg.stretches) < 60


def test_without_music_it_is_silent() -> None:
    async def script(scene: Scene) -> None:
        scene.session.hold()
        await scene.leg.silence(3.0)

    assert call(script).leg.stretches == []


def test_a_message_goes_on_after_the_music_where_it_was() -> None:
    words = "one two three four five six seven eight"

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", words, "")
        await scene.leg.silence(1.0)
        scene.session.hold()
        await scene.leg.silence(2.0)
        scene.session.unhold()
        await scene.leg.silence(4.0)

    plain, musical = call(script), call(script, music=MUSIC)
    assert plain.names() == musical.names()
    assert musical.of(BotFinished) == plain.of(BotFinished)
    assert [event.text for event in musical.of(MessageConfirmed)] == [words]
    assert (heard(musical) == 4000).sum() > 8000
    heard(musical)


def test_what_is_cancelled_on_hold_leaves_the_music_alone() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five six", "")
        await scene.leg.silence(1.0)
        scene.session.hold()
        await scene.leg.silence(1.0)
        scene.session.saying.cancel("m1")
        await scene.leg.silence(2.0)
        last = scene.leg.stretches[-1]
        assert last.at + len(last.pcm) / 8000 - asyncio.get_running_loop().time() <= 0.301
        scene.session.unhold()
        scene.session.saying.reply("m2", "back again", "")
        await scene.leg.silence(3.0)

    scene = call(script, music=MUSIC)
    assert [event.message_id for event in scene.of(BotFinished)] == ["m2"]
    pcm = heard(scene)
    assert (pcm[round(2.1 * 8000) : round(3.9 * 8000)] == 4000).all()


class Tape:
    """A recorder that keeps what it is given of the bot."""

    def __init__(self) -> None:
        self.pcm = np.zeros(8000 * 10, np.int16)

    format: RecordingFormat = "wav"
    channels: RecordingChannels = "stereo"
    paused = False

    def caller(self, start: int, pcm: Pcm) -> None: ...

    def pause(self, at: int) -> None: ...

    def resume(self, at: int) -> None: ...

    def bot(self, at: int, pcm: Pcm) -> None:
        self.pcm[at : at + len(pcm)] = pcm


def test_the_recording_has_the_music_as_it_was_heard() -> None:
    tape = Tape()

    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        scene.session.hold()
        await scene.leg.silence(3.0)
        scene.session.unhold()
        await scene.leg.silence(1.0)

    call(script, music=MUSIC, recorder=tape)
    places = np.flatnonzero(tape.pcm)
    assert 8000 <= places[0] <= 8000 + 480
    assert places[-1] == pytest.approx(4 * 8000, abs=320)
    assert (tape.pcm[2 * 8000 : round(3.9 * 8000)] == 4000).all()


def test_the_end_of_a_call_is_the_end_of_its_music() -> None:
    async def script(scene: Scene) -> None:
        scene.session.hold()
        await scene.leg.silence(1.0)

    scene = call(script, music=MUSIC)
    assert np.flatnonzero(heard(scene))[-1] <= 8000 + 320
