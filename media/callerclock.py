"""Where an instant lies on the caller's clock, which counts samples and is known only by frames that come late, one more
than the other. Pure.
"""

from __future__ import annotations

import math

WINDOW_S = 10.0
"""Two crystals drift apart by a millisecond in so long; no network is slow for every one of 500 frames."""
LATE_S = 1.0
"""Frames that are later than this are not late: the caller's clock has stood still."""


class CallerClock:
    """The quickest frames of the last while say where the caller's first sample was."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._quickest = math.inf
        self._before = math.inf
        """Of the window before."""
        self._since = -math.inf
        self.began_at = math.inf
        """When the first sample was, as far as the quickest frame of all tells."""

    @property
    def origin(self) -> float:
        """When the first sample would have been, had the caller's clock always gone as it goes now."""
        return min(self._quickest, self._before)

    def frame(self, end: int, at: float) -> None:
        """A frame whose last sample is ``end - 1`` has come."""
        origin = at - end / self._rate
        if origin > self.origin + LATE_S:
            self._quickest = self._before = math.inf
            self._since = at
        elif at - self._since >= WINDOW_S:
            self._before, self._quickest = self._quickest, math.inf
            self._since = at
        self._quickest = min(self._quickest, origin)
        self.began_at = min(self.began_at, origin)

    def sample(self, at: float) -> int:
        """What is heard at this instant lies beside this sample of the caller; there was a frame already."""
        return round((at - self.origin) * self._rate)
