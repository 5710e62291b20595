"""What is promised of the events that follow from others: of turns, states, the voice and what is put out."""

from __future__ import annotations

from pipeline.events import (
    AgentState,
    BargeIn,
    BotFinished,
    BotInterrupted,
    BotOutput,
    BotPaused,
    BotResumed,
    BotSpeaking,
    BotWord,
    CallEnded,
    EagerTurn,
    Event,
    MessageConfirmed,
    SessionCreated,
    TtsStarted,
    TtsStopped,
    TurnCompleted,
    TurnContinued,
    TurnEnd,
    TurnMetrics,
    TurnPause,
    TurnRef,
    TurnResumed,
    TurnStarted,
    UserMessage,
    UserSpeaking,
)
from pipeline.turnlog import Switches

USERS = UserSpeaking | UserMessage | EagerTurn | TurnEnd | TurnContinued | TurnPause | TurnResumed


def derived_in_order(events: list[Event], switches: Switches) -> None:
    """Look at all of them."""
    turns_are_framed(events)
    answers_are_measured(events, switches)
    voice_is_paired(events)
    outputs_are_what_was_heard(events, switches)
    interruptions_are_told_twice(events)
    states_follow(events, switches)


def turns_are_framed(events: list[Event]) -> None:
    """Each event of a turn stands behind its start; each turn is completed once, and the user's part of it ends
    before that."""
    refs: dict[int, TurnRef] = {}
    completed: set[int] = set()
    confirmed: dict[int, int] = {}
    for event in events:
        ref: TurnRef | None = getattr(event, "turn", None)
        if isinstance(event, TurnStarted):
            assert event.turn.turn_id not in refs, "a turn was started twice"
            refs[event.turn.turn_id] = event.turn
            assert event.index == len(refs)
        elif ref is not None:
            assert refs.get(ref.turn_id) == ref, f"{type(event).__name__} of a turn that was not started"
        match event:
            case TurnCompleted():
                assert event.turn.turn_id not in completed, "a turn was completed twice"
                assert event.aborted is (event.messages_spoken == 0)
                assert event.messages_spoken <= confirmed.get(event.turn.turn_id, 0)
                assert event.duration_ms >= 0
                completed.add(event.turn.turn_id)
            case UserMessage():
                assert completed >= {number for number in refs if number < event.turn.turn_id}, "two turns"
                assert event.lag_ms is None or event.lag_ms >= 0
            case MessageConfirmed() if ref is not None:
                confirmed[ref.turn_id] = confirmed.get(ref.turn_id, 0) + 1
            case CallEnded():
                assert completed == set(refs), "a turn was left open"
        if isinstance(event, USERS):
            assert event.turn.turn_id not in completed, f"{type(event).__name__} of a turn that was over"


def answers_are_measured(events: list[Event], switches: Switches) -> None:
    """Once for a turn, and once more where it went on: right behind the beginning of its answer."""
    measured: set[int] = set()
    for before, event in zip([None, *events], events, strict=False):
        if isinstance(event, TurnContinued):
            measured.discard(event.turn.turn_id)
        if isinstance(event, TurnMetrics):
            assert switches.metrics
            assert isinstance(before, BotSpeaking)
            assert (before.message_id, before.turn) == (event.message_id, event.turn)
            assert event.turn.turn_id not in measured, "measured twice"
            measured.add(event.turn.turn_id)
            assert event.total_ms is not None
            assert event.endpointing_ms is not None
            assert event.total_ms + 1 >= event.endpointing_ms
            assert event.slowest is not None
        if isinstance(event, TurnCompleted) and event.messages_spoken and switches.metrics:
            assert event.turn.turn_id in measured, "answered, and not measured"


def voice_is_paired(events: list[Event]) -> None:
    """What the voice begins it ends, and nothing is heard that it had not begun."""
    at: set[str] = set()
    begun: set[str] = set()
    for event in events:
        match event:
            case TtsStarted():
                assert event.message_id not in at, "the voice began twice"
                at.add(event.message_id)
                begun.add(event.message_id)
            case TtsStopped():
                assert event.message_id in at, "the voice stopped that was not at it"
                at.remove(event.message_id)
            case BotSpeaking():
                assert event.message_id in begun, "heard before it was made"
            case BotFinished():
                assert event.message_id not in at, "heard to its end while it is made"
            case CallEnded():
                assert not at, "the voice did not stop"


def outputs_are_what_was_heard(events: list[Event], switches: Switches) -> None:
    """Announced once and heard once, in order; what was heard adds up to what is confirmed."""
    announced: dict[str, list[int]] = {}
    spoken: dict[str, list[BotOutput]] = {}
    speaking = ""
    for event in events:
        match event:
            case BotSpeaking():
                speaking = event.message_id
            case BotOutput():
                assert event.aggregated_by == switches.bot_output
                if not event.spoken:
                    numbers = announced.setdefault(event.message_id, [])
                    assert event.segment_id == len(numbers)
                    numbers.append(event.segment_id)
                    continue
                told = spoken.setdefault(event.message_id, [])
                assert event.message_id == speaking, "told as heard while it is not"
                assert not told or event.segment_id > told[-1].segment_id, "heard twice, or out of order"
                assert event.aggregated_by == "word" or event.segment_id in announced[event.message_id]
                told.append(event)
            case MessageConfirmed() if switches.bot_output != "off":
                text = "".join(output.text for output in spoken.get(event.message_id, []))
                assert _letters(text).startswith(_letters(event.text)), "confirmed, and not put out"
                if switches.bot_output == "sentence":
                    assert _letters(text) == _letters(event.text), "put out, and not confirmed"
    if switches.bot_output == "off":
        assert not spoken
        assert not announced


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


def interruptions_are_told_twice(events: list[Event]) -> None:
    """As an end of a message, and as what the user did."""
    speaking = ""
    for event, behind in zip(events, [*events[1:], None], strict=False):
        match event:
            case BotSpeaking():
                speaking = event.message_id
            case BotInterrupted() if event.message_id == speaking:
                speaking = ""
                barged = isinstance(behind, BargeIn) and behind.cancelled_message_id == event.message_id
                assert barged is (event.reason != "cancelled")
            case BotInterrupted() | BotFinished():
                assert not isinstance(behind, BargeIn), "nobody was cut off"


def states_follow(events: list[Event], switches: Switches) -> None:
    """A state is told when it changes, and fits to what is heard."""
    if not switches.state:
        assert not any(isinstance(event, AgentState) for event in events)
        return
    assert isinstance(events[1], SessionCreated)
    assert events[2] == AgentState("idle")
    state = ""
    audible = cut = False
    for event in events[1:]:
        assert not cut or isinstance(event, BotWord | BotOutput | BotPaused | BotInterrupted), (
            f"a word in the state {state}"
        )
        match event:
            case AgentState():
                assert event.state != state, "no change"
                assert event.state != "speaking" or audible, "nothing is heard"
                state = event.state
            case BotSpeaking() | BotResumed():
                audible = True
            case BotPaused() | BotFinished() | BotInterrupted():
                audible = cut = False
            case UserSpeaking():
                assert state == "listening", f"the user spoke in the state {state}"
            case BotWord() if audible:
                # Or it is silenced on its way to the ear, and told at once: no state lasts for no time.
                cut = state != "speaking"
