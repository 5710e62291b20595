"""What the turn machine remembers of a call. Only the modules of this package touch it, by the rows of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.endpointing.evidence import EndOfTurn, Prosody, Verdict
from pipeline.endpointing.habit import Habit
from pipeline.errors import IllegalTransition
from pipeline.events import TurnRef
from pipeline.turns.gate import Gate
from pipeline.turns.vocabulary import Heard, ProviderTurn, Segment, State, Turn, TurnParams, Voiced

MAX_HABIT_S = 3.0
"""A longer silence before the user went on was no pause within a turn."""


@dataclass(frozen=True, slots=True)
class Over:
    """Words that were said over the bot."""

    heard: Heard
    ended: float | None
    """The end of their voice."""
    late: bool = False
    """They were said before the bot began, and understood over it."""


class Memory:
    """Of one call."""

    def __init__(self, params: TurnParams, judge: EndOfTurn, ids: Callable[[], str]) -> None:
        self.params = params
        self.judge = judge
        self.state = State.IDLE
        self.question = ""
        """What the bot said last, as far as it was heard."""
        self.ids = ids
        self.turn: Turn | None = None
        self.last_turn_id = 0
        self.next_ref: TurnRef | None = None
        """The coming turn, where speech over the bot was announced with it already."""
        self.reply_to = ""
        self.reply_turn: TurnRef | None = None

        self.voice: Segment | None = None
        """The open segment of speech."""
        self.awaited: dict[int, Segment] = {}
        """Segments whose final text is still to come, the open one among them."""
        self.late: dict[int, Segment] = {}
        """Those of a turn that was ended without them: their text still counts, but is not waited for."""
        self.voice_end = 0.0
        self.gate = Gate()
        self.habit = Habit()
        self.prosody: Prosody | None = None
        self.model: float | None = None
        self.provider: ProviderTurn | None = None

        self.judged: Verdict | None = None
        """What the judge made of the evidence, while that is the same."""

        self.bot_started = 0.0
        """So that what was heard of the message is the time since then: moved on by each pause."""
        self.bot_paused: float | None = None
        self.bot_audible = False
        """Of a message that was begun: also while it is paused."""
        self.interruptible = True
        self.doubts = 0
        self.overlap: list[Over] = []
        """Short utterances over the bot that did not cut it off; they count once it has finished."""
        self.muted = False
        self.muted_text: list[str] = []
        self.muted_owed: dict[int, Segment] = {}
        """Segments of a muted user whose text was still owed when he was listened to again."""
        self.unmuted_by: float | None = None
        """Until then it is waited for."""
        self.bot_quiet_at = 0.0

    def current(self) -> Turn:
        """The latest turn. Raises ``IllegalTransition`` where there is none."""
        if self.turn is None:
            raise IllegalTransition(self.state, "no turn is open")
        return self.turn

    def coming_ref(self) -> TurnRef:
        """Of the turn that opens next."""
        if self.next_ref is None:
            self.next_ref = TurnRef(self.last_turn_id + 1, self.ids())
        return self.next_ref

    def coming_or_current(self) -> TurnRef:
        """Of the turn that is open, else of the next one."""
        turn = self.turn
        return turn.ref if turn is not None and not turn.ended else self.coming_ref()

    def open_turn(self) -> None:
        """The user begins a turn."""
        ref = self.coming_ref()
        self.next_ref = None
        self.last_turn_id = ref.turn_id
        self.turn = Turn(ref, self.ids())

    def at_rest(self) -> State:
        """The state in which nobody speaks."""
        turn = self.turn
        pending = turn is not None and turn.ended and not turn.answered
        return State.BOT_PENDING if pending else State.IDLE

    def answer(self) -> None:
        """The bot was heard: what follows is a new turn."""
        turn = self.turn
        if turn is not None and turn.ended and not turn.answered:
            turn.answered = True
            self.habit.turn_over()

    @property
    def can_interrupt(self) -> bool:
        """The user may silence the message that he hears."""
        return self.params.interruption and self.interruptible

    def finalise(self, segment: Segment) -> None:
        """All that was said in a segment is known."""
        segment.final = True
        if segment is not self.voice:
            self.awaited.pop(segment.segment_id, None)
            self.late.pop(segment.segment_id, None)

    def learn_pause(self, now: float) -> None:
        """The user went on: so long are his pauses."""
        onset = self.voice.onset if self.voice is not None else now
        pause_s = onset - self.voice_end
        if 0 < pause_s <= MAX_HABIT_S:
            self.habit.went_on(round(pause_s * 1000))

    def note_volume(self, event: Voiced) -> None:
        """How loud the open segment was."""
        if self.voice is not None:
            self.voice.loudest = max(self.voice.loudest, event.volume)
