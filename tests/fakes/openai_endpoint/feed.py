"""The body of an answer, each piece at its time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.fakes.openai_endpoint.answer import Piece
from tests.fakes.openai_endpoint.http import Exchange
from tests.fakes.openai_endpoint.record import Recorded

_EARLY_S = 0.0005
"""A piece that is due within the resolution of uvloop's timers is due now: its loop would spin until then."""


class Feed:
    """Sends the first ``limit`` pieces, and the end of the body where there are no more.

    Driven by a timer: a task that wakes for each piece costs about twice as much, and a benchmark shares its
    core with this. Times are absolute, so that a late piece does not delay those behind it.
    """

    def __init__(
        self, exchange: Exchange, record: Recorded, pieces: Sequence[Piece], limit: int | None
    ) -> None:
        self._exchange = exchange
        self._record = record
        self._pieces = pieces
        self._limit = len(pieces) if limit is None else limit
        self._complete = limit is None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0
        self._due_s = 0.0

    async def run(self, start_s: float) -> None:
        """The gap of the first piece counts from ``start_s`` on the loop's clock."""
        self._due_s = start_s + (self._pieces[0][0] if self._pieces else 0.0)
        try:
            self._step()
            await self._over
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _step(self) -> None:
        if self._over.done():
            return
        while self._next < self._limit:
            if not self._exchange.writable:
                self._exchange.when_writable(self._step)
                return
            if self._due_s > self._loop.time() + _EARLY_S:
                self._timer = self._loop.call_at(self._due_s, self._step)
                return
            self._send(self._pieces[self._next][1])
            self._next += 1
            if self._next < len(self._pieces):
                self._due_s += self._pieces[self._next][0]
        if self._complete:
            self._exchange.end()
        self._over.set_result(None)

    def _send(self, data: bytes) -> None:
        self._exchange.piece(data)
        record = self._record
        if record.first_piece_s is None:
            record.first_piece_s = self._loop.time()
        record.pieces += 1
        record.body_bytes += len(data)
