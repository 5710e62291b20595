"""Streams for pages: of an agent, of a call, and of several agents on a socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipeline.events import BotWord, ToolCallsRequested, TurnRef, UserMessage
from pipeline.ports import ToolCall
from server.call import Call
from server.doors import readers
from server.recent import Recent
from server.ring import Entry
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, KEY, PUBLIC, site
from tests.server.test_call_log import kinds, spoken, str_token
from tests.server.test_v1_calls import complete, seen, told

TURN = TurnRef(1, "c0ffee")


def happens(call: Call) -> None:
    call.journal.append(UserMessage(TURN, "u1", "hello", 0.9, (1,), language="en"))
    call.journal.append(ToolCallsRequested(TURN, "t1", (ToolCall("c1", "look", '{"a_b":1}'),)))
    call.journal.append(BotWord(TURN, "m1", "Hi", 0, 0.0, 0.2))


NAMES = ["call.started", "user.message", "llm.toolCall", "bot.word", "call.ended"]


def test_a_page_is_told_of_an_agents_calls_in_its_own_spelling(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin("CA0")
            async with made.web.stream("/v1/agents/Tester/stream") as stream:
                assert await seen(stream, 1) == [("connected", {"agent": "tester"}, None)]
                call = made.begin("CA1", transport="webrtc")
                happens(call)
                await asyncio.sleep(61)
                assert stream.reply.body.count(b":ping\n\n") == 2
                made.end(call)
                events = (await seen(stream, 6))[1:]
            assert [name for name, _, _ in events] == NAMES
            assert all(data["callId"] == "CA1" and data["agent"] == "tester" for _, data, _ in events)
            started, said, asked, word, ended = (data for _, data, _ in events)
            assert (started["from"], started["to"], started["transport"]) == ("+1", "+2", "webrtc")
            assert (said["text"], said["messageId"], said["turnId"]) == ("hello", "u1", 1)
            assert asked["toolCalls"] == [{"id": "c1", "name": "look", "arguments": '{"a_b":1}'}]
            assert (asked["msgId"], word["word"], word["startTime"]) == ("t1", "Hi", 0.0)
            assert (ended["reason"], "duration" in ended, "messages" in ended) == ("hangup", True, False)
            again = str(events[2][2])
            async with made.web.stream("/v1/agents/tester/stream", last_event_id=again) as stream:
                assert [name for name, _, _ in (await seen(stream, 3))[1:]] == NAMES[3:]

    run_virtual(main())


def test_a_page_is_told_of_one_call_to_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin("CA1")
            happens(call)
            async with made.web.stream("/v1/calls/CA1/stream") as stream:
                await seen(stream, 4)
                made.end(call)
                events = await complete(stream)
            assert [(name, seq) for name, _, seq in events] == list(zip(NAMES, range(1, 6), strict=True))
            async with made.web.stream("/v1/calls/CA1/stream", last_event_id="3") as stream:
                assert await complete(stream) == events[3:]

    run_virtual(main())


def test_streams_are_for_those_whom_their_token_names(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            made.end(made.begin())
            mine, other = str_token(made, "tester"), str_token(made, "other")
            one = str_token(made, "tester", call_id="CA1")
            paths = ("/v1/agents/tester/stream", "/v1/calls/CA1/stream", "/v1/agents/tester/calls")
            for path in paths:
                assert (await made.web.get(path)).status == 401
                assert (await made.web.get(f"{path}?token={other}")).status == 403
            for path in ("/v1/agents/tester/stream", "/v1/agents/tester/calls"):
                assert (await made.web.get(f"{path}?token={one}")).status == 403
            async with made.web.stream(f"{paths[0]}?token={mine}") as stream:
                await seen(stream, 1)
                assert stream.reply.headers["access-control-allow-origin"] == "*"
            for token in (mine, one):
                async with made.web.stream(f"{paths[1]}?token={token}") as stream:
                    assert [name for name, _, _ in await complete(stream)] == ["call.started", "call.ended"]
            listed = await made.web.get(f"{paths[2]}?token={mine}")
            assert [call["call_id"] for call in listed.json()["calls"]] == ["CA1"]
            assert (await made.web.get("/v1/agents/other/calls", **BEARER)).json() == {
                "calls": [],
                "next": None,
            }
            assert (await made.web.get("/v1/calls/CA9/stream", **BEARER)).status == 404

    run_virtual(main())


# --- /ws/stream -------------------------------------------------------------------------------------------


def test_a_socket_has_the_calls_of_all_agents_of_its_token_in_one_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            token = str_token(made, "tester", "second")
            async with made.web.socket(f"/ws/stream?token={token}") as socket:
                await socket.wait("log.caught_up")
                one, two = made.begin("CA1"), made.begin("CA2")
                told(one)
                told(two)
                one.journal.hand_over(one.facts, "stranger")
                told(one)
                made.end(two)
                await socket.wait("call.summary")
                socket.say({"action": "ping"})
                socket.say("nonsense")
                await socket.until(lambda: socket.frames[-1] == {"event": "pong"})
                frames: list[Any] = [f for f in socket.frames if "type" in f and f["type"] != "log.caught_up"]
            expected = [
                ("call.started", "CA1"),
                ("call.started", "CA2"),
                ("bot.word", "CA1"),
                ("bot.word", "CA2"),
                ("call.ended", "CA2"),
                ("call.summary", "CA2"),
            ]
            assert [(frame["type"], frame["call"]) for frame in frames] == expected
            seqs = [frame["seq"] for frame in frames]
            assert seqs == sorted(set(seqs))
            async with made.web.socket(f"/ws/stream?token={token}&after={seqs[2]}") as socket:
                assert (await socket.wait("log.caught_up"))["seq"] == seqs[-1]
                assert socket.frames[:-1] == frames[3:]
            async with made.web.socket(f"/ws/stream?token={token}&after=1000") as socket:
                assert (await socket.wait("log.gap"))["data"]["from"] == 1000
            async with made.web.socket(f"/ws/stream?token={KEY}") as socket:
                await socket.wait("log.caught_up")

    run_virtual(main())


def test_a_session_is_one_calls_log_and_stays_open_behind_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            async with made.web.socket("/ws/stream?session=CA1") as socket:
                await socket.wait("log.caught_up")
                spoken(call)
                made.end(call)
                await socket.wait("call.summary")
                await asyncio.sleep(200)
                assert socket.closed is None
                socket.say({"action": "ping"})
                await socket.until(lambda: socket.frames[-1] == {"event": "pong"})
                assert kinds([f for f in socket.frames if "type" in f])[-2:] == ["call.ended", "call.summary"]

    run_virtual(main())


def test_what_is_refused_and_who_is_too_slow_is_told_by_the_close_code(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            call = made.begin()
            other = str_token(made, "other")
            for query, code in (
                ("", 4001),
                (f"?agent=tester&token={other}", 4003),
                (f"?session=CA1&token={other}", 4003),
                (f"?session=CA9&token={KEY}", 4004),
                (f"?after=x&token={KEY}", 4000),
            ):
                async with made.web.socket(f"/ws/stream{query}") as socket:
                    assert (await socket.end())[0] == code
            async with made.web.socket(f"/ws/stream?token={KEY}") as socket:
                await socket.wait("log.caught_up")
                socket.hold()
                told(call)
                at = asyncio.get_running_loop().time()
                assert await socket.end() == (1013, "slow_consumer")
                assert asyncio.get_running_loop().time() - at == pytest.approx(readers.SLOW_S)

    run_virtual(main())


def test_a_caller_who_is_forgotten_is_so_by_streams_and_agents_logs(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            kept = made.begin("CA0")
            made.end(made.begin("CA1"))
            told(kept)
            for path in ("/ws/stream?after=1", "/v1/attach?agent=tester"):
                async with made.web.socket(path) as socket:
                    await socket.wait("log.caught_up")
                assert "CA1" in str(socket.frames)
            assert (await made.web.ask("/v1/callers/+1", "DELETE")).json()["calls"] == 1
            for path in ("/ws/stream?after=1", "/v1/attach?agent=tester"):
                async with made.web.socket(path) as socket:
                    await socket.wait("log.caught_up")
                assert "CA1" not in str(socket.frames)
                assert "CA0" in str(socket.frames)

    run_virtual(main())


# --- what has just happened -------------------------------------------------------------------------------


def of(seq: int, ts: float = 1.0, size: int = 10) -> Entry:
    return Entry("CA1", seq, ts, "bot.word", b"x" * size)


def test_places_grow_whatever_clocks_say_and_what_is_too_much_goes() -> None:
    recent = Recent(max_events=3)
    with recent.reading(None, None) as reader:
        for seq, ts in ((1, 5.0), (2, 5.0), (3, 4.0)):
            recent.add("a", of(seq, ts))
        page = reader.read()
        assert [h.place for h in page.happened] == [5_000_000, 5_000_001, 5_000_002]
        assert page.resume_from == 0
        recent.add("a", of(4, 6.0))
        recent.add("a", of(5, 6.0))
        assert [h.entry.seq for h in reader.read().happened] == [4, 5]
    with recent.reading(("b",), 5_000_000) as late:
        page = late.read()
        assert (page.happened, page.resume_from) == ([], 5_000_002)
        assert late.read().resume_from == 0, "once"
        assert not late.bell.is_set()
        recent.add("a", of(6))
        assert not late.bell.is_set()
        recent.add("b", of(7))
        assert late.bell.is_set()


def test_much_is_read_in_parts_and_large_events_push_out_others() -> None:
    recent = Recent(max_bytes=100)
    for seq in range(1, 30):
        recent.add("a", of(seq))
    assert len(recent.behind(0)[0]) == 10
    recent = Recent()
    for seq in range(1, 1200):
        recent.add("a", of(seq))
    with recent.reading(None, 0) as reader:
        sizes = [len(reader.read().happened) for _ in range(4)]
    assert sizes == [500, 500, 199, 0]
