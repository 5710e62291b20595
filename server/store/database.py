"""A database as the rest of the store sees it: connections, deadlines, two kinds of error, and the writing of batches."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import Table, bindparam, delete, event, func, make_url, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from media.peaks import HOP_MS
from server.envelopes import LIFECYCLE, slug_of
from server.past import StoreUnavailable, place_of
from server.ring import Entry
from server.store import tables
from server.store.ops import Began, Drawn, Ended, Lost, Op, Used

CONNECT_S: Final = 5
BUSY_S: Final = 2.0
"""How long SQLite waits for another process that writes."""
READ_S: Final = 10.0
WRITE_S: Final = 2.0
CONNECTIONS: Final = 4
"""One of them writes."""
DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
NOT_READY: Final = ("42P01", "42501")
"""PostgreSQL: a table is missing, or we may not write to it. Somebody has to put that right, and what is to be written
waits for him."""
EPOCH_NOW: Final = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())",
}
"""The database's own clock: those of several servers may differ."""


class Database:
    """One database. ``url`` is ``sqlite:///PATH`` or ``postgresql://...``. Opens nothing yet.

    Raises ``StoreUnavailable`` from all that it does, where the database is not there, too slow, or not what it should
    be. Raises ``ModuleNotFoundError`` where the driver is not installed."""

    def __init__(self, url: str) -> None:
        self.url: URL = with_driver(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine: AsyncEngine = create_async_engine(self.url, **_how(self.url))
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
        self.insert: Any = _insert(self.is_sqlite)
        """The dialect's own: it knows what to do about a row that is there."""
        self.epoch_now = EPOCH_NOW[self.url.get_backend_name()]
        self.on_noted: Callable[[set[str]], None] = lambda slugs: None
        """Is told of which agents the log has more."""
        self._begin = self._upsert(tables.calls, newer=True)
        self._end = self._upsert(tables.calls, but=("lost", "lost_to"))
        self._happen = self._upsert(tables.events)
        self._say = self._upsert(tables.messages)
        self._record = self._upsert(tables.recordings)
        self._draw = self._upsert(tables.waveforms)
        self._use = self._upsert(tables.tokens_used)

    @property
    def name(self) -> str:
        """For people; without a password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    async def aclose(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def begin(self, patience_s: float = READ_S) -> AsyncIterator[AsyncConnection]:
        """One transaction. Raises ``StoreUnavailable``; ``ValueError`` for what the database will never take."""
        # SQLite gives up by itself where others write. Whoever were let go of in the middle would hold the lock that he
        # waits for, once he gets it.
        patience = None if self.is_sqlite else patience_s
        try:
            async with asyncio.timeout(patience), self.engine.begin() as connection:
                yield connection
        except (DataError, IntegrityError, ProgrammingError) as error:
            if getattr(error.orig, "sqlstate", None) in NOT_READY:
                raise StoreUnavailable(said(error)) from error
            raise ValueError(said(error)) from error
        except (DBAPIError, OSError, NoConnection) as error:
            raise StoreUnavailable(said(error)) from error
        except SQLAlchemyError as error:
            raise ValueError(said(error)) from error
        except TimeoutError:
            raise StoreUnavailable(f"it took longer than {patience_s:g} s") from None

    # --- writing ------------------------------------------------------------------------------------------

    async def write(self, ops: Sequence[Op]) -> None:
        """All of them in one transaction; each may have been written before."""
        noted: set[str] = set()
        async with self.begin(WRITE_S) as connection:
            if not self.is_sqlite:
                # As with SQLite's NORMAL: that this server is killed loses nothing, and the disk is not waited for.
                await connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            for group in _grouped(ops):
                await self._write(connection, group)
            # Last, since other servers wait for it until this is written.
            noted = await self.note(connection, [op for op in ops if isinstance(op, Entry)])
        if noted:
            self.on_noted(noted)

    async def _write(self, connection: AsyncConnection, group: _Group) -> None:
        if group.began:
            await self._make_room(connection, group.began)
            await connection.exec_driver_sql(self._begin, [op.call for op in group.began])
        if group.happened:
            await connection.exec_driver_sql(self._happen, [event_row(entry) for entry in group.happened])
            await self._project(connection, group.happened)
        if group.ended:
            await connection.exec_driver_sql(self._end, [op.call for op in group.ended])
        if drawn := [_drawn_row(op.call_id, op.drawn) for op in group.ended if op.drawn is not None]:
            await connection.exec_driver_sql(self._draw, drawn)
        for lost in group.lost:
            known = tables.calls.c.call_id == lost.call_id
            values = {"lost": lost.count, "lost_to": lost.to_seq}
            await connection.execute(update(tables.calls).where(known).values(values))
        if group.used:
            rows = [{"token_id": op.token_id, "until": op.until} for op in group.used]
            await connection.exec_driver_sql(self._use, rows)

    async def _make_room(self, connection: AsyncConnection, began: Iterable[Began]) -> None:
        """A call id that comes once more takes the place of its first time; the same call that is written once more
        loses nothing, for its events are younger than itself."""
        born = {op.call_id: op.call["created_at"] for op in began}
        calls = tables.calls.c
        known = await connection.execute(
            select(calls.call_id, calls.created_at).where(calls.call_id.in_(born))
        )
        for call_id, created_at in known.all():
            if created_at < born[call_id]:
                for table in tables.OF_A_CALL:
                    await connection.execute(delete(table).where(table.c.call_id == call_id))

    async def _project(self, connection: AsyncConnection, entries: Iterable[Entry]) -> None:
        """What is kept of some events besides."""
        said: list[dict[str, Any]] = []
        recorded: list[dict[str, Any]] = []
        for entry in entries:
            if entry.event == "call.ended":
                said += messages_in(entry)
            elif entry.event == "call.recording":
                recorded.append(_recording_row(entry))
        if said:
            await connection.exec_driver_sql(self._say, said)
        if recorded:
            await connection.exec_driver_sql(self._record, recorded)

    async def add(self, connection: AsyncConnection, entries: Sequence[Entry]) -> None:
        """To the log of a call that somebody else had, with what is kept of them besides. What is there already stays."""
        for table, rows in (
            (tables.events, [event_row(entry) for entry in entries]),
            (tables.messages, [row for e in entries if e.event == "call.ended" for row in messages_in(e)]),
            (tables.recordings, [_recording_row(e) for e in entries if e.event == "call.recording"]),
        ):
            if rows:
                await connection.execute(self.insert(table).on_conflict_do_nothing(), rows)

    async def note(self, connection: AsyncConnection, entries: Iterable[Entry]) -> set[str]:
        """Write how calls come and go into the logs of their agents, whose slugs are returned. One server at a time: what
        is read there up to some place never gets anything before it."""
        found = [entry for entry in entries if entry.event in LIFECYCLE]
        if not found:
            return set()
        if not self.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('talkwire lifecycle'))"))
        place = (await connection.execute(select(func.max(tables.lifecycle.c.place)))).scalar() or 0
        rows: list[dict[str, Any]] = []
        for entry in found:
            place = max(place + 1, place_of(entry))
            slug = slug_of(orjson.loads(entry.data))
            rows.append({"place": place, "slug": slug, "call_id": entry.call_id, "seq": entry.seq})
        told = self.insert(tables.lifecycle).on_conflict_do_nothing(index_elements=["call_id", "seq"])
        await connection.execute(told, rows)
        return {row["slug"] for row in rows}

    def _upsert(self, table: Table, *, newer: bool = False, but: Sequence[str] = ()) -> str:
        """Insert a row, or make it what is given ``but`` for some columns. ``newer``: only where the known call is an
        older one."""
        made = self.insert(table).values({c.name: bindparam(c.name) for c in table.columns})
        keys = [column.name for column in table.primary_key]
        rest = {c.name: made.excluded[c.name] for c in table.columns if c.name not in (*keys, *but)}
        where = table.c.created_at < made.excluded.created_at if newer else None
        told = made.on_conflict_do_update(index_elements=keys, set_=rest, where=where)
        # Compiled once: SQLAlchemy does not keep what it makes of such a statement.
        dialect: Any = self.engine.dialect
        if self.is_sqlite:
            dialect = type(dialect)(paramstyle="named")
        return str(told.compile(dialect=dialect))


@dataclass(slots=True)
class _Group:
    """What is written together, kind by kind."""

    began: list[Began] = field(default_factory=list)
    happened: list[Entry] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    used: list[Used] = field(default_factory=list)


def _grouped(ops: Sequence[Op]) -> Iterator[_Group]:
    """Of one call nothing is written before what it comes after: a call id that begins once more opens another group."""
    group, over = _Group(), set[str]()
    for op in ops:
        match op:
            case Began():
                if op.call_id in over:
                    yield group
                    group, over = _Group(), set()
                group.began.append(op)
            case Entry():
                group.happened.append(op)
            case Ended():
                over.add(op.call_id)
                group.ended.append(op)
            case Lost():
                group.lost.append(op)
            case Used():
                group.used.append(op)
    yield group


# --- rows -------------------------------------------------------------------------------------------------


def event_row(entry: Entry) -> dict[str, Any]:
    return {
        "call_id": entry.call_id,
        "seq": entry.seq,
        "ts": entry.ts,
        "event": entry.event,
        "data": entry.data.decode(),
    }


def messages_in(ended: Entry) -> list[dict[str, Any]]:
    """What user and bot said, out of ``call.ended``. A call that was handed over has several, each with what was said
    since the one before: every line was at least one event, so that no two of them have one place."""
    transcript = orjson.loads(ended.data).get("transcript") or ()
    return [
        {
            "call_id": ended.call_id,
            "place": place,
            "role": line["role"],
            "content": _plain(line.get("content")),
        }
        for place, line in enumerate(transcript, ended.seq - len(transcript))
    ]


def _plain(content: Any) -> str:
    """PostgreSQL has no room for NUL in a text."""
    return (content if isinstance(content, str) else "").replace("\x00", "")


def _recording_row(entry: Entry) -> dict[str, Any]:
    told = orjson.loads(entry.data)
    return {
        "call_id": entry.call_id,
        "node": None,
        "started_at": told.get("started_at"),
        "duration_ms": told["duration_ms"],
        "format": told["format"],
        "sample_rate_hz": told["sample_rate"],
        "channels": told["channels"],
    }


def _drawn_row(call_id: str, drawn: Drawn) -> Mapping[str, Any]:
    return {
        "call_id": call_id,
        "hop_ms": HOP_MS,
        "until_ms": drawn.until_ms,
        "starts_at": drawn.starts_at,
        "until_at": drawn.until_at,
        "user_peaks": drawn.user,
        "bot_peaks": drawn.bot,
    }


# --- connections ------------------------------------------------------------------------------------------


def with_driver(url: str) -> URL:
    """The URL with the driver that is used. Raises ``ValueError`` for another kind of database."""
    try:
        made = make_url(url)
    except SQLAlchemyError:
        raise ValueError("not the URL of a database") from None
    driver = DRIVERS.get(made.get_backend_name().partition("+")[0])
    if driver is None:
        raise ValueError(f"{made.get_backend_name()} is neither sqlite nor postgresql")
    return made.set(drivername=driver)


def _how(url: URL) -> dict[str, Any]:
    common: dict[str, Any] = {
        "pool_size": CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": CONNECT_S,
        "hide_parameters": True,
    }
    if url.get_backend_name() == "sqlite":
        return {**common, "connect_args": {"timeout": BUSY_S}}
    # None: no prepared statements, which poolers between us and PostgreSQL lose.
    connect = {"connect_timeout": CONNECT_S, "prepare_threshold": None, "application_name": "talkwire"}
    return {**common, "pool_pre_ping": True, "connect_args": connect}


def _insert(is_sqlite: bool) -> Any:
    # Each dialect takes two megabytes, and one of them is used.
    if is_sqlite:
        from sqlalchemy.dialects import sqlite

        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    # A killed process loses nothing by NORMAL; a power cut the last moments, and never the file.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def make_file(url: URL) -> None:
    """Make SQLite's file, for its owner alone. Blocks. Raises ``OSError``."""
    if url.database and url.database != ":memory:":
        path = Path(url.database)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def said(error: BaseException) -> str:
    """One line, and nothing of what was to be written."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0][:300]}" if lines else type(cause).__name__


async def ask(database: Database, sql: str) -> Any:
    """The first value of a query's first row; None: there is none."""
    async with database.begin() as connection:
        return (await connection.execute(text(sql))).scalar()
