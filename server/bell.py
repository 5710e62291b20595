"""What wakes a reader: rung when there is more, and waited for without a timer for each wait.

A timer that is set and taken back for each event costs as much as sending it. So a bell keeps one: it fires when the
patience of some wait would have run out, and is set anew then if another wait has begun meanwhile.
"""

from __future__ import annotations

import asyncio


class Bell:
    """One reader waits for it; anybody may ring it."""

    def __init__(self, *, rung: bool = False) -> None:
        self._rung = rung
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._due = 0.0
        """When the patience of the wait runs out, on the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def set(self) -> None:
        """Ring it: whoever waits goes on, and whoever comes to wait does so at once."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    def clear(self) -> None:
        self._rung = False

    def is_set(self) -> bool:
        return self._rung

    async def wait(self, patience_s: float) -> bool:
        """Until it rings. False: it did not for so long."""
        if self._rung:
            return True
        # Asking for it is a system call each time.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        self._due = loop.time() + patience_s
        if self._timer is None or self._fires_at > self._due:
            self._set_timer(loop)
        self._waiter = loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.close()
        self._fires_at = self._due
        self._timer = loop.call_at(self._due, self._fired, loop)

    def _fired(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if loop.time() < self._due:
            self._set_timer(loop)
        else:
            self._waiter.set_result(False)
