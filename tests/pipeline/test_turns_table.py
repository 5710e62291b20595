"""Rows and conditions of the table, one by one: no other test would miss them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.endpointing import Silence, TurnReason
from pipeline.events import CallUnheld, SpeechEnded, SpeechStarted, TurnEnd, UserMessage
from pipeline.turns import (
    BotCut,
    BotDone,
    BotStarted,
    CutBot,
    Echo,
    Heard,
    Hold,
    Mute,
    PauseBot,
    ResumeBot,
    TurnParams,
    Unhold,
    Unmute,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)
from tests.pipeline.test_turns import Talk


def talk(end_ms: int = 500, **changes: object) -> Talk:
    return Talk(replace(TurnParams(), **changes), Silence(end_ms))  # type: ignore[arg-type]


def voice(t: Talk, segment: int, start: float, until: float, **sound: float) -> None:
    """It begins, and has not ended."""
    t.segment = segment
    t.tell(start + 0.08, VoiceStarted(segment, start, 0.9))
    at = start + 0.1
    while at < until:
        t.tell(at, Voiced(at - 0.032, at, **sound))
        at += 0.032


def asked(t: Talk) -> None:
    """A turn that has ended, and nobody has answered."""
    t.voice(1.0, 2.0, "what time is it")
    t.until(3.0)
    assert t.state == "bot_pending"


def doubt(t: Talk, start: float = 5.0) -> None:
    """The bot speaks from 4.0 on and is paused; the voice is open."""
    t.bot(4.0)
    voice(t, t.segment + 1, start, start + 0.35)
    t.until(start + 0.35)
    assert t.state == "doubt"


def last_end(t: Talk) -> TurnEnd:
    end = t.of(TurnEnd)[-1][1]
    assert isinstance(end, TurnEnd)
    return end


# --- echoes -----------------------------------------------------------------------------------------------


def test_an_echo_that_outlives_the_bot_is_no_turn() -> None:
    t = talk()
    t.bot(1.0)
    voice(t, 1, 5.0, 5.2)
    t.done(5.2)
    t.tell(5.6, VoiceEnded(5.0, 5.3))
    assert t.state == "analysing"
    t.tell(5.65, Echo(1))
    assert t.state == "idle"
    t.tell(5.7, Heard(1, "ten past nine", 0.9, final=True))
    assert not t.of(UserMessage)


@pytest.mark.parametrize(("end_ms", "state"), [(500, "bot_pending"), (1500, "analysing")])
def test_an_echo_is_not_waited_for(end_ms: int, state: str) -> None:
    t = talk(end_ms)
    t.voice(1.0, 2.0, "hello", lag=0.0)
    voice(t, 2, 2.35, 2.5)
    t.tell(2.6, VoiceEnded(2.35, 2.55))
    t.tell(3.1, Echo(2))
    assert t.state == state
    t.until(9.0)
    assert last_end(t).text == "hello"


@pytest.mark.parametrize("open_", [True, False])
def test_the_words_of_an_echo_silence_nobody(open_: bool) -> None:
    t = talk()
    t.bot(1.0)
    voice(t, 1, 5.0, 5.2)
    if open_:
        t.tell(5.22, Echo(1))
    t.tell(5.22, VoiceEnded(5.0, 5.2))
    if not open_:
        t.tell(5.3, Echo(1))
    t.tell(5.5, Heard(1, "it is ten past nine", 0.9, final=True))
    t.done(7.0)
    t.until(9.0)
    assert not t.of(CutBot)
    assert not t.of(UserMessage)


def test_the_voice_of_an_echo_pauses_nobody_however_long_it_is() -> None:
    t = talk()
    t.bot(1.0)
    voice(t, 1, 5.0, 5.2)
    t.tell(5.2, Echo(1))
    for step in range(40):
        at = 5.22 + step * 0.032
        t.tell(at, Voiced(at - 0.032, at))
    assert not t.of(PauseBot)


def test_an_echo_that_is_found_when_it_is_over_lets_the_bot_go_on() -> None:
    t = talk()
    doubt(t)
    t.tell(5.7, VoiceEnded(5.0, 5.4))
    t.tell(5.75, Echo(1))
    assert t.of(ResumeBot)
    assert t.state == "bot_speaking"


def test_the_echo_of_an_earlier_voice_says_nothing_of_the_one_that_is_open() -> None:
    t = talk()
    doubt(t)
    t.tell(5.7, VoiceEnded(5.0, 5.4))
    voice(t, 2, 5.8, 5.95)
    t.tell(5.95, Echo(1))
    assert t.state == "doubt"
    assert not t.of(ResumeBot)


# --- doubt ------------------------------------------------------------------------------------------------


def test_a_voice_that_becomes_loud_late_pauses_the_bot_then() -> None:
    t = talk()
    t.bot(1.0)
    voice(t, 1, 5.0, 5.6, volume=0.1)
    assert not t.of(PauseBot)
    t.tell(5.63, Voiced(5.6, 5.63, 0.9, 0.9))
    assert t.state == "doubt"


def test_a_backchannel_that_is_understood_while_it_is_said_lets_the_bot_go_on_at_its_end() -> None:
    t = talk()
    doubt(t)
    t.tell(5.4, Heard(1, "mhm", 0.9, final=True))
    assert t.state == "doubt"
    t.tell(5.7, VoiceEnded(5.0, 5.4))
    assert t.of(ResumeBot)[0][0] == pytest.approx(5.7)
    assert t.state == "bot_speaking"


def test_a_bot_that_finishes_as_it_is_to_be_paused_leaves_the_floor_to_the_voice() -> None:
    t = talk()
    doubt(t)
    t.done(5.36)
    assert t.state == "listening"
    t.tell(6.3, VoiceEnded(5.0, 6.0))
    t.tell(6.4, Heard(1, "now listen", 0.9, final=True))
    t.until(9.0)
    assert last_end(t).text == "now listen"


@pytest.mark.parametrize(("answered", "state"), [(True, "idle"), (False, "bot_pending")])
def test_a_bot_that_finishes_in_doubt_waits_for_the_words_in_silence(answered: bool, state: str) -> None:
    t = talk()
    asked(t)
    doubt(t)
    t.tell(5.7, VoiceEnded(5.0, 5.4))
    t.bot_since = None
    t.tell(5.71, BotDone(answered=answered))
    assert t.state == state
    t.tell(5.8, Heard(2, "tell me", 0.9, final=True))
    t.until(9.0)
    assert last_end(t).text == ("tell me" if answered else "what time is it tell me")


def test_what_answers_the_bots_question_counts_though_it_finished_in_doubt() -> None:
    t = talk()
    t.machine.question = "Shall I book it?"
    doubt(t)
    t.tell(5.7, VoiceEnded(5.0, 5.4))
    voice(t, 2, 5.8, 5.9)
    t.tell(5.95, Heard(1, "yeah", 0.9, final=True))
    t.tell(6.0, VoiceEnded(5.8, 5.9))
    assert t.state == "doubt"
    t.done(6.05)
    assert t.state == "analysing"
    t.tell(6.1, Heard(2, "", 0.0, final=True))
    t.until(9.0)
    assert last_end(t).text == "yeah"


def test_an_agent_that_cancels_in_doubt_gives_the_floor_back() -> None:
    t = talk()
    doubt(t)
    t.tell(5.7, VoiceEnded(5.0, 5.4))
    t.bot_since = None
    t.tell(5.75, BotCut(1300, by_user=False))
    assert t.state == "idle"
    t.tell(5.8, Heard(1, "hold on", 0.9, final=True))
    t.until(9.0)
    assert last_end(t).text == "hold on"


def test_hold_in_doubt_keeps_the_bot_silent_until_it_is_over() -> None:
    t = talk()
    doubt(t)
    t.tell(5.36, VoiceEnded(5.0, 5.36))
    t.tell(5.36, Hold())
    t.tell(5.5, Heard(1, "mhm", 0.9, final=True))
    t.until(9.0)
    assert not t.of(ResumeBot)
    assert t.state == "held"
    t.tell(9.0, Unhold())
    assert [type(out) for _, out in t.log[-2:]] == [CallUnheld, ResumeBot]


# --- mute and hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on", "off"), [(Mute(), Unmute()), (Hold(), Unhold())])
def test_a_turn_that_waits_for_its_answer_still_does_afterwards(on: object, off: object) -> None:
    t = talk()
    asked(t)
    t.tell(3.5, on)
    assert t.state in ("muted", "held")
    assert t.floor_free() is (t.state == "muted")
    t.tell(4.0, off)
    assert t.state == "bot_pending"


def test_hold_ends_the_turn_with_what_was_said() -> None:
    t = talk(1500)
    t.voice(1.0, 2.0, "book a table and")
    t.tell(2.5, Hold())
    assert t.state == "held"
    assert (last_end(t).text, last_end(t).reason) == ("book a table and", TurnReason.FORCED)
    t.tell(4.0, Unhold())
    assert t.state == "bot_pending"


def test_words_owed_before_hold_end_their_turn_in_it() -> None:
    t = talk()
    voice(t, 1, 1.0, 2.0)
    t.tell(2.0, VoiceEnded(1.0, 2.0))
    t.tell(2.0, Hold())
    t.tell(2.3, Heard(1, "book a table", 0.9, final=True))
    assert last_end(t).text == "book a table"
    assert t.state == "held"


def test_words_that_are_owed_when_a_call_is_taken_off_hold_are_waited_for() -> None:
    t = talk()
    voice(t, 1, 1.0, 2.0)
    t.tell(2.0, VoiceEnded(1.0, 2.0))
    t.tell(2.0, Hold())
    t.tell(2.2, Unhold())
    assert t.state == "analysing"
    t.tell(2.3, Heard(1, "book a table", 0.9, final=True))
    t.until(9.0)
    assert last_end(t).text == "book a table"


def test_speech_of_a_held_caller_has_its_end() -> None:
    t = talk()
    t.tell(1.0, Hold())
    voice(t, 1, 2.0, 2.5)
    t.tell(2.9, VoiceEnded(2.0, 2.6))
    t.tell(2.9, Heard(1, "", 0.0, final=True))
    assert [type(out) for _, out in t.log[-2:]] == [SpeechStarted, SpeechEnded]
    t.tell(4.0, Unhold())
    assert t.state == "idle"


@pytest.mark.parametrize("on", [Mute(), Hold()])
def test_a_bot_that_is_silenced_meanwhile_does_not_go_on(on: object) -> None:
    t = talk()
    asked(t)
    t.bot(3.0)
    t.tell(4.0, on)
    t.bot_since = None
    t.tell(5.0, BotCut(1000, by_user=False))
    t.tell(6.0, Unmute() if isinstance(on, Mute) else Unhold())
    assert not t.of(ResumeBot)
    assert t.state == "idle"
    assert t.floor_free()


def test_a_bot_that_finishes_as_it_is_held_does_not_go_on() -> None:
    t = talk()
    t.bot(1.0)
    t.tell(2.0, Hold())
    t.bot_since = None
    t.tell(2.0, BotDone())
    t.tell(3.0, Unhold())
    assert not t.of(ResumeBot)
    assert t.state == "idle"


def test_who_is_muted_while_the_bot_speaks_does_not_interrupt_it() -> None:
    t = talk()
    t.bot(1.0)
    t.tell(2.0, Mute())
    assert t.state == "muted"
    t.voice(3.0, 5.0, "stop please stop")
    t.done(7.0)
    t.tell(8.0, Unmute())
    t.until(12.0)
    assert not t.of(PauseBot)
    assert not t.of(UserMessage)


# --- which turn speech over the bot belongs to -------------------------------------------------------------


@pytest.mark.parametrize(("ends", "turn_id"), [(None, 1), (3.6, 1), (3.45, 2)])
def test_speech_over_a_bot_that_will_have_finished_is_announced_with_the_next_turn(
    ends: float | None, turn_id: int
) -> None:
    t = talk()
    asked(t)
    t.bot(3.0)
    t.tell(3.28, VoiceStarted(2, 3.2, 0.9, ends))
    started = t.of(SpeechStarted)[-1][1]
    assert isinstance(started, SpeechStarted)
    assert started.turn.turn_id == turn_id


def test_speech_over_a_second_message_is_announced_with_the_next_turn() -> None:
    t = talk()
    asked(t)
    t.bot(3.0)
    t.done(3.5)
    t.tell(3.5, BotStarted(3.5))
    t.tell(3.78, VoiceStarted(2, 3.7, 0.9))
    started = t.of(SpeechStarted)[-1][1]
    assert isinstance(started, SpeechStarted)
    assert started.turn.turn_id == 2
