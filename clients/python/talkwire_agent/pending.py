"""Results that come later, by an event. Whoever is not interested need not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """Awaitable, as often as one likes. It needs no running loop to be made, and one that nobody awaits is
    no fault."""

    def __init__(self) -> None:
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def done(self) -> bool:
        return bool(self._result) or self._error is not None

    def settle(self, result: T) -> None:
        """The first result, or error, counts."""
        if not self.done:
            self._result.append(result)
            self._wake()

    def fail(self, error: BaseException) -> None:
        if not self.done:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            yield from waiter
        if self._error is not None:
            raise self._error
        return self._result[0]
