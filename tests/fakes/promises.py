"""What is promised of every conversation, looked for in all that was told of it: bar T5 of the project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.endpointing import TurnReason
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
    CallStarted,
    CallUnheld,
    CallUnmuted,
    EagerTurn,
    EndReason,
    Event,
    MessageAborted,
    MessageConfirmed,
    ReplyRejected,
    SessionCreated,
    SessionIdleWarning,
    SessionReady,
    SessionTimeout,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    TurnPause,
    TurnResumed,
    UserMessage,
    UserMuteStarted,
    UserMuteStopped,
    UserSpeaking,
)
from pipeline.turnlog import Switches
from tests.fakes.derived import derived_in_order
from tests.fakes.leg import FakeLeg
from tests.fakes.llm import FakeLlm
from tests.fakes.mindful import mind_in_order

WROTE = "two tickets"
"""What users write: nobody says it."""
E = TypeVar("E")


@dataclass
class Conversation:
    """One that is over."""

    seed: int
    leg: FakeLeg
    log: list[tuple[float, Event]] = field(default_factory=list)
    sent: dict[str, str | None] = field(default_factory=dict)
    """What the agent said, by its message id; None: in pieces, as ``pieces`` has it."""
    pieces: dict[str, str] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    """Message ids that the agent used once more while the first was alive."""
    problems: list[object] = field(default_factory=list)
    """What the loop's exception handler was told."""
    switches: Switches = field(default_factory=Switches)
    pauses: list[tuple[int, bool]] = field(default_factory=list)
    """Where in the log the model was silenced, and was not any more."""
    model: FakeLlm | None = None

    def of(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.log if isinstance(event, kind)]


def promises(call: Conversation) -> None:
    """Look at all that was told. Raises ``AssertionError``, which names the seed."""
    try:
        assert not call.problems
        assert call.leg.hung_up is not None
        times = [at for at, _ in call.log]
        assert times == sorted(times), "time went back"
        events = [event for _, event in call.log]
        _frame(events)
        segments_in_order(events)
        _messages(call, events)
        _bot(events)
        turns_in_order(events)
        sides_in_order(events)
        limits_in_order(call.log)
        _transcript(events)
        derived_in_order(events, call.switches)
        mind_in_order(call, events)
    except AssertionError as error:
        error.add_note(f"seed {call.seed}")
        raise


def _frame(events: list[Event]) -> None:
    assert isinstance(events[0], CallStarted)
    assert isinstance(events[1], SessionCreated)
    assert isinstance(events[-1], CallEnded)
    assert sum(isinstance(event, CallStarted | CallEnded) for event in events) == 2
    assert sum(isinstance(event, SessionCreated) for event in events) == 1
    assert sum(isinstance(event, SessionReady) for event in events) <= 1


def segments_in_order(events: list[Event]) -> None:
    """Each speech that began has ended, before the call; one at a time, numbered upwards."""
    current: SpeechStarted | None = None
    last = 0
    for event in events:
        match event:
            case SpeechStarted():
                assert current is None, "speech began within speech"
                assert event.segment_id > last
                current, last = event, event.segment_id
            case SpeechEnded():
                assert current is not None, "speech ended that had not begun"
                assert (event.segment_id, event.turn) == (current.segment_id, current.turn)
                assert event.duration_ms >= 0
                current = None
            case UserMessage():
                assert set(event.segment_ids) <= set(range(1, last + 1))
                assert len(set(event.segment_ids)) == len(event.segment_ids)
                assert event.text
            case CallEnded():
                assert current is None, "the call ended within speech"


def misattributed(call: Conversation) -> int:
    """Stretches of speech over the bot that were announced with another turn than their words were said in. That
    cannot always be known: it depends on how much of the bot will have been heard."""
    turn_of: dict[int, int] = {}
    found: set[int] = set()
    for event in (event for _, event in call.log):
        if isinstance(event, SpeechStarted):
            turn_of[event.segment_id] = event.turn.turn_id
        elif isinstance(event, UserMessage):
            found |= {number for number in event.segment_ids if turn_of[number] != event.turn.turn_id}
    return len(found)


def _messages(call: Conversation, events: list[Event]) -> None:
    """Each message that was taken ends in exactly one way, and only then is confirmed or aborted, once."""
    ended: dict[str, Event] = {}
    closed: set[str] = set()
    refused: set[str] = set()
    for event in events:
        match event:
            case BotFinished() | BotInterrupted():
                assert event.message_id not in ended, f"{event.message_id} ended twice"
                ended[event.message_id] = event
            case MessageConfirmed() | MessageAborted():
                assert event.message_id in ended, "settled before its end"
                assert event.message_id not in closed, "settled twice"
                closed.add(event.message_id)
                if isinstance(ended[event.message_id], BotFinished):
                    assert isinstance(event, MessageConfirmed)
            case ReplyRejected():
                refused.add(event.message_id)
    assert closed == set(ended)
    for message_id in call.sent:
        if message_id not in call.twice:
            assert (message_id in ended) != (message_id in refused), f"{message_id} is lost"
    for confirmed in (event for event in events if isinstance(event, MessageConfirmed)):
        text = call.sent.get(confirmed.message_id)
        if confirmed.message_id in call.sent and confirmed.message_id not in call.twice:
            whole = text if text is not None else call.pieces[confirmed.message_id]
            assert whole.strip().startswith(confirmed.text), "not what was to be said"


def _writes(events: list[Event]) -> bool:
    """The user has written something."""
    return any(isinstance(event, UserMessage) and WROTE in event.text for event in events)


def _bot(events: list[Event]) -> None:
    """One message is heard at a time; its words come once and in order, none while it is paused."""
    speaking = ""
    paused = False
    paused_ms = 0
    spoken: set[str] = set()
    words: dict[str, list[str]] = {}
    voice = False
    for place, event in enumerate(events):
        match event:
            case SpeechStarted():
                voice = True
            case BotSpeaking():
                assert not speaking, "two messages at once"
                assert event.message_id not in spoken, "a message began twice"
                speaking = event.message_id
                spoken.add(speaking)
                paused = False
            case BotPaused():
                assert event.message_id == speaking
                assert not paused
                assert event.words_spoken <= len(words.get(speaking, []))
                paused, paused_ms = True, event.played_ms
            case BotResumed():
                assert event.message_id == speaking
                assert paused
                assert event.word_index <= len(words.get(speaking, []))
                paused = False
            case BotWord():
                assert event.message_id == speaking, "a word of what is not being said"
                # Where the voice gives no times it may turn out later what was heard before.
                assert not paused or event.start_s * 1000 <= paused_ms + 1, "a word in a pause"
                told = words.setdefault(speaking, [])
                assert event.word_index == len(told), "a word lost, repeated or out of order"
                assert 0 <= event.start_s <= event.end_s
                told.append(event.word)
            case BotFinished():
                assert event.message_id == speaking
                assert not paused
                speaking = ""
            case BotInterrupted():
                told = words.get(event.message_id, [])
                assert event.words_spoken <= len(told)
                assert event.last_word == (told[event.words_spoken - 1] if event.words_spoken else None)
                assert event.reason == "cancelled" or voice or _writes(events[place:]), "nobody had spoken"
                if event.message_id == speaking:
                    speaking = ""
                else:
                    assert event.played_ms == 0
            case MessageConfirmed():
                told = words.get(event.message_id, [])
                assert _letters("".join(told)).startswith(_letters(event.text)), "confirmed and never told"
    assert not speaking, "a message was left open"


def _letters(text: str) -> str:
    """What of it can be said: marks hang on one word or on another."""
    return "".join(c for c in text if c.isalnum())


def turns_in_order(events: list[Event]) -> None:
    """The seed's order: a message, the early edge, the end; a signal is taken back by ``TurnContinued`` alone."""
    turn_id = 0
    said: set[int] = set()
    eager: set[str] = set()
    ended: set[str] = set()
    open_signal: tuple[int, str] | None = None
    paused = False
    for event in events:
        if isinstance(event, EagerTurn | TurnEnd):
            assert 0 <= event.probability <= 1
            assert event.latency_ms >= 0
        match event:
            case UserMessage():
                assert event.turn.turn_id >= turn_id, "turns went back"
                turn_id = event.turn.turn_id
                assert event.message_id not in eager, "words after the signal that they were complete"
                said.add(turn_id)
                paused = False
            case EagerTurn():
                # Its id is new where a signal was taken back, whether or not there were new words.
                assert event.turn.turn_id in said, "a signal without words"
                assert event.message_id not in eager, "two signals"
                eager.add(event.message_id)
                open_signal = (event.turn.turn_id, event.message_id)
            case TurnEnd():
                if event.reason is not TurnReason.FORCED:
                    assert event.message_id in eager, "an end without the early edge"
                assert event.message_id not in ended, "two ends"
                if event.message_id in eager:
                    assert open_signal == (event.turn.turn_id, event.message_id), "the signal was taken back"
                open_signal = (event.turn.turn_id, event.message_id)
                ended.add(event.message_id)
            case TurnContinued():
                assert open_signal is not None, "nothing to take back"
                assert open_signal[0] == event.turn.turn_id
                open_signal = None
                paused = False
            case TurnPause():
                assert not paused, "two pauses"
                paused = True
            case TurnResumed():
                assert paused, "went on without a pause"
                paused = False


def sides_in_order(events: list[Event]) -> None:
    """Hold and mute alternate with their ends; nobody hears anything meanwhile. Of each reason not to listen to the
    user the begin and the end are told."""
    held = muted = False
    deaf: set[str] = set()
    for event in events:
        match event:
            case UserMuteStarted():
                assert event.reason not in deaf, "muted twice"
                deaf.add(event.reason)
            case UserMuteStopped():
                assert event.reason in deaf, "listened to already"
                deaf.discard(event.reason)
            case CallUnheld():
                assert "held" not in deaf, "on hold still"
            case SpeechStarted():
                assert "bot_speaking" not in deaf, "the user was heard over a bot that does not listen"
            case CallEnded():
                assert not deaf, "not listened to at the end"
        match event:
            case CallHeld():
                assert not held
                held = True
            case CallUnheld():
                assert held
                held = False
            case CallMuted():
                assert not muted
                muted = True
            case CallUnmuted():
                assert muted
                muted = False
            case BotSpeaking() | BotResumed():
                assert not held, "the bot was heard while the call was held"
            case UserSpeaking():
                assert not held, "the user was listened to while the call was held"
                assert not muted, "the user was listened to"


def limits_in_order(log: list[tuple[float, Event]]) -> None:
    """A timeout comes once, the call ends for it within its time, and no warning follows it."""
    timed_out: tuple[float, SessionTimeout] | None = None
    for at, event in log:
        match event:
            case SessionIdleWarning():
                assert timed_out is None, "a warning behind the timeout"
                assert 0 <= event.remaining_s < event.idle_timeout_s
            case SessionTimeout():
                assert timed_out is None, "two timeouts"
                timed_out = (at, event)
            case CallEnded():
                by_limit = event.reason in (EndReason.IDLE_TIMEOUT, EndReason.MAX_DURATION)
                if timed_out is not None:
                    assert event.at - timed_out[0] <= timed_out[1].farewell_s + 0.01, (
                        "a farewell without an end"
                    )
                elif by_limit:
                    assert "enough" in event.detail, "a limit that was not told"


def _transcript(events: list[Event]) -> None:
    """It holds what was heard of the bot, in order."""
    ended = events[-1]
    assert isinstance(ended, CallEnded)
    said = [event.text for event in events if isinstance(event, MessageConfirmed) and event.text]
    assert [line.content for line in ended.transcript if line.role == "assistant"] == said
    heard = {event.text for event in events if isinstance(event, UserMessage)}
    assert all(line.content in heard for line in ended.transcript if line.role == "user")
