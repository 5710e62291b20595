"""When a user's turn is over: the evidence, the judges, and the models that some of them ask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pipeline.endpointing.evidence import EndOfTurn, Evidence, Prosody, TurnReason, Verdict
from pipeline.endpointing.habit import Habit
from pipeline.endpointing.local import Local
from pipeline.endpointing.silence import Silence

Mode = Literal["auto", "local", "silence", "native"]


@dataclass(frozen=True, slots=True)
class Endpointing:
    """How the end of a turn is found."""

    mode: Mode = "auto"
    """``local``: silence, words, sound and habit together. ``silence``: a fixed silence. ``native``: the
    recogniser says so, where it can, else ``local``. ``auto`` means ``native``."""
    silence_ms: int = 500
    """Of the mode ``silence``."""
    threshold: float = 0.5
    """Of the mode ``local``: how sure one has to be, 0 to 1."""
    patience: float = 1.0
    """Of the mode ``local``: multiplies the silence that is waited for."""
    earliest_ms: int | None = None
    """No turn ends after less silence; None: the judge's own opinion."""
    recheck_ms: int = 0
    """How often an audio model is asked again while the silence lasts; 0: once."""


class Native:
    """Leaves the end to a recogniser that tells turns itself (``EndOfTurn``); the longest silence stays."""

    def judge(self, evidence: Evidence) -> Verdict:
        return Verdict(1.0, _NEVER_MS, _NEVER_MS, TurnReason.PROVIDER)

    def probability(self, evidence: Evidence, silence_ms: float) -> float:
        return 0.5


_NEVER_MS = 3_600_000


@lru_cache(maxsize=64)
def judge_of(endpointing: Endpointing, *, native: bool = False) -> EndOfTurn:
    """The judge of a call. ``native``: its recogniser tells turns itself. Raises ``ValueError`` naming what is out
    of its range."""
    match endpointing.mode:
        case "silence":
            return Silence(max(endpointing.silence_ms, endpointing.earliest_ms or 0))
        case "auto" | "native" if native:
            return Native()
        case _:
            earliest_ms = endpointing.earliest_ms or Local().earliest_ms
            return Local(
                patience=endpointing.patience,
                threshold=endpointing.threshold,
                earliest_ms=earliest_ms,
                max_ms=max(Local().max_ms, earliest_ms),
            )


__all__ = [
    "EndOfTurn",
    "Endpointing",
    "Evidence",
    "Habit",
    "Local",
    "Mode",
    "Native",
    "Prosody",
    "Silence",
    "TurnReason",
    "Verdict",
    "judge_of",
]
