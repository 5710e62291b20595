"""The call log: which of our events it tells, in what words, and what its readers make of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from server.envelopes import (
    MAPPED,
    NOT_TOLD,
    SUMMARY,
    TYPES,
    LogEntry,
    Wanted,
    in_call,
    marker,
    of_agent,
)
from server.protocol import EVENTS
from server.protocol.base import CallEvent
from server.ring import Entry
from server.tally import Tally, spread
from tests.protocol import golden, golden_log

OF_CALLS = {str(e.model_fields["event"].default) for e in EVENTS if issubclass(e, CallEvent)} | {
    "error",
    "server.warning",
}
"""What may stand in a journal (``AnyCallEvent``)."""


def told(event: str, seq: int = 5, agent_id: str = "Front Desk", **data: Any) -> dict[str, Any] | None:
    made = in_call(entry(event, seq, agent_id, **data))
    return None if made is None else dict(orjson.loads(made.data))


def entry(event: str, seq: int = 5, agent_id: str = "Front Desk", **data: Any) -> Entry:
    message = {"event": event, "agent_id": agent_id, "call_id": "CA1", "seq": seq, "ts": 7.5, **data}
    return Entry("CA1", seq, 7.5, event, orjson.dumps(message))


def test_each_event_of_a_call_is_told_or_named_as_not_told() -> None:
    assert set(MAPPED) - {SUMMARY} | NOT_TOLD == OF_CALLS
    assert not set(MAPPED) & NOT_TOLD


def test_the_golden_log_is_what_is_told_now() -> None:
    assert golden_log.LOG_FILE.read_text(encoding="utf-8") == golden_log.text(), (
        "run: python -m tests.protocol.golden_log"
    )


def test_an_envelope_has_seven_keys_and_the_seq_of_its_event() -> None:
    entries = golden_log.log()
    seqs = [e["seq"] for e in entries]
    assert seqs == sorted(set(seqs))
    for e in entries:
        assert list(e) == ["seq", "ts", "call", "agent", "type", "ephemeral", "data"]
        assert e["type"] in TYPES
        assert (e["call"], e["agent"]) == (golden.FACTS.call_id, "front-desk")
    assert (entries[0]["type"], entries[-2]["type"], entries[-1]["type"]) == (
        "call.started",
        "call.ended",
        "call.summary",
    )


@pytest.mark.parametrize("durable", [False, True])
def test_who_reads_the_log_knows_what_was_said(durable: bool) -> None:
    """As the console of another server's maker puts it together: one line a message, in the order of their coming."""
    wanted = Wanted(durable=durable)
    lines: dict[str, list[str]] = {}
    places: dict[int, str] = {}
    for made in golden_log.entries():
        if not wanted.takes(made):
            continue
        e = orjson.loads(made.data)
        data = e["data"]
        match e["type"]:
            case "user.message":
                lines[data["id"]] = ["user", data["text"]]
            case "bot.speaking":
                lines[data["id"]], places[e["seq"]] = ["assistant", data["text"]], data["id"]
            case "bot.corrected":
                assert places[data["supersedes"]] == data["id"]
                lines[data["id"]][1] = data["text"]
            case "bot.finished":
                # A message that is over and has no text is not shown.
                assert lines[data["id"]][1], "its text comes first"
    ended = next(e for e in golden.load() if e["event"] == "call.ended")
    transcript = [[line["role"], line["content"]] for line in ended["transcript"]]
    assert [line for line in lines.values() if line[1]] == transcript


def test_durable_readers_are_spared_what_only_leads_up_to_something() -> None:
    kinds = {made.type for made in golden_log.entries() if made.ephemeral}
    assert kinds == {"user.speaking", "user.message", "bot.word"}
    finals = [orjson.loads(m.data)["data"]["final"] for m in golden_log.entries() if m.type == "user.message"]
    assert set(finals) == {True, False}
    assert all(
        orjson.loads(m.data)["data"]["final"]
        for m in golden_log.entries()
        if m.type == "user.message" and not m.ephemeral
    )


# --- rows that the golden call has not ---------------------------------------------------------------------


def test_times_of_a_turn_are_seconds_and_what_is_not_known_is_left_out() -> None:
    latency = {"vad_ms": 280, "endpointing_ms": 300, "agent_ms": 250, "total_ms": 1210}
    made = told("turn.completed", turn_id=3, latency=latency)
    assert made is not None
    assert made["data"] == {"turn": 3, "latency": {"vad": 0.28, "eou": 0.3, "agent": 0.25, "e2e": 1.21}}
    unanswered = told("turn.completed", turn_id=4)
    assert unanswered is not None
    assert unanswered["data"] == {"turn": 4, "latency": {}}


def test_a_call_begins_and_ends_once_in_its_log_and_for_each_of_its_agents_in_theirs() -> None:
    facts: dict[str, Any] = {
        "direction": "inbound",
        "from": "+1",
        "to": "+2",
        "transport": "phone",
        "metadata": {"a": 1},
    }
    first, routed = entry("call.started", **facts), entry("call.started", routed_from="agent:a", **facts)
    left, over = (entry("call.ended", reason=why, duration_seconds=2.5) for why in ("routed", "hangup"))
    in_log = [in_call(each) for each in (first, left, routed, over)]
    assert [made.type if made else None for made in in_log] == ["call.started", None, None, "call.ended"]
    of = [of_agent(each, 1000 + place) for place, each in enumerate((first, left, routed, over))]
    assert [made.type for made in of if made] == ["call.started", "call.ended"] * 2
    assert of[1] is not None
    assert orjson.loads(of[1].data) == {
        "seq": 1001,
        "ts": 7.5,
        "call": None,
        "agent": "front-desk",
        "type": "call.ended",
        "ephemeral": False,
        "data": {"call": "CA1", "reason": "routed", "duration": 2.5},
    }
    assert of_agent(entry("bot.word"), 1) is None
    made = told("call.started", **facts)
    assert made is not None
    assert made["data"] == {
        "direction": "inbound",
        "from": "+1",
        "to": "+2",
        "channel": "phone",
        "metadata": {"a": 1},
    }


@pytest.mark.parametrize(
    ("event", "data", "kind", "expected"),
    [
        (
            "call.dialing",
            {"direction": "outbound", "from": "+1", "to": "+2", "dial_id": "d"},
            "call.ringing",
            {"direction": "outbound", "from": "+1", "to": "+2"},
        ),
        (
            "tool.failed",
            {"tool_call_id": "t", "name": "n", "error": "no", "duration_ms": 4, "code": "error"},
            "tool.result",
            {"id": "t", "name": "n", "result": None, "ms": 4, "error": "no"},
        ),
        ("skill.loaded", {"skill": "s", "by": "model"}, "skill.loaded", {"skill": "s", "by": "model"}),
        ("call.transferring", {"to": "+3"}, "handoff.requested", {"by": "agent"}),
        ("call.transferred", {"to": "+3"}, "handoff.active", {"by": "agent"}),
        ("call.forward_failed", {"to": "+3", "reason": "busy"}, "handoff.released", {"by": "agent"}),
        ("audio.metrics", {"source": "user", "rms": 0.5}, "audio.metrics", {"source": "user", "rms": 0.5}),
        (
            "bot.interrupted",
            {"message_id": "m", "played_ms": 90, "words_spoken": 0},
            "bot.interrupted",
            {"id": "m"},
        ),
        ("message.aborted", {"message_id": "m", "corrects": 3}, "bot.corrected", None),
        ("error", {"code": "X"}, None, None),
        ("bot.finished", {"message_id": "m", "duration_ms": 9}, "bot.finished", {"id": "m"}),
        (
            "bot.finished",
            {"message_id": "m", "duration_ms": 9, "text": "heard", "corrects": 3},
            "bot.corrected",
            {"supersedes": 3, "id": "m", "text": "heard"},
        ),
        (
            "message.confirmed",
            {"message_id": "m", "text": "heard", "corrects": 3, "finished": True},
            "bot.finished",
            {"id": "m"},
        ),
        (
            "message.confirmed",
            {"message_id": "m", "text": "hea", "corrects": 3, "finished": False},
            "bot.corrected",
            {"supersedes": 3, "id": "m", "text": "hea"},
        ),
        ("message.confirmed", {"message_id": "m", "text": "as told", "finished": True}, None, None),
        ("bot.interrupted", {"message_id": "m", "played_ms": 0, "words_spoken": 0}, None, None),
    ],
)
def test_what_is_told_of_an_event(
    event: str, data: dict[str, Any], kind: str | None, expected: dict[str, Any] | None
) -> None:
    made = told(event, **data)
    assert (made and made["type"]) == kind
    if expected is not None:
        assert made is not None
        assert made["data"] == expected


def test_what_passes_every_filter() -> None:
    def of(kind: str, agent: str = "a", *, ephemeral: bool = False) -> LogEntry:
        return LogEntry(1, kind, ephemeral, agent, b"")

    words = Wanted(types=frozenset({"bot.word"}), durable=True, agents=frozenset({"b"}))
    for kind in ("log.gap", "log.caught_up", "call.ended", "call.summary"):
        assert words.takes(of(kind))
    assert not words.takes(of("bot.word", "b", ephemeral=True))
    assert not words.takes(of("user.message", "b"))
    assert not Wanted(agents=frozenset({"b"})).takes(of("user.message"))
    assert Wanted().takes(of("bot.word", ephemeral=True))
    assert b'"seq":9' in marker("log.gap", {}, 9, 1.0, "CA1", "a").data


# --- the summary ------------------------------------------------------------------------------------------


def test_percentiles_are_nearest_ranks() -> None:
    assert spread([0.5]) == {"p50": 0.5, "p90": 0.5, "p95": 0.5, "max": 0.5, "n": 1}
    hundred = [place / 10 for place in range(100, 0, -1)]
    assert spread(hundred) == {"p50": 5.0, "p90": 9.0, "p95": 9.5, "max": 10.0, "n": 100}


def test_the_summary_has_what_the_engines_were_given_and_how_the_call_ended() -> None:
    tally = Tally()
    for each in (
        entry("llm.response", usage={"input_tokens": 10, "output_tokens": 3}),
        entry("llm.response", usage={}),
        entry("tts.stopped", characters=20),
        entry("tts.stopped", characters=5),
        entry("speech.ended", duration_ms=1500),
        entry("turn.completed", latency={"total_ms": 900}),
        entry("call.ended", reason="routed"),
        entry("call.ended", reason="hangup"),
        entry("call.recording", url="https://x/y"),
    ):
        tally.add(each)
    last = entry("call.recording", seq=9)
    closing = tally.entry(last, 1.0)
    assert (closing.seq, closing.ts, closing.key) == (10, 7.5, ""), "behind all, and no agent's"
    made = in_call(closing)
    assert made is not None
    assert orjson.loads(made.data)["data"] == {
        "metrics": {"e2e": {"p50": 0.9, "p90": 0.9, "p95": 0.9, "max": 0.9, "n": 1}},
        "usage": {
            "llm": {"responses": 2, "input_tokens": 10, "output_tokens": 3},
            "tts": {"characters": 25},
            "stt": {"seconds": 1.5},
        },
        "reason": "hangup",
        "recording_url": "https://x/y",
    }
    tally.add(closing)
    assert tally.told
    tally.add(entry("call.ended", reason="failed"))
    assert not tally.told, "something came behind it"
