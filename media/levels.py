"""How loud a stretch of audio is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from media.frames import Pcm

_FULL_SCALE = 32768.0
FLOOR_DB = -60.0
"""What counts as silence: the lowest level that is told."""


@dataclass(frozen=True, slots=True)
class Level:
    energy_db: float
    """RMS level against full scale, from -60 (silence) to 0."""
    rms: float
    """0 to 1 of full scale. A full-scale sine has 0.707."""
    peak: float
    """Largest magnitude, 0 to 1 of full scale."""


SILENCE = Level(energy_db=FLOOR_DB, rms=0.0, peak=0.0)


def _level(sum_of_squares: float, peak: float, samples: int) -> Level:
    if peak == 0.0:
        return SILENCE
    rms = min(math.sqrt(sum_of_squares / samples) / _FULL_SCALE, 1.0)
    return Level(max(FLOOR_DB, 20.0 * math.log10(rms)), rms, peak / _FULL_SCALE)


def _measure(pcm: Pcm) -> tuple[float, float]:
    """Sum of squares and largest magnitude."""
    # int16 cannot hold the magnitude of -32768, nor float32 the sum of many squares to the last bit; neither
    # is heard, but the first would be a peak of -1.
    samples = pcm.astype(np.float32)
    return float(samples.dot(samples)), max(float(samples.max()), -float(samples.min()))


def level_of(pcm: Pcm) -> Level:
    """The level of one stretch. Of no samples it is silence."""
    if not len(pcm):
        return SILENCE
    return _level(*_measure(pcm), len(pcm))


class Meter:
    """The level of a stream, once per interval. Holds three numbers, whatever the interval is."""

    def __init__(self, sample_rate_hz: int, interval_ms: int = 100) -> None:
        self._interval = sample_rate_hz * interval_ms // 1000
        if self._interval < 1:
            raise ValueError(f"a meter interval of {interval_ms} ms at {sample_rate_hz} Hz holds no sample")
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._squares = 0.0
        self._peak = 0.0

    def add(self, pcm: Pcm) -> tuple[Level, ...]:
        """Count in the next samples; returns the levels of the intervals that they complete, usually none."""
        done: tuple[Level, ...] = ()
        while len(pcm):
            part = pcm[: self._interval - self._count]
            squares, peak = _measure(part)
            self._squares += squares
            self._peak = max(self._peak, peak)
            self._count += len(part)
            pcm = pcm[len(part) :]
            if self._count == self._interval:
                done = (*done, _level(self._squares, self._peak, self._count))
                self._clear()
        return done
