"""The servers that share a database: who of them lives, and the end of the calls of those that do not.

A server says every few seconds that it lives, by the database's clock. One that has not said so for ``DEAD_S`` is taken
for dead, by those only who could have heard it: whoever was cut off from the database himself judges nobody. Of a
server that ran on this very data directory the lock of its spool tells at once.

Where one comes back that was taken for dead, its word counts: what it wrote of its calls meanwhile replaces what was
said in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal

import structlog
from sqlalchemy import ColumnElement, delete, literal_column, or_, select, update

from server.past import StoreUnavailable
from server.recordings import OnDisk
from server.ring import Entry
from server.store import tables
from server.store.closing import closed
from server.store.database import Database
from server.store.rows import call_of, row_of
from server.summary import PastSummary

log = structlog.get_logger(__name__)

BEAT_S = 5.0
DEAD_S = 30.0
FORGET_S = 86_400.0

calls, events, nodes = tables.calls.c, tables.events.c, tables.nodes.c


class Node:
    """This server. ``recording`` tells of the file of a call's recording (it blocks); ``epoch`` is the time."""

    def __init__(
        self,
        database: Database,
        name: str,
        epoch: Callable[[], float],
        recording: Callable[[str], OnDisk | None],
        on_closed: Callable[[PastSummary, Sequence[Entry]], None],
    ) -> None:
        self._database = database
        self.name = name
        self._epoch = epoch
        self._recording = recording
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._well_since: float | None = None
        self.bury: Callable[[Sequence[str]], Awaitable[object]] = self.close_calls_of
        """Does what the death of servers asks for, by their names; where several are one server it asks the others."""

    async def beat(self) -> None:
        """Say that this server lives. Raises ``StoreUnavailable``."""
        now: ColumnElement[float] = literal_column(self._database.epoch_now)
        made = self._database.insert(tables.nodes).values(node=self.name, began_at=now, seen_at=now)
        told = made.on_conflict_do_update(index_elements=["node"], set_={"seen_at": now})
        async with self._database.begin() as connection:
            await connection.execute(told)

    async def keep_beating(self) -> None:
        """Until cancelled; and close the calls of those that are silent."""
        beaten = 0.0
        while True:
            try:
                await self.beat()
                now = self._loop.time()
                if self._well_since is None or now - beaten > DEAD_S / 2:
                    # What was too slow for this server was so for others: they are heard out anew.
                    self._well_since = now
                beaten = now
                if now - self._well_since >= DEAD_S:
                    await self.bury(await self._silent())
            except StoreUnavailable as error:
                self._well_since = None
                log.debug("node.not_told", reason=str(error))
            await asyncio.sleep(BEAT_S)

    async def leave(self) -> None:
        """It stops in order: nobody need wait for it. Raises ``StoreUnavailable``."""
        async with self._database.begin() as connection:
            await connection.execute(delete(tables.nodes).where(nodes.node == self.name))

    async def _silent(self) -> list[str]:
        """Servers that have live calls and do not live."""
        now: ColumnElement[float] = literal_column(self._database.epoch_now)
        joined = tables.calls.outerjoin(tables.nodes, calls.node == nodes.node)
        silent = or_(nodes.seen_at.is_(None), nodes.seen_at < now - DEAD_S)
        found = (
            select(calls.node)
            .select_from(joined)
            .where(calls.state == "live", calls.node != self.name, silent)
            .distinct()
        )
        async with self._database.begin() as connection:
            await connection.execute(delete(tables.nodes).where(nodes.seen_at < now - FORGET_S))
            return list((await connection.execute(found)).scalars())

    async def close_calls_of(
        self,
        dead: Iterable[str],
        told: Mapping[str, int] | None = None,
        on_end: Callable[[PastSummary, Entry], None] = lambda summary, end: None,
    ) -> int:
        """Close as failed what the servers of these names left open; returns how many calls. ``told``: the ``seq`` that
        somebody has heard of a call, where that may not have been written; ``on_end`` is told of each end. Raises
        ``StoreUnavailable``."""
        count = 0
        for node in dead:
            async with self._database.begin() as connection:
                open_calls = select(tables.calls).where(calls.state == "live", calls.node == node)
                rows = (await connection.execute(open_calls)).mappings().all()
            for row in rows:
                call = call_of(dict(row))
                end = await self._close(call, node, (told or {}).get(call.call_id, 0))
                count += end is not None
                if isinstance(end, Entry):
                    on_end(call, end)
        return count

    async def _close(self, call: PastSummary, node: str, after: int) -> Entry | Literal[True] | None:
        """Its end, or that it was told already. None: another server closes it."""
        call_id = call.call_id
        entries = await self._log(call_id)
        file = await asyncio.to_thread(self._recording, call_id)
        added, summary = closed(call, entries, self._epoch(), file, after=after)
        row = row_of(summary, node)
        for kept in ("call_id", "lost", "lost_to"):
            del row[kept]
        still = update(tables.calls).where(
            calls.call_id == call_id, calls.state == "live", calls.node == node
        )
        async with self._database.begin() as connection:
            # Of several servers that close it one does.
            if (await connection.execute(still.values(row))).rowcount != 1:
                return None
            await self._database.add(connection, added)
            noted = await self._database.note(connection, added)
        self._database.on_noted(noted)
        log.warning("call.closed_after_crash", call_id=call_id, node=node, events=len(entries))
        self._on_closed(summary, added)
        return next((entry for entry in added if entry.event == "call.ended"), True)

    async def _log(self, call_id: str) -> Sequence[Entry]:
        theirs = (
            select(events.seq, events.ts, events.event, events.data)
            .where(events.call_id == call_id)
            .order_by(events.seq)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(theirs)).all()
        return [Entry(call_id, seq, ts, name, data.encode()) for seq, ts, name, data in rows]
