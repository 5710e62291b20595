"""The one way to the database for what happens in calls: gathered, written together, and never waited for.

What is put is in the database within ``GATHER_S`` and the time of one transaction. Where that fails, or takes longer than
a moment, it goes to the spool, a file beside the server, and from there to the database once that goes on: in order, and
with all that came meanwhile behind it, so that nothing is there twice or out of its place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from server.past import StoreUnavailable
from server.ring import Entry
from server.store.ops import Ended, Lost, Op, size_of
from server.store.spool import Spool

log = structlog.get_logger(__name__)

GATHER_S = 0.04
"""What comes in this time is one transaction."""
SLOW_S = 0.02
"""A transaction that takes longer has its operations in the spool as well."""
AWAY_S = 2.0
"""Where one takes longer the database counts as away, and that is told."""
RETRY_S = 1.0
MAX_QUEUED_BYTES = 16 << 20
"""What waits in memory. It is never much: only while the disk of the spool stands still does it grow."""
REPLAYED = 500
"""Lines of the spool that are written together."""
MAX_BATCH = 2000
MAX_OWED = 10_000
LAST_TRIES = 3
LAST_S = 5.0
"""For what is left when the server stops."""


class Sink(Protocol):
    """The database."""

    async def write(self, ops: Sequence[Op]) -> None:
        """All of them or none, each as often as one likes. Raises ``StoreUnavailable``; ``ValueError`` where it will
        never take one of them."""


@dataclass(slots=True)
class Figures:
    """For operators and benchmarks."""

    written: int = 0
    """Operations that are in the database."""
    commits: int = 0
    lost: int = 0
    """Events for which there was no room, neither in the database nor in the spool, or that it refused."""
    outages: int = 0
    replayed: int = 0
    """Operations that came out of the spool since the database took them last."""
    late_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    """Of each transaction how long the oldest of it had waited when it was written."""


class Writer:
    """Of one process. ``settle`` is awaited each time before anything is written to a database that was away, or was
    never there: it raises ``StoreUnavailable`` where that is not ready. ``confirm`` is told the ids of ended calls that
    are all there."""

    def __init__(
        self,
        sink: Sink,
        spool: Spool,
        settle: Callable[[], Awaitable[None]],
        confirm: Callable[[str], None],
    ) -> None:
        self._sink = sink
        self._spool = spool
        self._settle = settle
        self._confirm = confirm
        self._loop = asyncio.get_running_loop()
        self._queue: list[Op] = []
        self._queued_bytes = 0
        self._oldest = 0.0
        """When the first of the queue was put there."""
        self._news = asyncio.Event()
        self._lost: dict[str, Lost] = {}
        self._untold: set[str] = set()
        """Of these calls the database does not know how many."""
        self._owed: list[Op] = []
        """Beginnings and ends of calls for which the spool has no room."""
        self._told_of_loss = False
        self._put = 0
        self._done = 0
        self._progress = asyncio.Condition()
        self._stopping = False
        self._away = False
        """It was told that the database is."""
        self.well = False
        """The database takes what it is given, and has all that came before."""
        self.figures = Figures()

    # --- putting ------------------------------------------------------------------------------------------

    def put(self, op: Op) -> None:
        """Have it written. Of events for which there is no room the call only keeps that they are lost."""
        size = size_of(op)
        if isinstance(op, Entry) and self._queued_bytes + size > MAX_QUEUED_BYTES:
            self._lose(op)
            return
        if not self._queue:
            self._oldest = self._loop.time()
        self._queue.append(op)
        self._queued_bytes += size
        self._put += 1
        self._news.set()

    @property
    def queued(self) -> int:
        """Operations that wait in memory."""
        return len(self._queue)

    @property
    def spooled_bytes(self) -> int:
        return self._spool.size

    def _lose(self, entry: Entry) -> None:
        known = self._lost.pop(entry.call_id, None)
        self._lost[entry.call_id] = Lost(entry.call_id, known.count + 1 if known else 1, entry.seq)
        self._untold.add(entry.call_id)
        if len(self._lost) > MAX_OWED:
            self._untold.discard(next(iter(self._lost)))
            del self._lost[next(iter(self._lost))]
        self.figures.lost += 1
        if not self._told_of_loss:
            self._told_of_loss = True
            log.error(
                "journal.losing_events",
                why="the database takes nothing and the spool is full: raise TALKWIRE_SPOOL_MAX_BYTES or free the disk",
                spool=str(self._spool.path),
                spooled_bytes=self._spool.size,
            )

    def _losses(self) -> list[Lost]:
        """What is to be written of events that are not kept: all of a call's, so that it may be written twice."""
        lost = [self._lost[call_id] for call_id in self._untold]
        self._untold.clear()
        return lost

    # --- writing ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until ``stop``."""
        while not (self._stopping and not self._queue):
            if self.well:
                await self._news.wait()
                if not self._stopping:
                    await asyncio.sleep(GATHER_S)
                oldest = self._oldest
                await self._write(self._take())
                self.figures.late_s.append(self._loop.time() - oldest)
            else:
                await self._hold_out()
        for _ in range(LAST_TRIES):
            # The database was only slow: what lies in the spool need not wait for the next start.
            if not self.well and not self._away:
                await self._hold_out()

    async def save(self) -> None:
        """What still waits goes to the spool: ``run`` was cut short."""
        await self._to_spool(self._take())

    def stop(self) -> None:
        """Let ``run`` end when all that waits is in the database or in the spool."""
        self._stopping = True
        self._news.set()

    async def flush(self, patience_s: float = LAST_S) -> None:
        """Until all that was put up to now is in the database. Raises ``StoreUnavailable``."""
        target = self._put
        try:
            async with asyncio.timeout(patience_s), self._progress:
                await self._progress.wait_for(lambda: self.well and self._done >= target)
        except TimeoutError:
            raise StoreUnavailable("the database takes nothing at the moment") from None

    def _take(self) -> list[Op]:
        batch, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
        self._queued_bytes -= sum(map(size_of, batch))
        if not self._queue and not self._stopping:
            self._news.clear()
        return batch

    async def _write(self, batch: list[Op]) -> None:
        """Write a batch. Where that takes longer than a moment it goes to the spool as well, and so does all that comes
        meanwhile: a killed process must not lose what only waits for a disk."""
        if not batch:
            return
        told = [*batch, *self._losses()] if self._untold else batch
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._tried(told), name="write a batch")
            await asyncio.wait((writing,), timeout=SLOW_S)
            left: list[Op] | None = None
            if not writing.done():
                self.well = False
                left = await self._append(batch)
                behind = self._spool.size
                await self._meanwhile(writing)
                if writing.result() is None:
                    self._spool.skip(behind)
        error = writing.result()
        if error is not None:
            self._untold.update(op.call_id for op in told[len(batch) :] if isinstance(op, Lost))
            self.fell(error)
            left = await self._append(batch) if left is None else left
            self._leave_out(left)
        else:
            self._confirmed(batch)
        await self._done_with(len(batch))

    async def _tried(self, batch: Sequence[Op]) -> StoreUnavailable | None:
        try:
            await self.commit(batch)
        except StoreUnavailable as error:
            return error
        return None

    async def _meanwhile(self, doing: asyncio.Task[StoreUnavailable | None]) -> None:
        """Until it is done, spool what comes."""
        late_at, commits = self._loop.time() + AWAY_S, self.figures.commits
        while not doing.done():
            await asyncio.wait((doing,), timeout=GATHER_S)
            await self._to_spool(self._take())
            if self.figures.commits != commits:
                late_at, commits = self._loop.time() + AWAY_S, self.figures.commits
            if not doing.done() and self._loop.time() > late_at:
                # It may take a while yet until it has given up.
                self.fell(StoreUnavailable(f"it takes longer than {AWAY_S:g} s"))

    def fell(self, error: StoreUnavailable) -> None:
        """The database is away."""
        self.well = False
        if self._away:
            return
        self._away = True
        self.figures.outages += 1
        log.error(
            "journal.database_away",
            reason=str(error),
            instead=str(self._spool.path),
            what="calls go on; what happens in them is kept in that file until the database is back",
        )

    async def commit(self, batch: Sequence[Op]) -> None:
        """Write these, at once. Raises ``StoreUnavailable``. What the database will never take is left out, and told."""
        try:
            await self._put_in(batch)
        except ValueError:
            for op in batch:
                try:
                    await self._put_in([op])
                except ValueError as error:
                    self.figures.lost += 1
                    log.error("journal.refused", kind=type(op).__name__, reason=str(error))
        self.figures.commits += 1
        self.figures.written += len(batch)

    async def _put_in(self, batch: Sequence[Op]) -> None:
        try:
            await self._sink.write(batch)
        except (StoreUnavailable, ValueError):
            raise
        except Exception as error:
            # In the group of all calls an exception would end all of them; and one that comes each time must not wedge
            # what comes behind it.
            log.exception("journal.not_written")
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def _confirmed(self, batch: Iterable[Op]) -> None:
        for op in batch:
            if isinstance(op, Ended):
                self._confirm(op.call_id)

    async def _done_with(self, count: int) -> None:
        self._done += count
        async with self._progress:
            self._progress.notify_all()

    # --- the database is away -----------------------------------------------------------------------------

    async def _hold_out(self) -> None:
        """One try to go on with the database; what comes meanwhile goes to the spool."""
        async with asyncio.TaskGroup() as tasks:
            trying = tasks.create_task(self._go_on(), name="write the spool")
            await self._meanwhile(trying)
        error = trying.result()
        if error is None:
            await self._back()
        else:
            self.fell(error)
            await self._to_spool(self._take())
            await self._breathe()

    async def _go_on(self) -> StoreUnavailable | None:
        """Write what lies in the spool. It may grow meanwhile: ``_back`` sees to the rest."""
        try:
            if self._away or not self.figures.commits:
                await self._settle()
            while ops := await asyncio.to_thread(self._spool.read, REPLAYED):
                await self.commit(ops)
                self._confirmed(ops)
                self.figures.replayed += len(ops)
            lost = self._losses()
            if rest := [*self._owed, *lost]:
                owed = len(self._owed)
                try:
                    await self.commit(rest)
                except StoreUnavailable:
                    self._untold.update(op.call_id for op in lost)
                    raise
                self._confirmed(rest)
                del self._owed[:owed]
        except StoreUnavailable as error:
            self._spool.rewind()
            return error
        except OSError as error:
            self._spool.rewind()
            return StoreUnavailable(f"the spool cannot be read: {error}")
        return None

    async def _back(self) -> None:
        """The database has all that lies in the spool, but for what came in the last moment."""
        if self._spool.unread or self._owed or self._untold:
            return
        await asyncio.to_thread(self._spool.clear)
        if self._away:
            log.warning("journal.database_back", written=self.figures.replayed)
        self.well, self._away, self._told_of_loss, self.figures.replayed = True, False, False, 0
        await self._done_with(0)

    async def _breathe(self) -> None:
        """Wait for the next try; a killed process may lose as much of what comes meanwhile as it would otherwise."""
        until = self._loop.time() + RETRY_S
        while not self._stopping and self._loop.time() < until:
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass
            await self._to_spool(self._take())

    async def _to_spool(self, batch: list[Op]) -> None:
        if batch:
            self._leave_out(await self._append(batch))
            await self._done_with(len(batch))

    async def _append(self, batch: Sequence[Op]) -> list[Op]:
        """Returns what there is no room for."""
        try:
            return await asyncio.to_thread(self._spool.append, batch)
        except OSError as error:
            log.error("journal.not_spooled", path=str(self._spool.path), error=str(error))
            return list(batch)

    def _leave_out(self, left: Iterable[Op]) -> None:
        for op in left:
            if isinstance(op, Entry):
                self._lose(op)
            elif len(self._owed) < MAX_OWED:
                # That a call has ended is worth the memory; how it looked is not.
                self._owed.append(replace(op, drawn=None) if isinstance(op, Ended) else op)
