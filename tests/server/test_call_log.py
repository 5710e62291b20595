"""The call log as its readers get it: pages, server-sent events, and attached sockets, on virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import BotSpeaking, BotWord, MessageConfirmed, Routed
from server.call import Call
from server.doors import attach, readers
from server.doors.browser import AUDIENCES, STREAM
from server.envelopes import in_call
from server.ring import Entry
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, KEY, PUBLIC, Site, site
from tests.server.test_v1_calls import complete, keep_only, said, seen, told

LOG = "/v1/calls/CA1/events"
ATTACH = "/v1/attach"


def spoken(call: Call) -> None:
    """Of all kinds: told, ephemeral, not told."""
    said(call, "hello")
    call.journal.append(BotSpeaking(None, "m1", ""))
    told(call, 2)
    call.journal.append(Routed("x"))
    call.journal.append(MessageConfirmed(None, "m1", "word word"))


def str_token(made: Site, *agents: str, lifetime_s: float = 3600.0, **sealed: Any) -> str:
    tokens, now = made.services.tokens, made.services.clock.epoch()
    return tokens.issue(
        agents[0], AUDIENCES[STREAM], now, lifetime_s, agents=list(agents), **{"scope": "observe", **sealed}
    )


KINDS = [
    "call.started",
    "turn.start",
    "user.message",
    "bot.speaking",
    "bot.word",
    "bot.word",
    "bot.corrected",
    "call.ended",
    "call.summary",
]


def kinds(frames: list[Any]) -> list[str]:
    return [frame["type"] for frame in frames if not frame["type"].startswith("log.")]


# --- pages ------------------------------------------------------------------------------------------------


def test_pages_are_the_same_during_the_call_and_after_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            spoken(call)
            during = (await made.web.get(LOG)).json()
            assert (during["live"], "next" in during) == (True, False)
            made.end(call)
            after = (await made.web.get(LOG)).json()
            assert (after["live"], "next" in after) == (False, False)
            assert after["entries"][:-2] == during["entries"]
            assert kinds(after["entries"]) == [kind for kind in KINDS if kind != "turn.start"]
            paged: list[Any] = []
            cursor: int | None = 0
            while cursor is not None:
                page = (await made.web.get(f"{LOG}?limit=3&after={cursor}")).json()
                assert len(page["entries"]) <= 3
                paged += page["entries"]
                cursor = page.get("next")
            assert paged == after["entries"]

    run_virtual(main())


def test_a_page_has_the_types_that_are_wanted_and_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.doors.call_log.MAX_READ", 10)
    monkeypatch.setattr("server.doors.call_log.READ_AT_ONCE", 5)

    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            told(call, 40)
            said(call, "at last")
            made.end(call)
            page = (await made.web.get(f"{LOG}?types=user.message")).json()
            assert (page["entries"], page["next"]) == ([], 10)
            found: list[Any] = []
            cursor: int | None = 0
            while cursor is not None:
                page = (await made.web.get(f"{LOG}?types=user.message&after={cursor}")).json()
                found += page["entries"]
                cursor = page.get("next")
            assert kinds(found) == ["user.message", "call.ended", "call.summary"]
            durable = (await made.web.get(f"{LOG}?durable=1&after=35")).json()
            assert kinds(durable["entries"]) == ["user.message", "call.ended", "call.summary"]

    run_virtual(main())


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("types=bot.wrod", "bot.wrod"),
        ("types=" + ",".join(["bot.word"] + [f"x{place}" for place in range(32)]), "32"),
        ("durable=yes", "durable"),
        ("limit=1001", "limit"),
        ("limit=0", "limit"),
        ("after=-1", "after"),
        ("format=raw", "format"),
    ],
)
def test_what_cannot_be_asked_for_is_told(tmp_path: Path, query: str, word: str) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin()
            reply = await made.web.get(f"{LOG}?{query}")
            assert (reply.status, word in reply.detail) == (400, True)

    run_virtual(main())


# --- server-sent events -----------------------------------------------------------------------------------


def test_a_stream_tells_the_log_to_its_summary_and_then_that_there_is_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            async with made.web.stream(LOG) as stream:
                first = await seen(stream, 2)
                assert stream.reply.body.startswith(b"retry: 1000\n\nid: 1\nevent: call.started\ndata: {")
                assert [(name, seq) for name, _, seq in first] == [("call.started", 1), ("log.caught_up", 1)]
                spoken(call)
                await asyncio.sleep(51)
                assert stream.reply.body.count(b": ping\n\n") == 2
                made.end(call)
                events = await complete(stream)
            assert [name for name, _, _ in events if name != "log.caught_up"] == [
                kind for kind in KINDS if kind != "turn.start"
            ]
            assert all(data["seq"] == seq and data["type"] == name for name, data, seq in events)
            last = events[-1][2]
            assert last is not None
            async with made.web.stream(f"{LOG}?after=2", last_event_id=str(last - 1)) as stream:
                assert [name for name, _, _ in await complete(stream)] == ["call.summary", "log.caught_up"]
            gone = await made.web.get(LOG, accept="text/event-stream", last_event_id=str(last))
            assert (gone.status, gone.body) == (204, b"")

    run_virtual(main())


def test_what_is_not_kept_is_a_gap_and_the_stream_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            keep_only(call, 5)
            told(call, 20)
            async with made.web.stream(f"{LOG}?after=3") as stream:
                events = await seen(stream, 7)
            (gap, data, seq), *rest = events
            assert (gap, data["data"], seq) == ("log.gap", {"from": 3, "resume_from": 17}, 3)
            assert [s for _, _, s in rest] == [17, 18, 19, 20, 21, 21]

    run_virtual(main())


def test_a_reader_that_is_overtaken_is_told_of_the_gap(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            keep_only(call, 5)
            async with made.web.stream(LOG) as stream:
                await seen(stream, 2)
                stream.hold()
                for _ in range(12):
                    told(call)
                    await asyncio.sleep(0.01)
                stream.flowing.set()
                made.end(call)
                events = await complete(stream)
            gaps = [data["data"] for name, data, _ in events if name == "log.gap"]
            seqs = [seq for name, _, seq in events if seq is not None and not name.startswith("log.")]
            assert seqs == sorted(set(seqs))
            missing = sorted(set(range(1, 16)) - set(seqs))
            assert missing == [s for gap in gaps for s in range(gap["from"] + 1, gap["resume_from"])]
            assert missing

    run_virtual(main())


# --- attached ---------------------------------------------------------------------------------------------


def test_whoever_attaches_has_the_backlog_then_caught_up_then_what_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            spoken(call)
            async with made.web.socket(f"{ATTACH}?call=CA1&after=1") as socket:
                caught = await socket.wait("log.caught_up")
                assert (caught["seq"], caught["data"]) == (7, {"seq": 7})
                assert (caught["call"], caught["agent"]) == ("CA1", "tester")
                backlog = kinds(socket.frames)
                assert backlog == ["user.message", "bot.speaking", "bot.word", "bot.word", "bot.corrected"]
                told(call)
                await asyncio.sleep(0)
                made.end(call)
                assert await socket.end() == (1000, "sealed")
            assert kinds(socket.frames) == [*backlog, "bot.word", "call.ended", "call.summary"]
            page = await made.web.get(f"{LOG}?after=1")
            for text, frame in zip(socket.texts, socket.frames, strict=True):
                assert (text.encode() in page.body) != frame["type"].startswith("log."), (
                    "the same to the byte"
                )

    run_virtual(main())


def test_an_agents_log_tells_how_calls_come_and_go_from_any_place_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.end(made.begin("CA1"))
            async with made.web.socket(f"{ATTACH}?agent=Tester") as socket:
                await socket.wait("log.caught_up")
                call = made.begin("CA2")
                spoken(call)
                made.end(call)
                await socket.until(lambda: len(socket.frames) == 5)
                frames = [frame for frame in socket.frames if frame["type"] != "log.caught_up"]
            assert [(f["type"], f["call"], f["data"]["call"], f["agent"]) for f in frames] == [
                ("call.started", None, "CA1", "tester"),
                ("call.ended", None, "CA1", "tester"),
                ("call.started", None, "CA2", "tester"),
                ("call.ended", None, "CA2", "tester"),
            ]
            seqs = [frame["seq"] for frame in frames]
            assert seqs == sorted(set(seqs))
            async with made.web.socket(f"{ATTACH}?agent=tester&after={seqs[1]}") as socket:
                assert (await socket.wait("log.caught_up"))["seq"] == seqs[3]
                assert [frame for frame in socket.frames if frame["type"] != "log.caught_up"] == frames[2:]

    run_virtual(main())


def test_what_a_socket_is_refused_for_is_its_close_code(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            made.begin()
            mine, other = str_token(made, "tester"), str_token(made, "other")
            one = str_token(made, "tester", call_id="CA1")
            joins = str_token(made, "tester", scope="participate")
            late = str_token(made, "tester", lifetime_s=-1)
            for query, code, word in (
                ("call=CA1", 4001, "token"),
                ("call=CA1&token=tw_wrong", 4001, "neither"),
                (f"call=CA1&token={late}", 4001, "expired"),
                (f"call=CA1&token={joins}", 4003, "scope"),
                (f"call=CA1&token={other}", 4003, "another"),
                (f"agent=tester&token={other}", 4003, "another"),
                (f"agent=tester&token={one}", 4003, "one call"),
                (f"call=CA2&token={KEY}", 4004, "not known"),
                (f"token={KEY}", 4000, "exactly one"),
                (f"call=CA1&agent=tester&token={KEY}", 4000, "exactly one"),
                (f"call=CA1&token={KEY}&types=nothing", 4000, "nothing"),
            ):
                async with made.web.socket(f"{ATTACH}?{query}") as socket:
                    closed = await socket.end()
                assert (closed[0], word in closed[1]) == (code, True), (query, closed)
                assert not socket.frames
            for query in (f"call=CA1&token={mine}", f"call=CA1&token={one}", f"agent=tester&token={mine}"):
                async with made.web.socket(f"{ATTACH}?{query}") as socket:
                    await socket.wait("log.caught_up")
            async with made.web.socket(f"{ATTACH}?call=CA1", **BEARER) as socket:
                await socket.wait("log.caught_up")
            reply = await made.web.get(f"{LOG}?token={mine}")
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")
            assert (await made.web.get(f"{LOG}?token={other}")).status == 403
            assert (await made.web.get(f"{LOG}?format=wire&token={mine}")).status == 403
            assert (await made.web.get(LOG)).status == 401
            assert (await made.web.get(LOG, **BEARER)).headers.get("access-control-allow-origin") is None

    run_virtual(main())


def test_a_socket_does_not_outlive_its_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            made.begin()
            short = str_token(made, "tester", lifetime_s=90)
            async with made.web.socket(f"{ATTACH}?call=CA1&token={short}") as socket:
                await socket.wait("log.caught_up")
                made.services.clock.epoch = lambda at=None: 1e12  # type: ignore[method-assign]
                made.book._epoch = made.services.clock.epoch
                assert await socket.end() == (4001, "the token has expired")

    run_virtual(main())


def test_one_that_does_not_read_is_closed_and_the_others_and_the_call_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with site(tmp_path) as made:
            call = made.begin()
            async with (
                made.web.socket(f"{ATTACH}?call=CA1") as slow,
                made.web.socket(f"{ATTACH}?call=CA1") as quick,
            ):
                await slow.wait("log.caught_up")
                await quick.wait("log.caught_up")
                slow.hold()
                at = loop.time()
                told(call, 50)
                assert loop.time() == at, "nobody is waited for"
                await quick.until(lambda: len(quick.frames) == 52)
                assert loop.time() == at
                assert await slow.end() == (1013, "slow_consumer")
                assert loop.time() - at == pytest.approx(readers.SLOW_S)
                made.end(call)
                assert await quick.end() == (1000, "sealed")

    run_virtual(main())


def test_readers_are_let_go_when_the_server_stops(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin()
            async with (
                made.web.socket(f"{ATTACH}?call=CA1") as one,
                made.web.socket(f"{ATTACH}?agent=tester") as two,
            ):
                await one.wait("log.caught_up")
                await two.wait("log.caught_up")
                made.book.close()
                assert await one.end() == await two.end() == (1012, "server_stopped")

    run_virtual(main())


def test_a_reader_of_one_agent_is_told_nothing_of_what_another_did(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            call = made.begin()
            told(call)
            async with made.web.socket(f"{ATTACH}?call=CA1&token={str_token(made, 'tester')}") as socket:
                await socket.wait("log.caught_up")
                call.journal.hand_over(call.facts.__class__("CA1", "Other", "+1", "+2"), "other")
                call.journal.append(BotWord(None, "m1", "secret", 0, 0.0, 0.1))
                made.end(call)
                await socket.end()
            assert kinds(socket.frames) == ["call.started", "bot.word", "call.ended", "call.summary"]

    run_virtual(main())


SCRIPTS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(1, 12)),
        st.tuples(st.just("other"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.integers(0, 2)),
        st.tuples(st.just("hold"), st.just(0)),
        st.tuples(st.just("flow"), st.just(0)),
        st.tuples(st.just("leave"), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(script=SCRIPTS, room=st.integers(2, 30) | st.none(), begun=st.integers(0, 20), after=st.integers(0, 9))
def test_whoever_attaches_anywhere_and_is_cut_off_anywhere_ends_with_exactly_the_log(
    tmp_path_factory: pytest.TempPathFactory,
    script: list[tuple[str, int]],
    room: int | None,
    begun: int,
    after: int,
) -> None:
    """Beyond what memory keeps, the gaps say which events are missing, and no others are."""

    async def main() -> None:
        async with site(tmp_path_factory.getbasetemp()) as made:
            call = made.begin()
            journal: list[Entry] = []
            call.watch(Noting(journal))
            if room is not None:
                keep_only(call, room)
            told(call, begun)
            seqs: list[int] = []
            missing: set[int] = set()
            steps = iter([*script, ("finish", 0)])
            ended = False
            while not ended:
                cursor = seqs[-1] if seqs else after
                async with made.web.socket(f"{ATTACH}?call=CA1&after={cursor}") as socket:
                    while not ended:
                        kind, amount = next(steps, ("leave", 0))
                        match kind:
                            case "tell":
                                told(call, amount)
                            case "other":
                                for _ in range(amount):
                                    call.journal.append(Routed("x"))
                            case "wait":
                                await asyncio.sleep(amount * 0.01)
                            case "hold":
                                socket.hold()
                            case "flow":
                                socket.flowing.set()
                            case "leave":
                                break
                            case "finish":
                                made.end(call)
                                socket.flowing.set()
                                ended = await socket.end() == (1000, "sealed")
                    for frame in socket.frames:
                        if frame["type"] == "log.gap":
                            missing |= set(range(frame["data"]["from"] + 1, frame["data"]["resume_from"]))
                        elif not frame["type"].startswith("log."):
                            seqs.append(frame["seq"])
                if not ended and call.is_over:
                    async with made.web.socket(
                        f"{ATTACH}?call=CA1&after={seqs[-1] if seqs else after}"
                    ) as last:
                        ended = await last.end() == (1000, "sealed")
            journal += call.events.since(journal[-1].seq)  # The summary is nobody's but the log's.
            expected = [e.seq for e in journal if in_call(e) is not None and e.seq > after]
            assert seqs == sorted(set(seqs))
            assert set(seqs) | (missing & set(expected)) == set(expected)
            assert room is not None or not missing

    run_virtual(main())


class Noting:
    """Watches a call."""

    def __init__(self, journal: list[Entry]) -> None:
        self._journal = journal

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        if entry is not None:
            self._journal.append(entry)
        return True


# --- supervisors ------------------------------------------------------------------------------------------


def test_verbs_are_handed_on_for_a_supervisor_of_a_live_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            call = made.begin()
            heard: list[tuple[Call, dict[str, Any]]] = []

            async def verbs(call: Call, command: dict[str, Any]) -> dict[str, Any] | None:
                heard.append((call, command))
                return {"type": "ack", "verb": command["type"]}

            said_of = attach.Said(made.services, verbs, "CA1")
            assert await said_of.answer({"type": "say", "text": "hi"}) == {"type": "ack", "verb": "say"}
            assert heard == [(call, {"type": "say", "text": "hi"})]
            made.end(call)
            over = await said_of.answer({"type": "end"})
            assert over is not None
            assert over["code"] == "CALL_OVER"

    run_virtual(main())


def test_verbs_are_refused_to_observers_and_where_nobody_does_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, supervising=False, **PUBLIC) as made:
            made.begin()
            for token, said_text, code in (
                (str_token(made, "tester"), '{"type":"say"}', "FORBIDDEN"),
                (str_token(made, "tester", scope="supervise"), '{"type":"say"}', "NOT_AVAILABLE"),
                (KEY, "what", "BAD_MESSAGE"),
                (KEY, "[1]", "BAD_MESSAGE"),
            ):
                async with made.web.socket(f"{ATTACH}?call=CA1&token={token}") as socket:
                    await socket.wait("log.caught_up")
                    socket.say(said_text)
                    assert (await socket.wait("error"))["code"] == code
                    socket.say({"action": "ping"})
                    await socket.until(lambda s=socket: s.frames[-1] == {"event": "pong"})  # type: ignore[misc]

    run_virtual(main())
