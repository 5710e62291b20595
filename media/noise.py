"""How loud the line is when nobody speaks, and how loud the one is who does. Pure.

The floor is the minimum of the smoothed level over the last three seconds (Martin, "Noise power spectral
density estimation based on optimal smoothing and minimum statistics", IEEE Trans. Speech and Audio Proc. 9(5),
2001), of the whole band instead of each bin: even in speech without a pause, closures and the gaps between
words show it. It needs no verdict of a voice detector, so that a wrong one cannot spoil it.
"""

from __future__ import annotations

import math
from collections import deque

from media.ports import VadWindow

LOWEST_DB = -90.0
"""The level of digital silence."""
SPAN_MS = 3000
"""The floor looks back so far: it follows a rise of the noise after this time, and a fall at once."""
PARTS = 6
"""In so many parts, so that the past is forgotten in steps of half a second and the cost does not depend on it."""
HEARD_MS = 500
"""Less than this heard of a line, and its floor is not known."""
ASSUMED_DB = -40.0
"""What a floor is not above before three seconds were heard: who speaks as soon as he is connected is no noise."""
BIAS_DB = 1.5
"""The minimum of a noise lies below its mean: 1.2 dB for white noise in windows of 32 ms, more in coloured."""
_SMOOTHING_MS = 30.0

QUIETEST_DB = -60.0
"""Loudness 0. Loudness 1 is full scale."""
ATTACK_MS = 40.0
RELEASE_MS = 200.0


def decibels(rms: float) -> float:
    """Of a root mean square, full scale being 1, in dBFS; at least ``LOWEST_DB``."""
    return max(LOWEST_DB, 20.0 * math.log10(rms)) if rms > 0.0 else LOWEST_DB


class NoiseFloor:
    """The noise of one line, from the levels of the detector's windows. Some float operations a window."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._per_ms = sample_rate_hz / 1000.0
        self._level: float | None = None
        self._parts: deque[float] = deque(maxlen=PARTS - 1)
        self._lowest = math.inf
        self._in_part_ms = 0.0
        self._heard_ms = 0.0
        self._floor: float | None = None

    @property
    def floor_db(self) -> float | None:
        """In dBFS, not below ``LOWEST_DB``; None: half a second of the line has not been heard yet."""
        return self._floor

    def push(self, window: VadWindow) -> None:
        """Take the next window; one whose level was not measured changes nothing."""
        if window.rms is None:
            return
        length_ms = (window.end - window.start) / self._per_ms
        level = decibels(window.rms)
        if self._level is not None:
            level += (self._level - level) * math.exp(-length_ms / _SMOOTHING_MS)
        self._level = level
        self._lowest = min(self._lowest, level)
        self._in_part_ms += length_ms
        self._heard_ms += length_ms
        if self._heard_ms >= HEARD_MS:
            floor = min(self._lowest, *self._parts) if self._parts else self._lowest
            if self._heard_ms < SPAN_MS:
                floor = min(floor, ASSUMED_DB)
            self._floor = max(LOWEST_DB, floor + BIAS_DB)
        if self._in_part_ms >= SPAN_MS / PARTS:
            self._parts.append(self._lowest)
            self._lowest, self._in_part_ms = math.inf, 0.0

    def above_db(self, window: VadWindow) -> float:
        """How far a window stands out of the floor; infinite where one of the two is not known."""
        if window.rms is None or self._floor is None:
            return math.inf
        return decibels(window.rms) - self._floor


class Loudness:
    """The smoothed volume of a caller, 0 (-60 dBFS and less) to 1 (full scale), linear in dB.

    It rises within 40 ms and falls within 200 ms, so that a word is as loud as its vowels and a gap between
    two words does not count against it. What ``min_volume`` 0.35 asks for is -39 dBFS: the nominal level of speech
    on a phone line is -26 dBFS (ITU-T G.168, P.56: 0.57), a quiet caller's -36 (0.4); talk in the background
    lies 15 to 25 dB below the speaker's (0.2 to 0.3).
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._per_ms = sample_rate_hz / 1000.0
        self.value = 0.0

    def push(self, window: VadWindow) -> float:
        """Take the next window and return the volume; one whose level was not measured changes nothing."""
        if window.rms is not None:
            volume = min(1.0, max(0.0, 1.0 - decibels(window.rms) / QUIETEST_DB))
            constant_ms = ATTACK_MS if volume > self.value else RELEASE_MS
            share = 1.0 - math.exp((window.start - window.end) / self._per_ms / constant_ms)
            self.value += (volume - self.value) * share
        return self.value
