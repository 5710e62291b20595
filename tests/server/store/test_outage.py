"""A database that is away, slow or refuses something: calls go on, and in the end all is there, once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from pipeline.events import BotWord, Event, TurnRef, UserMessage
from server.past import StoreUnavailable
from server.ring import Entry
from server.settings import SettingsError
from server.store import writer
from server.store.opened import Kept
from server.store.ops import Began
from server.store.writer import Writer
from tests.server.store.databases import away
from tests.server.store.home import Home, home


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "AWAY_S", 0.3)
    monkeypatch.setattr(writer, "RETRY_S", 0.1)


def writer_of(kept: Kept) -> Writer:
    assert kept.writer is not None
    return kept.writer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def words(count: int) -> list[Event]:
    return [BotWord(None, "m1", "word", index, 0.0, 0.1) for index in range(count)]


async def stored(made: Home, call_id: str) -> list[bytes]:
    """What is in the database, and not in memory."""
    found: list[bytes] = []
    while True:
        page = await made.kept.calls.events(call_id, len(found), 1000)
        assert page is not None
        if not page.entries:
            assert [entry.seq for entry in page.entries] == []
            return found
        found += [entry.data for entry in page.entries]


async def test_what_happens_while_the_database_is_away_is_there_when_it_is_back(
    url: str, tmp_path: Path
) -> None:
    async with home(url, tmp_path) as made:
        call, well = made.begin(), writer_of(made.kept)
        made.tell(call, *words(20))
        await made.flush()
        with away(url), structlog.testing.capture_logs() as logs:
            made.tell(call, *words(20))
            await until(lambda: not well.well)
            for _ in range(10):
                made.tell(call, *words(20))
                await asyncio.sleep(0.03)
            other = made.begin("CA2")
            made.end(other)
            await until(lambda: not well.queued and well.spooled_bytes > 200 * 100)
            with pytest.raises(StoreUnavailable):
                await made.kept.writer.flush(0.2)  # type: ignore[union-attr]
        made.tell(call, *words(20))
        await made.flush()
        assert well.spooled_bytes == 0
        assert [log["event"] for log in logs if log["log_level"] == "error"] == ["journal.database_away"]
        told = [entry.data for entry in call.events.since(0)]
        assert len(told) == 261
        assert await stored(made, "CA1") == told
        assert await stored(made, "CA2") == [entry.data for entry in other.events.since(0)]
        assert await made.ids() == ["CA2"]
        made.end(call)
    assert not list((tmp_path / "journal").iterdir()), "a server that stops in order leaves no spool"


async def test_what_a_stopped_server_could_not_write_the_next_one_writes(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        call = made.begin()
        await made.flush()
        holding = away(url)
        holding.__enter__()
        made.tell(call, *words(50))
        await until(lambda: not writer_of(made.kept).well)
        made.end(call)
        told = [entry.data for entry in call.events.since(0)]
    holding.__exit__(None, None, None)
    (spool,) = (tmp_path / "journal").iterdir()
    with spool.open("ab") as file:
        file.write(b'["event","CA1",9')  # Killed in the middle of a line.
    async with home(url, tmp_path) as made:
        assert await made.log("CA1") == told
        assert await made.ids() == ["CA1"]
    assert not list((tmp_path / "journal").iterdir())


async def test_a_server_starts_without_its_database_and_is_joined_by_it(tmp_path: Path) -> None:
    from tests.server.store.databases import postgres
    from tests.server.store.home import migrated

    with postgres() as url:
        await migrated(url)
        holding = away(url)
        holding.__enter__()
        async with home(url, tmp_path, migrate=False) as made:
            call = made.begin()
            made.end(call)
            assert await made.log("CA1") == [entry.data for entry in call.events.since(0)], "from memory"
            with pytest.raises(StoreUnavailable):
                await made.book.ended(10)
            holding.__exit__(None, None, None)
            await made.flush()
            assert await made.ids() == ["CA1"]


async def test_a_database_without_tables_stops_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    from tests.server.store.databases import postgres

    with (
        postgres() as url,
        pytest.raises(SettingsError, match="has no tables of Talkwire yet: run `talkwire migrate`"),
    ):
        async with home(url, tmp_path, migrate=False):
            pass


async def test_a_full_spool_loses_events_by_count_and_says_so_once(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path, spool_max_bytes=5000) as made:
        call, well = made.begin(), writer_of(made.kept)
        await made.flush()
        with away(url), structlog.testing.capture_logs() as logs:
            for _ in range(20):
                made.tell(call, *words(10))
                await asyncio.sleep(0.02)
            await until(lambda: not well.well and not well.queued)
            made.end(call)
            await until(lambda: not well.queued)
        await made.flush()
        assert sorted(log["event"] for log in logs if log["log_level"] == "error") == [
            "journal.database_away",
            "journal.losing_events",
        ]
        page = await made.kept.calls.events("CA1", 0, 1000)
        assert page is not None
        assert page.over, "that it ended is not lost"
        assert page.lost == well.figures.lost > 0
        assert len(page.entries) + page.lost == page.last_seq == call.events.last_seq


async def test_what_the_database_refuses_holds_nothing_up(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        call = made.begin()
        said = UserMessage(TurnRef(1, "c0ffee"), "m1", "nul \x00", 1.0, (1,))
        row = {"call_id": "bad"}  # No row of its table.
        with structlog.testing.capture_logs() as logs:
            writer_of(made.kept).put(Began("bad", {**row, "created_at": 1.0}))
            made.tell(call, said)
            await made.flush()
        assert "journal.refused" in [log["event"] for log in logs]
        assert await stored(made, "CA1") == [entry.data for entry in call.events.since(0)]
        made.end(call)


async def test_a_row_is_written_as_often_as_one_likes(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        call = made.begin()
        made.tell(call, *words(5))
        made.end(call)
        await made.flush()
        entries: list[Entry] = list(call.events.since(0))
        for entry in reversed(entries):
            writer_of(made.kept).put(entry)
        await made.flush()
        assert await stored(made, "CA1") == [entry.data for entry in entries]


async def test_a_call_id_that_comes_once_more_takes_the_place_of_its_first_time(
    url: str, tmp_path: Path
) -> None:
    async with home(url, tmp_path) as made:
        call = made.begin()
        made.tell(call, *words(30))
        made.end(call)
        again = made.begin()
        made.tell(again, *words(3))
        made.end(again)
        await made.flush()
        assert await stored(made, "CA1") == [entry.data for entry in again.events.since(0)]
        assert await made.ids() == ["CA1"]
