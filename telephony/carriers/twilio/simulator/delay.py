"""A network's latency and jitter on one direction of an ordered connection."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delay:
    """Every message takes ``fixed_ms`` and up to ``jitter_ms`` more, evenly distributed; none overtakes."""

    fixed_ms: float = 0.0
    jitter_ms: float = 0.0


class DelayLine(Generic[T]):
    """Hands messages on in order, each after its delay. Without a delay it is a function call."""

    def __init__(self, delay: Delay, seed: int, deliver: Callable[[T], None]) -> None:
        self._fixed_s = delay.fixed_ms / 1000
        self._jitter_s = delay.jitter_ms / 1000
        self._random = random.Random(seed)
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, T]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def push(self, message: T) -> None:
        if not self._fixed_s and not self._jitter_s:
            self._deliver(message)
            return
        due_s = self._loop.time() + self._fixed_s + self._jitter_s * self._random.random()
        self._waiting.append((due_s, message))
        if self._timer is None:
            self._timer = self._loop.call_at(due_s, self._run)

    def close(self) -> None:
        """What is under way is lost."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        now = self._loop.time() + 1e-3  # the resolution of a timer
        while self._waiting and self._waiting[0][0] <= now:
            self._deliver(self._waiting.popleft()[1])
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_at(self._waiting[0][0], self._run)
