"""Servers that share a database: the calls of a dead one are closed, those of a living one are let alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import orjson
import pytest
import structlog

from media.recordfile import Format, recording_file
from pipeline.events import MessageConfirmed, TurnRef, UserMessage
from server.ring import Entry
from server.store import nodes, writer
from server.store.database import Database, ask
from server.store.ops import Began, Op
from server.store.rows import row_of
from server.store.spool import Spool
from server.summary import CallSummary, PastSummary
from tests.server.store.databases import away
from tests.server.store.home import Home, home, migrated


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    await migrated(url)
    made = await asyncio.to_thread(Database, url)
    yield made
    await made.aclose()


async def left_open(url: str, folder: Path, node: str) -> tuple[CallSummary | PastSummary, list[Entry]]:
    """What a killed server of this name has in the database of a call: all but its end."""
    ops: list[Op] = []
    async with home(url, folder) as made:
        call = made.begin("CA-dead")
        made.tell(
            call,
            UserMessage(TurnRef(1, "c0ffee"), "m1", "hel", 1.0, (1,)),
            UserMessage(TurnRef(1, "c0ffee"), "m1", "hello", 1.0, (1,)),
            MessageConfirmed(None, "b1", "Good day."),
        )
        entries = list(call.events.since(0))
        summary = made.book.live()[0]
        first = CallSummary(call.facts, call.slug, summary.created_at)
        first.add(entries[0])
        ops = [Began("CA-dead", row_of(first.past(), node)), *entries]
        made.end(call)
    async with database(url) as made_database:
        again = row_of(first.past(), node) | {"created_at": summary.created_at + 1e-3}
        # A later life of the same id takes the place of the one that was ended above.
        await made_database.write([Began("CA-dead", again), *ops[1:]])
    return summary, entries


async def closed(made: Home) -> None:
    async with asyncio.timeout(20):
        while (await made.found("CA-dead")).state != "ended":
            await asyncio.sleep(0.02)


def hold(log: list[bytes], entries: list[Entry]) -> None:
    assert log[:-2] == [entry.data for entry in entries]
    end, summary = orjson.loads(log[-2]), orjson.loads(log[-1])
    assert (summary["event"], summary["reason"], summary["seq"]) == (
        "call.summary",
        "failed",
        len(entries) + 2,
    )
    assert (end["event"], end["reason"], end["seq"]) == ("call.ended", "failed", len(entries) + 1)
    assert "killed" in end["detail"]
    assert end["ended_at"] == entries[-1].ts
    assert end["ts"] >= entries[-1].ts
    assert [(line["role"], line["content"]) for line in end["transcript"]] == [
        ("user", "hello"),
        ("assistant", "Good day."),
    ]


async def test_what_a_killed_server_on_this_directory_left_is_closed_at_the_next_start(
    url: str, tmp_path: Path
) -> None:
    _, entries = await left_open(url, tmp_path, "dead")
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "CA-dead-0badcafe.wav").write_bytes(b"RIFF")
    (tmp_path / "journal" / "dead.spool").touch()
    async with home(url, tmp_path) as made:
        (call,) = await made.book.ended(10)
        told = call.as_json(0)
        assert (told["reason"], told["recording"], told["last_user_text"]) == ("failed", True, "hello")
        hold(await made.log("CA-dead"), entries)


@pytest.mark.parametrize("format", ["wav", "opus"])
async def test_its_recording_is_told_behind_its_end(url: str, tmp_path: Path, format: Format) -> None:
    _, entries = await left_open(url, tmp_path, "dead")
    (tmp_path / "journal" / "dead.spool").touch()
    path = tmp_path / "recordings" / f"CA-dead-0badcafe.{format}"

    def record() -> None:
        file = recording_file(path, 8000, format, "stereo")
        file.write(0, np.zeros(2 * 12_000, np.int16))
        file.close()

    await asyncio.to_thread(record)
    async with home(url, tmp_path) as made:
        log = [orjson.loads(data) for data in await made.log("CA-dead")]
        assert [event["event"] for event in log[-3:]] == ["call.ended", "call.recording", "call.summary"]
        assert [event["seq"] for event in log] == list(range(1, len(entries) + 4))
        told = log[-2]
        assert told["duration_ms"] == pytest.approx(1500, abs=0 if format == "wav" else 60)
        assert (told["format"], told["sample_rate"], told["channels"]) == (format, 8000, "stereo")
        (call,) = await made.book.ended(10)
        assert call.last_seq == log[-1]["seq"]
        assert call.as_json(0)["recording"] is True
        kept = await ask(made.kept.calls._database, "SELECT duration_ms FROM recordings")  # type: ignore[attr-defined]
        assert kept == told["duration_ms"]


async def test_what_a_server_elsewhere_left_is_closed_when_it_was_silent_for_long(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "BEAT_S", 0.05)
    _, entries = await left_open(url, tmp_path, "dead")
    async with home(url, tmp_path / "other") as made:
        await asyncio.sleep(0.3)
        assert (await made.found("CA-dead")).state == "live"
        monkeypatch.setattr(nodes, "DEAD_S", 0.3)
        await closed(made)
        hold(await made.log("CA-dead"), entries)


async def test_a_living_server_keeps_its_calls(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "BEAT_S", 0.05)
    monkeypatch.setattr(nodes, "DEAD_S", 0.5)
    async with (
        home(url, tmp_path / "one") as one,
        home(url, tmp_path / "one") as beside,
        home(url, tmp_path / "two") as two,
    ):
        call = one.begin()
        await one.flush()
        await asyncio.sleep(1.5)
        for other in (two, beside):
            assert (await other.found("CA1")).state == "live"
            page = await other.book.page("CA1", 0)
            assert page is not None
            assert (len(page.entries), page.over) == (1, False), "its log is read from any server"
        one.end(call)
        await one.flush()
        assert await two.log("CA1") == [entry.data for entry in call.events.since(0)]


async def test_of_several_that_close_a_call_one_does(url: str, tmp_path: Path) -> None:
    _, entries = await left_open(url, tmp_path, "dead")
    async with home(url, tmp_path / "a") as a, home(url, tmp_path / "b") as b:
        found = []

        async def close(made: Home) -> None:
            node = nodes.Node(
                made.kept.calls._database,  # type: ignore[attr-defined]
                "x",
                made.clock.epoch,
                made.recordings.told,
                lambda call, _: found.append(call.call_id),
            )
            await node.close_calls_of(["dead"])

        async with asyncio.TaskGroup() as tasks:
            for made in (a, b, a, b):
                tasks.create_task(close(made))
        assert found == ["CA-dead"]
        hold(await a.log("CA-dead"), entries)


async def test_whoever_was_taken_for_dead_has_the_last_word(url: str, tmp_path: Path) -> None:
    _, entries = await left_open(url, tmp_path, "dead")
    async with home(url, tmp_path / "other") as made:
        node = nodes.Node(
            made.kept.calls._database,  # type: ignore[attr-defined]
            "x",
            made.clock.epoch,
            made.recordings.told,
            lambda call, _: None,
        )
        assert await node.close_calls_of(["dead"]) == 1
        true = [
            Entry(
                "CA-dead", len(entries) + place, entries[-1].ts + place, "bot.word", b'{"event":"bot.word"}'
            )
            for place in (1, 2)
        ]
        assert made.kept.writer is not None
        for entry in true:
            made.kept.writer.put(entry)
        await made.flush()
        assert await made.log("CA-dead") == [entry.data for entry in (*entries, *true)]


def test_a_spool_is_one_process_s(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", 1000)
    with pytest.raises(BlockingIOError):
        Spool(tmp_path, "a", 1000)
    spool.close()
    assert not list(tmp_path.iterdir())


async def test_when_the_database_was_away_nobody_takes_the_others_for_dead(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "BEAT_S", 0.2)
    monkeypatch.setattr(nodes, "DEAD_S", 1.0)
    monkeypatch.setattr(writer, "AWAY_S", 0.3)
    async with home(url, tmp_path / "one") as one, home(url, tmp_path / "two") as two:
        calls = [one.begin("CA1"), two.begin("CA2")]
        await one.flush()
        await two.flush()
        await asyncio.sleep(1.2)
        with away(url):
            await asyncio.sleep(2.0)
        with structlog.testing.capture_logs() as logs:
            await asyncio.sleep(1.5)
        assert "call.closed_after_crash" not in [log["event"] for log in logs]
        for made, call in zip((one, two), calls, strict=True):
            made.end(call)
            await made.flush()
            assert (await made.log(call.call_id))[1:] == [entry.data for entry in call.events.since(1)]
            page = await made.kept.calls.events(call.call_id, 0, 10)
            assert page is not None
            assert [entry.seq for entry in page.entries] == [1, 2, 3]
            told = (await two.found(call.call_id)).as_json(0)
            assert (told["state"], told["reason"]) == ("ended", "hangup")
