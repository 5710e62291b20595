"""The judge that knows nothing but silence. Pure."""

from __future__ import annotations

from pipeline.endpointing.evidence import Evidence, TurnReason, Verdict

SURE = 0.85
"""What ``probability`` has reached when a turn ends, by any judge of this package."""


class Silence:
    """Ends each turn after a fixed silence (``EndOfTurn``). Raises ``ValueError`` for one that is not positive.

    Thinking may begin as soon as there are words.
    """

    __slots__ = ("end_ms",)

    def __init__(self, end_ms: int = 500) -> None:
        if end_ms <= 0:
            raise ValueError(f"end_ms must be positive, not {end_ms}")
        self.end_ms = end_ms

    def judge(self, evidence: Evidence) -> Verdict:
        return Verdict(0.5, 0, self.end_ms, TurnReason.SILENCE)

    def probability(self, evidence: Evidence, silence_ms: float) -> float:
        """Rises from 0.5 over 0.85 at ``end_ms`` towards 1: a shape, it was not fitted to anything."""
        left: float = ((1.0 - SURE) / 0.5) ** (max(silence_ms, 0.0) / self.end_ms)
        return 1.0 - 0.5 * left
