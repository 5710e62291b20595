"""The store of a running server: what the settings say, opened, put right, and closed in order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog

from server.past import CallStore, MemoryStore, StoreUnavailable
from server.settings import Settings, SettingsError
from server.settings.values import MEMORY
from server.store.ops import Used
from server.store.spool import Spool, left_in
from server.store.writer import LAST_S, REPLAYED, Writer
from server.summary import PastSummary

if TYPE_CHECKING:
    from server.clock import Clock
    from server.recordings import Recordings
    from server.ring import Entry
    from server.store.database import Database
    from server.store.kept import KeptCalls
    from server.store.nodes import Node
    from server.tokens import Tokens

log = structlog.get_logger(__name__)

KEPT_BYTES = 32 << 20
"""Memory for what is kept of ended calls: until the database has them, or, without one, whatever their number."""
START_S = 15.0
"""For what a start has to put right; what takes longer goes on behind the calls."""
SWEEP_S = 3600.0
DAY_S = 86_400.0


async def _nothing() -> None:
    """There is nothing to do."""


class Kept:
    """The store, and what goes on behind it."""

    def __init__(self, calls: CallStore, writer: Writer | None = None) -> None:
        self.calls = calls
        self.writer = writer
        self.node: Node | None = None
        """This server, as the database knows it."""
        self.on_closed: Callable[[PastSummary, Sequence[Entry]], None] = lambda summary, added: None
        """Is told of calls that another server left open and that were closed here, with what was added to the log."""
        self.dead: tuple[str, ...] = ()
        """Servers that were killed on this data directory, whose calls are still to be closed: by their names."""
        self.adopt: Callable[[], Awaitable[object]] = _nothing
        """Writes what killed servers on this data directory had left in their spools. Raises ``StoreUnavailable``."""

    def figures(self) -> dict[str, Any]:
        """For operators. ``late_ms``: how long the oldest event of a transaction had waited when it was in the
        database, of the last thousand transactions."""
        if self.writer is None:
            return {"database": False}
        writer, figures = self.writer, self.writer.figures
        late = sorted(figures.late_s)
        return {
            "database": writer.well,
            "queued": writer.queued,
            "spooled_bytes": writer.spooled_bytes,
            "written": figures.written,
            "commits": figures.commits,
            "lost": figures.lost,
            "outages": figures.outages,
            "late_ms": {
                share: round(1000 * late[min(len(late) - 1, int(len(late) * part))], 1) if late else None
                for share, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
            },
        }

    @property
    def state(self) -> Literal["ok", "away", "none"]:
        """Of the database. While it is away calls go on, and what happens in them is spooled."""
        if self.writer is None:
            return "none"
        return "ok" if self.writer.well else "away"

    async def flush(self) -> None:
        """Until all that has happened is kept. Raises ``StoreUnavailable``."""
        if self.writer is not None:
            await self.writer.flush()


@asynccontextmanager
async def opened(
    settings: Settings, clock: Clock, recordings: Recordings, tokens: Tokens
) -> AsyncIterator[Kept]:
    """The store that ``settings`` name. Raises ``SettingsError`` where it cannot be used; a database that is only away
    for now stops nothing."""
    if settings.database == MEMORY:
        yield Kept(MemoryStore(settings.keep_calls, KEPT_BYTES))
        return
    async with AsyncExitStack() as stack:
        database = await asyncio.to_thread(database_of, settings)
        stack.push_async_callback(database.aclose)
        open_store = _Opening(settings, clock, recordings, tokens, database)
        spool = await asyncio.to_thread(_spool, settings, open_store.name)
        stack.push_async_callback(asyncio.to_thread, spool.close)
        kept = await open_store.begin(spool)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        background = [
            tasks.create_task(open_store.node.keep_beating(), name="say that this server lives"),
            tasks.create_task(open_store.keep_house(), name="delete old calls"),
        ]
        writing = tasks.create_task(open_store.writer.run(), name="write the journal")
        try:
            yield kept
        finally:
            for task in background:
                task.cancel()
            open_store.writer.stop()
            await asyncio.wait([writing], timeout=2 * LAST_S)
            writing.cancel()
            await asyncio.wait([writing])
            await open_store.writer.save()
            with suppress(StoreUnavailable):
                await open_store.node.leave()


class _Opening:
    """A database that is to be used."""

    name: str
    node: Node
    writer: Writer

    def __init__(
        self, settings: Settings, clock: Clock, recordings: Recordings, tokens: Tokens, database: Database
    ) -> None:
        self.name = secrets.token_hex(8)
        self._settings = settings
        self._clock = clock
        self._recordings = recordings
        self._tokens = tokens
        self._database = database
        self._calls: KeptCalls
        self._spool: Spool
        self._settled = False
        self._dead: list[str] = []
        self._starting = True

    async def begin(self, spool: Spool) -> Kept:
        from server.store.kept import KeptCalls
        from server.store.nodes import Node

        settings = self._settings
        self._spool = spool
        fresh = MemoryStore(settings.max_calls * 4, KEPT_BYTES)
        self.writer = Writer(
            self._database, spool, self._settle, lambda call_id: self._calls.written(call_id)
        )
        self._calls = KeptCalls(
            self._database, self.writer.put, self.name, fresh=fresh, skipped=settings.journal_skip
        )
        kept = Kept(self._calls, self.writer)
        self.node = Node(
            self._database,
            self.name,
            self._clock.epoch,
            self._recordings.told,
            lambda summary, added: kept.on_closed(summary, added),
        )
        kept.node, kept.adopt = self.node, self._adopt
        self._tokens.on_used = lambda token_id, until: self.writer.put(Used(token_id, until))
        try:
            async with asyncio.timeout(START_S):
                await self._settle()
            self.writer.well = True
        except (StoreUnavailable, TimeoutError) as error:
            if self._database.is_sqlite:
                raise SettingsError(
                    f"{self._database.name} cannot be used: {error}. Free it or set TALKWIRE_DATABASE_URL to another one"
                ) from None
            self.writer.fell(StoreUnavailable(str(error) or "it is too slow"))
        self._starting = False
        kept.dead = tuple(self._dead)
        return kept

    async def _settle(self) -> None:
        """Before the first that is written. Raises ``StoreUnavailable``; at the start ``SettingsError``, where the
        database answers and has not the right tables."""
        from server.store.migrate import WrongTables, check, upgrade

        if self._settled:
            await self.node.beat()
            return
        try:
            if self._database.is_sqlite:
                await upgrade(self._database)
            else:
                await check(self._database)
        except WrongTables as error:
            if self._starting:
                raise SettingsError(str(error)) from None
            raise StoreUnavailable(str(error)) from None
        await self.node.beat()
        dead = await self._adopt()
        if self._settings.redis_url is not None and self._starting:
            # Other nodes may have been told more of these calls than was written: they are asked first.
            self._dead = dead
        else:
            await self.node.bury(dead)
        await self._remember_tokens()
        self._settled = True

    async def _adopt(self) -> list[str]:
        """Write what killed servers on this data directory had left in their spools: their names."""
        dead: list[str] = []
        for path in await asyncio.to_thread(lambda: list(left_in(self._spool.path.parent, self._spool))):
            try:
                left = await asyncio.to_thread(Spool, path.parent, path.stem, 0)
            except OSError:
                continue  # Another server was quicker.
            try:
                count = 0
                while ops := await asyncio.to_thread(left.read, REPLAYED):
                    await self.writer.commit(ops)
                    count += len(ops)
                if count:
                    log.warning("journal.spool_written", path=str(path), written=count)
                await asyncio.to_thread(left.clear)
            finally:
                await asyncio.to_thread(left.close)
            dead.append(path.stem)
        return dead

    async def _remember_tokens(self) -> None:
        for token_id, until in await self._calls.tokens(self._clock.epoch()):
            self._tokens.remember(token_id, until)

    async def keep_house(self) -> None:
        """Delete what is not to be kept, now and again, until cancelled."""
        days = self._settings.calls_days
        while True:
            now = self._clock.epoch()
            try:
                gone = await self._calls.expire(now - days * DAY_S if days else 0.0, now)
                if gone.call_ids:
                    why = "older than TALKWIRE_CALLS_DAYS"
                    log.info("calls.deleted", calls=len(gone.call_ids), events=gone.events, why=why)
            except StoreUnavailable as error:
                log.warning("calls.not_swept", reason=str(error))
            await asyncio.sleep(SWEEP_S)


def preload(settings: Settings) -> None:
    """Load the libraries that ``opened`` needs, while something else is waited for. Blocks; what is missing is told by
    ``opened``."""
    if settings.database == MEMORY:
        return
    with suppress(ImportError):
        import_module("sqlalchemy.ext.asyncio")
        driver = "sqlite.aiosqlite" if settings.database.startswith("sqlite") else "postgresql.psycopg"
        import_module(f"sqlalchemy.dialects.{driver}")


def database_of(settings: Settings) -> Database:
    """The database that the settings name. Blocks: loading SQLAlchemy takes a third of a second. Raises
    ``SettingsError``."""
    from server.store.database import Database, make_file

    for module in ("kept", "nodes", "migrate"):
        import_module(f"server.store.{module}")
    try:
        database = Database(settings.database)
        if database.is_sqlite:
            make_file(database.url)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"TALKWIRE_DATABASE_URL: {error.name} is not installed: pip install 'talkwire[postgres]'"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"TALKWIRE_DATABASE_URL: {error.filename} cannot be made: {error.strerror}"
        ) from None
    return database


def _spool(settings: Settings, name: str) -> Spool:
    folder: Path = settings.data_dir / "journal"
    try:
        return Spool(folder, name, settings.spool_max_bytes)
    except OSError as error:
        raise SettingsError(
            f"{folder} cannot be written: {error.strerror}. Set TALKWIRE_DATA_DIR to another"
        ) from None
