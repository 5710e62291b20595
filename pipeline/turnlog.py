"""What follows from what was told of a call: where its turns begin and end, what their answers took, what the voice is
at, whose move it is. Each event passes here on its way out, and comes back with those that belong around it.

Pure: time is an argument. What is no event of its own (a text has come, a sentence is begun) is told by small calls.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.events import (
    Activity,
    AgentState,
    BargeIn,
    BotFinished,
    BotInterrupted,
    BotOutput,
    BotSpeaking,
    BotWord,
    EagerTurn,
    Event,
    LlmAnswered,
    LlmAsked,
    LlmReasoned,
    MessageConfirmed,
    SpeechEnded,
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
from pipeline.latency import Answer, Signal, metrics

MAX_SEGMENTS = 32
"""Stretches of speech whose end is remembered, for texts that come late."""


@dataclass(frozen=True, slots=True)
class Switches:
    """Which of the events that follow from others are told."""

    bot_output: Literal["off", "sentence", "word"] = "sentence"
    history_snapshot: bool = False
    reasoning: bool = True
    metrics: bool = True
    state: bool = True


@dataclass(slots=True)
class _Turn:
    """One that was begun and is not completed."""

    ref: TurnRef
    started_at: float
    signal: Signal
    ended: bool = False
    answered: bool = False
    """An answer to it was heard, to its end or up to where it was cut off."""
    interrupted: bool = False
    """That was cut off."""
    measured: bool = False
    latency: TurnMetrics | None = None
    thought: bool = False
    """The call's own mind was asked."""
    messages: int = 0


@dataclass(slots=True)
class _Message:
    """One that waits to be said, or is being said."""

    turn: TurnRef | None
    holding: bool
    answer: Answer
    voicing: bool = False
    """The voice is at it, or waits for more of its text."""
    offset: int = 0
    """Sentences that were announced of it before it was taken back and begun anew."""
    announced: int = 0
    characters: int = 0
    """That the voice was given."""


class TurnLog:
    """Of one call."""

    def __init__(self, switches: Switches) -> None:
        self.switches = switches
        self._turns: dict[int, _Turn] = {}
        """Begun and not completed: the present one, perhaps the coming one, seldom more."""
        self._last_id = self._count = 0
        self._skipped: set[int] = set()
        """Turns before the last one of which nothing was told yet: speech over the bot is announced with the
        coming turn, and may be none."""
        self._messages: dict[str, _Message] = {}
        self._speaking = ""
        """The message that is being heard."""
        self._ended = ""
        """The answer that has come to its end last; empty: what has was none."""
        self._asked: tuple[str, float] = ("", 0.0)
        """The generation that was asked for last."""
        self._taken_back: tuple[str, int] = ("", 0)
        """A message that is begun anew, and how many of its sentences were announced."""
        self._voice_ends: OrderedDict[int, float] = OrderedDict()
        self._state: Activity | None = None

    # --- events -------------------------------------------------------------------------------------------

    def see(self, event: Event, now: float) -> list[Event]:
        """The event, where it is to be told, among those that follow from it, in order."""
        out: list[Event] = []
        ref: TurnRef | None = getattr(event, "turn", None)
        if isinstance(event, UserMessage):
            out += self._complete(now, before=event.turn.turn_id)
        out += self._begin(ref, now)
        match event:
            case SpeechEnded():
                self._voice_ended(event)
                self._turn(event.turn).signal.detected = (event.at, now)
            case UserMessage():
                event = self._lagging(event, now)
                self._turn(event.turn).signal.text_at = now
            case EagerTurn() | TurnEnd():
                self._signalled(event, now)
            case TurnContinued():
                self._goes_on(event.turn)
            case LlmAsked():
                self._turn(event.turn).thought = True
                self._asked = (event.message_id, now)
            case LlmAnswered() if event.message_id in self._messages:
                answer = self._messages[event.message_id].answer
                answer.input_tokens, answer.output_tokens = event.input_tokens, event.output_tokens
            case LlmReasoned() if not self.switches.reasoning:
                return out
            case BotSpeaking():
                return [*out, event, *self._heard(event, now)]
            case BotWord() if self.switches.bot_output == "word":
                word = (event.turn, event.message_id, event.word_index, event.word)
                return [*out, event, BotOutput(*word, spoken=True, aggregated_by="word")]
            case BotOutput():
                return [*out, *self._output(event)]
            case MessageConfirmed():
                self._confirmed(event)
            case BotFinished() | BotInterrupted():
                return [*out, *self._message_ended(event)]
        return [*out, event]

    def _begin(self, ref: TurnRef | None, now: float) -> list[Event]:
        """The turn that comes now, where it is a new one."""
        if ref is None or (ref.turn_id <= self._last_id and ref.turn_id not in self._skipped):
            return []
        self._skipped.update(range(self._last_id + 1, ref.turn_id))
        self._skipped.discard(ref.turn_id)
        self._last_id = max(self._last_id, ref.turn_id)
        self._count += 1
        self._turns[ref.turn_id] = _Turn(ref, now, Signal())
        return [TurnStarted(ref, self._count)]

    def _turn(self, ref: TurnRef) -> _Turn:
        """One that is completed is not kept: what is noted of it is lost."""
        return self._turns.get(ref.turn_id) or _Turn(ref, 0.0, Signal(), measured=True)

    def _goes_on(self, ref: TurnRef) -> None:
        """What was seen of an answer is void."""
        old = self._turns.get(ref.turn_id)
        if old is not None:
            kept = Signal(text_at=old.signal.text_at)
            self._turns[ref.turn_id] = _Turn(ref, old.started_at, kept, thought=old.thought)

    def _voice_ended(self, event: SpeechEnded) -> None:
        self._voice_ends[event.segment_id] = event.at
        if len(self._voice_ends) > MAX_SEGMENTS:
            self._voice_ends.popitem(last=False)

    def _lagging(self, event: UserMessage, now: float) -> UserMessage:
        end = self._voice_ends.get(event.segment_ids[-1]) if event.segment_ids else None
        return event if end is None else replace(event, lag_ms=max(0, round((now - end) * 1000)))

    def _signalled(self, event: EagerTurn | TurnEnd, now: float) -> None:
        turn = self._turn(event.turn)
        if turn.signal.at is None:
            turn.signal.at = now
        if isinstance(event, TurnEnd):
            turn.ended = True
            turn.signal.voice_end = now - event.latency_ms / 1000
            turn.signal.endpointing_ms = event.latency_ms

    # --- what is said -------------------------------------------------------------------------------------

    def queued(self, message_id: str, turn: TurnRef | None, *, holding: bool) -> None:
        """A message waits to be said. ``holding``: it is no answer, only a word that one will come."""
        offset = self._taken_back[1] if self._taken_back[0] == message_id else 0
        self._messages[message_id] = _Message(turn, holding, Answer(), offset=offset, announced=offset)

    def text_came(self, message_id: str, now: float) -> None:
        """Text of a message has come, the first or more."""
        message = self._messages.get(message_id)
        if message is not None and message.answer.text_at is None:
            message.answer.text_at = now
            if self._asked[0] == message_id:
                message.answer.asked_at = self._asked[1]

    def taken_back(self, message_id: str) -> list[Event]:
        """A message of which nothing was heard is thrown away; it may be queued anew."""
        message = self._messages.pop(message_id, None)
        if message is None:
            return []
        self._taken_back = (message_id, message.announced)
        return self._silent(message_id, message)

    def sentence(self, message_id: str, number: int | None, text: str, now: float) -> list[Event]:
        """The voice begins with a sentence; without a number: with the rest of one."""
        message = self._messages.get(message_id)
        if message is None:
            return []
        out = self._begin(message.turn, now)
        if not message.voicing:
            message.voicing = True
            out.append(TtsStarted(message.turn, message_id))
        if message.answer.synthesis_at is None:
            message.answer.synthesis_at = now
        message.characters += len(text)
        if number is not None:
            message.announced += 1
            out += self._output(BotOutput(message.turn, message_id, number, text.strip(), False, "sentence"))
        return out

    def voiced(self, message_id: str, now: float, *, sound: bool, over: bool) -> list[Event]:
        """How far the voice is with a message: some sound has come; all of it has."""
        message = self._messages.get(message_id)
        if message is None:
            return []
        if sound and message.answer.byte_at is None:
            message.answer.byte_at = now
        return self._silent(message_id, message) if over else []

    def _silent(self, message_id: str, message: _Message) -> list[Event]:
        """The voice has no more to do with a message."""
        if not message.voicing:
            return []
        message.voicing = False
        given, message.characters = message.characters, 0
        return [TtsStopped(message.turn, message_id, given)]

    def _output(self, event: BotOutput) -> list[Event]:
        """A sentence was heard."""
        if self.switches.bot_output != "sentence":
            return []
        message = self._messages.get(event.message_id)
        offset = message.offset if message is not None else 0
        return [replace(event, segment_id=event.segment_id + offset) if offset else event]

    def _heard(self, event: BotSpeaking, now: float) -> list[Event]:
        """The first of a message is heard."""
        self._speaking = event.message_id
        message = self._messages.get(event.message_id)
        turn = self._turns.get(event.turn.turn_id) if event.turn is not None else None
        if message is None or turn is None or message.holding or not turn.ended or turn.measured:
            return []
        turn.measured = True
        turn.latency = metrics(
            turn.ref,
            event.message_id,
            turn.signal,
            message.answer,
            agents=not turn.thought,
            sent_at=now if event.sent_at is None else event.sent_at,
            heard_at=event.heard_at,
        )
        return [turn.latency] if self.switches.metrics else []

    def _message_ended(self, event: BotFinished | BotInterrupted) -> list[Event]:
        message = self._messages.pop(event.message_id, None)
        was_heard = self._speaking == event.message_id
        if was_heard:
            self._speaking = ""
        silent = self._silent(event.message_id, message) if message is not None else []
        self._ended = event.message_id if message is not None and not message.holding else ""
        if isinstance(event, BotFinished):
            self._answered(event, cut=False)
            return [*silent, event]
        if event.played_ms:
            self._answered(event, cut=True)
        barged = [BargeIn(event.turn, event.message_id)] if was_heard and event.reason != "cancelled" else []
        return [event, *barged, *silent]

    def _answered(self, event: BotFinished | BotInterrupted, *, cut: bool) -> None:
        turn = self._turns.get(event.turn.turn_id) if event.turn is not None else None
        if turn is not None and turn.ended and self._ended:
            turn.answered, turn.interrupted = True, cut

    def _confirmed(self, event: MessageConfirmed) -> None:
        turn = self._turns.get(event.turn.turn_id) if event.turn is not None else None
        if turn is not None and turn.ended and event.text and self._ended == event.message_id:
            turn.messages += 1

    # --- what is over -------------------------------------------------------------------------------------

    def settle(self, now: float) -> list[Event]:
        """Nothing more is being thought of: a turn is over whose answers have all come to their end."""
        over = [turn for turn in self._turns.values() if turn.answered and not self._owes(turn)]
        return [self._over(turn, now) for turn in over]

    def _owes(self, turn: _Turn) -> bool:
        return any(message.turn == turn.ref for message in self._messages.values())

    def _complete(self, now: float, *, before: int) -> list[Event]:
        """The user has the word in a later turn: those before it are over, answered or not."""
        over = [turn for turn in self._turns.values() if turn.ref.turn_id < before]
        return [self._over(turn, now) for turn in over]

    def _over(self, turn: _Turn, now: float) -> TurnCompleted:
        del self._turns[turn.ref.turn_id]
        duration_ms = round((now - turn.started_at) * 1000)
        return TurnCompleted(
            turn.ref, turn.messages, turn.interrupted, not turn.messages, duration_ms, turn.latency
        )

    def close(self, now: float) -> list[Event]:
        """The call ends: tell the end of what was begun."""
        out: list[Event] = []
        for message_id, message in self._messages.items():
            out += self._silent(message_id, message)
        return [*out, *self._complete(now, before=self._last_id + 1)]

    # --- whose move it is ---------------------------------------------------------------------------------

    def state(self, state: Activity) -> list[Event]:
        """Told where it has changed."""
        if state == self._state:
            return []
        self._state = state
        return [AgentState(state)] if self.switches.state else []
