"""How late the event loop is: the one figure that tells whether calls get their audio in time.

A blocked loop is not seen by tests that patch Python's blocking calls where native code blocks it; this
heartbeat sees everything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

PERIOD_S = 0.05


class LoopLag:
    """Wakes up at absolute times, notes by how much it was late, and tells it. Keeps the last minute."""

    def __init__(self, tell: Callable[[float], None] | None = None) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._late: deque[float] = deque(maxlen=int(60 / PERIOD_S))
        self._due = self._loop.time() + PERIOD_S
        self._handle = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        late_s = max(0.0, now - self._due)
        self._late.append(late_s)
        if self._tell is not None:
            self._tell(late_s)
        # What was missed is not caught up: one long stall is one sample.
        self._due = max(self._due + PERIOD_S, now)
        self._handle = self._loop.call_at(self._due, self._beat)

    def close(self) -> None:
        self._handle.cancel()

    def summary(self) -> dict[str, float]:
        """Milliseconds: median, 95th and 99th percentile, and maximum of the last minute."""
        late = sorted(self._late) or [0.0]

        def at(share: float) -> float:
            return round(late[min(len(late) - 1, int(share * len(late)))] * 1000, 2)

        return {
            "p50_ms": at(0.5),
            "p95_ms": at(0.95),
            "p99_ms": at(0.99),
            "max_ms": round(late[-1] * 1000, 2),
        }
