"""How fast something may be asked for: so many a second, evenly, whatever comes in bursts.

Pure: instants are passed in, seconds on one clock of the caller's choice.
"""

from __future__ import annotations


class Pace:
    """A bucket of one token, which is full again after ``1 / rate_per_s``."""

    def __init__(self, rate_per_s: float) -> None:
        self._period_s = 1 / rate_per_s
        self._free_at = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next turn; returns when that is, ``now`` or later. They are given in order."""
        at = max(now, self._free_at)
        self._free_at = at + self._period_s
        return at
