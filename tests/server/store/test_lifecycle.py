"""The log of an agent: its order is that of the database, the same for all servers on it, and after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.events import BotWord
from server.envelopes import LogEntry, Wanted
from server.following import following_agent
from server.store import kept
from server.store.database import Database
from server.store.migrate import bring_up
from tests.server.store.home import Home, home


async def read(made: Home, after: int = 0, agent: str = "tester") -> list[LogEntry]:
    """All that there is, but for the markers."""
    with following_agent(made.book, agent, after, Wanted()) as follower:
        told: list[LogEntry] = []
        while True:
            batch = await follower.read()
            told += [entry for entry in batch.entries if not entry.type.startswith("log.")]
            if any(entry.type == "log.caught_up" for entry in batch.entries):
                return told


async def test_the_log_of_an_agent_is_the_same_after_a_restart(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        call, other = made.begin("CA1"), made.begin("CA2", agent_id="Someone else")
        made.tell(call, BotWord(None, "m1", "word", 0, 0.0, 0.1))
        made.end(call)
        made.end(other)
        await made.flush()
        before = await read(made)
        assert [entry.type for entry in before] == ["call.started", "call.ended"]
        assert len(await read(made, agent="someone-else")) == 2
    async with home(url, tmp_path) as made:
        assert await read(made) == before
        made.end(made.begin("CA3"))
        await made.flush()
        more = await read(made, before[-1].seq)
        assert [entry.type for entry in more] == ["call.started", "call.ended"]
        assert more[0].seq > before[-1].seq
        gone = await made.kept.calls.forget("+15550001111")
        assert len(gone.call_ids) == 3
        assert await read(made) == []


async def test_a_reader_is_woken_by_what_is_written(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        with following_agent(made.book, "tester", 0, Wanted()) as follower:
            assert [entry.type for entry in (await follower.read()).entries] == ["log.caught_up"]
            made.begin("CA1")
            async with asyncio.timeout(10):
                while not (batch := await follower.read()).entries:
                    await follower.wait(60)
            assert [entry.type for entry in batch.entries] == ["call.started"]


async def test_of_two_servers_on_one_database_a_reader_misses_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "POLL_S", 0.02)
    count = 15
    async with home(url, tmp_path / "a") as one, home(url, tmp_path / "b") as two:
        if url.startswith("sqlite"):
            # It has one server at a time by right; what another one writes is read all the same.
            one.kept.calls.poll_s = 0.02
        seen: list[LogEntry] = []

        async def follow() -> None:
            with following_agent(one.book, "tester", 0, Wanted()) as follower:
                while len(seen) < 4 * count:
                    seen.extend(e for e in (await follower.read()).entries if e.type != "log.caught_up")
                    await follower.wait(60)

        async def happen(made: Home, name: str) -> None:
            for index in range(count):
                made.end(made.begin(f"{name}{index}"))
                await asyncio.sleep(0.01)

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            tasks.create_task(happen(one, "A"))
            tasks.create_task(happen(two, "B"))
        assert [e.seq for e in seen] == sorted({e.seq for e in seen}), "in order, and none twice"
        assert await read(two) == seen


async def test_the_first_tables_are_brought_up_to_date(tmp_path: Path) -> None:
    database = await asyncio.to_thread(Database, f"sqlite:///{tmp_path / 'calls.db'}")
    try:
        await asyncio.to_thread(bring_up, database, by_scripts=True)
        async with database.begin() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM lifecycle"))).scalar() == 0
    finally:
        await database.aclose()
