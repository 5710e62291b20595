"""The tables brought up to date. Alembic is loaded only where there is something to do."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    inspect,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from server.past import StoreUnavailable
from server.store.database import BUSY_S, CONNECT_S, Database, said
from server.store.tables import HEAD, VERSION_TABLE, metadata

_one_at_a_time = threading.Lock()
"""Alembic's scripts find their connection by names of a module: two threads would take each other's."""
SCRIPTS = Path(__file__).parent / "migrations"


class WrongTables(Exception):
    """The database answers, and is not ready for this version of the server. The text says what to do."""


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


async def version(database: Database) -> str | None:
    """The migration that the tables are of; None: there are none. Raises ``StoreUnavailable``."""
    async with database.begin() as connection:
        return await connection.run_sync(_version)


async def check(database: Database) -> None:
    """Raises ``WrongTables``, ``StoreUnavailable``."""
    found = await version(database)
    if found is None:
        raise WrongTables(f"{database.name} has no tables of Talkwire yet: run `talkwire migrate`")
    if found != HEAD:
        raise WrongTables(
            f"the tables in {database.name} are of version {found}, and this server needs {HEAD}: "
            "run `talkwire migrate`"
        )


async def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the tables up to date, whatever they are: the version before and now. Raises ``WrongTables`` where a newer
    server made them, ``StoreUnavailable``."""
    before = await version(database)
    if before != HEAD:
        # Alembic reads its scripts while it goes: not on the loop.
        await asyncio.to_thread(bring_up, database)
    return before, HEAD


def bring_up(database: Database, *, by_scripts: bool = False) -> None:
    """As ``upgrade``, which it is a part of. An empty database gets the tables as they are now, which is what all scripts
    together come to; ``by_scripts``: from them nevertheless. Blocks."""
    plain = database.url.set(drivername="sqlite") if database.is_sqlite else database.url
    patience = {"timeout": BUSY_S} if database.is_sqlite else {"connect_timeout": CONNECT_S}
    engine = create_engine(plain, poolclass=NullPool, connect_args=patience)
    try:
        with engine.begin() as connection:
            # Of two that migrate at once the second waits, and finds nothing to do.
            if database.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('talkwire migrate'))"))
            found = _version(connection)
            if found is None and not by_scripts:
                _make(connection)
            elif found != HEAD:
                with _one_at_a_time:
                    _run_scripts(connection, database.name, found)
    except SQLAlchemyError as error:
        raise StoreUnavailable(said(error)) from error
    finally:
        engine.dispose()


def _make(connection: Connection) -> None:
    # Where others have tables of these names it fails, and theirs are left alone.
    metadata.create_all(connection, checkfirst=False)
    versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))
    versions.create(connection)
    connection.execute(versions.insert().values(version_num=HEAD))


def _run_scripts(connection: Connection, name: str, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    scripts = ScriptDirectory.from_config(config)
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise WrongTables(
            f"the tables in {name} are of version {found}, which this server does not know: use a newer one"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
