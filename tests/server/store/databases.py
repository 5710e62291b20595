"""Real databases for tests: a file of SQLite's, and a database of its own in the PostgreSQL of this machine."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

SERVER = os.environ.get("TALKWIRE_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
"""One in which databases may be made."""


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database, which is dropped afterwards. Skips where there is no PostgreSQL."""
    try:
        connection = psycopg.connect(SERVER, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {SERVER.rpartition('@')[2]}: {str(error).splitlines()[0]}")
    name = f"talkwire_test_{secrets.token_hex(6)}"
    with connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield SERVER.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """An empty database of this kind."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'calls.db'}"
        return
    with postgres() as url:
        yield url


@contextmanager
def away(url: str) -> Iterator[None]:
    """Nobody gets anything into this database: SQLite's file is locked, PostgreSQL lets nobody in."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield
            holder.execute("ROLLBACK")
        return
    name = url.rpartition("/")[2]
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
