"""``talkwire migrate`` and ``talkwire forget``, as processes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from server.past import StoreUnavailable
from server.store import tables
from server.store.database import Database
from server.store.migrate import bring_up, check, upgrade, version
from tests.e2e.test_process import environment
from tests.server.store.home import home


def talkwire(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli", *words]
    made = environment(folder, 8080, **env)
    return subprocess.run(command, env=made, capture_output=True, text=True, timeout=60)


async def test_migrate_makes_the_tables_once(url: str, tmp_path: Path) -> None:
    first = await asyncio.to_thread(talkwire, tmp_path, "migrate", TALKWIRE_DATABASE_URL=url)
    assert (first.returncode, first.stderr) == (0, "")
    assert f"is of version {tables.HEAD} now (was empty)" in first.stdout
    again = await asyncio.to_thread(talkwire, tmp_path, "migrate", TALKWIRE_DATABASE_URL=url)
    assert f"is of version {tables.HEAD} already" in again.stdout


async def test_forget_tells_how_much_went(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        made.end(made.begin("CA1"))
    done = await asyncio.to_thread(talkwire, tmp_path, "forget", "+1 555 000 1111", TALKWIRE_DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["caller"], told["calls"], told["events"]) == ("+15550001111", 1, 3)
    async with home(url, tmp_path, migrate=False) as made:
        assert await made.ids() == []


def test_a_database_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://somebody:topsecret@127.0.0.1:1/calls"
    for command in (["migrate"], ["forget", "+1"]):
        done = talkwire(tmp_path, *command, TALKWIRE_DATABASE_URL=url)
        assert done.returncode == 2
        assert "127.0.0.1:1/calls" in done.stderr
        assert "topsecret" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("by_scripts", [False, True])
async def test_an_empty_database_gets_what_all_scripts_together_make(
    url: str, tmp_path: Path, by_scripts: bool
) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import Connection, inspect

    database = await asyncio.to_thread(Database, url)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        return list(compare_metadata(context, tables.metadata))

    def versions(connection: Connection) -> object:
        table = inspect(connection).get_columns(tables.VERSION_TABLE)
        return [(column["name"], str(column["type"]), column["nullable"]) for column in table]

    try:
        assert await version(database) is None
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):  # Several servers start at once.
                tasks.create_task(asyncio.to_thread(bring_up, database, by_scripts=by_scripts))
        await check(database)
        async with database.begin() as connection:
            assert await connection.run_sync(differences) == []
            assert await connection.run_sync(versions) == [("version_num", "VARCHAR(32)", False)]
    finally:
        await database.aclose()


async def test_two_databases_are_migrated_at_once(tmp_path: Path) -> None:
    made = [await asyncio.to_thread(Database, f"sqlite:///{tmp_path / name}") for name in "abcd"]
    async with asyncio.TaskGroup() as tasks:
        for database in made:
            tasks.create_task(asyncio.to_thread(bring_up, database, by_scripts=True))
    for database in made:
        await check(database)
        await database.aclose()


async def test_tables_of_others_are_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE messages (mine TEXT)")
        connection.commit()
    database = await asyncio.to_thread(Database, f"sqlite:///{tmp_path / 'theirs.db'}")
    with pytest.raises(StoreUnavailable, match="messages already exists"):
        await upgrade(database)
    await database.aclose()
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("messages",)]


def test_a_file_of_ours_is_its_owner_s_alone(tmp_path: Path) -> None:
    assert talkwire(tmp_path / "data", "migrate").returncode == 0
    path = tmp_path / "data" / "talkwire.db"
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_server_s_tables_are_not_touched(tmp_path: Path) -> None:
    assert talkwire(tmp_path, "migrate").returncode == 0
    with closing(sqlite3.connect(tmp_path / "talkwire.db")) as connection:
        connection.execute(f"UPDATE {tables.VERSION_TABLE} SET version_num = '9999'")
        connection.commit()
    done = talkwire(tmp_path, "migrate")
    assert done.returncode == 2
    assert "which this server does not know" in done.stderr
