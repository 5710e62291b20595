"""Conversations that nobody would script: whatever happens in them, what is told stays true and in order.

Each seed is one call of ``tests.fakes.conversation``; ``python -m benchmarks.conversations`` holds many more.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
    CallHeld,
    CallUnmuted,
    EagerTurn,
    Event,
    MessageAborted,
    MessageConfirmed,
    SessionCreated,
    SessionTimeout,
    SpeechEnded,
    SpeechStarted,
    TtsStarted,
    TtsStopped,
    TurnCompleted,
    TurnContinued,
    TurnEnd,
    TurnMetrics,
    TurnResumed,
    TurnStarted,
    UserMessage,
    UserMuteStarted,
    UserMuteStopped,
)
from tests.fakes.conversation import converse
from tests.fakes.promises import Conversation, promises

SEEDS = range(400)
TRIED = 60
"""Conversations in which a kind of event is looked for."""


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_promises_hold(seed: int) -> None:
    converse(seed)


# --- the promises are kept by the session, not by looking away -----------------------------------------------


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return [converse(seed) for seed in range(TRIED)]


Log = list[tuple[float, Event]]


def _broken(conversations: list[Conversation], kind: type, change: Callable[[Log, int], Log]) -> int:
    """Change each event of a kind in turn; how often that was noticed, out of how often it was done."""
    noticed = done = 0
    for call in conversations:
        for place in [i for i, (_, event) in enumerate(call.log) if isinstance(event, kind)][:3]:
            done += 1
            other = Conversation(
                call.seed, call.leg, change(call.log, place), call.sent, call.pieces, call.twice
            )
            other.switches = call.switches
            try:
                promises(other)
            except AssertionError:
                noticed += 1
    assert done, f"no {kind.__name__} in {TRIED} conversations"
    return done - noticed


def _without(log: Log, place: int) -> Log:
    return [*log[:place], *log[place + 1 :]]


def _twice(log: Log, place: int) -> Log:
    return [*log[: place + 1], *log[place:]]


NEEDED = [
    SpeechStarted, SpeechEnded, BotSpeaking, BotFinished, BotInterrupted, MessageConfirmed, MessageAborted, CallEnded,
    TurnStarted, TurnCompleted, TtsStarted, TtsStopped, BargeIn,
    SessionCreated, UserMuteStarted, UserMuteStopped,
]  # fmt: skip


@pytest.mark.parametrize("kind", NEEDED)
def test_an_event_that_is_missing_is_noticed(conversations: list[Conversation], kind: type) -> None:
    assert _broken(conversations, kind, _without) == 0


ONCE = [
    SpeechStarted, SpeechEnded, EagerTurn, TurnEnd, TurnContinued, TurnResumed, BotSpeaking, BotWord, BotPaused,
    BotResumed, BotFinished, BotInterrupted, MessageConfirmed, MessageAborted, CallHeld, CallUnmuted, CallEnded,
    TurnStarted, TurnCompleted, TtsStarted, TtsStopped, TurnMetrics, BotOutput, AgentState,
    SessionCreated, SessionTimeout, UserMuteStarted, UserMuteStopped,
]  # fmt: skip


@pytest.mark.parametrize("kind", ONCE)
def test_an_event_that_comes_twice_is_noticed(conversations: list[Conversation], kind: type) -> None:
    assert _broken(conversations, kind, _twice) == 0


def test_words_after_the_signal_are_noticed(conversations: list[Conversation]) -> None:
    def later(log: Log, place: int) -> Log:
        """The user's message comes behind the next signal."""
        signals = [i for i, (_, event) in enumerate(log) if i > place and isinstance(event, EagerTurn)]
        if not signals:
            return _without(log, 0)
        at, message = log[signals[0]][0], log[place][1]
        rest = [*log[:place], *log[place + 1 : signals[0] + 1]]
        return [*rest, (at, message), *log[signals[0] + 1 :]]

    assert _broken(conversations, UserMessage, later) == 0
