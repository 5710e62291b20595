"""The user is silent: what is known is judged, and the two edges of his turn are told."""

from __future__ import annotations

from pipeline.endpointing.evidence import Evidence, TurnReason, Verdict
from pipeline.events import EagerTurn, TurnEnd, TurnPause, TurnRef
from pipeline.turns import said
from pipeline.turns.memory import Memory
from pipeline.turns.vocabulary import Heard, NothingHeard, Output, State, Turn

MAX_LATE = 8
"""Texts that may still come after their turn was ended without them."""


def settle(m: Memory, now: float, out: list[Output]) -> None:
    """The voice is still: look at all that is known, and signal what is due."""
    if m.state is not State.ANALYSING or m.voice is not None or m.awaited:
        return
    turn = m.current()
    if not turn.parts:
        m.state = State.IDLE
        return
    if turn.typed:
        _signal_eager(m, turn, 0.0, TurnReason.TYPED, out)
        _end_turn(m, turn, 0.0, TurnReason.TYPED, out)
        return
    silence_ms = _silent_ms(m, now)
    verdict = _verdict_now(m)
    if m.provider is not None:
        _signal_eager(m, turn, silence_ms, TurnReason.PROVIDER, out)
        if m.provider.kind == "end":
            _end_turn(m, turn, silence_ms, TurnReason.PROVIDER, out)
    elif silence_ms >= verdict.end_ms:
        _signal_eager(m, turn, silence_ms, verdict.reason, out)
        _end_turn(m, turn, silence_ms, verdict.reason, out)
    elif silence_ms >= verdict.eager_ms:
        _signal_eager(m, turn, silence_ms, verdict.reason, out)
    elif verdict.unfinished and not turn.paused and not turn.signalled:
        turn.paused = True
        probability = _probability_of(m, silence_ms)
        out.append(TurnPause(turn.ref, probability, round(silence_ms)))


def _evidence(m: Memory) -> Evidence:
    turn = m.turn
    return Evidence(
        text=turn.text if turn else "",
        final=not m.awaited,
        language=m.params.language,
        question=m.question,
        voice_ms=turn.voice_ms if turn else 0,
        pauses_ms=m.habit.pauses_ms,
        prosody=m.prosody,
        model=m.model,
    )


def _verdict_now(m: Memory) -> Verdict:
    if m.judged is None:
        m.judged = m.judge.judge(_evidence(m))
    return m.judged


def _probability_of(m: Memory, silence_ms: float) -> float:
    return round(min(1.0, max(0.0, m.judge.probability(_evidence(m), silence_ms))), 3)


def _silent_ms(m: Memory, now: float) -> float:
    # Half a microsecond: a deadline that was computed in seconds must be seen as reached.
    return max(0.0, (now - m.voice_end) * 1000 + 5e-4)


def deadline(m: Memory) -> float | None:
    """Until when the evidence changes nothing by itself: then ``silence_lasted``."""
    if m.state is not State.ANALYSING:
        return None
    turn = m.current()
    if m.awaited:
        patience_ms = m.params.max_silence_ms
        if not turn.parts and not any(s.partial for s in m.awaited.values()):
            patience_ms = min(patience_ms, m.params.nothing_heard_ms)
    else:
        verdict = _verdict_now(m)
        patience_ms = verdict.end_ms if turn.signalled else verdict.eager_ms
        if m.provider is not None and turn.signalled:
            patience_ms = m.params.max_silence_ms  # It will say so itself.
        patience_ms = min(patience_ms, m.params.max_silence_ms)
    return m.voice_end + patience_ms / 1000.0


def silence_lasted(m: Memory, now: float, out: list[Output]) -> None:
    if m.awaited:
        _give_up_waiting(m, now, out)
    elif _silent_ms(m, now) >= m.params.max_silence_ms:
        end_now(m, now, out)
    else:
        settle(m, now, out)


def _give_up_waiting(m: Memory, now: float, out: list[Output]) -> None:
    """The recogniser has not answered. What it last believed is better than nothing.
    Where there is nothing yet, the answer still counts when it comes."""
    for segment in list(m.awaited.values()):
        del m.awaited[segment.segment_id]
        if segment.void:
            continue
        if not segment.partial:
            m.late[segment.segment_id] = segment
            while len(m.late) > MAX_LATE:
                del m.late[next(iter(m.late))]
        else:
            heard = Heard(segment.segment_id, segment.partial, segment.partial_confidence, True)
            said.take_final(m, heard, segment, now, out)
    if m.current().parts:
        end_now(m, now, out)
    else:
        m.state = State.IDLE
        out.append(NothingHeard())


def end_now(m: Memory, now: float, out: list[Output]) -> None:
    """The turn is over, whatever the judge says."""
    turn, silence_ms = m.current(), _silent_ms(m, now)
    _signal_eager(m, turn, silence_ms, TurnReason.FORCED, out)
    _end_turn(m, turn, silence_ms, TurnReason.FORCED, out)


def _signal_eager(m: Memory, turn: Turn, silence_ms: float, reason: TurnReason, out: list[Output]) -> None:
    if not turn.signalled:
        turn.signalled = True
        out.append(EagerTurn(*_signal(m, turn, silence_ms, reason)))


def _end_turn(m: Memory, turn: Turn, silence_ms: float, reason: TurnReason, out: list[Output]) -> None:
    turn.signalled = turn.ended = True
    m.state = State.BOT_PENDING
    out.append(TurnEnd(*_signal(m, turn, silence_ms, reason)))


def _signal(
    m: Memory, turn: Turn, silence_ms: float, reason: TurnReason
) -> tuple[TurnRef, str, str, float, int, TurnReason]:
    probability = _probability_of(m, silence_ms)
    if m.provider is not None:
        probability = round(m.provider.probability, 3)
    return (turn.ref, turn.message_id, turn.text, probability, round(silence_ms), reason)
