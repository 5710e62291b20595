"""Two clocks as one: events carry epoch seconds, decisions are made on the loop's monotonic clock."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Epoch time that never jumps: the wall clock is read once, and the loop's clock counts from there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoch = time.time() - loop.time()  # noqa: TID251 - the one place where the two clocks meet

    def epoch(self, at: float | None = None) -> float:
        """Epoch seconds now, or of an instant of the loop's clock; to the microsecond."""
        return round(self._epoch + (self._loop.time() if at is None else at), 6)
