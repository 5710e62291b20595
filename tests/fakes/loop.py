"""An event loop whose clock jumps: when nothing is ready, time is at the next deadline at once.

A ten-minute conversation takes milliseconds, to the exact instant, and two runs are the same. For code
without real sockets and threads, which would wait for a time that has passed.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout is None:
            return ready or super().select(0.01)
        if timeout > 0:
            # A hair further than the deadline, so that rounding cannot leave it just ahead.
            self.now += timeout + 1e-9
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """``loop.time()`` begins at 1000 s."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on virtual time; fails where it leaves a task behind."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def guarded() -> T:
            result = await main
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left behind: {left}"
            return result

        return runner.run(guarded())
