"""Calls looked at over HTTP: lists, pages of a log, and streams that are exact however often their reader is cut off."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.levels import SILENCE
from pipeline.events import (
    AudioMetrics,
    BotSpeaking,
    BotWord,
    CallEnded,
    EndReason,
    MessageConfirmed,
    Recorded,
    TurnRef,
    UserMessage,
    Utterance,
)
from server.book import CallBook, Changes
from server.call import Call
from server.doors import v1
from server.past import MemoryStore
from server.ring import METRICS, Entry, Ring
from tests.fakes.asgi import Stream, events_in
from tests.fakes.loop import run_virtual
from tests.server.site import Site, site


def told(call: Call, times: int = 1) -> None:
    """Something that happens often."""
    for index in range(times):
        call.journal.append(BotWord(None, "m1", "word", index, 0.0, 0.1))


def said(call: Call, text: str) -> None:
    call.journal.append(UserMessage(TurnRef(1, "c0ffee"), "m1", text, 1.0, (1,)))


def measured(call: Call, times: int = 1) -> None:
    """Measurements: the first to go from a ring that is full."""
    for _ in range(times):
        call.journal.append(AudioMetrics("user", SILENCE, False, 0.0, 0.0))


def keep_only(call: Call, room: int) -> None:
    """From here on."""
    small = Ring(max_events=room)
    for entry in call.events.since(0):
        small.append(entry)
    call.events = small


async def seen(stream: Stream, count: int) -> list[tuple[str, Any, int | None]]:
    """Wait for so many events."""
    async with asyncio.timeout(60):
        while len(found := stream.reply.events()) < count:
            await asyncio.sleep(0.01)
    return found


async def complete(stream: Stream) -> list[tuple[str, Any, int | None]]:
    async with asyncio.timeout(60):
        while not stream.reply.complete:
            await asyncio.sleep(0.01)
    return stream.reply.events()


# --- lists ------------------------------------------------------------------------------------------------


def test_calls_ring_live_and_end_and_are_listed_the_newest_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:

            async def ids(query: str = "") -> list[tuple[str, str]]:
                calls = (await made.web.get(f"/v1/calls{query}")).json()["calls"]
                return [(call["call_id"], call["state"]) for call in calls]

            over = [made.begin(f"CA{index}") for index in range(3)]
            for call in over:
                made.end(call)
            live, ringing = made.begin("CA3"), made.ring("CA4")
            assert await ids() == [
                ("CA4", "ringing"),
                ("CA3", "live"),
                ("CA2", "ended"),
                ("CA1", "ended"),
                ("CA0", "ended"),
            ]
            assert await ids("?state=live") == [("CA4", "ringing"), ("CA3", "live")]
            assert await ids("?state=ended&limit=2") == [("CA2", "ended"), ("CA1", "ended")]
            assert await ids("?limit=3") == (await ids())[:3]
            assert await ids("?agent_id=TESTER&limit=1") == [("CA4", "ringing")]
            assert await ids("?agent_id=somebody") == []
            made.calls.forget(ringing)
            assert (await ids())[0] == ("CA3", "live"), "one that never began leaves nothing"
            assert (await made.web.get("/v1/calls/CA4")).status == 404
            one = (await made.web.get("/v1/calls/CA3")).json()
            assert one["agent"] == {"agent_id": "Tester", "online": True}
            assert one["metadata"] == {}
            made.end(live)

    run_virtual(main())


def test_what_is_asked_wrongly_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin()
            for path, status in (
                ("/v1/calls?state=over", 400),
                ("/v1/calls?limit=0", 400),
                ("/v1/calls?limit=1001", 400),
                ("/v1/calls?limit=many", 400),
                ("/v1/calls/CA1/events?format=wire&after=-1", 400),
                ("/v1/calls/CA1/events?format=wire&after=1e3", 400),
                ("/v1/calls/CA1/events?format=wire&limit=0", 400),
                ("/v1/calls/CA1/events?format=wire&after=" + "9" * 30, 400),
                ("/v1/calls/CA1/events?format=wire&after=" + "９", 400),
                ("/v1/calls/CA1/waveform?after_ms=x", 400),
                ("/v1/calls/CA2", 404),
                ("/v1/calls/CA2/events?format=wire", 404),
                ("/v1/calls/CA2/waveform", 404),
                ("/v1/calls/CA2/recording", 404),
                ("/v1/calls/" + "x" * 3000, 404),
                ("/v1/calls/CA1/waveform", 404),
                ("/v1/calls/CA1/recording", 409),
            ):
                reply = await made.web.get(path)
                assert reply.status == status, path
                assert 10 < len(reply.detail) < 300
            reply = await made.web.get(
                "/v1/calls/CA1/events?format=wire", accept="text/event-stream", last_event_id="x\u00ff"
            )
            assert reply.status == 400
            reply = await made.web.get("/v1/calls/CA2/events?format=wire", accept="text/event-stream")
            assert reply.status == 404

    run_virtual(main())


def test_agents_with_their_channels_and_calls(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin()
            await asyncio.sleep(3)
            (agent,) = (await made.web.get("/v1/agents")).json()["agents"]
            now = made.services.clock.epoch()
            assert agent.pop("online_since") == pytest.approx(now - 3, abs=0.1)
            assert agent == {"agent_id": "Tester", "channels": [], "live_calls": 1, "language": "en"}

    run_virtual(main())


def test_the_list_is_followed_and_no_call_is_told_more_than_twice_a_second(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            old = made.begin("CA0")
            async with made.web.stream("/v1/calls") as stream:
                ((name, first, _),) = await seen(stream, 1)
                assert (name, [c["call_id"] for c in first["calls"]]) == ("calls", ["CA0"])
                call = made.ring("CA1")
                assert (await seen(stream, 2))[1][1]["state"] == "ringing"
                for index in range(100):
                    said(call, str(index))
                    await asyncio.sleep(0.02)
                told_of_it = stream.reply.events()[2:]
                assert 3 <= len(told_of_it) <= 5
                await asyncio.sleep(1.0)
                assert stream.reply.events()[-1][1]["last_user_text"] == "99", (
                    "the last state is told in any case"
                )
                count = len(stream.reply.events())
                told(call, 50)
                await asyncio.sleep(1.0)
                assert len(stream.reply.events()) == count, "more events alone are no news"
                never_told_of = made.ring("CA2")
                await asyncio.sleep(1.0)
                made.calls.forget(never_told_of)
                await asyncio.sleep(1.0)
                made.calls.forget(call)
                made.end(old)
                gone, _, over = (await seen(stream, count + 4))[-3:]
                assert gone == ("gone", {"call_id": "CA2"}, None)
                assert (over[0], over[1]["call_id"], over[1]["state"]) == ("call", "CA0", "ended")
                assert stream.reply.body.count(b":ping") == 0
                await asyncio.sleep(31.0)
                assert stream.reply.body.count(b":ping") == 2

    run_virtual(main())


def test_a_stream_of_some_calls_tells_of_no_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            site(tmp_path, keep_calls=1) as made,
            made.web.stream("/v1/calls?agent_id=other") as other,
            made.web.stream("/v1/calls?state=ended") as ended,
        ):
            await seen(ended, 1)
            for index in range(2):
                call = made.begin(f"CA{index}")
                await asyncio.sleep(1)
                made.end(call)
                await asyncio.sleep(1)
            names = [(name, data.get("call_id")) for name, data, _ in ended.reply.events()[1:]]
            assert names == [("call", "CA0"), ("call", "CA1"), ("gone", "CA0")]
            assert [name for name, _, _ in other.reply.events()] == ["calls", "gone"]

    run_virtual(main())


def test_a_follower_that_reads_nothing_has_to_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.book.MAX_CHANGED", 5)

    async def main() -> None:
        async with site(tmp_path) as made, made.web.stream("/v1/calls") as stream:
            await seen(stream, 1)
            stream.hold()
            for index in range(10):
                made.end(made.begin(f"CA{index}"))
                await asyncio.sleep(0.01)
            stream.flowing.set()
            events = await complete(stream)
            assert events[-1] == ("closed", {"reason": "slow_consumer"}, None)

    run_virtual(main())


def test_changes_are_taken_once() -> None:
    async def main() -> None:
        changes = Changes()
        assert not await changes.wait(0.1)
        changes.note("1", None)
        changes.note("1", None)
        assert await changes.wait(0.1)
        assert changes.take() == {"1": None}
        assert changes.take() == {}
        assert not await changes.wait(0.1)

    run_virtual(main())


# --- the log of a call ------------------------------------------------------------------------------------


def test_a_log_is_read_in_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            told(call, 9)
            for state in (False, True):
                if state:
                    made.end(call)
                after, events = 0, []
                while True:
                    page = (
                        await made.web.get(f"/v1/calls/CA1/events?format=wire&after={after}&limit=4")
                    ).json()
                    assert (page["ended"], page["lost"]) == (state, 0)
                    if not page["events"]:
                        break
                    assert len(page["events"]) <= 4
                    events += page["events"]
                    after = events[-1]["seq"]
                assert after == page["last_seq"]
                assert [orjson.loads(entry.data) for entry in call.events.since(0)] == events

    run_virtual(main())


def test_the_log_is_followed_to_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            async with made.web.stream("/v1/calls/CA1/events?format=wire") as stream:
                await seen(stream, 1)
                assert stream.reply.body.startswith(b"retry: 1000\n\nid: 1\nevent: call.started\ndata: {")
                assert stream.reply.headers["content-type"].startswith("text/event-stream")
                assert stream.reply.headers["cache-control"] == "no-store"
                assert "content-length" not in stream.reply.headers
                told(call)
                await asyncio.sleep(0)
                assert len(await seen(stream, 2)) == 2, "at once"
                await asyncio.sleep(31)
                assert stream.reply.body.count(b":ping") == 2
                made.end(call)
                events = await complete(stream)
            names = ["call.started", "bot.word", "call.ended", "call.summary", "end"]
            assert [name for name, _, _ in events] == names
            assert [seq for _, _, seq in events] == [1, 2, 3, 4, None]
            assert events[-1][1] == {"last_seq": 4}
            assert [data["seq"] for _, data, _ in events[:-1]] == [1, 2, 3, 4]
            async with made.web.stream("/v1/calls/CA1/events?format=wire&after=4") as stream:
                assert await complete(stream) == [("end", {"last_seq": 4}, None)]

    run_virtual(main())


def test_the_end_is_told_when_the_call_is_over_though_that_comes_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            async with made.web.stream("/v1/calls/CA1/events?format=wire") as stream:
                call.journal.append(CallEnded(EndReason.HANGUP, "", 1.0, 1.0, ()))
                await asyncio.sleep(1.0)
                assert [name for name, _, _ in stream.reply.events()] == ["call.started", "call.ended"]
                made.book.over(call)
                await asyncio.sleep(0.01)
                assert stream.reply.complete
                assert stream.reply.events()[-1][0] == "end"

    run_virtual(main())


def test_the_larger_cursor_counts(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            told(call, 9)
            made.end(call)
            for query, header, first in (("&after=4", "7", 8), ("&after=7", "4", 8), ("", "10", 11)):
                async with made.web.stream(
                    f"/v1/calls/CA1/events?format=wire{query}", last_event_id=header
                ) as stream:
                    assert (await complete(stream))[0][2] == first

    run_virtual(main())


def test_what_is_not_kept_any_more_is_told_as_lost(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            keep_only(call, 5)
            told(call, 20)
            async with made.web.stream("/v1/calls/CA1/events?format=wire&after=3") as stream:
                events = await seen(stream, 6)
            assert events[0] == ("lost", {"lost": 13}, None)
            assert [seq for _, _, seq in events[1:]] == [17, 18, 19, 20, 21]

    run_virtual(main())


def test_a_reader_that_is_overtaken_is_closed_and_goes_on_when_it_comes_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            keep_only(call, 5)
            async with made.web.stream("/v1/calls/CA1/events?format=wire&after=1") as stream:
                told(call, 2)
                await seen(stream, 2)
                stream.hold()
                for _ in range(10):
                    told(call)
                    await asyncio.sleep(0.01)
                stream.flowing.set()
                events = await complete(stream)
            assert events[-1] == ("closed", {"reason": "slow_consumer"}, None)
            last = max(seq for _, _, seq in events if seq is not None)
            async with made.web.stream("/v1/calls/CA1/events?format=wire", last_event_id=str(last)) as stream:
                again = await seen(stream, 6)
            assert again[0] == ("lost", {"lost": 13 - 5 - last}, None)
            assert [seq for _, _, seq in again[1:]] == [9, 10, 11, 12, 13]

    run_virtual(main())


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[str, int]]:
    """What happens: events, measurements, time, and readers that are cut off at some byte and come back."""
    step = st.one_of(
        st.tuples(st.just("facts"), st.integers(1, 12)),
        st.tuples(st.just("metrics"), st.integers(1, 6)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
        st.tuples(st.just("hold"), st.just(0)),
        st.tuples(st.just("flow"), st.just(0)),
        st.tuples(st.just("cut"), st.integers(0, 400)),
    )
    return draw(st.lists(step, max_size=25))


class FollowingReader:
    """A client that does what browsers do: it keeps what came whole, and comes back with the last id."""

    def __init__(self, made: Site) -> None:
        self.made = made
        self.seqs: list[int] = []
        self.lost: list[tuple[int, int]] = []
        self.ended = False

    @property
    def cursor(self) -> int:
        return self.seqs[-1] if self.seqs else 0

    def take(self, body: bytes) -> None:
        for name, data, seq in events_in(body):
            if name == "lost":
                self.lost.append((self.cursor, self.cursor + data["lost"]))
            elif name == "end":
                self.ended = True
            elif name != "closed":
                assert seq == data["seq"] > self.cursor, "in order, and none twice"
                self.seqs.append(data["seq"])


async def play(made: Site, call: Call, script: list[tuple[str, int]]) -> FollowingReader:
    reader = FollowingReader(made)
    steps = iter([*script, ("finish", 0)])
    while not reader.ended:
        path, cursor = f"/v1/calls/{call.call_id}/events?format=wire", str(reader.cursor)
        async with made.web.stream(path, last_event_id=cursor) as stream:
            cut = None
            while not stream.reply.complete:
                kind, amount = next(steps, ("wait", 1))
                match kind:
                    case "facts":
                        told(call, amount)
                    case "metrics":
                        measured(call, amount)
                    case "wait":
                        await asyncio.sleep(amount * 0.1)
                    case "hold":
                        stream.hold()
                    case "flow":
                        stream.flowing.set()
                    case "cut":
                        cut = amount
                        break
                    case "finish":
                        stream.flowing.set()
                        made.end(call)
        body = stream.reply.body
        reader.take(body if cut is None else body[: max(0, len(body) - cut)])
    return reader


@settings(max_examples=100, deadline=None)
@given(script=scripts())
def test_any_reader_cut_off_anywhere_ends_with_exactly_the_log(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, int]]
) -> None:
    async def main() -> None:
        async with site(tmp_path_factory.getbasetemp()) as made:
            call = made.begin()
            reader = await play(made, call, script)
            assert reader.seqs == list(range(1, call.events.last_seq + 1))
            assert reader.lost == []

    run_virtual(main())


@settings(max_examples=100, deadline=None)
@given(script=scripts(), room=st.integers(2, 12))
def test_of_a_log_that_is_not_kept_whole_it_is_told_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, int]], room: int
) -> None:
    async def main() -> None:
        async with site(tmp_path_factory.getbasetemp()) as made:
            call = made.begin()
            keep_only(call, room)
            facts = {1}

            def note(entry: Entry) -> None:
                if entry.event != METRICS:
                    facts.add(entry.seq)

            class Noting:
                def offer(self, data: bytes, entry: Entry | None = None) -> bool:
                    assert entry is not None
                    note(entry)
                    return True

            call.watch(Noting())
            reader = await play(made, call, script)
            missing = facts - set(reader.seqs)
            admitted = {seq for first, last in reader.lost for seq in range(first + 1, last + 1)}
            assert missing <= admitted
            assert {entry.seq for entry in call.events.since(reader.cursor)} == set(), (
                "nothing is left to tell"
            )

    run_virtual(main())


# --- streams are few, and end -----------------------------------------------------------------------------


def test_readers_that_leave_leave_nothing_behind(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            before, began_at = len(asyncio.all_tasks()), asyncio.get_running_loop().time()
            for _ in range(20):
                async with (
                    made.web.stream("/v1/calls/CA1/events?format=wire") as one,
                    made.web.stream("/v1/calls") as other,
                ):
                    await seen(one, 1)
                    await seen(other, 1)
                    one.hold()
                    told(call)
            assert len(asyncio.all_tasks()) == before
            assert asyncio.get_running_loop().time() - began_at < 2.0, "and at once"
            assert not made.book._bells
            assert not made.book._followers
            assert not made.book._live["CA1"].bells

    run_virtual(main())


def test_when_the_server_stops_everybody_is_let_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin()
            async with (
                made.web.stream("/v1/calls/CA1/events?format=wire") as one,
                made.web.stream("/v1/calls") as other,
            ):
                await seen(one, 1)
                await seen(other, 1)
                made.book.close()
                for stream in (one, other):
                    assert (await complete(stream))[-1] == ("closed", {"reason": "server_stopped"}, None)
            async with made.web.stream("/v1/calls/CA1/events?format=wire") as late:
                assert (await complete(late))[-1][0] == "closed"

    run_virtual(main())


def test_no_stream_lasts_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin()
            async with (
                made.web.stream("/v1/calls/CA1/events?format=wire") as one,
                made.web.stream("/v1/calls") as other,
            ):
                await asyncio.sleep(v1.STREAM_S - 60)
                assert not one.reply.complete
                await asyncio.sleep(60 + v1.PING_S)
                for stream in (one, other):
                    assert stream.reply.complete
                    assert stream.reply.events()[-1] == ("closed", {"reason": "renew"}, None)

    run_virtual(main())


def test_so_many_streams_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v1, "MAX_STREAMS", 1)

    async def main() -> None:
        async with site(tmp_path) as made:
            async with made.web.stream("/v1/calls") as stream:
                await seen(stream, 1)
                reply = await made.web.get("/v1/calls", accept="text/event-stream")
                assert reply.status == 503
                assert (await made.web.get("/v1/calls")).status == 200
            async with made.web.stream("/v1/calls") as stream:
                await seen(stream, 1)

    run_virtual(main())


def test_a_call_that_goes_out_of_the_store_while_it_is_read_is_told_as_expired(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, keep_calls=0) as made:
            call = made.begin()
            async with made.web.stream("/v1/calls/CA1/events?format=wire") as stream:
                await seen(stream, 1)
                made.end(call)
                assert (await complete(stream))[-1] == ("closed", {"reason": "expired"}, None)

    run_virtual(main())


# --- audio ------------------------------------------------------------------------------------------------


def test_the_waveform_of_a_conversation(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            leg, _ = made.live(call)
            await leg.silence(0.5)
            path = "/v1/calls/CA1/waveform"
            strip = (await made.web.get(path)).json()
            assert (strip["hop_ms"], strip["from_ms"], strip["until_ms"]) == (20, 0, 500)
            assert (strip["settled_ms"], strip["ended"]) == (0, False)
            assert base64.b64decode(strip["user"]) == bytes(25)
            now = made.services.clock.epoch()
            assert strip["until_ts"] == pytest.approx(now, abs=0.03)
            assert strip["start_ts"] == pytest.approx(now - 0.5, abs=0.03)
            assert strip["start_ts"] == pytest.approx(
                (await made.web.get("/v1/calls/CA1")).json()["started_at"], abs=0.05
            )
            await leg.silence(3)
            rest = (await made.web.get(f"{path}?after_ms={1010}")).json()
            assert (rest["from_ms"], rest["settled_ms"]) == (1000, rest["until_ms"] - 2000)
            leg.listener.on_closed("hangup", "")  # type: ignore[union-attr]
            await asyncio.sleep(1)
            whole = (await made.web.get(path)).json()
            assert whole["ended"]
            assert whole["settled_ms"] == whole["until_ms"] == 3500

    run_virtual(main())


@pytest.mark.parametrize(
    ("there_s", "back_s"), [(0.0, 0.0), (0.0, 0.03), (0.02, 0.02), (0.05, 0.05), (0.1, 0.1)]
)
def test_waveform_events_and_far_end_agree_to_20_ms(tmp_path: Path, there_s: float, back_s: float) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.agent.configuration["greeting"] = "a b c d e f g h i j k l m n o p"
            call = made.ring()
            leg, _ = made.live(call, there_s, back_s)
            await leg.silence(2.61)
            await leg.speak(1.47)
            await leg.silence(3)
            leg.listener.on_closed("hangup", "")  # type: ignore[union-attr]
            await asyncio.sleep(1)
            told = [orjson.loads(entry.data) for entry in call.events.since(0)]
            strip = (await made.web.get("/v1/calls/CA1/waveform")).json()

            def at_ms(ts: float) -> float:
                share = (ts - strip["start_ts"]) / (strip["until_ts"] - strip["start_ts"])
                return float(share * strip["until_ms"])

            def of(name: str) -> list[dict[str, Any]]:
                return [event for event in told if event["event"] == name]

            def edges_ms(side: str) -> tuple[list[int], list[int]]:
                """Where sound begins and where it ends."""
                sounding = np.frombuffer(base64.b64decode(strip[side]), np.uint8) > 0
                change = np.diff(sounding.astype(np.int8), prepend=0, append=0)
                return (np.flatnonzero(change > 0) * 20).tolist(), (np.flatnonzero(change < 0) * 20).tolist()

            onsets, ends = edges_ms("bot")
            far_end_ms = at_ms(made.services.clock.epoch(leg.stretches[0].at))
            assert onsets[0] == pytest.approx(far_end_ms, abs=20)
            words = [at_ms(word["ts"]) for word in of("bot.word")]
            assert len(words) == len(onsets) >= 8
            assert onsets == pytest.approx([onsets[0] + 300 * index for index in range(len(onsets))], abs=20)
            # Before the first mark comes back nobody knows how long the way is.
            assert (
                words[0]
                == at_ms(of("bot.speaking")[0]["ts"])
                == pytest.approx(onsets[0], abs=there_s * 1000 + 20)
            )
            assert words[1:] == pytest.approx(onsets[1:], abs=20)
            (cut,) = of("bot.interrupted")
            # Both are whole hops of 20 ms.
            assert ends[-1] - onsets[0] == pytest.approx(cut["played_ms"], abs=40)
            began, ended = edges_ms("user")
            assert at_ms(of("speech.started")[0]["timestamp"]) == pytest.approx(began[0], abs=20)
            assert at_ms(of("speech.ended")[-1]["timestamp"]) == pytest.approx(ended[-1], abs=20)

    run_virtual(main())


def test_without_a_console_nothing_is_drawn(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, console=False) as made:
            call = made.ring()
            leg, _ = made.live(call)
            await leg.silence(0.5)
            assert (await made.web.get("/v1/calls/CA1/waveform")).status == 404
            assert made.book._live["CA1"].waveform is None

    run_virtual(main())


async def test_a_recording_is_had_whole_and_in_parts(tmp_path: Path) -> None:
    audio = np.arange(1000, dtype=np.int16).tobytes()
    async with site(tmp_path) as made:
        call = made.begin()
        path = tmp_path / "recordings" / "CA1-0badcafe.wav"
        path.parent.mkdir()
        path.write_bytes(audio)
        made.book.over(call, recorded=True)
        one = (await made.web.get("/v1/calls/CA1")).json()
        assert (one["recording"], one["state"], one["reason"]) == (True, "ended", "failed")
        whole = await made.web.get("/v1/calls/CA1/recording")
        assert (whole.status, whole.body) == (200, audio)
        assert whole.headers["content-type"] == "audio/wav"
        assert whole.headers["accept-ranges"] == "bytes"
        assert whole.headers["cache-control"] == "no-store"
        part = await made.web.get("/v1/calls/CA1/recording", range="bytes=10-19")
        assert (part.status, part.body) == (206, audio[10:20])
        assert part.headers["content-range"] == "bytes 10-19/2000"
        tail = await made.web.get("/v1/calls/CA1/recording", range="bytes=-5")
        assert (tail.status, tail.body) == (206, audio[-5:])
        beyond = await made.web.get("/v1/calls/CA1/recording", range="bytes=5000-")
        assert beyond.status == 416
        path.unlink()
        assert (await made.web.get("/v1/calls/CA1/recording")).status == 404


def test_a_book_may_be_told_of_a_call_that_it_does_not_know(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            book = CallBook(MemoryStore(1, 1), made.services.clock, drawn=True)
            assert book.listener(call, 8000) is None
            book.over(call)
            assert book.live() == []

    run_virtual(main())


def test_a_transcript_can_be_had_in_three_ways(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            call.journal.append(BotSpeaking(None, "b1", "Hello."))
            call.journal.append(MessageConfirmed(None, "b1", "Hello."))
            path = "/v1/calls/CA1/transcript"
            live = (await made.web.get(path)).json()
            assert (live["ended"], [line["text"] for line in live["lines"]]) == (False, ["Hello."])
            now = asyncio.get_running_loop().time()
            lines = (Utterance("assistant", "Hello."), Utterance("user", "Good day."))
            call.journal.append(CallEnded(EndReason.HANGUP, "", now, 1.0, lines))
            call.journal.append(Recorded(2500, 8000, "wav", "stereo", now, None))
            made.end(call)
            told = (await made.web.get(path)).json()
            assert (told["ended"], [line["role"] for line in told["lines"]]) == (True, ["assistant", "user"])
            assert told["lines"][1] == {"role": "user", "text": "Good day.", "start_ms": None, "end_ms": None}
            for asked, accept, kind in (
                ("?format=text", "*/*", "text/plain"),
                ("", "text/plain", "text/plain"),
                ("", "text/vtt, */*;q=0.5", "text/vtt"),
                ("?format=vtt&download=1", "*/*", "text/vtt"),
                ("", "text/html,*/*", "application/json"),
            ):
                reply = await made.web.get(path + asked, accept=accept)
                assert reply.headers["content-type"].startswith(kind), asked
                assert reply.headers["cache-control"] == "no-store"
                assert ("CA1.vtt" in reply.headers.get("content-disposition", "")) is ("download" in asked)
            assert (await made.web.get(f"{path}?format=srt")).status == 400
            assert (await made.web.get("/v1/calls/CA9/transcript")).status == 404
            (recording,) = (await made.web.get("/v1/calls/CA1")).json()["recordings"]
            assert (recording["duration_ms"], recording["format"]) == (2500, "wav")
            assert recording["url"] == "/v1/calls/CA1/recording"

    run_virtual(main())
