"""The waveform of a call and where it lies in time, gathered while the call runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from media.callerclock import CallerClock
from media.frames import Pcm
from media.peaks import HOP_MS, SETTLE_MS, Peaks

SETTLED: Final = 150
"""Frames after which the beginning of the call is dated for good."""
EVERY: Final = 5
"""From then on one frame in so many tells the time: 100 in the clock's window are enough."""


@dataclass(frozen=True, slots=True)
class Strip:
    """A part of a waveform. Each side has a byte for every 20 ms (``media.peaks``)."""

    from_ms: int
    until_ms: int
    """On the caller's clock, which a recording has, too."""
    settled_ms: int
    """What lies behind it may still change."""
    starts_at: float
    """When 0 ms was, and when ``until_ms`` was or will be: epoch seconds. Between them time is linear: a sound card is
    not as exact as a server's clock."""
    until_at: float
    user: bytes
    bot: bytes


class Waveform:
    """Of one call. Takes what a recorder takes, and is cheap enough to do so always. ``now`` is the clock that the call's
    audio is placed with, and ``epoch`` makes epoch seconds of its instants."""

    def __init__(
        self, sample_rate_hz: int, now: Callable[[], float], epoch: Callable[[float], float]
    ) -> None:
        self._now = now
        self._epoch = epoch
        self._peaks = Peaks(sample_rate_hz)
        self._clock = CallerClock(sample_rate_hz)
        """The same that the bot is placed with."""
        self._frames = 0
        self._starts_at = 0.0
        self.over = False
        """Nothing changes any more."""
        self.bot = self._peaks.bot

    def caller(self, start: int, pcm: Pcm) -> None:
        """A frame of the caller has come."""
        self._peaks.caller(start, pcm)
        self._frames += 1
        if self._frames <= SETTLED:
            self._clock.frame(start + len(pcm), self._now())
            self._starts_at = self._clock.origin
        elif not self._frames % EVERY:
            self._clock.frame(start + len(pcm), self._now())

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._peaks.size

    def strip(self, from_ms: int) -> Strip | None:
        """All behind ``from_ms``, in whole hops. None: there was no audio yet."""
        if not self._frames:
            return None
        until_ms = self._peaks.until_ms
        from_ms = min(from_ms // HOP_MS * HOP_MS, until_ms)
        user, bot = self._peaks.between(from_ms, until_ms)
        return Strip(
            from_ms,
            until_ms,
            until_ms if self.over else max(0, until_ms - SETTLE_MS),
            self._epoch(self._starts_at),
            self._epoch(self._clock.origin + until_ms / 1000.0),
            user,
            bot,
        )
