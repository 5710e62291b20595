"""What follows from events, one by one: no session, no clock but the numbers written here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.endpointing import TurnReason
from pipeline.events import (
    AgentState,
    BargeIn,
    BotFinished,
    BotInterrupted,
    BotOutput,
    BotSpeaking,
    BotWord,
    EagerTurn,
    EngineFault,
    Event,
    LlmAnswered,
    LlmAsked,
    LlmReasoned,
    MessageConfirmed,
    SpeechEnded,
    SpeechStarted,
    TtsStarted,
    TtsStopped,
    TurnCompleted,
    TurnContinued,
    TurnEnd,
    TurnMetrics,
    TurnRef,
    TurnStarted,
    UserMessage,
)
from pipeline.turnlog import MAX_SEGMENTS, Switches, TurnLog

ONE, TWO, FOUR = TurnRef(1, "a"), TurnRef(2, "b"), TurnRef(4, "d")
SILENCE = TurnReason.SILENCE


def log(**switches: object) -> TurnLog:
    return TurnLog(Switches(**switches))  # type: ignore[arg-type]


def said(turn: TurnRef = ONE, segment_id: int = 1) -> UserMessage:
    return UserMessage(turn, "u1", "hello", 0.9, (segment_id,))


def ended(turn: TurnRef = ONE, latency_ms: int = 400) -> TurnEnd:
    return TurnEnd(turn, "u1", "hello", 0.9, latency_ms, SILENCE)


def cut(turn: TurnRef | None, message_id: str, played_ms: int, reason: str) -> BotInterrupted:
    return BotInterrupted(turn, message_id, played_ms, 1, "x", reason)  # type: ignore[arg-type]


def heard(turns: TurnLog, message_id: str, turn: TurnRef, at: float, holding: bool = False) -> list[Event]:
    """A message from its beginning to its end."""
    turns.queued(message_id, turn, holding=holding)
    events: list[Event] = [
        BotSpeaking(turn, message_id, "Hi."),
        BotFinished(turn, message_id, 100),
        MessageConfirmed(turn, message_id, "Hi."),
    ]
    return [told for event in events for told in turns.see(event, at)]


def over(told: list[Event]) -> list[Event]:
    """But for what the answer took."""
    return [replace(event, latency=None) if isinstance(event, TurnCompleted) else event for event in told]


# --- turns ------------------------------------------------------------------------------------------------


def test_a_turn_is_started_before_the_first_event_that_carries_it_and_once() -> None:
    turns = log()
    begun = SpeechStarted(ONE, 1, 0.9, 0.5)
    assert turns.see(begun, 1.0) == [TurnStarted(ONE, 1), begun]
    assert turns.see(SpeechEnded(ONE, 1, 500, 1.0), 1.3)[0] == SpeechEnded(ONE, 1, 500, 1.0)
    # Without speech, and for any event: the count goes on by one where an id is skipped.
    fault = EngineFault(FOUR, "STT_BUSY", "busy", "x", "stt", True)
    assert turns.see(fault, 2.0) == [TurnStarted(FOUR, 2), fault]
    late = EngineFault(TWO, "STT_BUSY", "busy", "x", "stt", True)
    assert turns.see(late, 2.0) == [TurnStarted(TWO, 3), late]
    assert turns.see(late, 2.0) == [late]
    assert turns.see(EngineFault(None, "STT_BUSY", "busy", "x", "stt", True), 2.0)[1:] == []


def test_a_turn_is_over_when_its_answers_have_ended_and_no_more_is_made() -> None:
    turns = log()
    turns.see(said(), 1.0)
    turns.see(ended(), 1.5)
    assert turns.settle(1.6) == []
    turns.queued("b2", ONE, holding=False)
    heard(turns, "b1", ONE, 2.0)
    assert turns.settle(2.0) == [], "another answer waits"
    assert turns.see(BotSpeaking(ONE, "b2", ""), 2.5)[1:] == [], "measured once"
    turns.see(BotFinished(ONE, "b2", 10), 3.0)
    turns.see(MessageConfirmed(ONE, "b2", "Ho."), 3.0)
    assert over(turns.settle(3.5)) == [TurnCompleted(ONE, 2, False, False, 2500)]
    assert turns.settle(4.0) == turns.close(5.0) == []


@pytest.mark.parametrize("metrics", [True, False])
def test_a_turn_that_is_over_says_what_its_answer_took(metrics: bool) -> None:
    turns = log(metrics=metrics)
    turns.see(said(), 1.0)
    turns.see(ended(), 1.5)
    told = [event for event in heard(turns, "b1", ONE, 2.0) if isinstance(event, TurnMetrics)]
    (completed,) = turns.settle(3.0)
    assert isinstance(completed, TurnCompleted)
    assert completed.latency is not None
    assert completed.latency.total_ms == 900
    assert told == ([completed.latency] if metrics else [])


def test_a_word_that_the_answer_takes_a_while_is_no_answer() -> None:
    turns = log()
    turns.see(said(), 1.0)
    turns.see(ended(), 1.5)
    told = heard(turns, "b1", ONE, 2.0, holding=True)
    assert not any(isinstance(event, TurnMetrics) for event in told)
    assert turns.settle(2.0) == []
    assert turns.close(3.0) == [TurnCompleted(ONE, 0, False, True, 2000)]


def test_a_turn_without_an_answer_is_over_when_the_next_one_has_words() -> None:
    turns = log()
    turns.see(said(), 1.0)
    turns.see(ended(), 1.5)
    assert turns.see(SpeechStarted(TWO, 2, 0.9, 3.0), 3.0)[0] == TurnStarted(TWO, 2)
    words = said(TWO, 2)
    completed, told = turns.see(words, 4.0)
    assert completed == TurnCompleted(ONE, 0, False, True, 3000)
    assert told == words


def test_an_early_interruption_goes_on_with_the_turn() -> None:
    turns = log()
    turns.see(said(), 1.0)
    turns.see(ended(), 1.5)
    turns.queued("b1", ONE, holding=False)
    turns.see(BotSpeaking(ONE, "b1", ""), 2.0)
    cut_off = cut(ONE, "b1", 500, "early")
    assert turns.see(cut_off, 2.5) == [cut_off, BargeIn(ONE, "b1")]
    turns.see(TurnContinued(ONE, 2.5), 2.5)
    assert turns.settle(2.5) == []
    turns.see(ended(), 4.0)
    # The first answer was void: what the turn took is what its second one took.
    told = heard(turns, "b2", ONE, 4.5)
    [took] = [event for event in told if isinstance(event, TurnMetrics)]
    assert (took.message_id, took.total_ms) == ("b2", 900)
    assert turns.settle(5.0) == [TurnCompleted(ONE, 1, False, False, 4000, took)]


def test_a_late_interruption_is_the_end_of_the_turn() -> None:
    turns = log()
    turns.see(said(), 1.0)
    turns.see(ended(), 1.5)
    turns.queued("b1", ONE, holding=False)
    turns.queued("b2", ONE, holding=False)
    turns.see(BotSpeaking(ONE, "b1", ""), 2.0)
    turns.see(cut(ONE, "b1", 2500, "user_spoke"), 4.5)
    turns.see(MessageConfirmed(ONE, "b1", "Hi"), 4.5)
    # What was never heard is neither a barge-in nor the last answer.
    assert turns.see(cut(ONE, "b2", 0, "user_spoke"), 4.5) == [cut(ONE, "b2", 0, "user_spoke")]
    assert over(turns.settle(4.5)) == [TurnCompleted(ONE, 1, True, False, 3500)]


def test_what_the_bot_says_unasked_completes_nothing() -> None:
    turns = log()
    turns.see(said(), 1.0)
    heard(turns, "b1", ONE, 1.5)
    assert turns.settle(2.0) == [], "the turn has not ended"


# --- how long it took -------------------------------------------------------------------------------------


def answer_of_the_server(turns: TurnLog, **switches: object) -> list[Event]:
    turns.see(SpeechEnded(ONE, 1, 900, 10.0), 10.3)
    turns.see(said(), 10.25)
    turns.see(EagerTurn(ONE, "u1", "hello", 0.6, 300, SILENCE), 10.3)
    turns.see(LlmAsked(ONE, "b1", "x"), 10.31)
    turns.see(ended(latency_ms=500), 10.5)
    turns.queued("b1", ONE, holding=False)
    turns.text_came("b1", 10.7)
    turns.text_came("b1", 10.8)
    turns.sentence("b1", 0, "Hi.", 10.75)
    turns.sentence("b1", 1, "Ho.", 10.85)
    turns.voiced("b1", 10.76, sound=False, over=False)
    turns.voiced("b1", 10.95, sound=True, over=False)
    turns.voiced("b1", 10.99, sound=True, over=False)
    turns.see(LlmAnswered(ONE, "b1", "Hi. Ho.", "stop", 120, 4, "x"), 10.99)
    return turns.see(BotSpeaking(ONE, "b1", "", heard_at=11.04), 11.0)


def test_the_parts_of_an_answer_of_the_servers_model() -> None:
    speaking, told = answer_of_the_server(log())
    assert isinstance(speaking, BotSpeaking)
    assert told == TurnMetrics(
        ONE,
        "b1",
        endpointing_ms=500,
        stt_ms=250,
        llm_first_token_ms=390,
        agent_ms=None,
        tts_first_byte_ms=200,
        transport_ms=40,
        total_ms=1040,
        input_tokens=120,
        output_tokens=4,
        slowest="endpointing",
        vad_ms=300,
    )


@pytest.mark.parametrize(("voice_end", "vad_ms"), [(10.0, 300), (9.4, None)])
def test_the_end_of_a_voice_counts_where_it_was_that_of_the_turn(
    voice_end: float, vad_ms: int | None
) -> None:
    turns = log()
    turns.see(SpeechStarted(ONE, 1, 0.9, 0.5), 8.0)
    turns.see(SpeechEnded(ONE, 1, 500, voice_end), voice_end + 0.3)
    turns.see(said(), 10.25)
    turns.see(ended(latency_ms=500), 10.5)
    turns.queued("b1", ONE, holding=False)
    _, told = turns.see(BotSpeaking(ONE, "b1", "Hi."), 11.5)
    assert isinstance(told, TurnMetrics)
    assert told.vad_ms == vad_ms


def test_no_metrics_where_they_are_not_wanted() -> None:
    assert len(answer_of_the_server(log(metrics=False))) == 1


def test_the_parts_of_an_agents_answer() -> None:
    turns = log()
    turns.see(said(), 10.25)
    turns.see(EagerTurn(ONE, "u1", "hello", 0.6, 300, SILENCE), 10.3)
    turns.see(ended(latency_ms=500), 10.5)
    turns.queued("b1", ONE, holding=False)
    turns.text_came("b1", 11.3)
    _, told = turns.see(BotSpeaking(ONE, "b1", "Hi."), 11.5)
    assert isinstance(told, TurnMetrics)
    assert (told.agent_ms, told.llm_first_token_ms, told.tts_first_byte_ms) == (1000, None, None)
    assert (told.transport_ms, told.total_ms, told.slowest) == (None, 1500, "agent")


# --- the voice, and what is put out -----------------------------------------------------------------------


def test_the_voice_begins_and_ends_once_for_a_message() -> None:
    turns = log(bot_output="off")
    turns.queued("b1", None, holding=False)
    assert turns.sentence("b1", 0, "Hi.", 1.0) == [TtsStarted(None, "b1")]
    assert turns.sentence("b1", 1, "Ho.", 1.0) == []
    assert turns.voiced("b1", 1.1, sound=True, over=True) == [TtsStopped(None, "b1", 6)]
    assert turns.voiced("b1", 1.2, sound=True, over=True) == turns.close(2.0) == []


def test_the_voice_stops_with_the_message() -> None:
    turns = log()
    for message_id in ("b1", "b2", "b3"):
        turns.queued(message_id, None, holding=False)
        turns.sentence(message_id, None, "Hi.", 1.0)
    cut_off = cut(None, "b1", 0, "cancelled")
    assert turns.see(cut_off, 1.1) == [cut_off, TtsStopped(None, "b1", 3)]
    done = BotFinished(None, "b2", 900)
    assert turns.see(done, 1.2) == [TtsStopped(None, "b2", 3), done]
    assert turns.close(1.3) == [TtsStopped(None, "b3", 3)]


def test_what_is_begun_anew_has_new_numbers() -> None:
    turns = log()
    turns.queued("b1", ONE, holding=False)
    started, _, first = turns.sentence("b1", 0, " Hi. ", 1.0)
    assert started == TurnStarted(ONE, 1)
    assert first == BotOutput(ONE, "b1", 0, "Hi.", False, "sentence")
    assert turns.taken_back("b1") == [TtsStopped(ONE, "b1", 5)]
    turns.queued("b1", ONE, holding=False)
    _, again = turns.sentence("b1", 0, "Hello.", 2.0)
    assert again == BotOutput(ONE, "b1", 1, "Hello.", False, "sentence")
    told = turns.see(BotOutput(ONE, "b1", 0, "Hello.", True, "sentence"), 3.0)
    assert told == [BotOutput(ONE, "b1", 1, "Hello.", True, "sentence")]


def test_words_are_put_out_behind_their_own_event() -> None:
    word = BotWord(None, "b1", "Hi.", 0, 0.0, 0.3)
    assert log(bot_output="word").see(word, 1.0) == [word, BotOutput(None, "b1", 0, "Hi.", True, "word")]
    assert log().see(word, 1.0) == log(bot_output="off").see(word, 1.0) == [word]
    assert log(bot_output="word").see(BotOutput(None, "b1", 0, "Hi.", True, "sentence"), 1.0) == []


# --- the rest ---------------------------------------------------------------------------------------------


def test_a_text_tells_how_late_it_is() -> None:
    turns = log()
    turns.see(SpeechStarted(ONE, 1, 0.9, 0.5), 0.6)
    _, told = [None, *turns.see(said(), 0.9)]
    assert isinstance(told, UserMessage)
    assert told.lag_ms is None, "its voice goes on"
    turns.see(SpeechEnded(ONE, 1, 500, 1.0), 1.3)
    (told,) = turns.see(said(), 1.45)
    assert isinstance(told, UserMessage)
    assert told.lag_ms == 450
    for number in range(2, MAX_SEGMENTS + 2):
        turns.see(SpeechEnded(ONE, number, 500, 1.0), 1.3)
    assert turns.see(said(), 9.0) == [said()], "so old an end is forgotten"


def test_a_state_is_told_when_it_changes() -> None:
    turns = log()
    assert turns.state("idle") == [AgentState("idle")]
    assert turns.state("idle") == []
    assert turns.state("thinking") == [AgentState("thinking")]
    turns.switches = Switches(state=False)
    assert turns.state("speaking") == []
    turns.switches = Switches()
    assert turns.state("speaking") == [], "it has not changed since"
    assert turns.state("idle") == [AgentState("idle")]


def test_thoughts_may_be_kept_back() -> None:
    thought = LlmReasoned(ONE, "b1", 0, "hm", False)
    assert log(reasoning=False).see(thought, 1.0) == [TurnStarted(ONE, 1)]
    assert log().see(thought, 1.0)[1:] == [thought]
