"""Calls in a database: told of by the book, written behind its back, and read from wherever they are by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select

from server.past import (
    RECORDED,
    AgentPage,
    CallQuery,
    Forgotten,
    MemoryStore,
    Page,
    PastCall,
    Place,
    StoreUnavailable,
    in_order,
    page_of,
    told_in,
)
from server.ring import Entry
from server.store import tables
from server.store.database import Database
from server.store.ops import Began, Ended, Op
from server.store.rows import call_of, drawn_of, row_of, strip_of
from server.summary import CallSummary, PastSummary
from server.transcript import Role
from server.waveform import Strip
from telephony.numbers import normalise

AT_ONCE = 100
"""Calls that are deleted in one transaction: a live one may have to wait for it to be written."""

POLL_S = 1.0

calls, events, lifecycle = tables.calls.c, tables.events.c, tables.lifecycle.c


class KeptCalls:
    """A ``CallStore``. ``put`` has something written; ``skipped`` are the names of events that are not. What has ended
    and is not in the database yet is in ``fresh``."""

    durable = True

    def __init__(
        self,
        database: Database,
        put: Callable[[Op], None],
        node: str,
        *,
        fresh: MemoryStore,
        skipped: Iterable[str] = (),
    ) -> None:
        self._database = database
        self._put = put
        self._node = node
        self._fresh = fresh
        self._skipped = frozenset(skipped)
        # Others may write to a PostgreSQL.
        self.poll_s: float | None = None if database.is_sqlite else POLL_S
        self.on_noted: Callable[[Collection[str]], None] = lambda slugs: None
        database.on_noted = lambda slugs: self.on_noted(slugs)

    # --- told by the book ---------------------------------------------------------------------------------

    def add(self, call: CallSummary, entry: Entry) -> None:
        if entry.seq == 1:
            self._put(Began(entry.call_id, row_of(call.past(), self._node)))
        if entry.event not in self._skipped:
            self._put(entry)

    def keep(self, call: PastCall) -> Sequence[str]:
        self._fresh.keep(call)
        summary = call.summary
        self._put(Ended(summary.call_id, row_of(summary, self._node), drawn_of(call.waveform)))
        return ()

    def written(self, call_id: str) -> None:
        """All of a call that has ended is in the database."""
        self._fresh.drop(call_id)

    # --- reading ------------------------------------------------------------------------------------------

    async def newest(self, limit: int, query: CallQuery, before: Place | None = None) -> list[PastSummary]:
        fresh = await self._fresh.newest(limit, query, before)
        wanted = _wanted(query, before).order_by(calls.ended_at.desc(), calls.call_id.desc()).limit(limit)
        async with self._database.begin() as connection:
            rows = (await connection.execute(wanted)).mappings().all()
        found = {call.call_id: call for call in (call_of(dict(row)) for row in rows)} | {
            call.call_id: call for call in fresh
        }
        return in_order(found.values())[:limit]

    async def find(self, call_id: str) -> PastSummary | None:
        if (fresh := self._fresh.get(call_id)) is not None:
            return fresh.summary
        row = await self._row(select(tables.calls).where(calls.call_id == call_id))
        return call_of(row) if row is not None else None

    async def events(self, call_id: str, after: int, limit: int) -> Page | None:
        if (fresh := self._fresh.get(call_id)) is not None:
            page = page_of(fresh.events, after, limit, over=True)
            if not page.lost:
                return page
        behind = and_(events.call_id == call_id, events.seq > after)
        async with self._database.begin() as connection:
            # First the call: what is added in between is behind what it says.
            call = (
                await connection.execute(
                    select(calls.state, calls.last_seq, calls.lost, calls.lost_to).where(
                        calls.call_id == call_id
                    )
                )
            ).one_or_none()
            if call is None and fresh is None:
                return None
            if call is None:
                raise StoreUnavailable("these events are on their way to the database")
            found = await connection.execute(
                select(events.seq, events.ts, events.event, events.data)
                .where(behind)
                .order_by(events.seq)
                .limit(limit)
            )
            entries = [Entry(call_id, seq, ts, name, data.encode()) for seq, ts, name, data in found.all()]
        last = max(call.last_seq, entries[-1].seq if entries else 0)
        return Page(entries, last, call.lost if after < call.lost_to else 0, call.state == "ended")

    async def told(self, call_id: str, names: Sequence[str]) -> list[Entry]:
        fresh = self._fresh.get(call_id)
        if fresh is not None and not fresh.events.lost_since(0):
            return told_in(fresh.events, names)
        wanted = (
            select(events.seq, events.ts, events.event, events.data)
            .where(events.call_id == call_id, events.event.in_(names))
            .order_by(events.seq)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(wanted)).all()
        found = {seq: Entry(call_id, seq, ts, name, data.encode()) for seq, ts, name, data in rows}
        if fresh is not None:
            # The last of them may be on their way.
            found |= {entry.seq: entry for entry in told_in(fresh.events, names)}
        return [found[seq] for seq in sorted(found)]

    async def said(self, call_id: str) -> list[tuple[Role, str]] | None:
        if self._fresh.get(call_id) is not None:
            return await self._fresh.said(call_id)
        theirs = tables.messages.c
        wanted = select(theirs.role, theirs.content).where(theirs.call_id == call_id).order_by(theirs.place)
        async with self._database.begin() as connection:
            state = select(calls.state).where(calls.call_id == call_id)
            if (await connection.execute(state)).scalar_one_or_none() != "ended":
                return None
            rows = (await connection.execute(wanted)).all()
        return [("user" if role == "user" else "assistant", content) for role, content in rows]

    async def recorded(self, call_id: str) -> Mapping[str, Any] | None:
        if self._fresh.get(call_id) is not None:
            return await self._fresh.recorded(call_id)
        row = await self._row(select(tables.recordings).where(tables.recordings.c.call_id == call_id))
        if row is None:
            return None
        return {**{name: row.get(name) for name in RECORDED}, "sample_rate": row["sample_rate_hz"]}

    async def lifecycle(self, slugs: Collection[str], after: int, limit: int) -> AgentPage:
        told = and_(events.call_id == lifecycle.call_id, events.seq == lifecycle.seq)
        wanted = (
            select(lifecycle.place, events.call_id, events.seq, events.ts, events.event, events.data)
            .join(tables.events, told)
            .where(lifecycle.slug.in_(slugs), lifecycle.place > after)
            .order_by(lifecycle.place)
            .limit(limit)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(wanted)).all()
        return AgentPage(
            [(place, Entry(call, seq, ts, name, data.encode())) for place, call, seq, ts, name, data in rows]
        )

    async def waveform(self, call_id: str, from_ms: int) -> Strip | None:
        if (fresh := self._fresh.get(call_id)) is not None:
            return fresh.waveform.strip(from_ms) if fresh.waveform is not None else None
        row = await self._row(select(tables.waveforms).where(tables.waveforms.c.call_id == call_id))
        return strip_of(row, from_ms) if row is not None else None

    async def _row(self, query: Select[Any]) -> Mapping[str, Any] | None:
        async with self._database.begin() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return dict(row) if row is not None else None

    # --- deleting -----------------------------------------------------------------------------------------

    async def forget(self, contact: str) -> Forgotten:
        await self._fresh.forget(contact)
        return await self._delete(calls.caller == normalise(contact))

    async def expire(self, ended_before: float, now: float) -> Forgotten:
        """Delete all calls that ended before then, epoch seconds, and the tokens that are of no use any more."""
        async with self._database.begin() as connection:
            await connection.execute(delete(tables.tokens_used).where(tables.tokens_used.c.until < now))
        return await self._delete(calls.ended_at < ended_before)

    async def tokens(self, now: float) -> list[tuple[str, float]]:
        """Those that were used and are not over yet, with their end."""
        used = tables.tokens_used.c
        async with self._database.begin() as connection:
            rows = (
                await connection.execute(select(used.token_id, used.until).where(used.until >= now))
            ).all()
        return [(token_id, until) for token_id, until in rows]

    async def _delete(self, which: ColumnElement[bool]) -> Forgotten:
        gone: list[str] = []
        count = 0
        while True:
            async with self._database.begin() as connection:
                some = select(calls.call_id).where(calls.state == "ended", which).limit(AT_ONCE)
                ids = list((await connection.execute(some)).scalars())
                if not ids:
                    return Forgotten(tuple(gone), count)
                theirs = select(func.count()).select_from(tables.events).where(events.call_id.in_(ids))
                count += (await connection.execute(theirs)).scalar_one()
                for table in (*tables.OF_A_CALL, tables.calls):
                    await connection.execute(delete(table).where(table.c.call_id.in_(ids)))
            gone += ids
            await asyncio.sleep(0)


def _wanted(query: CallQuery, before: Place | None) -> Select[Any]:
    found = select(calls.slug, calls.summary, tables.calls.c["metadata"]).where(calls.state == "ended")
    conditions = (
        (query.slug, calls.slug == query.slug),
        (query.reason, calls.reason == query.reason),
        (query.from_, calls.from_ref == normalise(query.from_ or "")),
        (query.to, calls.to_ref == normalise(query.to or "")),
        (query.since, calls.created_at >= (query.since or 0.0)),
        (query.until, calls.created_at < (query.until or 0.0)),
    )
    for given, condition in conditions:
        if given is not None:
            found = found.where(condition)
    if before is not None:
        ended_at, call_id = before
        found = found.where(
            or_(calls.ended_at < ended_at, and_(calls.ended_at == ended_at, calls.call_id < call_id))
        )
    return found
