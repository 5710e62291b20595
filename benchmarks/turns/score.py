"""Dead air against false cut-offs: sweeps, operating points, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pipeline.endpointing.evidence import EndOfTurn, Evidence
from pipeline.endpointing.local import Local
from pipeline.endpointing.silence import Silence
from pipeline.endpointing.tune import Look, Pause, ended_ms

BUDGETS = (0.05, 0.10)
LATENCIES_MS = (400.0, 600.0)
"""300 ms cannot be reached: by then the detector only says that the voice has ended."""
RESAMPLES = 400

SILENCES: tuple[EndOfTurn, ...] = tuple(Silence(end_ms) for end_ms in range(300, 2001, 20))
# The same three knobs as in the public benchmark's sweep: threshold, action delay, timeout.
LOCALS: tuple[EndOfTurn, ...] = tuple(
    Local(threshold=threshold, earliest_ms=earliest_ms, latest_ms=latest_ms, max_ms=4000)
    for threshold, earliest_ms, latest_ms in product(
        (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95),
        (300, 350, 400, 500, 600, 700, 850, 1000),
        (600, 800, 1000, 1100, 1300, 1500, 2000),
    )
    if earliest_ms < latest_ms
)


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    judges: tuple[EndOfTurn, ...]
    sees: Callable[[Evidence], Evidence]
    """What of the evidence it is given."""


SILENCE_ONLY = Policy("silence only", SILENCES, lambda evidence: Evidence())
OURS = Policy("ours", LOCALS, lambda evidence: replace(evidence, model=None))
OURS_TEXT = Policy("ours, words and habit only", LOCALS, lambda e: replace(e, model=None, prosody=None))
OURS_MODEL = Policy("ours with the model", LOCALS, lambda evidence: evidence)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Of one policy, for each of its settings, recording by recording."""

    dead_air_ms: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    """``[settings, recordings]``: summed over the turns."""
    cuts: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    turns: np.ndarray[tuple[int], np.dtype[np.float64]]
    holds: np.ndarray[tuple[int], np.dtype[np.float64]]

    def curve(
        self, weights: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """Share of holds cut off, and mean dead air, of each setting. ``weights``: how often each recording
        is counted."""
        if weights is None:
            weights = np.ones(len(self.turns))
        holds = float(self.holds @ weights)
        return self.cuts @ weights / max(holds, 1.0), self.dead_air_ms @ weights / float(self.turns @ weights)


def sweep(policy: Policy, recordings: Sequence[Sequence[Pause]], judges: Sequence[EndOfTurn] = ()) -> Sweep:
    """``recordings``: the pauses of each one's turns, each turn with a number of its own."""
    judges = judges or policy.judges
    dead_air, cuts = np.zeros((len(judges), len(recordings))), np.zeros((len(judges), len(recordings)))
    turns, holds = np.zeros(len(recordings)), np.zeros(len(recordings))
    for column, pauses in enumerate(recordings):
        seen = [_seen(pause, policy) for pause in pauses]
        turns[column] = len({pause.turn for pause in seen})
        holds[column] = sum(pause.cuttable for pause in seen)
        for row, judge in enumerate(judges):
            ended: dict[int, float] = {}
            for pause in seen:
                at_ms = ended_ms(judge, pause)
                if at_ms is not None and pause.ends:
                    ended.setdefault(pause.turn, at_ms + pause.late_ms)
                cuts[row, column] += at_ms is not None and pause.cuttable
            dead_air[row, column] = sum(ended.values())
    return Sweep(dead_air, cuts, turns, holds)


def _seen(pause: Pause, policy: Policy) -> Pause:
    return replace(pause, looks=tuple(Look(look.at_ms, policy.sees(look.evidence)) for look in pause.looks))


def at_budget(swept: Sweep, budget: float, weights: np.ndarray | None = None) -> float:
    """The least mean dead air of the settings that cut off at most this share; NaN where none does."""
    share, dead_air = swept.curve(weights)
    within = share <= budget + 1e-9
    return float(dead_air[within].min()) if within.any() else float("nan")


def at_latency(swept: Sweep, latency_ms: float) -> float:
    """The least share cut off of the settings with at most this mean dead air; NaN where none has."""
    share, dead_air = swept.curve()
    within = dead_air <= latency_ms
    return float(share[within].min()) if within.any() else float("nan")


def ratio_interval(ours: Sweep, silence: Sweep, budget: float, seed: int) -> tuple[float, float]:
    """90 % of the ratio of dead airs when the recordings are drawn anew, with replacement: whole recordings,
    since the turns of one are by one voice."""
    chance = np.random.default_rng(seed)
    count = len(ours.turns)
    ratios = []
    for _ in range(RESAMPLES):
        weights = np.bincount(chance.integers(count, size=count), minlength=count).astype(np.float64)
        ratio = at_budget(ours, budget, weights) / at_budget(silence, budget, weights)
        if np.isfinite(ratio):
            ratios.append(ratio)
    if not ratios:
        return float("nan"), float("nan")
    low, high = np.percentile(ratios, (5, 95))
    return float(low), float(high)


def held_out(ours: Sweep, budget: float) -> tuple[float, float]:
    """Share cut off and mean dead air where the setting for each recording was chosen on all others."""
    count = len(ours.turns)
    cuts = dead_air = 0.0
    for column in range(count):
        others = np.ones(count)
        others[column] = 0.0
        share, air = ours.curve(others)
        air = np.where(share <= budget + 1e-9, air, np.inf)
        chosen = int(np.argmin(air)) if np.isfinite(air).any() else int(np.argmin(share))
        cuts += ours.cuts[chosen, column]
        dead_air += ours.dead_air_ms[chosen, column]
    return cuts / max(1.0, float(ours.holds.sum())), dead_air / float(ours.turns.sum())
