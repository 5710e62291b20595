"""The turn machine where it is not sure: pauses of the user, voices over the bot, and a user not listened to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from pipeline.endpointing import Evidence, Native, Prosody, TurnReason, Verdict
from pipeline.errors import IllegalTransition
from pipeline.events import (
    CallHeld,
    CallMuted,
    CallUnheld,
    CallUnmuted,
    EagerTurn,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    TurnPause,
    TurnResumed,
    UserMessage,
)
from pipeline.turns import (
    MAX_DOUBTS,
    TABLE,
    BotCut,
    BotStarted,
    CutBot,
    Echo,
    Heard,
    Hold,
    Mute,
    PauseBot,
    ProviderTurn,
    ResumeBot,
    Sounded,
    State,
    TurnParams,
    Unhold,
    Unmute,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)
from pipeline.turns.diagram import BEGIN, PAGE, mermaid, renewed
from tests.pipeline.test_turns import Talk

PARAMS = TurnParams()


@dataclass
class Knows:
    """A judge that takes a turn for complete by its last word, or by the model."""

    seen: list[Evidence]

    def judge(self, evidence: Evidence) -> Verdict:
        self.seen.append(evidence)
        if evidence.model is not None:
            done = evidence.model > 0.5
            return Verdict(evidence.model, 300 if done else 900, 350 if done else 1200, TurnReason.MODEL)
        if evidence.text.endswith("and"):
            return Verdict(0.1, 900, 1200, TurnReason.TRANSCRIPT)
        return Verdict(0.9, 300, 350, TurnReason.TRANSCRIPT)

    def probability(self, evidence: Evidence, silence_ms: float) -> float:
        return min(1.0, silence_ms / 1300)


def talk(params: TurnParams = PARAMS) -> Talk:
    return Talk(params, Knows([]))


def last(talk: Talk, kind: type) -> object:
    return talk.of(kind)[-1][1]


# --- the end of a turn ------------------------------------------------------------------------------------


def test_a_finished_sentence_ends_the_turn_as_soon_as_its_words_are_there() -> None:
    t = talk()
    t.voice(1.0, 2.0, "book a table", lag=0.06)
    t.until(9.0)
    assert t.names() == ["SpeechStarted", "SpeechEnded", "UserMessage", "EagerTurn", "TurnEnd"]
    end = last(t, TurnEnd)
    assert isinstance(end, TurnEnd)
    assert (end.reason, end.latency_ms) == (TurnReason.TRANSCRIPT, 360)
    assert t.of(TurnEnd)[0][0] == pytest.approx(2.36)


def test_an_unfinished_one_is_told_as_a_pause_and_costs_its_patience() -> None:
    t = talk()
    t.voice(1.0, 2.0, "book a table and", lag=0.1)
    t.until(9.0)
    assert t.names()[2:] == ["UserMessage", "TurnPause", "EagerTurn", "TurnEnd"]
    (at, pause), (eager_at, _), (end_at, _) = (t.of(kind)[0] for kind in (TurnPause, EagerTurn, TurnEnd))
    assert isinstance(pause, TurnPause)
    assert (round(at, 3), round(eager_at, 3), round(end_at, 3)) == (2.4, 2.9, 3.2)
    assert pause.latency_ms == 400
    assert pause.probability == pytest.approx(0.308, abs=0.001)


def test_who_goes_on_after_a_pause_has_taken_nothing_back() -> None:
    t = talk()
    t.voice(1.0, 2.0, "book a table and", lag=0.1)
    t.voice(2.8, 3.5, "a room", lag=0.1)
    t.until(9.0)
    assert t.names() == [
        "SpeechStarted", "SpeechEnded", "UserMessage", "TurnPause", "SpeechStarted", "TurnResumed",
        "SpeechEnded", "UserMessage", "EagerTurn", "TurnEnd",
    ]  # fmt: skip
    at, resumed = t.of(TurnResumed)[0]
    assert at == pytest.approx(3.0)  # 200 ms of voice
    assert isinstance(resumed, TurnResumed)
    messages = {message.message_id for _, message in t.of(UserMessage) if isinstance(message, UserMessage)}
    assert len(messages) == 1
    end = last(t, TurnEnd)
    assert isinstance(end, TurnEnd)
    assert end.text == "book a table and a room"


def test_a_short_word_after_a_pause_resumes_the_turn_too() -> None:
    t = talk()
    t.voice(1.0, 2.0, "book a table and")
    t.voice(2.6, 2.75, "uh and")
    t.until(9.0)
    assert [name for name in t.names() if name.startswith("Turn")] == [
        "TurnPause", "TurnResumed", "TurnPause", "TurnEnd"
    ]  # fmt: skip


def test_the_callers_pauses_are_learned_and_so_is_what_was_asked() -> None:
    t = talk()
    judge = t.machine.judge
    assert isinstance(judge, Knows)
    t.machine.question = "What is your name?"
    t.voice(1.0, 2.0, "it is and", lag=0.1)
    t.voice(2.8, 3.5, "paul", lag=0.1)
    t.until(9.0)
    evidence = judge.seen[-1]
    assert evidence.pauses_ms == (800,)
    assert evidence.question == "What is your name?"
    assert evidence.voice_ms == 1700
    assert evidence.final


def test_a_pause_in_which_he_was_cut_off_is_learned() -> None:
    t = talk(replace(PARAMS, pause_first=False))
    judge = t.machine.judge
    assert isinstance(judge, Knows)
    t.voice(1.0, 2.0, "book a table")
    t.until(2.5)
    t.bot(2.5)
    t.voice(2.9, 4.0, "for two please")
    t.until(9.0)
    assert judge.seen[-1].pauses_ms == (900,)


def test_what_a_model_hears_moves_the_end() -> None:
    t = talk()
    t.voice(1.0, 2.0, "book a table and", lag=0.05)
    t.tell(2.45, Sounded(Prosody(pitch=-3.0), model=0.9))
    t.until(9.0)
    assert t.of(TurnEnd)[0][0] == pytest.approx(2.45)
    end = last(t, TurnEnd)
    assert isinstance(end, TurnEnd)
    assert end.reason == TurnReason.MODEL
    judge = t.machine.judge
    assert isinstance(judge, Knows)
    assert judge.seen[-1].prosody == Prosody(pitch=-3.0)


def test_what_a_model_says_of_an_earlier_silence_is_forgotten_when_he_goes_on() -> None:
    t = talk()
    t.voice(1.0, 2.0, "book a table and", lag=0.05)
    t.tell(2.35, Sounded(model=0.1))
    t.voice(2.8, 3.5, "a room", lag=0.05)
    t.tell(9.0, Sounded(model=0.9))  # It is over by then.
    judge = t.machine.judge
    assert isinstance(judge, Knows)
    assert judge.seen[-1].model is None
    assert len(t.of(TurnEnd)) == 1


def test_a_model_may_answer_before_the_segment_ends() -> None:
    t = talk()
    t.tell(1.08, VoiceStarted(1, 1.0, 0.9))
    t.tell(2.26, Sounded(model=0.2))
    t.tell(2.3, VoiceEnded(1.0, 2.0))
    t.tell(2.31, Heard(1, "book a table", 0.9, final=True))
    assert t.state == "analysing"
    assert t.of(TurnPause)


@pytest.mark.parametrize("before", [True, False])
def test_a_recogniser_may_say_itself_that_the_turn_is_over(before: bool) -> None:
    t = Talk(PARAMS, Native())
    t.tell(1.08, VoiceStarted(1, 1.0, 0.9))
    if before:
        t.tell(2.2, ProviderTurn("eager", 0.6))
    t.tell(2.3, VoiceEnded(1.0, 2.0))
    t.tell(2.35, Heard(1, "hello", 0.9, final=True))
    if not before:
        assert t.state == "analysing"
        t.tell(2.36, ProviderTurn("eager", 0.6))
    t.tell(2.7, ProviderTurn("end", 0.9))
    t.until(9.0)
    eager, end = last(t, EagerTurn), last(t, TurnEnd)
    assert isinstance(eager, EagerTurn)
    assert isinstance(end, TurnEnd)
    assert (eager.reason, eager.probability) == (TurnReason.PROVIDER, 0.6)
    assert (end.reason, end.probability, end.latency_ms) == (TurnReason.PROVIDER, 0.9, 700)


def test_a_recogniser_that_said_eager_is_waited_for_without_asking_the_clock_all_the_time() -> None:
    t = talk()
    t.tell(1.08, VoiceStarted(1, 1.0, 0.9))
    t.tell(2.2, ProviderTurn("eager", 0.6))
    t.tell(2.3, VoiceEnded(1.0, 2.0))
    t.tell(2.35, Heard(1, "book a table", 0.9, final=True))
    assert t.of(EagerTurn)
    assert t.machine.deadline == pytest.approx(5.0)
    assert t.machine.tick(2.5) == []


def test_a_recogniser_may_take_its_eager_signal_back() -> None:
    t = Talk(PARAMS, Native())
    t.voice(1.0, 2.0, "hello")
    t.tell(2.45, ProviderTurn("eager", 0.6))
    t.tell(2.6, ProviderTurn("resumed", 0.1))
    assert t.names()[-2:] == ["TurnContinued", "DiscardReply"]
    t.until(9.0)
    end = last(t, TurnEnd)  # It never said more: after the longest silence the turn ends all the same.
    assert isinstance(end, TurnEnd)
    assert (end.reason, end.latency_ms) == (TurnReason.FORCED, 3000)


def test_a_voice_too_short_for_a_word_is_no_turn() -> None:
    t = talk(replace(PARAMS, min_speech_ms=250))
    t.voice(1.0, 1.2, "the")
    t.until(9.0)
    assert t.names() == ["SpeechStarted", "SpeechEnded"]
    assert t.state == "idle"
    t.voice(10.0, 10.3, "yes")
    t.until(19.0)
    assert t.of(TurnEnd)


def test_a_quiet_voice_takes_no_signal_back() -> None:
    t = talk(replace(PARAMS, resume_volume=0.5))
    t.voice(1.0, 2.0, "book a table")
    t.until(2.5)
    t.tell(2.58, VoiceStarted(2, 2.5, 0.9))
    for step in range(30):
        t.tell(2.6 + step * 0.032, Voiced(2.568 + step * 0.032, 2.6 + step * 0.032, 0.9, 0.3))
    assert not t.of(TurnContinued)
    t.tell(3.6, Voiced(3.568, 3.6, 0.9, 0.6))
    assert t.of(TurnContinued)


# --- a voice over the bot ---------------------------------------------------------------------------------


def test_a_voice_over_the_bot_pauses_it_and_cuts_it_off_when_it_goes_on() -> None:
    t = talk()
    t.bot(1.0)
    t.voice(5.0, 6.5, "that is not what I asked")
    t.until(9.0)
    assert [name for name in t.names() if name.endswith("Bot")] == ["PauseBot", "CutBot"]
    assert t.of(PauseBot)[0][0] == pytest.approx(5.3)
    assert t.of(CutBot)[0][0] == pytest.approx(6.0)


@pytest.mark.parametrize("text", ["mhm", "uh-huh, right", ""])
def test_a_voice_that_says_nothing_lets_the_bot_go_on(text: str) -> None:
    t = talk()
    t.bot(1.0)
    t.voice(5.0, 5.5, text)
    t.until(9.0)
    assert [name for name in t.names() if name.endswith("Bot")] == ["PauseBot", "ResumeBot"]
    assert t.of(ResumeBot)[0][0] == pytest.approx(5.9)
    assert t.state == "bot_speaking"
    t.done(12.0)
    t.until(20.0)
    assert not t.of(TurnEnd)


@pytest.mark.parametrize("text", ["stop", "no", "what"])
def test_one_word_that_says_something_is_enough_where_the_bot_has_paused(text: str) -> None:
    t = talk()
    t.bot(1.0)
    t.voice(5.0, 5.5, text)
    t.until(9.0)
    assert [name for name in t.names() if name.endswith("Bot")] == ["PauseBot", "CutBot"]
    assert t.of(CutBot)[0][0] == pytest.approx(5.9)
    end = last(t, TurnEnd)
    assert isinstance(end, TurnEnd)
    assert end.text == text


def test_the_words_are_waited_for_a_second() -> None:
    t = talk()
    t.bot(1.0)
    t.voice(5.0, 5.5, None)
    t.until(6.6)
    assert t.of(ResumeBot)[0][0] == pytest.approx(6.5)
    t.tell(7.0, Heard(1, "hold on please", 0.9, final=True))
    assert t.of(CutBot)[0][0] == pytest.approx(7.0)
    end = last(t, TurnEnd)
    assert isinstance(end, TurnEnd)
    assert end.text == "hold on please"


def test_interim_words_pause_the_bot_before_the_voice_has_lasted() -> None:
    t = talk()
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    t.tell(5.12, Voiced(5.08, 5.12))
    t.tell(5.13, Heard(1, "uh huh", 0.5, final=False))
    assert not t.of(PauseBot)
    t.tell(5.14, Heard(1, "hold on", 0.5, final=False))
    assert t.of(PauseBot)
    for step in range(5):
        t.tell(5.16 + step * 0.032, Voiced(5.13 + step * 0.032, 5.16 + step * 0.032))
    t.until(5.4)
    assert t.of(CutBot)[0][0] == pytest.approx(5.3)


def test_interim_words_cut_a_paused_bot_off() -> None:
    t = talk()
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    for step in range(11):
        t.tell(5.1 + step * 0.032, Voiced(5.07 + step * 0.032, 5.1 + step * 0.032))
    assert t.state == "doubt"
    t.tell(5.45, Heard(1, "no wait", 0.5, final=False))
    assert t.of(CutBot)[0][0] == pytest.approx(5.45)


def test_he_speaks_again_while_his_words_are_waited_for() -> None:
    t = talk()
    t.bot(1.0)
    t.voice(5.0, 5.4, None)
    assert t.state == "doubt"
    t.voice(5.9, 6.5, "are you there")
    t.until(9.0)
    assert t.of(CutBot)[0][0] == pytest.approx(6.2)


@pytest.mark.parametrize(("probability", "volume"), [(0.5, 1.0), (0.9, 0.3)])
def test_a_voice_that_is_unsure_or_quiet_does_not_silence_the_bot(probability: float, volume: float) -> None:
    t = talk()
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    for step in range(40):
        t.tell(5.1 + step * 0.032, Voiced(5.07 + step * 0.032, 5.1 + step * 0.032, probability, volume))
    assert not t.of(PauseBot)
    t.tell(6.6, VoiceEnded(5.0, 6.38))
    t.tell(6.7, Heard(1, "but its words do", 0.9, final=True))
    assert t.of(CutBot)


def test_a_noisy_room_does_not_chop_a_message_up() -> None:
    t = talk()
    t.bot(1.0)
    for number in range(6):
        t.voice(3.0 + number * 3, 3.5 + number * 3, "")
    t.until(30.0)
    assert len(t.of(PauseBot)) == len(t.of(ResumeBot)) == MAX_DOUBTS
    t.voice(31.0, 32.5, "now it is me")
    assert t.of(CutBot)[0][0] == pytest.approx(32.0)


@pytest.mark.parametrize(("least", "cuts"), [(0.35, 0), (0.0, 1)])
def test_talk_in_the_background_is_no_interruption(least: float, cuts: int) -> None:
    t = talk(replace(PARAMS, interrupt_volume=least, interrupt_ms=2000))
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    for step in range(20):
        t.tell(5.1 + step * 0.032, Voiced(5.07 + step * 0.032, 5.1 + step * 0.032, 0.9, 0.2))
    t.tell(6.1, VoiceEnded(5.0, 5.8))
    t.tell(6.2, Heard(1, "dinner is ready", 0.9, final=True))
    assert len(t.of(CutBot)) == cuts


def test_what_was_heard_before_a_pause_counts_for_the_two_seconds() -> None:
    t = talk()
    t.voice(1.0, 2.0, "count to ten")
    t.until(3.0)
    t.bot(3.0)
    t.voice(4.0, 4.4, "mhm")  # heard 1.3 s, silent until 4.8
    t.voice(5.0, 7.0, "stop it now")  # heard 0.5 s more
    t.until(12.0)
    ((_, cut),) = t.of(CutBot)
    assert isinstance(cut, CutBot)
    assert t.of(TurnContinued)
    started, end = last(t, SpeechStarted), last(t, TurnEnd)
    assert isinstance(started, SpeechStarted)
    assert isinstance(end, TurnEnd)
    assert started.turn.turn_id == end.turn.turn_id == 1


def test_a_message_that_must_be_heard_is_not_silenced_and_nothing_said_over_it_is_lost() -> None:
    t = talk()
    t.tell(1.0, BotStarted(1.0, interruptible=False))
    t.bot_since = 1.0
    t.voice(3.0, 5.0, "but I want to say something")
    t.done(8.0)
    t.until(9.0)
    assert not t.of(PauseBot)
    assert not t.of(CutBot)
    end = last(t, TurnEnd)
    assert isinstance(end, TurnEnd)
    assert end.text == "but I want to say something"


def test_without_the_filter_a_backchannel_interrupts() -> None:
    t = talk(replace(PARAMS, backchannel_filter=False))
    t.bot(1.0)
    t.voice(5.0, 5.5, "mhm")
    t.until(9.0)
    assert t.of(CutBot)


# --- the bot's own voice ----------------------------------------------------------------------------------


def test_an_echo_resumes_the_bot_and_says_nothing() -> None:
    t = talk()
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    for step in range(10):
        t.tell(5.1 + step * 0.032, Voiced(5.07 + step * 0.032, 5.1 + step * 0.032))
    t.until(5.39)
    assert t.state == "doubt"
    t.tell(5.4, Echo(1))
    assert t.of(ResumeBot)
    t.tell(5.4, VoiceEnded(5.0, 5.4))
    t.tell(5.6, Heard(1, "it is ten past nine", 0.9, final=True))
    t.done(7.0)
    t.until(12.0)
    assert not t.of(CutBot)
    assert not t.of(TurnEnd)
    assert not t.of(UserMessage)
    assert len(t.of(SpeechEnded)) == 1


def test_the_echo_of_the_last_word_is_no_turn() -> None:
    t = talk()
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    t.done(5.2)
    assert t.state == "listening"
    t.tell(5.4, Echo(1))
    t.tell(5.4, VoiceEnded(5.0, 5.4))
    t.tell(5.5, Heard(1, "nine", 0.9, final=True))
    t.until(12.0)
    assert t.state == "idle"
    assert not t.of(UserMessage)


# --- mute and hold ----------------------------------------------------------------------------------------


def test_what_a_muted_user_says_is_kept_and_is_no_turn() -> None:
    t = talk()
    t.tell(1.0, Mute())
    t.voice(2.0, 3.0, "are you there")
    t.voice(4.0, 5.0, "hello")
    t.tell(6.0, Unmute())
    t.until(9.0)
    assert t.names() == [
        "CallMuted", "SpeechStarted", "SpeechEnded", "SpeechStarted", "SpeechEnded", "CallUnmuted",
    ]  # fmt: skip
    unmuted = last(t, CallUnmuted)
    assert isinstance(unmuted, CallUnmuted)
    assert unmuted.muted_transcript == "are you there hello"
    t.voice(10.0, 11.0, "now it counts")
    t.until(12.0)
    assert t.of(TurnEnd)


def test_what_a_muted_user_said_last_is_waited_for_and_is_no_turn() -> None:
    t = talk()
    t.tell(1.0, Mute())
    t.tell(2.08, VoiceStarted(1, 2.0, 0.9))
    t.tell(2.9, Heard(1, "a secret", 0.5, final=False))
    t.tell(3.0, VoiceEnded(2.0, 3.0))
    t.tell(3.0, Unmute())
    assert not t.of(CallUnmuted)
    t.tell(3.3, Heard(1, "a secret word", 0.9, final=True))
    t.until(9.0)
    assert [out for _, out in t.of(CallUnmuted)] == [CallUnmuted("a secret word")]
    assert not t.of(UserMessage)


@pytest.mark.parametrize("speaks", [True, False])
def test_it_is_told_before_what_he_says_next_and_not_waited_for_too_long(speaks: bool) -> None:
    t = talk()
    t.tell(1.0, Mute())
    t.tell(2.08, VoiceStarted(1, 2.0, 0.9))
    t.tell(2.9, Heard(1, "a secret", 0.5, final=False))
    t.tell(3.0, VoiceEnded(2.0, 3.0))
    t.tell(3.0, Unmute())
    if speaks:
        t.tell(3.2, VoiceStarted(2, 3.1, 0.9))
        t.tell(3.6, Heard(2, "hello", 0.5, final=False))
    t.until(4.51)
    ((at, told),) = t.of(CallUnmuted)
    assert (round(at, 3), told) == (3.6 if speaks else 4.5, CallUnmuted("a secret"))
    t.tell(5.0, Heard(1, "a secret word", 0.9, final=True))
    assert len(t.of(CallUnmuted)) == 1
    assert not t.of(UserMessage)


def test_mute_ends_the_turn_with_what_was_said() -> None:
    t = talk()
    t.voice(1.0, 2.0, "book a table and", lag=0.1)
    t.tell(2.5, Mute())
    assert [type(out) for _, out in t.log[-3:]] == [EagerTurn, TurnEnd, CallMuted]
    end = last(t, TurnEnd)
    assert isinstance(end, TurnEnd)
    assert (end.text, end.reason) == ("book a table and", TurnReason.FORCED)
    t.bot(2.6)
    t.done(4.0)
    t.tell(5.0, Unmute())
    assert t.state == "idle"


def test_words_that_were_still_owed_end_the_turn_of_a_muted_user() -> None:
    t = talk()
    t.tell(1.08, VoiceStarted(1, 1.0, 0.9))
    t.tell(2.0, VoiceEnded(1.0, 2.0))
    t.tell(2.0, Mute())
    t.tell(2.3, Heard(1, "book a table", 0.9, final=True))
    assert [type(out) for _, out in t.log[-3:]] == [UserMessage, EagerTurn, TurnEnd]
    assert t.state == "muted"
    t.tell(3.0, Unmute())
    assert t.state == "bot_pending"


def test_a_muted_user_does_not_interrupt() -> None:
    t = talk()
    t.tell(1.0, Mute())
    t.bot(2.0)
    assert not t.floor_free()
    t.voice(3.0, 5.0, "stop please stop")
    t.tell(6.0, Unmute())
    assert t.state == "bot_speaking"
    t.done(7.0)
    t.until(9.0)
    assert not t.of(PauseBot)
    assert not t.of(TurnEnd)


def test_mute_in_doubt_lets_the_bot_go_on() -> None:
    t = talk()
    t.bot(1.0)
    t.voice(5.0, 5.4, None)
    assert t.state == "doubt"
    t.tell(5.8, Mute())
    assert [type(out) for _, out in t.log[-2:]] == [ResumeBot, CallMuted]
    t.done(7.0)
    assert t.floor_free()


def test_hold_pauses_the_bot_and_the_call_goes_on_where_it_was() -> None:
    t = talk()
    t.bot(1.0)
    t.tell(2.0, Hold())
    assert [type(out) for _, out in t.log] == [PauseBot, CallHeld]
    assert not t.floor_free()
    t.voice(3.0, 4.0, "")
    t.tell(6.0, Unhold())
    assert [type(out) for _, out in t.log[-2:]] == [CallUnheld, ResumeBot]
    assert t.state == "bot_speaking"


def test_a_muted_call_that_was_held_is_still_muted() -> None:
    t = talk()
    t.tell(1.0, Mute())
    t.tell(2.0, Hold())
    t.tell(3.0, Unhold())
    assert t.state == "muted"
    assert [type(out) for _, out in t.log] == [CallMuted, CallHeld, CallUnheld]


def test_a_held_call_may_be_muted_and_unmuted() -> None:
    t = talk()
    t.tell(1.0, Hold())
    t.tell(2.0, Mute())
    t.tell(3.0, Unhold())
    assert t.state == "muted"
    t.tell(4.0, Hold())
    t.tell(5.0, Unmute())
    t.tell(6.0, Unhold())
    assert t.state == "idle"
    assert [type(out) for _, out in t.log] == [
        CallHeld, CallMuted, CallUnheld, CallHeld, CallUnmuted, CallUnheld,
    ]  # fmt: skip


def test_an_agent_may_cancel_its_bot_while_the_call_is_held() -> None:
    t = talk()
    t.voice(1.0, 2.0, "hello")
    t.until(2.6)
    t.bot(2.6)
    t.tell(5.0, Hold())
    t.bot_since = None
    t.tell(6.0, BotCut(2400, by_user=False))
    t.tell(7.0, Unhold())
    assert not t.of(ResumeBot)
    assert t.state == "idle"


# --- the table --------------------------------------------------------------------------------------------


def test_an_event_that_leads_where_the_table_does_not_is_an_error() -> None:
    t = talk()
    row = TABLE[State.IDLE, VoiceStarted]
    wrong = replace(row, targets=frozenset({State.IDLE}))
    TABLE[State.IDLE, VoiceStarted] = wrong
    try:
        with pytest.raises(IllegalTransition, match="VoiceStarted led to listening"):
            t.tell(1.0, VoiceStarted(1, 0.9, 0.9))
    finally:
        TABLE[State.IDLE, VoiceStarted] = row


def test_each_state_can_be_reached_and_left() -> None:
    ways = {(state, target) for (state, _), row in TABLE.items() for target in row.targets if target != state}
    assert {state for state, _ in ways} == {target for _, target in ways} == set(State)


def test_the_drawing_is_that_of_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "run: python -m pipeline.turns.diagram"
    assert "  overlap --> doubt: " in mermaid()


def test_a_page_without_a_place_for_the_drawing_is_refused() -> None:
    with pytest.raises(ValueError, match=BEGIN):
        renewed("# Architecture")
