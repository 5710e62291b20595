"""Calls that outlive the process that took them: lists, logs, waveforms, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.events import (
    BotWord,
    CallEnded,
    EndReason,
    MessageConfirmed,
    Recorded,
    TurnRef,
    UserMessage,
    Utterance,
)
from server.forgetting import forget
from server.past import CallQuery, StoreUnavailable
from server.ring import Entry, Ring
from server.store.kept import KeptCalls
from server.tokens import TokenError
from tests.server.store.home import Home, home


async def test_an_ended_call_survives_a_restart_with_all_its_events(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as first:
        call = first.begin()
        first.tell(call, UserMessage(TurnRef(1, "c0ffee"), "m1", "hello", 1.0, (1,)))
        first.end(call, (Utterance("user", "hello"),))
        told = [entry.data for entry in call.events.since(0)]
        assert await first.log("CA1") == told, "just ended"
        listed = (await first.book.ended(10))[0].as_json(0)
        await first.flush()
        assert await first.log("CA1") == told, "stored"
    async with home(url, tmp_path) as second:
        assert await second.log("CA1") == told
        assert (await second.book.ended(10))[0].as_json(0) == listed
        assert listed["last_user_text"] == "hello"
        assert await second.log("CA1", after=1, limit=1) == told[1:2]
        page = await second.book.page("CA1", 4)
        assert page is not None
        assert (list(page.entries), page.last_seq, page.lost, page.over) == ([], 4, 0, True)
        assert await second.book.find("CA2") is None
        assert await second.book.page("CA2", 0) is None
        assert await second.book.ended(10, CallQuery(slug="other")) == []


async def test_what_happens_is_there_within_a_tenth_of_a_second(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        call = made.begin()
        await made.flush()
        await asyncio.sleep(0)
        told = [entry.data for entry in call.events.since(0)]
        page = await made.kept.calls.events("CA1", 0, 10)
        assert page is not None
        assert [entry.data for entry in page.entries] == told
        assert not page.over
        made.end(call)


async def test_lists_are_chosen_from_and_paged(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        for index in range(7):
            caller = "+1555000111" + str(index % 2)
            call = made.begin(f"CA{index}", ("Tester", "Other")[index % 2], caller)
            made.end(call, reason=(EndReason.HANGUP, EndReason.FAILED)[index == 3])
            await asyncio.sleep(0.002)
        await made.flush()
        newest = [f"CA{index}" for index in (6, 5, 4, 3, 2, 1, 0)]
        assert await made.ids() == newest
        assert await made.ids(query=CallQuery(slug="other")) == ["CA5", "CA3", "CA1"]
        assert await made.ids(query=CallQuery(reason="failed")) == ["CA3"]
        assert await made.ids(query=CallQuery(from_="001 (555) 0001-110")) == ["CA6", "CA4", "CA2", "CA0"]
        assert await made.ids(query=CallQuery(from_="15550001110")) == []
        assert len(await made.ids(query=CallQuery(to="+1 555 000 2222"))) == 7
        middle = (await made.found("CA3")).created_at
        assert await made.ids(query=CallQuery(since=middle)) == newest[:4]
        assert await made.ids(query=CallQuery(until=middle)) == newest[4:]
        pages, before = [], None
        while page := await made.book.ended(3, before=before):
            pages.append([call.call_id for call in page])
            before = page[-1].place
        assert pages == [newest[:3], newest[3:6], newest[6:]]


async def test_what_is_not_written_yet_is_in_the_list_and_once(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        made.end(made.begin("CA1"))
        await made.flush()
        made.end(made.begin("CA2"))
        assert await made.ids() == ["CA2", "CA1"]
        assert (await made.found("CA2")).state == "ended"
        await made.flush()
        assert await made.ids() == ["CA2", "CA1"]


async def test_events_that_are_not_to_be_kept_are_told_and_not_kept(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path, journal_skip=("bot.word", "audio.metrics")) as made:
        call = made.begin()
        made.tell(call, *(BotWord(None, "m1", "word", index, 0.0, 0.1) for index in range(5)))
        made.end(call)
        assert [entry.seq for entry in await made.entries("CA1")] == list(range(1, 9)), "from memory"
        await made.flush()
        assert [entry.seq for entry in await made.entries("CA1")] == [1, 7, 8]
        page = await made.book.page("CA1", 0)
        assert page is not None
        assert (page.lost, page.last_seq) == (0, 8), "nothing was lost"


async def test_a_live_call_that_has_outgrown_memory_is_read_out_of_the_database(
    url: str, tmp_path: Path
) -> None:
    async with home(url, tmp_path) as made:
        call = made.begin()

        def kept(entries: Iterable[Entry]) -> list[Entry]:
            """Without whom they were told to, which is not."""
            return [replace(entry, key="") for entry in entries]

        told = list(call.events.since(0))
        call.events = Ring(max_events=10)
        call.events.append(told[0])
        for index in range(100):
            made.tell(call, BotWord(None, "m1", "word", index, 0.0, 0.1))
            told += call.events.since(told[-1].seq)
        with pytest.raises(StoreUnavailable, match="on their way"):
            await made.book.page("CA1", 1)
        await made.flush()
        assert kept(await made.entries("CA1")) == kept(told)
        assert kept(await made.entries("CA1", 95)) == kept(told[95:])
        made.end(call)
        told += call.events.since(told[-1].seq)
        assert kept(await made.entries("CA1", 95)) == kept(told[95:])
        await made.flush()
        assert kept(await made.entries("CA1")) == kept(told)


async def test_a_waveform_is_kept_with_its_times(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        call = made.begin()
        drawn = made.book.listener(call, 8000)
        assert drawn is not None
        for place in range(0, 16_000, 160):
            drawn.caller(place, np.full(160, place, np.int16))
        live = await made.book.waveform("CA1", 0)
        assert live is not None
        assert abs(live.until_at - made.clock.epoch()) < 60, "epoch seconds"
        made.end(call)
        await made.flush()
        for from_ms in (0, 1010, 90_000):
            kept = await made.book.waveform("CA1", from_ms)
            assert kept == drawn.strip(from_ms)  # type: ignore[attr-defined]
        assert await made.book.waveform("CA2", 0) is None


async def test_a_token_that_was_used_is_of_no_use_after_a_restart(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as first:
        now = first.clock.epoch()
        used, fresh = (first.tokens.issue("CA1", "once", now, 600) for _ in range(2))
        first.tokens.redeem(used, "once", now)
    async with home(url, tmp_path) as second:
        with pytest.raises(TokenError, match="used already"):
            second.tokens.redeem(used, "once", now)
        assert second.tokens.redeem(fresh, "once", now)


async def test_old_calls_go_with_all_that_was_kept_of_them(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        for index in range(3):
            made.end(made.begin(f"CA{index}"), (Utterance("user", "hello"),))
        await made.flush()
        calls = made.kept.calls
        assert isinstance(calls, KeptCalls)
        middle = (await made.book.ended(10))[1].place[0]
        now = made.clock.epoch()
        assert (await calls.expire(0.0, now)).call_ids == ()
        gone = await calls.expire(middle, now)
        assert (gone.call_ids, gone.events) == (("CA0",), 3)
        assert await made.ids() == ["CA2", "CA1"]
        assert await made.book.page("CA0", 0) is None


async def test_one_callers_data_goes_whichever_side_called(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as made:
        for index in range(250):
            made.end(made.begin(f"CA{index}", from_="+15550001111" if index % 2 else "+15550009999"))
        await made.flush()
        folder = tmp_path / "recordings"
        folder.mkdir()
        for call_id in ("CA1", "CA2"):
            (folder / f"{call_id}-0badcafe.wav").write_bytes(bytes(100))
        gone, ids = await forget("1 (555) 000-1111", made.kept.calls, made.recordings)
        assert gone.calls == 0, "without its + it is another number"
        gone, ids = await forget("+1 (555) 000-1111", made.kept.calls, made.recordings)
        assert (gone.calls, gone.events, gone.recordings, gone.bytes) == (125, 375, 1, 100)
        assert set(ids) == {f"CA{index}" for index in range(1, 250, 2)}
        assert [path.name for path in folder.iterdir()] == ["CA2-0badcafe.wav"]
        assert len(await made.ids()) == 125
        again, _ = await forget("+15550001111", made.kept.calls, made.recordings)
        assert again.calls == 0


async def test_what_was_said_and_recorded_is_read_back(url: str, tmp_path: Path) -> None:
    said = (Utterance("user", "hello\x00"), Utterance("assistant", "Good day."))
    at = asyncio.get_running_loop().time()

    async def hold(made: Home) -> None:
        transcript = await made.book.transcript("CA1")
        assert [(line.role, line.text) for line in transcript.lines] == [
            ("user", transcript.lines[0].text),
            ("assistant", "Good day."),
        ]
        assert transcript.lines[0].text.startswith("hello")
        assert await made.book.recorded("CA1") == {
            "duration_ms": 1500,
            "format": "wav",
            "sample_rate": 8000,
            "channels": "stereo",
            "started_at": pytest.approx(made.clock.epoch(at), abs=5),
        }
        assert [entry.event for entry in await made.book.told("CA1", ("call.ended",))] == ["call.ended"]
        assert await made.book.told("CA2", ("call.ended",)) == []
        assert (await made.book.transcript("CA2")).lines == ()
        assert await made.book.recorded("CA2") is None

    async with home(url, tmp_path) as first:
        call = first.begin()
        first.tell(call, MessageConfirmed(None, "b1", "Good day."))
        assert [line.text for line in (await first.book.transcript("CA1")).lines] == ["Good day."], "live"
        now = asyncio.get_running_loop().time()
        call.journal.append(CallEnded(EndReason.HANGUP, "", now, 1.0, said))
        call.journal.append(Recorded(1500, 8000, "wav", "stereo", at, None))
        first.book.over(call, recorded=True)
        await hold(first)
        await first.flush()
        await hold(first)
    async with home(url, tmp_path) as second:
        await hold(second)


async def test_the_transcript_of_a_call_that_was_handed_over_has_all_of_it(url: str, tmp_path: Path) -> None:
    async with home(url, tmp_path) as first:
        call = first.begin()
        now = asyncio.get_running_loop().time()
        parts = (("one", "two", "three"), ("four",))
        for reason, texts in zip((EndReason.ROUTED, EndReason.HANGUP), parts, strict=True):
            for text in texts:
                first.tell(call, MessageConfirmed(None, text, text))
            lines = tuple(Utterance("assistant", text) for text in texts)
            call.journal.append(CallEnded(reason, "", now, 1.0, lines))
        first.book.over(call)
        await first.flush()
    async with home(url, tmp_path) as second:
        found = (await second.book.transcript("CA1")).lines
        assert [line.text for line in found] == ["one", "two", "three", "four"]
