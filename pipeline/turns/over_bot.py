"""What the user says over the bot: whether it silences it, for now or for good. The states ``bot_speaking``, ``overlap``
and ``doubt``."""

from __future__ import annotations

from pipeline.events import TurnRef
from pipeline.turns import said, user
from pipeline.turns.memory import Memory, Over
from pipeline.turns.vocabulary import (
    CutBot,
    Echo,
    Heard,
    Output,
    PauseBot,
    ResumeBot,
    Segment,
    State,
    Tick,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)

EARLY_MS = 2000
"""Less of a message heard than this: its interruption continues the user's turn."""
MAX_DOUBTS = 3
"""How often one message is paused for nothing before a voice alone no longer pauses it."""


def voice_starts(m: Memory, event: VoiceStarted, now: float, out: list[Output]) -> None:
    # Which turn this speech belongs to is settled when it cuts the bot off; what will be heard by
    # then is known already, since the bot goes on playing, and so is whether it finishes before.
    m.state = State.OVERLAP
    if m.can_interrupt and (m.doubts < MAX_DOUBTS or not m.params.pause_first):
        _set_interrupt_gate(m, event.onset)
    elif m.can_interrupt:
        _set_interrupt_gate(m, event.onset, m.params.sure_ms)
    silenced = max(event.onset + m.params.interrupt_ms / 1000.0, now)
    finishes = event.bot_ends is not None and event.bot_ends <= silenced
    user.begin_voice(m, event, now, _ref_over_bot(m, silenced, finishes), out)
    m.awaited[event.segment_id].over_bot = True


def voice_in_doubt(m: Memory, event: VoiceStarted, now: float, out: list[Output]) -> None:
    # He speaks once more: that he wants the floor is likelier now.
    user.begin_voice(m, event, now, _ref_over_bot(m, m.bot_paused or now), out)
    _set_interrupt_gate(m, event.onset)


def _ref_over_bot(m: Memory, silenced: float, finishes: bool = False) -> TurnRef:
    """The turn that speech over the bot belongs to if it silences the bot then."""
    turn = m.turn
    early = (silenced - m.bot_started) * 1000 < EARLY_MS and not finishes
    return turn.ref if turn is not None and not turn.answered and early else m.coming_ref()


def _set_interrupt_gate(m: Memory, onset: float, need_ms: int | None = None) -> None:
    params = m.params
    need_ms = max(params.min_speech_ms, params.interrupt_ms if need_ms is None else need_ms)
    m.gate.set(onset, need_ms, params.interrupt_confidence, params.interrupt_volume)


def voiced(m: Memory, event: Voiced, now: float, out: list[Output]) -> None:
    m.note_volume(event)
    if m.gate.voiced(event.start, event.end, event.probability, event.volume):
        _voice_lasted(m, now, out)


def voiced_in_doubt(m: Memory, event: Voiced, now: float, out: list[Output]) -> None:
    m.note_volume(event)
    if m.gate.voiced(event.start, event.end, event.probability, event.volume):
        out.append(CutBot())


def tick(m: Memory, event: Tick, now: float, out: list[Output]) -> None:
    if m.gate.tick(now):
        _voice_lasted(m, now, out)


def tick_doubt(m: Memory, event: Tick, now: float, out: list[Output]) -> None:
    if m.gate.tick(now):
        out.append(CutBot())
        return
    deadline = doubt_deadline(m)
    if deadline is not None and now >= deadline:
        _was_nothing(m, now, out)


def _voice_lasted(m: Memory, now: float, out: list[Output]) -> None:
    if m.params.pause_first and m.doubts < MAX_DOUBTS:
        _doubt(m, now, out)
        m.gate.lengthen(m.params.sure_ms)
    else:
        out.append(CutBot())


def _silence_by_words(m: Memory, now: float, out: list[Output]) -> None:
    """Interim words may be none at all: the bot is paused, and the voice or the final text decides."""
    if not m.params.pause_first:
        out.append(CutBot())
    elif m.doubts < MAX_DOUBTS:
        _doubt(m, now, out)


def heard(m: Memory, event: Heard, now: float, out: list[Output]) -> None:
    late = m.late.pop(event.segment_id, None) if event.final else None
    if late is not None:
        # Said before the bot began: no interruption, however short or long it is.
        if event.text:
            m.overlap.append(Over(event, late.ended, late=True))
        return
    segment = m.awaited.get(event.segment_id) or m.late.get(event.segment_id)
    if segment is None:
        return
    if not event.final:
        segment.partial, segment.partial_confidence = event.text, event.confidence
        if _words_interrupt(m, event.text, segment) and segment is m.voice and not segment.void:
            _silence_by_words(m, now, out)
        return
    m.finalise(segment)
    if not event.text.split() or segment.void:
        return
    m.overlap.append(Over(event, segment.ended))
    if _words_interrupt(m, event.text, segment):
        out.append(CutBot())


def heard_in_doubt(m: Memory, event: Heard, now: float, out: list[Output]) -> None:
    segment = m.awaited.get(event.segment_id)
    if segment is None:
        heard(m, event, now, out)
    elif not event.final:
        segment.partial, segment.partial_confidence = event.text, event.confidence
        counts = _voice_counts(m, now) and _words_interrupt(m, event.text, segment)
        if counts and not segment.void:
            out.append(CutBot())
    else:
        m.finalise(segment)
        if event.text.split() and not segment.void:
            m.overlap.append(Over(event, segment.ended))
            if not said.filtered(m, event.text):
                out.append(CutBot())
                return
        if m.voice is None and not m.awaited:
            _was_nothing(m, now, out)


def _words_interrupt(m: Memory, text: str, segment: Segment) -> bool:
    """Words that silence the bot though the voice did not last."""
    params = m.params
    if params.interrupt_volume and segment.loudest < min(params.background_volume, params.interrupt_volume):
        return False
    enough = len(text.split()) >= params.interrupt_words
    return m.can_interrupt and enough and not said.filtered(m, text)


def _voice_counts(m: Memory, now: float) -> bool:
    """The open voice has lasted for as long as one that pauses the bot."""
    onset = m.gate.onset
    return onset is not None and now - onset >= m.params.interrupt_ms / 1000.0


def voice_ends(m: Memory, event: VoiceEnded, now: float, out: list[Output]) -> None:
    user.end_voice(m, event, out)
    m.state = State.BOT_SPEAKING


def voice_ends_in_doubt(m: Memory, event: VoiceEnded, now: float, out: list[Output]) -> None:
    segment = user.end_voice(m, event, out)
    if segment.final or segment.void:
        _was_nothing(m, now, out)


def echoed_in_doubt(m: Memory, event: Echo, now: float, out: list[Output]) -> None:
    user.echoed(m, event, now, out)
    if m.voice is None or m.voice.void:
        _was_nothing(m, now, out)


def _doubt(m: Memory, now: float, out: list[Output]) -> None:
    m.state = State.DOUBT
    m.doubts += 1
    m.bot_paused = now
    out.append(PauseBot())


def _was_nothing(m: Memory, now: float, out: list[Output]) -> None:
    """The voice over the bot said nothing: the bot goes on."""
    m.gate.drop()
    m.state = State.OVERLAP if m.voice is not None else State.BOT_SPEAKING
    resume_bot(m, now, out)


def resume_bot(m: Memory, now: float, out: list[Output]) -> None:
    paused, m.bot_paused = m.bot_paused, None
    if paused is not None:
        m.bot_started += now - paused
    out.append(ResumeBot())


def doubt_deadline(m: Memory) -> float | None:
    if m.state is not State.DOUBT or m.voice is not None:
        return None
    return m.voice_end + m.params.doubt_ms / 1000.0
