"""What the answer to a turn took, part by part. Pure.

The parts overlap, for work begins before the turn is over: none of them is to be added to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.events import LatencyPart, TurnMetrics, TurnRef

SAME_S: Final = 0.002
"""The end of a turn's voice is told in whole milliseconds."""


@dataclass(slots=True)
class Signal:
    """When a turn was found to be over. Times are of the session's clock; None: that has not been, or is not known."""

    text_at: float | None = None
    """The last text of it came."""
    at: float | None = None
    """The first signal went out that it is over, or may be."""
    voice_end: float | None = None
    detected: tuple[float, float] | None = None
    """A voice's end, and when it was told: of the last."""
    endpointing_ms: int | None = None
    """End of voice to the end of the turn."""


@dataclass(slots=True)
class Answer:
    """How one message came to be heard."""

    asked_at: float | None = None
    """The call's own mind was asked for it; None: it is not of that."""
    text_at: float | None = None
    """The first of its text came."""
    synthesis_at: float | None = None
    """The voice was given its first sentence."""
    byte_at: float | None = None
    """The voice gave the first of its sound."""
    input_tokens: int | None = None
    output_tokens: int | None = None


def metrics(
    turn: TurnRef,
    message_id: str,
    signal: Signal,
    answer: Answer,
    *,
    agents: bool,
    sent_at: float,
    heard_at: float | None,
) -> TurnMetrics:
    """``agents``: the answer is the agent process's own. ``sent_at``: its first audio went to the leg."""
    parts: dict[LatencyPart, int | None] = {
        "endpointing": signal.endpointing_ms,
        "stt": _ms(signal.voice_end, signal.text_at),
        "llm": _ms(answer.asked_at, answer.text_at),
        "agent": _ms(signal.at, answer.text_at) if agents else None,
        "tts": _ms(answer.synthesis_at, answer.byte_at),
        "transport": _ms(sent_at, heard_at),
    }
    known = [(ms, part) for part, ms in parts.items() if ms is not None]
    return TurnMetrics(
        turn,
        message_id,
        endpointing_ms=parts["endpointing"],
        stt_ms=parts["stt"],
        llm_first_token_ms=parts["llm"],
        agent_ms=parts["agent"],
        tts_first_byte_ms=parts["tts"],
        transport_ms=parts["transport"],
        total_ms=_ms(signal.voice_end, sent_at if heard_at is None else heard_at),
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        vad_ms=_detection_ms(signal),
        slowest=max(known, key=lambda part: part[0])[1] if known else None,
    )


def _detection_ms(signal: Signal) -> int | None:
    """None: the last voice that ended was not that of the turn's end."""
    if signal.voice_end is None or signal.detected is None:
        return None
    end, told_at = signal.detected
    return _ms(end, told_at) if abs(end - signal.voice_end) < SAME_S else None


def _ms(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else max(0, round((end - start) * 1000))
