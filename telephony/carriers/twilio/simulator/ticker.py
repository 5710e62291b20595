"""One clock for all calls of a process: every 20 ms, on absolute deadlines, spread over ten phases.

Real calls do not all send in the same millisecond. A load generator that did would measure the server's
burst, and have one of its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

PERIOD_S: Final = 0.020
_PHASES: Final = 10

Tick = Callable[[float], None]


class _Phase:
    def __init__(self, loop: asyncio.AbstractEventLoop, origin_s: float) -> None:
        self._loop = loop
        self._origin_s = origin_s
        self._timer: asyncio.TimerHandle | None = None
        self.ticks: tuple[Tick, ...] = ()

    def next_s(self) -> float:
        """The next deadline. A stalled loop misses deadlines; none is ever shifted."""
        periods = math.floor((self._loop.time() - self._origin_s) / PERIOD_S + 1e-6) + 1
        return self._origin_s + periods * PERIOD_S

    def add(self, tick: Tick) -> float:
        self.ticks += (tick,)
        if self._timer is None:
            self._timer = self._loop.call_at(self.next_s(), self._run)
        return self._timer.when()

    def remove(self, tick: Tick) -> None:
        self.ticks = tuple(other for other in self.ticks if other != tick)
        if not self.ticks and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        ticks = self.ticks
        self._timer = self._loop.call_at(self.next_s(), self._run)
        now = self._loop.time()
        for tick in ticks:
            tick(now)


class Ticker:
    """Calls every registered function once in 20 ms with the loop's time. Must be made on the loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._phases = [_Phase(loop, now + index * PERIOD_S / _PHASES) for index in range(_PHASES)]

    def add(self, tick: Tick) -> float:
        """Register in the emptiest phase. Returns the instant of the first tick; the others follow it in
        exact periods."""
        return min(self._phases, key=lambda phase: len(phase.ticks)).add(tick)

    def remove(self, tick: Tick) -> None:
        """No tick comes afterwards. May be called twice."""
        for phase in self._phases:
            if tick in phase.ticks:
                phase.remove(tick)
