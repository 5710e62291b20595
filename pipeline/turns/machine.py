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

from pipeline.backchannels import is_backchannel
from pipeline.endpointing.evidence import EndOfTurn, Evidence, Prosody, TurnReason, Verdict
from pipeline.endpointing.habit import Habit
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
    TurnRef,
    TurnResumed,
    UserMessage,
    UserSpeaking,
)
from pipeline.turns.gate import Gate
from pipeline.turns.vocabulary import (
    BotCut,
    BotDone,
    BotStarted,
    CutBot,
    DiscardReply,
    Echo,
    Heard,
    Hold,
    Input,
    Mute,
    NothingHeard,
    Output,
    PauseBot,
    ProviderTurn,
    ResumeBot,
    Segment,
    Sounded,
    State,
    Tick,
    Turn,
    TurnParams,
    Unhold,
    Unmute,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)

EARLY_MS = 2000
"""Less of a message heard than this: its interruption continues the user's turn."""
MAX_LATE = 8
"""Texts that may still come after their turn was ended without them."""
MAX_DOUBTS = 3
"""How often one message is paused for nothing before a voice alone no longer pauses it."""
MAX_HABIT_S = 3.0
"""A longer silence before the user went on was no pause within a turn."""
UNMUTE_S = 1.5
"""How long ``CallUnmuted`` waits for what a muted user said last."""
ANSWER_S = 1.5
"""An "uh-huh" that ended no longer ago when the bot's question was over is the answer to it."""


class TurnMachine:
    """One call's turns. ``ids`` gives a fresh message or correlation id at each call."""

    def __init__(self, params: TurnParams, judge: EndOfTurn, ids: Callable[[], str]) -> None:
        self.params = params
        self.judge = judge
        self.state = State.IDLE
        self.question = ""
        """What the bot said last, as far as it was heard."""
        self._ids = ids
        self._turn: Turn | None = None
        self._last_turn_id = 0
        self._next_ref: TurnRef | None = None
        """The coming turn, where speech over the bot was announced with it already."""
        self._reply_to = ""
        self._reply_turn: TurnRef | None = None

        self._voice: Segment | None = None
        """The open segment of speech."""
        self._awaited: dict[int, Segment] = {}
        """Segments whose final text is still to come, the open one among them."""
        self._late: dict[int, Segment] = {}
        """Those of a turn that was ended without them: their text still counts, but is not waited for."""
        self._voice_end = 0.0
        self._gate = Gate()
        self._habit = Habit()
        self._prosody: Prosody | None = None
        self._model: float | None = None
        self._provider: ProviderTurn | None = None

        self._judged: Verdict | None = None
        """What the judge made of the evidence, while that is the same."""

        self._bot_started = 0.0
        """So that what was heard of the message is the time since then: moved on by each pause."""
        self._bot_paused: float | None = None
        self._bot_audible = False
        """Of a message that was begun: also while it is paused."""
        self._interruptible = True
        self._doubts = 0
        self._overlap: list[_Over] = []
        """Short utterances over the bot that did not cut it off; they count once it has finished."""
        self._muted = False
        self._muted_text: list[str] = []
        self._muted_owed: dict[int, Segment] = {}
        """Segments of a muted user whose text was still owed when he was listened to again."""
        self._unmuted_by: float | None = None
        """Until then it is waited for."""
        self._bot_quiet_at = 0.0

    # --- questions ----------------------------------------------------------------------------------------

    @property
    def turn(self) -> TurnRef | None:
        """The latest turn."""
        return self._turn.ref if self._turn else None

    @property
    def reply_to(self) -> str:
        """The message id that an answer must name; empty before the user has said anything."""
        return self._reply_to

    def turn_of(self, in_reply_to: str) -> TurnRef | None:
        """The turn that a message belongs to: which answers ``reply_to``, or nobody."""
        return self._reply_turn if in_reply_to else self.turn

    @property
    def floor_free(self) -> bool:
        """The bot may begin to speak. What is ready while the user has the floor waits."""
        if self.state is State.MUTED:
            owed = any(not segment.muted for segment in self._awaited.values())
            open_turn = self._turn is not None and not self._turn.ended
            return not self._bot_audible and not (open_turn and owed)
        return self.state in (State.IDLE, State.BOT_PENDING)

    @property
    def owes_answer(self) -> bool:
        """The turn is over, and nothing was heard in answer to it yet."""
        return self._turn is not None and self._turn.ended and not self._turn.answered

    @property
    def muted(self) -> bool:
        return self._muted

    @property
    def held(self) -> bool:
        return self.state is State.HELD

    @property
    def deadline(self) -> float | None:
        """When ``tick`` next has something to do."""
        times = (self._gate.deadline, self._silence_deadline(), self._doubt_deadline(), self._unmuted_by)
        return min((t for t in times if t is not None), default=None)

    # --- the three verbs ----------------------------------------------------------------------------------

    def receive(self, event: Input, now: float) -> list[Output]:
        """Tell the machine what happened. Raises ``IllegalTransition`` for what cannot happen."""
        if isinstance(event, Heard) and event.segment_id in self._muted_owed:
            return self._heard_of_muted(event)
        row = TABLE.get((self.state, type(event)))
        if row is None:
            raise IllegalTransition(self.state, event)
        out: list[Output] = []
        before, self._judged = self.state, None
        row.act(self, event, now, out)
        if self.state not in row.targets:
            raise IllegalTransition(before, f"{type(event).__name__} led to {self.state}")
        return out

    def tick(self, now: float) -> list[Output]:
        """Time has passed: decide what only time decides."""
        out = self._told_unmuted() if self._unmuted_by is not None and now >= self._unmuted_by else []
        deadline = self.deadline
        if deadline is None or now < deadline:
            return out
        return [*out, *self.receive(Tick(), now)]

    # --- time ---------------------------------------------------------------------------------------------

    def _tick_listening(self, event: Tick, now: float, out: list[Output]) -> None:
        if self._gate.tick(now):
            self._voice_lasted(now, out)

    def _tick_analysing(self, event: Tick, now: float, out: list[Output]) -> None:
        deadline = self._silence_deadline()
        if deadline is not None and now >= deadline:
            self._silence_lasted(now, out)

    def _tick_doubt(self, event: Tick, now: float, out: list[Output]) -> None:
        if self._gate.tick(now):
            out.append(CutBot())
            return
        deadline = self._doubt_deadline()
        if deadline is not None and now >= deadline:
            self._was_nothing(now, out)

    # --- voice --------------------------------------------------------------------------------------------

    def _voice_from_silence(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        if self._turn is None or self._turn.ended:
            self._open_turn()
        self._begin_voice(event, now, self._current().ref, out)
        self.state = State.LISTENING

    def _voice_resumes(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        self._begin_voice(event, now, self._current().ref, out)
        self.state = State.LISTENING
        self._gate.set(event.onset, self.params.resume_ms, volume=self.params.resume_volume)

    def _voice_over_bot(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        # Which turn this speech belongs to is settled when it cuts the bot off; what will be heard by
        # then is known already, since the bot goes on playing, and so is whether it finishes before.
        self.state = State.OVERLAP
        if self._can_interrupt and (self._doubts < MAX_DOUBTS or not self.params.pause_first):
            self._set_interrupt_gate(event.onset)
        elif self._can_interrupt:
            self._set_interrupt_gate(event.onset, self.params.sure_ms)
        silenced = max(event.onset + self.params.interrupt_ms / 1000.0, now)
        finishes = event.bot_ends is not None and event.bot_ends <= silenced
        self._begin_voice(event, now, self._ref_over_bot(silenced, finishes), out)
        self._awaited[event.segment_id].over_bot = True

    def _voice_in_doubt(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        # He speaks once more: that he wants the floor is likelier now.
        self._begin_voice(event, now, self._ref_over_bot(self._bot_paused or now), out)
        self._set_interrupt_gate(event.onset)

    def _ref_over_bot(self, silenced: float, finishes: bool = False) -> TurnRef:
        """The turn that speech over the bot belongs to if it silences the bot then."""
        turn = self._turn
        early = (silenced - self._bot_started) * 1000 < EARLY_MS and not finishes
        return turn.ref if turn is not None and not turn.answered and early else self._coming_ref()

    def _voice_unheard(self, event: VoiceStarted, now: float, out: list[Output]) -> None:
        self._begin_voice(event, now, self._coming_or_current(), out)
        if self._voice is not None:
            self._voice.muted = True

    def _set_interrupt_gate(self, onset: float, need_ms: int | None = None) -> None:
        params = self.params
        need_ms = max(params.min_speech_ms, params.interrupt_ms if need_ms is None else need_ms)
        self._gate.set(onset, need_ms, params.interrupt_confidence, params.interrupt_volume)

    def _voiced(self, event: Voiced, now: float, out: list[Output]) -> None:
        self._note_volume(event)
        if self._gate.voiced(event.start, event.end, event.probability, event.volume):
            self._voice_lasted(now, out)

    def _note_volume(self, event: Voiced) -> None:
        if self._voice is not None:
            self._voice.loudest = max(self._voice.loudest, event.volume)

    def _voiced_in_doubt(self, event: Voiced, now: float, out: list[Output]) -> None:
        self._note_volume(event)
        if self._gate.voiced(event.start, event.end, event.probability, event.volume):
            out.append(CutBot())

    def _voiced_unheard(self, event: Voiced, now: float, out: list[Output]) -> None:
        """The user is not listened to."""

    def _begin_voice(self, event: VoiceStarted, now: float, ref: TurnRef, out: list[Output]) -> None:
        self._voice = Segment(event.segment_id, ref, event.onset)
        self._awaited[event.segment_id] = self._voice
        self._gate.voice_from(max(now, event.onset))
        self._prosody = self._model = self._provider = None
        out.append(SpeechStarted(ref, event.segment_id, event.confidence, event.onset))

    def _voice_ends(self, event: VoiceEnded, now: float, out: list[Output]) -> None:
        segment = self._end_voice(event, out)
        turn = self._current()
        if not segment.void:
            turn.voice_ms += round((event.end - event.onset) * 1000)
        self.state = State.BOT_PENDING if turn.ended else State.ANALYSING
        self._settle(now, out)

    def _voice_ends_over_bot(self, event: VoiceEnded, now: float, out: list[Output]) -> None:
        self._end_voice(event, out)
        self.state = State.BOT_SPEAKING

    def _voice_ends_in_doubt(self, event: VoiceEnded, now: float, out: list[Output]) -> None:
        segment = self._end_voice(event, out)
        if segment.final or segment.void:
            self._was_nothing(now, out)

    def _voice_ends_unheard(self, event: VoiceEnded, now: float, out: list[Output]) -> None:
        self._end_voice(event, out)

    def _end_voice(self, event: VoiceEnded, out: list[Output]) -> Segment:
        segment = self._voice
        if segment is None:
            raise IllegalTransition(self.state, event)
        self._voice = None
        self._gate.drop()
        segment.ended = event.end
        duration_ms = round((event.end - event.onset) * 1000)
        if duration_ms < self.params.min_speech_ms:
            segment.void = True
        if not segment.void:
            self._voice_end = event.end
        if segment.final or segment.void:
            self._awaited.pop(segment.segment_id, None)
        out.append(SpeechEnded(segment.turn, segment.segment_id, duration_ms, event.end))
        return segment

    def _echoed(self, event: Echo, now: float, out: list[Output]) -> None:
        segment = self._awaited.get(event.segment_id) or self._late.get(event.segment_id)
        if segment is None:
            return
        segment.void = True
        if segment is self._voice:
            self._gate.drop()
        else:
            self._awaited.pop(event.segment_id, None)
            self._late.pop(event.segment_id, None)
            self._settle(now, out)

    def _echoed_in_doubt(self, event: Echo, now: float, out: list[Output]) -> None:
        self._echoed(event, now, out)
        if self._voice is None or self._voice.void:
            self._was_nothing(now, out)

    def _voice_lasted(self, now: float, out: list[Output]) -> None:
        if self.state is State.OVERLAP:
            if self.params.pause_first and self._doubts < MAX_DOUBTS:
                self._doubt(now, out)
                self._gate.lengthen(self.params.sure_ms)
            else:
                out.append(CutBot())
        elif self.state is State.LISTENING:
            self._goes_on(now, out)

    # --- doubt --------------------------------------------------------------------------------------------

    @property
    def _can_interrupt(self) -> bool:
        return self.params.interruption and self._interruptible

    def _doubt(self, now: float, out: list[Output]) -> None:
        self.state = State.DOUBT
        self._doubts += 1
        self._bot_paused = now
        out.append(PauseBot())

    def _was_nothing(self, now: float, out: list[Output]) -> None:
        """The voice over the bot said nothing: the bot goes on."""
        self._gate.drop()
        self.state = State.OVERLAP if self._voice is not None else State.BOT_SPEAKING
        self._resume_bot(now, out)

    def _resume_bot(self, now: float, out: list[Output]) -> None:
        paused, self._bot_paused = self._bot_paused, None
        if paused is not None:
            self._bot_started += now - paused
        out.append(ResumeBot())

    def _doubt_deadline(self) -> float | None:
        if self.state is not State.DOUBT or self._voice is not None:
            return None
        return self._voice_end + self.params.doubt_ms / 1000.0

    # --- words --------------------------------------------------------------------------------------------

    def _heard(self, event: Heard, now: float, out: list[Output]) -> None:
        segment = self._awaited.get(event.segment_id) or self._late.get(event.segment_id)
        if segment is None:
            return  # The turn was ended without it: a forced end, or the call's own past.
        if not event.final:
            segment.partial, segment.partial_confidence = event.text, event.confidence
            if event.text and not segment.void and self.state in (State.LISTENING, State.ANALYSING):
                self._say_interim(event, out)
            return
        self._finalise(segment)
        said = event.text and not segment.void
        if said and not (self._was_over_bot(segment) and self._says_nothing(event.text, segment.ended, now)):
            self._take_final(event, segment, now, out)
        self._settle(now, out)

    def _was_over_bot(self, segment: Segment) -> bool:
        """It lay over the bot for the most part, which has finished since."""
        if not segment.over_bot or segment.ended is None:
            return False
        return self._bot_quiet_at - segment.onset > (segment.ended - segment.onset) / 2

    def _finalise(self, segment: Segment) -> None:
        segment.final = True
        if segment is not self._voice:
            self._awaited.pop(segment.segment_id, None)
            self._late.pop(segment.segment_id, None)

    def _heard_over_bot(self, event: Heard, now: float, out: list[Output]) -> None:
        late = self._late.pop(event.segment_id, None) if event.final else None
        if late is not None:
            # Said before the bot began: no interruption, however short or long it is.
            if event.text:
                self._overlap.append(_Over(event, late.ended, late=True))
            return
        segment = self._awaited.get(event.segment_id) or self._late.get(event.segment_id)
        if segment is None:
            return
        if not event.final:
            segment.partial, segment.partial_confidence = event.text, event.confidence
            if self._words_interrupt(event.text, segment) and segment is self._voice and not segment.void:
                self._silence_by_words(now, out)
            return
        self._finalise(segment)
        if not event.text.split() or segment.void:
            return
        self._overlap.append(_Over(event, segment.ended))
        if self._words_interrupt(event.text, segment):
            out.append(CutBot())

    def _words_interrupt(self, text: str, segment: Segment) -> bool:
        """Words that silence the bot though the voice did not last."""
        params = self.params
        if params.interrupt_volume and segment.loudest < min(
            params.background_volume, params.interrupt_volume
        ):
            return False
        enough = len(text.split()) >= params.interrupt_words
        return self._can_interrupt and enough and not self._filtered(text)

    def _filtered(self, text: str) -> bool:
        return self.params.backchannel_filter and is_backchannel(text, self.params.language)

    def _silence_by_words(self, now: float, out: list[Output]) -> None:
        """Interim words may be none at all: the bot is paused, and the voice or the final text decides."""
        if not self.params.pause_first:
            out.append(CutBot())
        elif self._doubts < MAX_DOUBTS:
            self._doubt(now, out)

    def _heard_in_doubt(self, event: Heard, now: float, out: list[Output]) -> None:
        segment = self._awaited.get(event.segment_id)
        if segment is None:
            self._heard_over_bot(event, now, out)
        elif not event.final:
            segment.partial, segment.partial_confidence = event.text, event.confidence
            counts = self._voice_counts(now) and self._words_interrupt(event.text, segment)
            if counts and not segment.void:
                out.append(CutBot())
        else:
            self._finalise(segment)
            if event.text.split() and not segment.void:
                self._overlap.append(_Over(event, segment.ended))
                if not self._filtered(event.text):
                    out.append(CutBot())
                    return
            if self._voice is None and not self._awaited:
                self._was_nothing(now, out)

    def _voice_counts(self, now: float) -> bool:
        """The open voice has lasted for as long as one that pauses the bot."""
        onset = self._gate.onset
        return onset is not None and now - onset >= self.params.interrupt_ms / 1000.0

    def _heard_unheard(self, event: Heard, now: float, out: list[Output]) -> None:
        """While the user is not listened to: what he said before still counts, the rest is kept."""
        segment = self._awaited.get(event.segment_id) or self._late.get(event.segment_id)
        if segment is None:
            return
        if not event.final:
            segment.partial, segment.partial_confidence = event.text, event.confidence
            return
        self._finalise(segment)
        if not event.text or segment.void:
            if not self._bot_audible:
                self._end_for_good(now, out)
            return
        if segment.muted:
            if self._muted:
                self._muted_text.append(event.text)
            return
        if self._bot_audible:
            self._overlap.append(_Over(event, segment.ended))
            return
        state = self.state
        self._take_final(event, segment, now, out)
        self.state = state
        self._end_for_good(now, out)

    def _say_interim(self, event: Heard, out: list[Output]) -> None:
        if self._unmuted_by is not None:
            out += self._told_unmuted()
        turn = self._current()
        confirmed = turn.text
        text = f"{confirmed} {event.text}" if confirmed else event.text
        out.append(UserSpeaking(turn.ref, text, confirmed, event.confidence))

    def _take_final(self, event: Heard, segment: Segment, now: float, out: list[Output]) -> None:
        if self._unmuted_by is not None:
            out += self._told_unmuted()
        if self._turn is None or self._turn.answered:
            self._open_turn()
        if self._current().signalled:
            # The words have changed: what was begun on the old ones is void.
            self._continue_turn(now, out)
        if self._voice is None:
            self.state = State.ANALYSING
        turn = self._current()
        self._end_pause(turn, now, out)
        weight = len(turn.parts)
        turn.parts.append(event.text)
        turn.segment_ids.append(event.segment_id)
        turn.language = event.language or turn.language
        turn.confidence = (turn.confidence * weight + event.confidence) / (weight + 1)
        self._say_message(turn, out)

    def _say_message(self, turn: Turn, out: list[Output]) -> None:
        if self._reply_to not in ("", turn.message_id):
            out.append(DiscardReply(self._reply_to))
        self._reply_to, self._reply_turn = turn.message_id, turn.ref
        segment_ids = tuple(turn.segment_ids)
        out.append(
            UserMessage(turn.ref, turn.message_id, turn.text, turn.confidence, segment_ids, turn.language)
        )

    # --- silence ------------------------------------------------------------------------------------------

    def _note_sound(self, event: Sounded, now: float, out: list[Output]) -> None:
        self._prosody = event.prosody or self._prosody
        self._model = self._model if event.model is None else event.model

    def _sounded(self, event: Sounded, now: float, out: list[Output]) -> None:
        self._note_sound(event, now, out)
        self._settle(now, out)

    def _note_provider(self, event: ProviderTurn, now: float, out: list[Output]) -> None:
        self._provider = None if event.kind == "resumed" else event

    def _too_late(self, event: Sounded | ProviderTurn | Echo, now: float, out: list[Output]) -> None:
        """What it is about is over."""

    def _provider_says(self, event: ProviderTurn, now: float, out: list[Output]) -> None:
        if event.kind == "resumed":
            self._provider = None
            if self._current().signalled and not self._current().ended:
                self._continue_turn(now, out)
        else:
            self._provider = event
            self._settle(now, out)

    def _settle(self, now: float, out: list[Output]) -> None:
        """The voice is still: look at all that is known, and signal what is due."""
        if self.state is not State.ANALYSING or self._voice is not None or self._awaited:
            return
        turn = self._current()
        if not turn.parts:
            self.state = State.IDLE
            return
        silence_ms = self._silence_ms(now)
        verdict = self._verdict()
        if self._provider is not None:
            self._signal_eager(turn, silence_ms, TurnReason.PROVIDER, out)
            if self._provider.kind == "end":
                self._end(turn, silence_ms, TurnReason.PROVIDER, out)
        elif silence_ms >= verdict.end_ms:
            self._signal_eager(turn, silence_ms, verdict.reason, out)
            self._end(turn, silence_ms, verdict.reason, out)
        elif silence_ms >= verdict.eager_ms:
            self._signal_eager(turn, silence_ms, verdict.reason, out)
        elif verdict.unfinished and not turn.paused and not turn.signalled:
            turn.paused = True
            probability = self._probability(silence_ms)
            out.append(TurnPause(turn.ref, probability, round(silence_ms)))

    def _evidence(self) -> Evidence:
        turn = self._turn
        return Evidence(
            text=turn.text if turn else "",
            final=not self._awaited,
            language=self.params.language,
            question=self.question,
            voice_ms=turn.voice_ms if turn else 0,
            pauses_ms=self._habit.pauses_ms,
            prosody=self._prosody,
            model=self._model,
        )

    def _verdict(self) -> Verdict:
        if self._judged is None:
            self._judged = self.judge.judge(self._evidence())
        return self._judged

    def _probability(self, silence_ms: float) -> float:
        return round(min(1.0, max(0.0, self.judge.probability(self._evidence(), silence_ms))), 3)

    def _silence_ms(self, now: float) -> float:
        # Half a microsecond: a deadline that was computed in seconds must be seen as reached.
        return max(0.0, (now - self._voice_end) * 1000 + 5e-4)

    def _silence_deadline(self) -> float | None:
        if self.state is not State.ANALYSING:
            return None
        turn = self._current()
        if self._awaited:
            patience_ms = self.params.max_silence_ms
            if not turn.parts and not any(s.partial for s in self._awaited.values()):
                patience_ms = min(patience_ms, self.params.nothing_heard_ms)
        else:
            verdict = self._verdict()
            patience_ms = verdict.end_ms if turn.signalled else verdict.eager_ms
            if self._provider is not None and turn.signalled:
                patience_ms = self.params.max_silence_ms  # It will say so itself.
            patience_ms = min(patience_ms, self.params.max_silence_ms)
        return self._voice_end + patience_ms / 1000.0

    def _silence_lasted(self, now: float, out: list[Output]) -> None:
        if self._awaited:
            self._give_up_waiting(now, out)
        elif self._silence_ms(now) >= self.params.max_silence_ms:
            self._end_now(now, out)
        else:
            self._settle(now, out)

    def _give_up_waiting(self, now: float, out: list[Output]) -> None:
        """The recogniser has not answered. What it last believed is better than nothing.
        Where there is nothing yet, the answer still counts when it comes."""
        for segment in list(self._awaited.values()):
            del self._awaited[segment.segment_id]
            if segment.void:
                continue
            if not segment.partial:
                self._late[segment.segment_id] = segment
                while len(self._late) > MAX_LATE:
                    del self._late[next(iter(self._late))]
            else:
                heard = Heard(segment.segment_id, segment.partial, segment.partial_confidence, True)
                self._take_final(heard, segment, now, out)
        if self._current().parts:
            self._end_now(now, out)
        else:
            self.state = State.IDLE
            out.append(NothingHeard())

    def _end_now(self, now: float, out: list[Output]) -> None:
        turn, silence_ms = self._current(), self._silence_ms(now)
        self._signal_eager(turn, silence_ms, TurnReason.FORCED, out)
        self._end(turn, silence_ms, TurnReason.FORCED, out)

    def _signal_eager(self, turn: Turn, silence_ms: float, reason: TurnReason, out: list[Output]) -> None:
        if not turn.signalled:
            turn.signalled = True
            out.append(EagerTurn(*self._signal(turn, silence_ms, reason)))

    def _end(self, turn: Turn, silence_ms: float, reason: TurnReason, out: list[Output]) -> None:
        turn.signalled = turn.ended = True
        self.state = State.BOT_PENDING
        out.append(TurnEnd(*self._signal(turn, silence_ms, reason)))

    def _signal(
        self, turn: Turn, silence_ms: float, reason: TurnReason
    ) -> tuple[TurnRef, str, str, float, int, TurnReason]:
        probability = self._probability(silence_ms)
        if self._provider is not None:
            probability = round(self._provider.probability, 3)
        return (turn.ref, turn.message_id, turn.text, probability, round(silence_ms), reason)

    # --- the bot ------------------------------------------------------------------------------------------

    def _bot_starts(self, event: BotStarted, now: float, out: list[Output]) -> None:
        self._bot_started, self._bot_audible, self._bot_paused = event.at, True, None
        self._interruptible, self._doubts = event.interruptible, 0
        if self.state is not State.MUTED:
            self.state = State.BOT_SPEAKING

    def _bot_done(self, event: BotDone, now: float, out: list[Output]) -> None:
        self._bot_audible, self._bot_quiet_at = False, now
        if event.answered:
            self._answer()
        self._bot_is_quiet(now, out)

    def _bot_done_over_voice(self, event: BotDone, now: float, out: list[Output]) -> None:
        self._bot_audible, self._bot_quiet_at = False, now
        if event.answered:
            self._answer()
        self._gate.drop()
        self._voice_takes_floor(out, now)

    def _bot_done_unheard(self, event: BotDone, now: float, out: list[Output]) -> None:
        self._bot_audible, self._bot_quiet_at = False, now
        if event.answered:
            self._answer()

    def _bot_done_in_doubt(self, event: BotDone, now: float, out: list[Output]) -> None:
        if self._voice is not None:
            self._bot_done_over_voice(event, now, out)
        else:
            self._bot_done(event, now, out)

    def _bot_cut(self, event: BotCut, now: float, out: list[Output]) -> None:
        self._bot_audible, self._bot_quiet_at = False, now
        self._gate.drop()
        if not event.by_user:
            # The agent silenced its own bot. Where nothing was heard the turn still waits for an answer.
            if event.played_ms > 0 and event.answered:
                self._answer()
            if self._voice is not None:
                self._voice_takes_floor(out, now)
            else:
                self._bot_is_quiet(now, out)
            return
        for segment in self._awaited.values():
            segment.over_bot = False  # It has silenced the bot: whatever it says is said to it.
        turn = self._turn
        if turn is not None and not turn.answered and (event.played_ms < EARLY_MS or not event.answered):
            self._learn_pause(now)
            self._continue_turn(now, out)
        else:
            self._open_turn()
        self._adopt_overlap(now, out)

    def _bot_cut_unheard(self, event: BotCut, now: float, out: list[Output]) -> None:
        self._bot_audible, self._bot_quiet_at = False, now
        if event.played_ms > 0 and event.answered:
            self._answer()

    def _bot_is_quiet(self, now: float, out: list[Output]) -> None:
        self.state = self._at_rest()
        self._drop_backchannels(now)
        turn = self._turn
        if self._overlap or (turn is not None and turn.parts and not turn.ended):
            if self._turn is None or self._turn.answered:
                self._open_turn()
            self._adopt_overlap(now, out)

    def _at_rest(self) -> State:
        turn = self._turn
        pending = turn is not None and turn.ended and not turn.answered
        return State.BOT_PENDING if pending else State.IDLE

    def _drop_backchannels(self, now: float) -> None:
        """A mere "mhm" over the bot is no turn of the user, unless it answers what the bot asks."""
        self._overlap = [
            over
            for over in self._overlap
            if over.late or not self._says_nothing(over.heard.text, over.ended, now)
        ]

    def _says_nothing(self, text: str, ended: float | None, now: float) -> bool:
        if not self._filtered(text):
            return False
        asked = self.question.rstrip("\"' )").endswith("?")
        return not (asked and ended is not None and now - ended <= ANSWER_S)

    def _voice_takes_floor(self, out: list[Output], now: float) -> None:
        """The bot is silent and the user speaks: the speech that began over the bot is his turn."""
        self._drop_backchannels(now)
        turn = self._turn
        if turn is not None and not turn.answered:
            self._continue_turn(now, out)
        else:
            self._open_turn()
        self._adopt_overlap(now, out)

    def _adopt_overlap(self, now: float, out: list[Output]) -> None:
        """What was said over the bot belongs to the turn that begins or goes on now."""
        overlap, self._overlap = self._overlap, []
        self.state = State.LISTENING if self._voice else State.ANALYSING
        for over in overlap:
            segment = Segment(over.heard.segment_id, self._current().ref, 0.0)
            self._take_final(over.heard, segment, now, out)
        self._settle(now, out)

    def _answer(self) -> None:
        turn = self._turn
        if turn is not None and turn.ended and not turn.answered:
            turn.answered = True
            self._habit.turn_over()

    # --- mute and hold ------------------------------------------------------------------------------------

    def _mute(self, event: Mute, now: float, out: list[Output]) -> None:
        self._muted = True
        if self._unmuted_by is not None:
            out += self._told_unmuted()
        if self.state is State.DOUBT:
            self._resume_bot(now, out)
        self._leave(now, out)
        self.state = State.MUTED
        out.append(CallMuted())

    def _unmute(self, event: Unmute, now: float, out: list[Output]) -> None:
        self._muted = False
        self._tell_unmuted(now, out)
        self._come_back(now, out)

    def _mute_held(self, event: Mute, now: float, out: list[Output]) -> None:
        self._muted = True
        if self._unmuted_by is not None:
            out += self._told_unmuted()
        out.append(CallMuted())

    def _unmute_held(self, event: Unmute, now: float, out: list[Output]) -> None:
        self._muted = False
        self._tell_unmuted(now, out)

    def _tell_unmuted(self, now: float, out: list[Output]) -> None:
        """Now, or when what was said until now has been understood."""
        self._muted_owed = {s.segment_id: s for s in self._awaited.values() if s.muted}
        for segment_id in self._muted_owed:
            del self._awaited[segment_id]
        if self._muted_owed:
            self._unmuted_by = now + UNMUTE_S
        else:
            out += self._told_unmuted()

    def _told_unmuted(self) -> list[Output]:
        self._unmuted_by = None
        # Of what is still owed the interim text has to do.
        texts = [*self._muted_text, *(segment.partial for segment in self._muted_owed.values())]
        self._muted_text = []
        return [CallUnmuted(" ".join(text for text in texts if text))]

    def _heard_of_muted(self, event: Heard) -> list[Output]:
        if not event.final:
            self._muted_owed[event.segment_id].partial = event.text
            return []
        del self._muted_owed[event.segment_id]
        if self._unmuted_by is None:
            return []
        self._muted_text.append(event.text)
        return [] if self._muted_owed else self._told_unmuted()

    def _hold(self, event: Hold, now: float, out: list[Output]) -> None:
        if self._bot_audible:
            self._bot_paused = self._bot_paused or now
            out.append(PauseBot(held=True))
        self._leave(now, out)
        self.state = State.HELD
        out.append(CallHeld())

    def _unhold(self, event: Unhold, now: float, out: list[Output]) -> None:
        out.append(CallUnheld())
        if self._bot_audible:
            self._resume_bot(now, out)
        if self._muted:
            self.state = State.MUTED
        else:
            self._come_back(now, out)

    def _leave(self, now: float, out: list[Output]) -> None:
        """Nobody listens from here on: what the user has said is all of his turn."""
        self._gate.drop()
        if not self._bot_audible:
            self._end_for_good(now, out)

    def _end_for_good(self, now: float, out: list[Output]) -> None:
        turn = self._turn
        if turn is None or turn.ended or not turn.parts or any(not s.muted for s in self._awaited.values()):
            return
        state = self.state
        self._end_now(now, out)
        self.state = state

    def _come_back(self, now: float, out: list[Output]) -> None:
        """The user is listened to again."""
        if self._bot_audible:
            self.state = State.BOT_SPEAKING
            return
        turn = self._turn
        if turn is not None and not turn.ended and (turn.parts or self._awaited):
            self._voice_end = now
            self._drop_backchannels(now)
            self._adopt_overlap(now, out)
        else:
            self._bot_is_quiet(now, out)

    # --- turns --------------------------------------------------------------------------------------------

    def _current(self) -> Turn:
        if self._turn is None:
            raise IllegalTransition(self.state, "no turn is open")
        return self._turn

    def _coming_ref(self) -> TurnRef:
        if self._next_ref is None:
            self._next_ref = TurnRef(self._last_turn_id + 1, self._ids())
        return self._next_ref

    def _coming_or_current(self) -> TurnRef:
        turn = self._turn
        return turn.ref if turn is not None and not turn.ended else self._coming_ref()

    def _open_turn(self) -> None:
        ref = self._coming_ref()
        self._next_ref = None
        self._last_turn_id = ref.turn_id
        self._turn = Turn(ref, self._ids())

    def _goes_on(self, now: float, out: list[Output]) -> None:
        """The user speaks on in the turn that he had paused in."""
        turn = self._current()
        self._learn_pause(now)
        if turn.signalled:
            self._continue_turn(now, out)
        self._end_pause(turn, now, out)

    def _end_pause(self, turn: Turn, now: float, out: list[Output]) -> None:
        if turn.paused:
            turn.paused = False
            out.append(TurnResumed(turn.ref, now))

    def _learn_pause(self, now: float) -> None:
        onset = self._voice.onset if self._voice is not None else now
        pause_s = onset - self._voice_end
        if 0 < pause_s <= MAX_HABIT_S:
            self._habit.went_on(round(pause_s * 1000))

    def _continue_turn(self, now: float, out: list[Output]) -> None:
        """The user goes on. Where a signal went out it is taken back, and the message id changes with it."""
        turn = self._current()
        if not turn.signalled:
            return
        turn.paused = False
        old, turn.message_id = turn.message_id, self._ids()
        turn.signalled = turn.ended = False
        self._reply_to = turn.message_id
        out.append(TurnContinued(turn.ref, now))
        out.append(DiscardReply(old))


@dataclass(frozen=True, slots=True)
class _Over:
    """Words that were said over the bot."""

    heard: Heard
    ended: float | None
    """The end of their voice."""
    late: bool = False
    """They were said before the bot began, and understood over it."""


_Act = Callable[[TurnMachine, object, float, list[Output]], None]


@dataclass(frozen=True, slots=True)
class Row:
    """What an event does in a state, and where it may lead."""

    act: _Act
    targets: frozenset[State]


def _rows() -> dict[tuple[State, type], Row]:
    t = TurnMachine
    idle, listening, analysing, pending = State.IDLE, State.LISTENING, State.ANALYSING, State.BOT_PENDING
    speaking, overlap, doubt, muted, held = (
        State.BOT_SPEAKING, State.OVERLAP, State.DOUBT, State.MUTED, State.HELD
    )  # fmt: skip
    # fmt: off
    rows: list[tuple[State, type, object, tuple[State, ...]]] = [
        (idle,      VoiceStarted, t._voice_from_silence,    (listening,)),
        (idle,      Heard,        t._heard,                 (idle, analysing, pending)),
        (idle,      BotStarted,   t._bot_starts,            (speaking,)),
        (idle,      Mute,         t._mute,                  (muted,)),
        (idle,      Hold,         t._hold,                  (held,)),
        (listening, Voiced,       t._voiced,                (listening,)),
        (listening, VoiceEnded,   t._voice_ends,            (analysing, pending, idle)),
        (listening, Heard,        t._heard,                 (listening,)),
        (listening, Echo,         t._echoed,                (listening,)),
        (listening, Sounded,      t._note_sound,            (listening,)),
        (listening, ProviderTurn, t._note_provider,         (listening,)),
        (listening, Tick,         t._tick_listening,        (listening,)),
        (analysing, VoiceStarted, t._voice_resumes,         (listening,)),
        (analysing, Heard,        t._heard,                 (analysing, pending, idle)),
        (analysing, Sounded,      t._sounded,               (analysing, pending, idle)),
        (analysing, ProviderTurn, t._provider_says,         (analysing, pending, idle)),
        (analysing, Echo,         t._echoed,                (analysing, pending, idle)),
        (analysing, Tick,         t._tick_analysing,        (analysing, pending, idle)),
        (analysing, Mute,         t._mute,                  (muted,)),
        (analysing, Hold,         t._hold,                  (held,)),
        (pending,   VoiceStarted, t._voice_resumes,         (listening,)),
        (pending,   Heard,        t._heard,                 (pending, analysing)),
        (pending,   BotStarted,   t._bot_starts,            (speaking,)),
        (pending,   Mute,         t._mute,                  (muted,)),
        (pending,   Hold,         t._hold,                  (held,)),
        (speaking,  VoiceStarted, t._voice_over_bot,        (overlap,)),
        (speaking,  Heard,        t._heard_over_bot,        (speaking,)),
        (speaking,  Echo,         t._echoed,                (speaking,)),
        (speaking,  BotDone,      t._bot_done,              (idle, pending, analysing)),
        (speaking,  BotCut,       t._bot_cut,               (idle, pending, analysing)),
        (speaking,  Mute,         t._mute,                  (muted,)),
        (speaking,  Hold,         t._hold,                  (held,)),
        (overlap,   Voiced,       t._voiced,                (overlap, doubt)),
        (overlap,   VoiceEnded,   t._voice_ends_over_bot,   (speaking,)),
        (overlap,   Heard,        t._heard_over_bot,        (overlap, doubt)),
        (overlap,   Echo,         t._echoed,                (overlap,)),
        (overlap,   Tick,         t._tick_listening,        (overlap, doubt)),
        (overlap,   BotDone,      t._bot_done_over_voice,   (listening,)),
        (overlap,   BotCut,       t._bot_cut,               (listening,)),
        (doubt,     VoiceStarted, t._voice_in_doubt,        (doubt,)),
        (doubt,     Voiced,       t._voiced_in_doubt,       (doubt,)),
        (doubt,     VoiceEnded,   t._voice_ends_in_doubt,   (doubt, speaking)),
        (doubt,     Heard,        t._heard_in_doubt,        (doubt, speaking)),
        (doubt,     Echo,         t._echoed_in_doubt,       (doubt, overlap, speaking)),
        (doubt,     Tick,         t._tick_doubt,            (doubt, speaking)),
        (doubt,     BotDone,      t._bot_done_in_doubt,     (listening, idle, pending, analysing)),
        (doubt,     BotCut,       t._bot_cut,               (listening, idle, pending, analysing)),
        (doubt,     Mute,         t._mute,                  (muted,)),
        (doubt,     Hold,         t._hold,                  (held,)),
        (muted,     VoiceStarted, t._voice_unheard,         (muted,)),
        (muted,     Voiced,       t._voiced_unheard,        (muted,)),
        (muted,     VoiceEnded,   t._voice_ends_unheard,    (muted,)),
        (muted,     Heard,        t._heard_unheard,         (muted,)),
        (muted,     BotStarted,   t._bot_starts,            (muted,)),
        (muted,     BotDone,      t._bot_done_unheard,      (muted,)),
        (muted,     BotCut,       t._bot_cut_unheard,       (muted,)),
        (muted,     Unmute,       t._unmute,                (idle, pending, analysing, speaking)),
        (muted,     Hold,         t._hold,                  (held,)),
        (held,      VoiceStarted, t._voice_unheard,         (held,)),
        (held,      Voiced,       t._voiced_unheard,        (held,)),
        (held,      VoiceEnded,   t._voice_ends_unheard,    (held,)),
        (held,      Heard,        t._heard_unheard,         (held,)),
        (held,      BotDone,      t._bot_done_unheard,      (held,)),
        (held,      BotCut,       t._bot_cut_unheard,       (held,)),
        (held,      Mute,         t._mute_held,             (held,)),
        (held,      Unmute,       t._unmute_held,           (held,)),
        (idle,      Echo,         t._echoed,                (idle,)),
        (pending,   Echo,         t._echoed,                (pending,)),
        (muted,     Echo,         t._echoed,                (muted,)),
        (held,      Echo,         t._echoed,                (held,)),
        (held,      Unhold,       t._unhold,                (idle, pending, analysing, speaking, muted)),
    ]
    # fmt: on
    told = {(s, e) for s, e, _, _ in rows}
    rows += [
        (s, e, t._too_late, (s,)) for s in State for e in (Sounded, ProviderTurn, Echo) if (s, e) not in told
    ]
    return {(s, e): Row(act, frozenset(to)) for s, e, act, to in rows}  # type: ignore[arg-type]


TABLE = _rows()
"""State and event to what is done. An absent row is a bug of ours and says so."""
