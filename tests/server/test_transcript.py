"""Transcripts out of events: the lines, their times, and how they are written."""

from __future__ import annotations

from typing import Any

import orjson

from server.ring import Entry
from server.transcript import Line, as_text, as_vtt, timed, told

ZERO = 1_700_000_000.0


def log(*events: tuple[float, str, dict[str, Any]]) -> list[Entry]:
    return [
        Entry("c", seq, ZERO + at, name, orjson.dumps({"event": name, "ts": ZERO + at, **fields}))
        for seq, (at, name, fields) in enumerate(events, 1)
    ]


TALK = log(
    (0.0, "call.started", {}),
    (0.5, "bot.speaking", {"message_id": "b1"}),
    (1.9, "bot.finished", {"message_id": "b1"}),
    (1.9, "message.confirmed", {"message_id": "b1", "text": "Hello <there> & welcome."}),
    (3.2, "speech.started", {"segment_id": 1, "timestamp": ZERO + 3.0}),
    (4.0, "speech.ended", {"segment_id": 1, "timestamp": ZERO + 3.7}),
    (4.1, "user.message", {"message_id": "u1", "text": "I would", "segment_ids": [1]}),
    (4.6, "speech.started", {"segment_id": 2, "timestamp": ZERO + 4.5}),
    (5.6, "speech.ended", {"segment_id": 2, "timestamp": ZERO + 5.25}),
    (5.7, "user.message", {"message_id": "u1", "text": "I would like\na room", "segment_ids": [1, 2]}),
    (6.0, "bot.speaking", {"message_id": "b2"}),
    (6.4, "bot.interrupted", {"message_id": "b2"}),
    (6.5, "message.confirmed", {"message_id": "b2", "text": ""}),
    (7.0, "user.message", {"message_id": "u2", "text": "typed", "segment_ids": []}),
    (9.0, "call.recording", {"started_at": ZERO + 0.25}),
)


def test_the_lines_have_the_times_of_their_sound() -> None:
    found = told(TALK)
    assert found.lines == (
        Line("assistant", "Hello <there> & welcome.", 500, 1900),
        Line("user", "I would like\na room", 3000, 5250),
        Line("user", "typed", None, None),
    )
    assert found.recording_ms == 250


def test_as_text() -> None:
    assert as_text(told(TALK).lines) == (
        "00:00:00  Bot: Hello <there> & welcome.\n00:00:03  Caller: I would like a room\n          Caller: typed\n"
    )


def test_as_subtitles_on_the_clock_of_the_recording() -> None:
    found = told(TALK)
    assert as_vtt(found.lines, 250) == (
        "WEBVTT\n\n"
        "00:00:00.250 --> 00:00:01.650\n<v Bot>Hello &lt;there&gt; &amp; welcome.\n\n"
        "00:00:02.750 --> 00:00:05.000\n<v Caller>I would like a room\n"
    )
    assert as_vtt([Line("user", "x", 3_600_000)]) == (
        "WEBVTT\n\n01:00:00.000 --> 01:00:01.000\n<v Caller>x\n"
    )


def test_what_was_kept_gets_the_times_that_are_known() -> None:
    lines = told(TALK).lines
    said = [("assistant", "Hello <there> & welcome."), ("user", "lost"), ("user", "typed")]
    assert timed(said, lines) == [lines[0], Line("user", "lost"), lines[2]]  # type: ignore[arg-type]
    assert timed([], lines) == []
