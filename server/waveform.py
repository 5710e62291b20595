"""The waveform of a call and where it lies in time, gathered while the call runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

from media.frames import Pcm
from media.peaks import HOP_MS, SETTLE_MS, Peaks

RECENT: Final = 101
"""Frames whose arrival tells what the caller's clock says now: two seconds, so that a stall does not count."""
SETTLED: Final = 150
"""Frames after which the beginning of the call is dated for good, by the last two thirds of them: the first come in a
burst."""


@dataclass(frozen=True, slots=True)
class Strip:
    """A part of a waveform. Each side has a byte for every 20 ms (``media.peaks``)."""

    from_ms: int
    until_ms: int
    """On the caller's clock, which a recording has, too."""
    settled_ms: int
    """What lies behind it may still change."""
    starts_at: float
    """When 0 ms was, and when ``until_ms`` was or will be: seconds of the clock that the call is dated with. Between
    them time is linear: a sound card is not as exact as a server's clock."""
    until_at: float
    user: bytes
    bot: bytes


class Waveform:
    """Of one call. Takes what a recorder takes, and is cheap enough to do so always."""

    def __init__(self, sample_rate_hz: int, now: Callable[[], float]) -> None:
        self._rate = sample_rate_hz
        self._now = now
        self._peaks = Peaks(sample_rate_hz)
        self._offsets: deque[float] = deque(maxlen=RECENT)
        """When the first sample was, as each of the last frames has it."""
        self._frames = 0
        self._starts_at = 0.0
        self.over = False
        """Nothing changes any more."""
        self.bot = self._peaks.bot

    def caller(self, start: int, pcm: Pcm) -> None:
        """A frame of the caller has come."""
        self._peaks.caller(start, pcm)
        self._offsets.append(self._now() - (start + len(pcm)) / self._rate)
        self._frames += 1
        if self._frames == SETTLED:
            self._starts_at = median(self._offsets)

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._peaks.size

    def strip(self, from_ms: int) -> Strip | None:
        """All behind ``from_ms``, in whole hops. None: there was no audio yet."""
        if not self._offsets:
            return None
        until_ms = self._peaks.until_ms
        from_ms = min(from_ms // HOP_MS * HOP_MS, until_ms)
        latest = median(self._offsets)
        user, bot = self._peaks.between(from_ms, until_ms)
        return Strip(
            from_ms,
            until_ms,
            until_ms if self.over else max(0, until_ms - SETTLE_MS),
            self._starts_at if self._frames >= SETTLED else latest,
            latest + until_ms / 1000.0,
            user,
            bot,
        )
