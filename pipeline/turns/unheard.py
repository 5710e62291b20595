"""The user is not listened to: the states ``muted`` and ``held``."""

from __future__ import annotations

from pipeline.events import CallHeld, CallMuted, CallUnheld
from pipeline.turns import bot, over_bot, said, silence, user
from pipeline.turns.memory import Memory, Over
from pipeline.turns.vocabulary import (
    BotCut,
    BotDone,
    Heard,
    Hold,
    Mute,
    Output,
    PauseBot,
    State,
    Unhold,
    Unmute,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)

UNMUTE_S = 1.5
"""How long ``CallUnmuted`` waits for what a muted user said last."""


def mute(m: Memory, event: Mute, now: float, out: list[Output]) -> None:
    m.muted = True
    if m.unmuted_by is not None:
        out += said.told_unmuted(m)
    if m.state is State.DOUBT:
        over_bot.resume_bot(m, now, out)
    _leave(m, now, out)
    m.state = State.MUTED
    out.append(CallMuted(event.by))


def unmute(m: Memory, event: Unmute, now: float, out: list[Output]) -> None:
    m.muted = False
    _tell_unmuted(m, now, out)
    _come_back(m, now, out)


def mute_held(m: Memory, event: Mute, now: float, out: list[Output]) -> None:
    m.muted = True
    if m.unmuted_by is not None:
        out += said.told_unmuted(m)
    out.append(CallMuted(event.by))


def unmute_held(m: Memory, event: Unmute, now: float, out: list[Output]) -> None:
    m.muted = False
    _tell_unmuted(m, now, out)


def _tell_unmuted(m: Memory, now: float, out: list[Output]) -> None:
    """Now, or when what was said until now has been understood."""
    m.muted_owed = {s.segment_id: s for s in m.awaited.values() if s.muted}
    for segment_id in m.muted_owed:
        del m.awaited[segment_id]
    if m.muted_owed:
        m.unmuted_by = now + UNMUTE_S
    else:
        out += said.told_unmuted(m)


def heard_of_muted(m: Memory, event: Heard) -> list[Output]:
    if not event.final:
        m.muted_owed[event.segment_id].partial = event.text
        return []
    del m.muted_owed[event.segment_id]
    if m.unmuted_by is None:
        return []
    m.muted_text.append(event.text)
    return [] if m.muted_owed else said.told_unmuted(m)


def hold(m: Memory, event: Hold, now: float, out: list[Output]) -> None:
    if m.bot_audible:
        m.bot_paused = m.bot_paused or now
        out.append(PauseBot(held=True))
    _leave(m, now, out)
    m.state = State.HELD
    out.append(CallHeld(event.by))


def unhold(m: Memory, event: Unhold, now: float, out: list[Output]) -> None:
    out.append(CallUnheld())
    if m.bot_audible:
        over_bot.resume_bot(m, now, out)
    if m.muted:
        m.state = State.MUTED
    else:
        _come_back(m, now, out)


def _leave(m: Memory, now: float, out: list[Output]) -> None:
    """Nobody listens from here on: what the user has said is all of his turn."""
    m.gate.drop()
    if not m.bot_audible:
        _end_for_good(m, now, out)


def _end_for_good(m: Memory, now: float, out: list[Output]) -> None:
    turn = m.turn
    if turn is None or turn.ended or not turn.parts or any(not s.muted for s in m.awaited.values()):
        return
    state = m.state
    silence.end_now(m, now, out)
    m.state = state


def _come_back(m: Memory, now: float, out: list[Output]) -> None:
    """The user is listened to again."""
    if m.bot_audible:
        m.state = State.BOT_SPEAKING
        return
    turn = m.turn
    if turn is not None and not turn.ended and (turn.parts or m.awaited):
        m.voice_end = now
        bot.drop_backchannels(m, now)
        bot.adopt_overlap(m, now, out)
    else:
        bot.is_quiet(m, now, out)


def voice_starts(m: Memory, event: VoiceStarted, now: float, out: list[Output]) -> None:
    user.begin_voice(m, event, now, m.coming_or_current(), out)
    if m.voice is not None:
        m.voice.muted = True


def voiced(m: Memory, event: Voiced, now: float, out: list[Output]) -> None:
    """The user is not listened to."""


def voice_ends(m: Memory, event: VoiceEnded, now: float, out: list[Output]) -> None:
    user.end_voice(m, event, out)


def heard(m: Memory, event: Heard, now: float, out: list[Output]) -> None:
    """While the user is not listened to: what he said before still counts, the rest is kept."""
    segment = m.awaited.get(event.segment_id) or m.late.get(event.segment_id)
    if segment is None:
        return
    if not event.final:
        segment.partial, segment.partial_confidence = event.text, event.confidence
        return
    m.finalise(segment)
    if not event.text or segment.void:
        if not m.bot_audible:
            _end_for_good(m, now, out)
        return
    if segment.muted:
        if m.muted:
            m.muted_text.append(event.text)
        return
    if m.bot_audible:
        m.overlap.append(Over(event, segment.ended))
        return
    state = m.state
    said.take_final(m, event, segment, now, out)
    m.state = state
    _end_for_good(m, now, out)


def bot_done(m: Memory, event: BotDone, now: float, out: list[Output]) -> None:
    m.bot_audible, m.bot_quiet_at = False, now
    if event.answered:
        m.answer()


def bot_cut(m: Memory, event: BotCut, now: float, out: list[Output]) -> None:
    m.bot_audible, m.bot_quiet_at = False, now
    if event.played_ms > 0 and event.answered:
        m.answer()
