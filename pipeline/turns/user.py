"""What happens while the user may speak and the bot is silent: the states ``idle``, ``listening``, ``analysing`` and
``bot_pending``."""

from __future__ import annotations

from pipeline.errors import IllegalTransition
from pipeline.events import SpeechEnded, SpeechStarted, TurnRef
from pipeline.turns import said, silence
from pipeline.turns.memory import Memory
from pipeline.turns.vocabulary import (
    Echo,
    Heard,
    Output,
    ProviderTurn,
    Segment,
    Sounded,
    State,
    Tick,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)


def voice_from_silence(m: Memory, event: VoiceStarted, now: float, out: list[Output]) -> None:
    if m.turn is None or m.turn.ended:
        m.open_turn()
    begin_voice(m, event, now, m.current().ref, out)
    m.state = State.LISTENING


def voice_resumes(m: Memory, event: VoiceStarted, now: float, out: list[Output]) -> None:
    begin_voice(m, event, now, m.current().ref, out)
    m.state = State.LISTENING
    m.gate.set(event.onset, m.params.resume_ms, volume=m.params.resume_volume)


def begin_voice(m: Memory, event: VoiceStarted, now: float, ref: TurnRef, out: list[Output]) -> None:
    m.voice = Segment(event.segment_id, ref, event.onset)
    m.awaited[event.segment_id] = m.voice
    m.gate.voice_from(max(now, event.onset))
    m.prosody = m.model = m.provider = None
    out.append(SpeechStarted(ref, event.segment_id, event.confidence, event.onset))


def voiced(m: Memory, event: Voiced, now: float, out: list[Output]) -> None:
    m.note_volume(event)
    if m.gate.voiced(event.start, event.end, event.probability, event.volume):
        said.goes_on(m, now, out)


def tick_listening(m: Memory, event: Tick, now: float, out: list[Output]) -> None:
    if m.gate.tick(now):
        said.goes_on(m, now, out)


def voice_ends(m: Memory, event: VoiceEnded, now: float, out: list[Output]) -> None:
    segment = end_voice(m, event, out)
    turn = m.current()
    if not segment.void:
        turn.voice_ms += round((event.end - event.onset) * 1000)
    m.state = State.BOT_PENDING if turn.ended else State.ANALYSING
    silence.settle(m, now, out)


def end_voice(m: Memory, event: VoiceEnded, out: list[Output]) -> Segment:
    segment = m.voice
    if segment is None:
        raise IllegalTransition(m.state, event)
    m.voice = None
    m.gate.drop()
    segment.ended = event.end
    duration_ms = round((event.end - event.onset) * 1000)
    if duration_ms < m.params.min_speech_ms:
        segment.void = True
    if not segment.void:
        m.voice_end = event.end
    if segment.final or segment.void:
        m.awaited.pop(segment.segment_id, None)
    out.append(SpeechEnded(segment.turn, segment.segment_id, duration_ms, event.end))
    return segment


def heard(m: Memory, event: Heard, now: float, out: list[Output]) -> None:
    segment = m.awaited.get(event.segment_id) or m.late.get(event.segment_id)
    if segment is None:
        return  # The turn was ended without it: a forced end, or the call's own past.
    if not event.final:
        segment.partial, segment.partial_confidence = event.text, event.confidence
        if event.text and not segment.void and m.state in (State.LISTENING, State.ANALYSING):
            said.say_interim(m, event, out)
        return
    m.finalise(segment)
    counts = event.text and not segment.void
    if counts and not (
        said.was_over_bot(m, segment) and said.says_nothing(m, event.text, segment.ended, now)
    ):
        said.take_final(m, event, segment, now, out)
    silence.settle(m, now, out)


def note_sound(m: Memory, event: Sounded, now: float, out: list[Output]) -> None:
    m.prosody = event.prosody or m.prosody
    m.model = m.model if event.model is None else event.model


def sounded(m: Memory, event: Sounded, now: float, out: list[Output]) -> None:
    note_sound(m, event, now, out)
    silence.settle(m, now, out)


def note_provider(m: Memory, event: ProviderTurn, now: float, out: list[Output]) -> None:
    m.provider = None if event.kind == "resumed" else event


def provider_says(m: Memory, event: ProviderTurn, now: float, out: list[Output]) -> None:
    if event.kind == "resumed":
        m.provider = None
        if m.current().signalled and not m.current().ended:
            said.continue_turn(m, now, out)
    else:
        m.provider = event
        silence.settle(m, now, out)


def echoed(m: Memory, event: Echo, now: float, out: list[Output]) -> None:
    segment = m.awaited.get(event.segment_id) or m.late.get(event.segment_id)
    if segment is None:
        return
    segment.void = True
    if segment is m.voice:
        m.gate.drop()
    else:
        m.awaited.pop(event.segment_id, None)
        m.late.pop(event.segment_id, None)
        silence.settle(m, now, out)


def too_late(m: Memory, event: Sounded | ProviderTurn | Echo, now: float, out: list[Output]) -> None:
    """What it is about is over."""


def tick_analysing(m: Memory, event: Tick, now: float, out: list[Output]) -> None:
    deadline = silence.deadline(m)
    if deadline is not None and now >= deadline:
        silence.silence_lasted(m, now, out)
