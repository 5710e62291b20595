"""Whose turn it is: a table, and ``receive(event) / deadline / tick(now) -> outputs``.

The machine decides and does nothing: it reads no clock, opens no socket and knows no engine. Time is an
argument, in seconds of the session's monotonic clock; voice is told by its own place in time (onset, end),
not by when the news of it came.

Two edges end a user's turn. ``EagerTurn``: the words are there, thinking may begin. ``TurnEnd``: the silence
has lasted. Work begun on the first is void after ``TurnContinued``: the message id of the turn changes with
it, and a reply to the old id is stale.

A user who speaks over the bot for ``interrupt_ms`` of continuous voice cuts it off. Where less than
``EARLY_MS`` of the message was heard he had not finished: the same turn goes on. Else a new one begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.errors import IllegalTransition
from pipeline.events import (
    EagerTurn,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    TurnReason,
    TurnRef,
    UserMessage,
    UserSpeaking,
)

EARLY_MS = 2000
"""Less of a message heard than this: its interruption continues the user's turn."""
MAX_LATE = 8
"""Texts that may still come after their turn was ended without them."""
GAP_S = 0.12
"""A longer hole in the voice than this ends its continuity: two coughs are not one interruption."""
FRESH_S = 0.06
"""How old the latest voiced window may be for the voice to be going on: the length of a window and a frame.
Where it is older when a deadline asks, the next window decides."""


class State(StrEnum):
    IDLE = "idle"
    """Nobody has the floor."""
    LISTENING = "listening"
    """The user speaks, the bot does not."""
    ANALYSING = "analysing"
    """The user has fallen silent; is the turn over?"""
    BOT_PENDING = "bot_pending"
    """The turn is over and nothing has been answered yet."""
    BOT_SPEAKING = "bot_speaking"
    """The bot is heard, the user is silent."""
    OVERLAP = "overlap"
    """Both are heard: a barge-in, or only a cough."""


# --- what the machine is told -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    segment_id: int
    onset: float
    confidence: float
    bot_ends: float | None = None
    """When the bot will have said what it is saying, where that is known."""


@dataclass(frozen=True, slots=True)
class Voiced:
    """The open segment held voice in this stretch. What lies between two of them was a gap."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class VoiceEnded:
    onset: float
    end: float
    """The end of voice itself, before the silence that proved it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Text of a segment, interim or final. A final may be empty: nothing was understood."""

    segment_id: int
    text: str
    confidence: float
    final: bool


@dataclass(frozen=True, slots=True)
class BotStarted:
    """A message of the bot became audible."""

    at: float


@dataclass(frozen=True, slots=True)
class BotDone:
    """The bot has fallen silent: all it had to say was heard."""

    answered: bool = True
    """False: it was no answer, only a word that one will come."""


@dataclass(frozen=True, slots=True)
class BotCut:
    """The bot was cut off as ordered (``CutBot``), or by its own agent."""

    played_ms: int
    by_user: bool
    answered: bool = True
    """False: it was no answer, only a word that one will come."""


Input = VoiceStarted | Voiced | VoiceEnded | Heard | BotStarted | BotDone | BotCut


# --- what the machine orders ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutBot:
    """Silence the bot now; answer with ``BotCut``."""


@dataclass(frozen=True, slots=True)
class DiscardReply:
    """What was prepared as an answer to this message id is void."""

    message_id: str


@dataclass(frozen=True, slots=True)
class NothingHeard:
    """The user has spoken, and the recogniser still owes all of it. What it says later still counts."""


Output = (
    SpeechStarted | SpeechEnded | UserSpeaking | UserMessage | EagerTurn | TurnEnd | TurnContinued
    | CutBot | DiscardReply | NothingHeard
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TurnParams:
    """How patient the machine is. All in milliseconds."""

    turn_silence_ms: int = 500
    """Silence after the end of voice that ends a turn."""
    max_silence_ms: int = 3000
    """After so much silence the turn ends even where the recogniser has not answered."""
    nothing_heard_ms: int = 2000
    """The same where it has given nothing at all, not even interim text."""
    interrupt_ms: int = 300
    """Continuous voice, from its onset, that cuts the bot off."""
    resume_ms: int = 200
    """Continuous voice that takes a turn signal back."""
    interruption: bool = True
    """False: the bot is never cut off by voice."""
    interrupt_words: int = 2
    """Words of a short utterance over the bot that cut it off though the voice did not last."""


def end_probability(silence_ms: float) -> float:
    """How likely a turn is over after so much silence: 0.5 at 300 ms, rising to 1.

    A stand-in shape for silence evidence alone; it is not calibrated on recordings.
    """
    return round(min(0.99, 1.0 - float(0.5 ** (max(silence_ms, 0.0) / 300.0))), 3)


BACKCHANNELS = frozenset({"mhm", "uh-huh", "uh", "um", "hm", "hmm", "mm", "mm-hmm", "ah", "oh"})


@dataclass(slots=True)
class Turn:
    """One turn of the user."""

    ref: TurnRef
    message_id: str
    parts: list[str] = field(default_factory=list)
    segment_ids: list[int] = field(default_factory=list)
    confidence: float = 0.0
    signalled: bool = False
    """A turn signal went out with the current message id."""
    ended: bool = False
    answered: bool = False
    """A message of the bot was confirmed since; what follows is a new turn."""

    @property
    def text(self) -> str:
        return " ".join(self.parts)


@dataclass(slots=True)
class _Segment:
    segment_id: int
    turn: TurnRef
    onset: float
    final: bool = False
    partial: str = ""
    partial_confidence: float = 0.0


class TurnMachine:
    """One call's turns. ``ids`` gives a fresh message or correlation id at each call."""

    def __init__(self, params: TurnParams, ids: Callable[[], str]) -> None:
        self.params = params
        self.state = State.IDLE
        self._ids = ids
        self._turn: Turn | None = None
        self._last_turn_id = 0
        self._voice: _Segment | None = None
        """The open segment of speech."""
        self._awaited: dict[int, _Segment] = {}
        """Segments whose final text is still to come, the open one among them."""
        self._late: dict[int, _Segment] = {}
        """Those of a turn that was ended without them: their text still counts, but is not waited for."""
        self._voice_end = 0.0
        self._voiced_until = 0.0
        self._reply_to = ""
        self._reply_turn: TurnRef | None = None
        self._next_ref: TurnRef | None = None
        """The coming turn, where speech over the bot was announced with it already."""
        self._gate_at: float | None = None
        """When the voice that is going on will have lasted long enough to count."""
        self._gate_due = False
        """That time has come, but the voice was not known to go on."""
        self._bot_started = 0.0
        self._overlap_text: list[Heard] = []
        """Short utterances over the bot that did not cut it off; they count once it has finished."""

    # --- questions ----------------------------------------------------------------------------------------

    @property
    def turn(self) -> TurnRef | None:
        """The latest turn."""
        return self._turn.ref if self._turn else None

    @property
    def reply_to(self) -> str:
        """The message id that an answer must name; empty before the user has said anything."""
        return self._reply_to

    @property
    def reply_turn(self) -> TurnRef | None:
        """The turn whose message ``reply_to`` is."""
        return self._reply_turn

    @property
    def floor_free(self) -> bool:
        """The bot may begin to speak. What is ready while the user has the floor waits."""
        return self.state in (State.IDLE, State.BOT_PENDING)

    @property
    def deadline(self) -> float | None:
        """When ``tick`` next has something to do."""
        times = [t for t in (self._gate_at, self._silence_deadline()) if t is not None]
        return min(times, default=None)

    # --- the three verbs ----------------------------------------------------------------------------------

    def receive(self, event: Input, now: float) -> list[Output]:
        """Tell the machine what happened. Raises ``IllegalTransition`` for what cannot happen."""
        handler = TABLE.get((self.state, type(event)))
        if handler is None:
            raise IllegalTransition(self.state, event)
        out: list[Output] = []
        handler(self, event, now, out)
        return out

    def tick(self, now: float) -> list[Output]:
        """Time has passed: decide what only time decides."""
        out: list[Output] = []
        if self._gate_at is not None and now >= self._gate_at:
            self._gate_at = None
            if now - self._voiced_until <= FRESH_S:
                self._voice_lasted(out, now)
            else:
                self._gate_due = True
        deadline = self._silence_deadline()
        if deadline is not None and now >= deadline:
            self._silence_lasted(now, out)
        return out

    # --- voice --------------------------------------------------------------------------------------------

    def _voice_from_silence(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        if self._turn is None or self._turn.ended:
            self._open_turn()
        self._begin_voice(event, now, self._current().ref, out)
        self.state = State.LISTENING

    def _voice_resumes(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        self._begin_voice(event, now, self._current().ref, out)
        self.state = State.LISTENING
        self._set_gate(event.onset)

    def _voice_over_bot(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        # Which turn this speech belongs to is settled when it cuts the bot off; what will be heard by
        # then is known already, since the bot goes on playing, and so is whether it finishes before.
        self.state = State.OVERLAP
        self._set_gate(event.onset)
        ahead = max(event.onset + self.params.interrupt_ms / 1000.0, now) - self._bot_started
        turn = self._turn
        finishes = event.bot_ends is not None and event.bot_ends - self._bot_started <= ahead
        goes_on = turn is not None and not turn.answered and ahead * 1000 < EARLY_MS and not finishes
        ref = turn.ref if turn is not None and goes_on else self._coming_ref()
        self._begin_voice(event, now, ref, out)

    def _voiced(self, event: Voiced, now: float, out: list[Output]) -> None:
        if event.start - self._voiced_until > GAP_S:
            self._set_gate(event.start)
        self._voiced_until = event.end
        if self._gate_due:
            self._gate_due = False
            self._voice_lasted(out, now)

    def _set_gate(self, onset: float) -> None:
        self._gate_at, self._gate_due = self._gate(onset), False

    def _drop_gate(self) -> None:
        self._gate_at, self._gate_due = None, False

    def _gate(self, onset: float) -> float | None:
        """When voice that began at ``onset`` counts, as far as it has anything to decide."""
        if self.state is State.OVERLAP:
            return onset + self.params.interrupt_ms / 1000.0 if self.params.interruption else None
        if self._turn is not None and self._turn.signalled:
            return onset + self.params.resume_ms / 1000.0
        return None

    def _begin_voice(self, event: VoiceStarted, now: float, ref: TurnRef, out: list[Output]) -> None:
        self._voice = _Segment(event.segment_id, ref, event.onset)
        self._awaited[event.segment_id] = self._voice
        self._voiced_until = max(now, event.onset)
        out.append(SpeechStarted(ref, event.segment_id, event.confidence, event.onset))

    def _voice_ends(self, event: VoiceEnded, now: float, out: list[Output]) -> None:
        self._end_voice(event, out)
        turn = self._current()
        self.state = State.BOT_PENDING if turn.ended else State.ANALYSING
        if not self._awaited:
            self._settle(now, out)

    def _voice_ends_over_bot(self, event: VoiceEnded, now: float, out: list[Output]) -> None:
        self._end_voice(event, out)
        self.state = State.BOT_SPEAKING

    def _end_voice(self, event: VoiceEnded, out: list[Output]) -> None:
        segment = self._voice
        if segment is None:
            raise IllegalTransition(self.state, event)
        self._voice = None
        self._drop_gate()
        self._voice_end = event.end
        if segment.final:
            self._awaited.pop(segment.segment_id, None)
        duration_ms = round((event.end - event.onset) * 1000)
        out.append(SpeechEnded(segment.turn, segment.segment_id, duration_ms, event.end))

    def _voice_lasted(self, out: list[Output], now: float) -> None:
        if self.state is State.OVERLAP:
            out.append(CutBot())
        elif self.state is State.LISTENING and self._current().signalled:
            self._continue_turn(now, out)

    # --- words --------------------------------------------------------------------------------------------

    def _heard(self, event: Heard, now: float, out: list[Output]) -> None:
        segment = self._awaited.get(event.segment_id) or self._late.pop(event.segment_id, None)
        if segment is None:
            return  # The turn was ended without it: a forced end, or the call's own past.
        if not event.final:
            segment.partial, segment.partial_confidence = event.text, event.confidence
            if event.text and self.state in (State.LISTENING, State.ANALYSING):
                self._say_interim(event, out)
            return
        segment.final = True
        if segment is not self._voice:
            self._awaited.pop(event.segment_id, None)
        if event.text:
            self._take_final(event, segment, now, out)
        if self._voice is None and not self._awaited:
            self._settle(now, out)

    def _heard_over_bot(self, event: Heard, now: float, out: list[Output]) -> None:
        if event.final and event.segment_id in self._late:
            # Said before the bot began: no interruption, however short or long it is.
            del self._late[event.segment_id]
            if event.text:
                self._overlap_text.append(event)
            return
        segment = self._awaited.get(event.segment_id) or self._late.pop(event.segment_id, None)
        if segment is None:
            return
        if not event.final:
            segment.partial, segment.partial_confidence = event.text, event.confidence
            return
        segment.final = True
        if segment is not self._voice:
            self._awaited.pop(event.segment_id, None)
        words = event.text.split()
        if not words or all(word.lower().strip(".,!?") in BACKCHANNELS for word in words):
            return
        self._overlap_text.append(event)
        if self.params.interruption and len(words) >= self.params.interrupt_words:
            out.append(CutBot())

    def _say_interim(self, event: Heard, out: list[Output]) -> None:
        turn = self._current()
        confirmed = turn.text
        text = f"{confirmed} {event.text}" if confirmed else event.text
        out.append(UserSpeaking(turn.ref, text, confirmed, event.confidence))

    def _take_final(self, event: Heard, segment: _Segment, now: float, out: list[Output]) -> None:
        if self._turn is None or self._turn.answered:
            self._open_turn()
        if self._current().signalled:
            # The words have changed: what was begun on the old ones is void.
            self._continue_turn(now, out)
        if self._voice is None:
            self.state = State.ANALYSING
        turn = self._current()
        weight = len(turn.parts)
        turn.parts.append(event.text)
        turn.segment_ids.append(event.segment_id)
        turn.confidence = (turn.confidence * weight + event.confidence) / (weight + 1)
        self._say_message(turn, out)

    def _say_message(self, turn: Turn, out: list[Output]) -> None:
        if self._reply_to not in ("", turn.message_id):
            out.append(DiscardReply(self._reply_to))
        self._reply_to, self._reply_turn = turn.message_id, turn.ref
        out.append(
            UserMessage(turn.ref, turn.message_id, turn.text, turn.confidence, tuple(turn.segment_ids))
        )

    def _settle(self, now: float, out: list[Output]) -> None:
        """All words are there and the voice is still: the early edge, or nothing was said at all."""
        if self.state is not State.ANALYSING:
            return
        turn = self._current()
        if not turn.parts:
            self.state = State.IDLE
        elif not turn.signalled:
            turn.signalled = True
            silence = (now - self._voice_end) * 1000
            out.append(EagerTurn(*self._signal(turn, silence, TurnReason.SILENCE)))

    def _silence_deadline(self) -> float | None:
        if self.state is not State.ANALYSING:
            return None
        patience = self.params.turn_silence_ms
        if self._awaited:
            patience = self.params.max_silence_ms
            if not self._current().parts and not any(s.partial for s in self._awaited.values()):
                patience = min(patience, self.params.nothing_heard_ms)
        return self._voice_end + patience / 1000.0

    def _silence_lasted(self, now: float, out: list[Output]) -> None:
        turn = self._current()
        forced = bool(self._awaited)
        if forced:
            # The recogniser has not answered. What it last believed is better than nothing.
            # Where there is nothing yet, the answer still counts when it comes.
            for segment in list(self._awaited.values()):
                del self._awaited[segment.segment_id]
                if not segment.partial:
                    self._late[segment.segment_id] = segment
                    while len(self._late) > MAX_LATE:
                        del self._late[next(iter(self._late))]
                else:
                    heard = Heard(segment.segment_id, segment.partial, segment.partial_confidence, True)
                    self._take_final(heard, segment, now, out)
        if not turn.parts:
            self.state = State.IDLE
            if forced:
                out.append(NothingHeard())
            return
        turn = self._current()
        turn.signalled = turn.ended = True
        self.state = State.BOT_PENDING
        reason = TurnReason.FORCED if forced else TurnReason.SILENCE
        out.append(TurnEnd(*self._signal(turn, (now - self._voice_end) * 1000, reason)))

    def _signal(
        self, turn: Turn, silence_ms: float, reason: TurnReason
    ) -> tuple[TurnRef, str, str, float, int, TurnReason]:
        probability = end_probability(silence_ms)
        return (turn.ref, turn.message_id, turn.text, probability, round(silence_ms), reason)

    # --- the bot ------------------------------------------------------------------------------------------

    def _bot_starts(self, event: BotStarted, now: float, out: list[Output]) -> None:
        self._bot_started = event.at
        self.state = State.BOT_SPEAKING

    def _bot_done(self, event: BotDone, now: float, out: list[Output]) -> None:
        if event.answered:
            self._answer()
        self._bot_is_quiet(now, out)

    def _bot_done_over_voice(self, event: BotDone, now: float, out: list[Output]) -> None:
        if event.answered:
            self._answer()
        self._drop_gate()
        self._voice_takes_floor(out, now)

    def _bot_cut(self, event: BotCut, now: float, out: list[Output]) -> None:
        self._drop_gate()
        if not event.by_user:
            # The agent silenced its own bot. Where nothing was heard the turn still waits for an answer.
            if event.played_ms > 0 and event.answered:
                self._answer()
            if self.state is State.OVERLAP:
                self._voice_takes_floor(out, now)
            else:
                self._bot_is_quiet(now, out)
            return
        turn = self._turn
        if turn is not None and not turn.answered and (event.played_ms < EARLY_MS or not event.answered):
            self._continue_turn(now, out)
        else:
            self._open_turn()
        self._adopt_overlap(now, out)

    def _bot_is_quiet(self, now: float, out: list[Output]) -> None:
        turn = self._turn
        pending = turn is not None and turn.ended and not turn.answered
        self.state = State.BOT_PENDING if pending else State.IDLE
        if self._overlap_text:
            if turn is None or turn.ended:
                self._open_turn()
            self._adopt_overlap(now, out)

    def _voice_takes_floor(self, out: list[Output], now: float) -> None:
        """The bot is silent and the user speaks: the speech that began over the bot is his turn."""
        turn = self._turn
        if turn is not None and not turn.answered:
            self._continue_turn(now, out)
        else:
            self._open_turn()
        self._adopt_overlap(now, out)

    def _adopt_overlap(self, now: float, out: list[Output]) -> None:
        """What was said over the bot belongs to the turn that begins or goes on now."""
        heard, self._overlap_text = self._overlap_text, []
        self.state = State.LISTENING if self._voice else State.ANALYSING
        for event in heard:
            segment = _Segment(event.segment_id, self._current().ref, 0.0)
            self._take_final(event, segment, now, out)
        if self._voice is None and not self._awaited:
            self._settle(now, out)

    def _answer(self) -> None:
        if self._turn is not None and self._turn.ended:
            self._turn.answered = True

    # --- turns --------------------------------------------------------------------------------------------

    def _current(self) -> Turn:
        if self._turn is None:
            raise IllegalTransition(self.state, "no turn is open")
        return self._turn

    def _coming_ref(self) -> TurnRef:
        if self._next_ref is None:
            self._next_ref = TurnRef(self._last_turn_id + 1, self._ids())
        return self._next_ref

    def _open_turn(self) -> None:
        ref = self._coming_ref()
        self._next_ref = None
        self._last_turn_id = ref.turn_id
        self._turn = Turn(ref, self._ids())

    def _continue_turn(self, now: float, out: list[Output]) -> None:
        """The user goes on. Where a signal went out it is taken back, and the message id changes with it."""
        turn = self._current()
        if not turn.signalled:
            return
        old, turn.message_id = turn.message_id, self._ids()
        turn.signalled = turn.ended = False
        self._reply_to = turn.message_id
        out.append(TurnContinued(turn.ref, now))
        out.append(DiscardReply(old))


_Handler = Callable[[TurnMachine, object, float, list[Output]], None]

_T = TurnMachine
# fmt: off
_ROWS: list[tuple[State, type, object]] = [
    (State.IDLE,         VoiceStarted, _T._voice_from_silence),
    (State.IDLE,         Heard,        _T._heard),
    (State.IDLE,         BotStarted,   _T._bot_starts),
    (State.LISTENING,    Voiced,       _T._voiced),
    (State.LISTENING,    VoiceEnded,   _T._voice_ends),
    (State.LISTENING,    Heard,        _T._heard),
    (State.ANALYSING,    VoiceStarted, _T._voice_resumes),
    (State.ANALYSING,    Heard,        _T._heard),
    (State.BOT_PENDING,  VoiceStarted, _T._voice_resumes),
    (State.BOT_PENDING,  Heard,        _T._heard),
    (State.BOT_PENDING,  BotStarted,   _T._bot_starts),
    (State.BOT_SPEAKING, VoiceStarted, _T._voice_over_bot),
    (State.BOT_SPEAKING, Heard,        _T._heard_over_bot),
    (State.BOT_SPEAKING, BotDone,      _T._bot_done),
    (State.BOT_SPEAKING, BotCut,       _T._bot_cut),
    (State.OVERLAP,      Voiced,       _T._voiced),
    (State.OVERLAP,      VoiceEnded,   _T._voice_ends_over_bot),
    (State.OVERLAP,      Heard,        _T._heard_over_bot),
    (State.OVERLAP,      BotDone,      _T._bot_done_over_voice),
    (State.OVERLAP,      BotCut,       _T._bot_cut),
]
# fmt: on
TABLE: dict[tuple[State, type], _Handler] = {(s, e): h for s, e, h in _ROWS}  # type: ignore[misc]
"""State and event to what is done. An absent row is a bug of ours and says so."""
