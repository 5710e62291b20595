"""Whose turn it is: a table, and ``receive(event) / deadline / tick(now) -> outputs``.

The machine decides and does nothing: it reads no clock, opens no socket and knows no engine. Time is an
argument, in seconds of the session's monotonic clock.

Two edges end a user's turn. ``EagerTurn``: thinking may begin. ``TurnEnd``: he has finished. When they fall is
the judge's verdict (``pipeline.endpointing``), asked anew with all new evidence. Work begun on the first is void
after ``TurnContinued``: the message id of the turn changes with it, and a reply to the old id is stale.

A user who speaks over the bot for ``interrupt_ms`` of continuous voice silences it: it pauses, and is cut off
when the voice goes on or its words say something. Where that was nothing, it goes on. Where less than
``EARLY_MS`` of the message was heard he had not finished: the same turn goes on. Else a new one begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.endpointing.evidence import EndOfTurn
from pipeline.errors import IllegalTransition
from pipeline.events import TurnRef
from pipeline.turns import bot, over_bot, said, silence, typed, unheard, user
from pipeline.turns.memory import Memory
from pipeline.turns.vocabulary import (
    BotCut,
    BotDone,
    BotStarted,
    Echo,
    Heard,
    Hold,
    Input,
    Mute,
    Output,
    ProviderTurn,
    Sounded,
    State,
    Tick,
    TurnParams,
    Typed,
    Unhold,
    Unmute,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)


class TurnMachine:
    """One call's turns. ``ids`` gives a fresh message or correlation id at each call."""

    def __init__(self, params: TurnParams, judge: EndOfTurn, ids: Callable[[], str]) -> None:
        self._memory = Memory(params, judge, ids)

    # --- what may change ----------------------------------------------------------------------------------

    @property
    def params(self) -> TurnParams:
        return self._memory.params

    @params.setter
    def params(self, params: TurnParams) -> None:
        self._memory.params = params

    @property
    def judge(self) -> EndOfTurn:
        return self._memory.judge

    @judge.setter
    def judge(self, judge: EndOfTurn) -> None:
        self._memory.judge = judge

    @property
    def question(self) -> str:
        """What the bot said last, as far as it was heard."""
        return self._memory.question

    @question.setter
    def question(self, question: str) -> None:
        self._memory.question = question

    # --- questions ----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._memory.state

    @property
    def turn(self) -> TurnRef | None:
        """The latest turn."""
        return self._memory.turn.ref if self._memory.turn else None

    @property
    def reply_to(self) -> str:
        """The message id that an answer must name; empty before the user has said anything."""
        return self._memory.reply_to

    def turn_of(self, in_reply_to: str) -> TurnRef | None:
        """The turn that a message belongs to: which answers ``reply_to``, or nobody."""
        return self._memory.reply_turn if in_reply_to else self.turn

    @property
    def floor_free(self) -> bool:
        """The bot may begin to speak. What is ready while the user has the floor waits."""
        m = self._memory
        if m.state is State.MUTED:
            owed = any(not segment.muted for segment in m.awaited.values())
            open_turn = m.turn is not None and not m.turn.ended
            return not m.bot_audible and not (open_turn and owed)
        return m.state in (State.IDLE, State.BOT_PENDING)

    @property
    def owes_answer(self) -> bool:
        """The turn is over, and nothing was heard in answer to it yet."""
        m = self._memory
        return m.turn is not None and m.turn.ended and not m.turn.answered

    @property
    def muted(self) -> bool:
        return self._memory.muted

    @property
    def held(self) -> bool:
        return self._memory.state is State.HELD

    @property
    def deadline(self) -> float | None:
        """When ``tick`` next has something to do."""
        m = self._memory
        times = (m.gate.deadline, silence.deadline(m), over_bot.doubt_deadline(m), m.unmuted_by)
        return min((t for t in times if t is not None), default=None)

    # --- the two verbs -------------------------------------------------------------------------------------

    def receive(self, event: Input, now: float) -> list[Output]:
        """Tell the machine what happened. Raises ``IllegalTransition`` for what cannot happen."""
        m = self._memory
        if isinstance(event, Heard) and event.segment_id in m.muted_owed:
            return unheard.heard_of_muted(m, event)
        row = TABLE.get((m.state, type(event)))
        if row is None:
            raise IllegalTransition(m.state, event)
        out: list[Output] = []
        before, m.judged = m.state, None
        row.act(m, event, now, out)
        if m.state not in row.targets:
            raise IllegalTransition(before, f"{type(event).__name__} led to {m.state}")
        return out

    def tick(self, now: float) -> list[Output]:
        """Time has passed: decide what only time decides."""
        m = self._memory
        out = said.told_unmuted(m) if m.unmuted_by is not None and now >= m.unmuted_by else []
        deadline = self.deadline
        if deadline is None or now < deadline:
            return out
        return [*out, *self.receive(Tick(), now)]


_Act = Callable[[Memory, object, float, list[Output]], None]


@dataclass(frozen=True, slots=True)
class Row:
    """What an event does in a state, and where it may lead."""

    act: _Act
    targets: frozenset[State]


def _rows() -> dict[tuple[State, type], Row]:
    idle, listening, analysing, pending = State.IDLE, State.LISTENING, State.ANALYSING, State.BOT_PENDING
    speaking, overlap, doubt, muted, held = (
        State.BOT_SPEAKING, State.OVERLAP, State.DOUBT, State.MUTED, State.HELD
    )  # fmt: skip
    # fmt: off
    rows: list[tuple[State, type, object, tuple[State, ...]]] = [
        (idle,      VoiceStarted, user.voice_from_silence,      (listening,)),
        (idle,      Heard,        user.heard,                   (idle, analysing, pending)),
        (idle,      Typed,        typed.typed,                  (pending, analysing)),
        (idle,      BotStarted,   bot.starts,                   (speaking,)),
        (idle,      Mute,         unheard.mute,                 (muted,)),
        (idle,      Hold,         unheard.hold,                 (held,)),
        (listening, Voiced,       user.voiced,                  (listening,)),
        (listening, VoiceEnded,   user.voice_ends,              (analysing, pending, idle)),
        (listening, Heard,        user.heard,                   (listening,)),
        (listening, Typed,        typed.typed,                  (listening,)),
        (listening, Echo,         user.echoed,                  (listening,)),
        (listening, Sounded,      user.note_sound,              (listening,)),
        (listening, ProviderTurn, user.note_provider,           (listening,)),
        (listening, Tick,         user.tick_listening,          (listening,)),
        (analysing, VoiceStarted, user.voice_resumes,           (listening,)),
        (analysing, Heard,        user.heard,                   (analysing, pending, idle)),
        (analysing, Typed,        typed.typed,                  (analysing, pending)),
        (analysing, Sounded,      user.sounded,                 (analysing, pending, idle)),
        (analysing, ProviderTurn, user.provider_says,           (analysing, pending, idle)),
        (analysing, Echo,         user.echoed,                  (analysing, pending, idle)),
        (analysing, Tick,         user.tick_analysing,          (analysing, pending, idle)),
        (analysing, Mute,         unheard.mute,                 (muted,)),
        (analysing, Hold,         unheard.hold,                 (held,)),
        (pending,   VoiceStarted, user.voice_resumes,           (listening,)),
        (pending,   Heard,        user.heard,                   (pending, analysing)),
        (pending,   Typed,        typed.typed,                  (pending, analysing)),
        (pending,   BotStarted,   bot.starts,                   (speaking,)),
        (pending,   Mute,         unheard.mute,                 (muted,)),
        (pending,   Hold,         unheard.hold,                 (held,)),
        (speaking,  VoiceStarted, over_bot.voice_starts,        (overlap,)),
        (speaking,  Heard,        over_bot.heard,               (speaking,)),
        (speaking,  Typed,        typed.over_bot,               (speaking,)),
        (speaking,  Echo,         user.echoed,                  (speaking,)),
        (speaking,  BotDone,      bot.done,                     (idle, pending, analysing)),
        (speaking,  BotCut,       bot.cut,                      (idle, pending, analysing)),
        (speaking,  Mute,         unheard.mute,                 (muted,)),
        (speaking,  Hold,         unheard.hold,                 (held,)),
        (overlap,   Voiced,       over_bot.voiced,              (overlap, doubt)),
        (overlap,   VoiceEnded,   over_bot.voice_ends,          (speaking,)),
        (overlap,   Heard,        over_bot.heard,               (overlap, doubt)),
        (overlap,   Typed,        typed.over_bot,               (overlap,)),
        (overlap,   Echo,         user.echoed,                  (overlap,)),
        (overlap,   Tick,         over_bot.tick,                (overlap, doubt)),
        (overlap,   BotDone,      bot.done_over_voice,          (listening,)),
        (overlap,   BotCut,       bot.cut,                      (listening,)),
        (doubt,     VoiceStarted, over_bot.voice_in_doubt,      (doubt,)),
        (doubt,     Voiced,       over_bot.voiced_in_doubt,     (doubt,)),
        (doubt,     VoiceEnded,   over_bot.voice_ends_in_doubt, (doubt, speaking)),
        (doubt,     Heard,        over_bot.heard_in_doubt,      (doubt, speaking)),
        (doubt,     Typed,        typed.over_bot,               (doubt,)),
        (doubt,     Echo,         over_bot.echoed_in_doubt,     (doubt, overlap, speaking)),
        (doubt,     Tick,         over_bot.tick_doubt,          (doubt, speaking)),
        (doubt,     BotDone,      bot.done_in_doubt,            (listening, idle, pending, analysing)),
        (doubt,     BotCut,       bot.cut,                      (listening, idle, pending, analysing)),
        (doubt,     Mute,         unheard.mute,                 (muted,)),
        (doubt,     Hold,         unheard.hold,                 (held,)),
        (muted,     VoiceStarted, unheard.voice_starts,         (muted,)),
        (muted,     Voiced,       unheard.voiced,               (muted,)),
        (muted,     VoiceEnded,   unheard.voice_ends,           (muted,)),
        (muted,     Heard,        unheard.heard,                (muted,)),
        (muted,     Typed,        typed.unheard,                (muted,)),
        (muted,     BotStarted,   bot.starts,                   (muted,)),
        (muted,     BotDone,      unheard.bot_done,             (muted,)),
        (muted,     BotCut,       unheard.bot_cut,              (muted,)),
        (muted,     Unmute,       unheard.unmute,               (idle, pending, analysing, speaking)),
        (muted,     Hold,         unheard.hold,                 (held,)),
        (held,      VoiceStarted, unheard.voice_starts,         (held,)),
        (held,      Voiced,       unheard.voiced,               (held,)),
        (held,      VoiceEnded,   unheard.voice_ends,           (held,)),
        (held,      Heard,        unheard.heard,                (held,)),
        (held,      BotDone,      unheard.bot_done,             (held,)),
        (held,      BotCut,       unheard.bot_cut,              (held,)),
        (held,      Mute,         unheard.mute_held,            (held,)),
        (held,      Unmute,       unheard.unmute_held,          (held,)),
        (idle,      Echo,         user.echoed,                  (idle,)),
        (pending,   Echo,         user.echoed,                  (pending,)),
        (muted,     Echo,         user.echoed,                  (muted,)),
        (held,      Echo,         user.echoed,                  (held,)),
        (held,      Unhold,       unheard.unhold,               (idle, pending, analysing, speaking, muted)),
    ]
    # fmt: on
    told = {(s, e) for s, e, _, _ in rows}
    rows += [
        (s, e, user.too_late, (s,))
        for s in State
        for e in (Sounded, ProviderTurn, Echo)
        if (s, e) not in told
    ]
    return {(s, e): Row(act, frozenset(to)) for s, e, act, to in rows}  # type: ignore[arg-type]


TABLE = _rows()
"""State and event to what is done. An absent row is a bug of ours and says so."""
