"""The log stays readable, and small, whatever is sent to the server."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import structlog

from server.logs import A_MINUTE, Bounded, NoTraceback, Scrubber, Spoken
from server.ring import Entry
from server.settings import Settings


def record(
    message: Any, at: float, level: int = logging.WARNING, error: Exception | None = None
) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    made = logging.LogRecord("uvicorn.error", level, __file__, 1, message, None, info)
    made.created = at
    return made


def test_what_is_said_again_and_again_is_written_so_often_a_minute_and_counted() -> None:
    bounded = Bounded()
    assert sum(bounded.filter(record("Invalid HTTP request.", i / 100)) for i in range(1000)) == A_MINUTE
    assert bounded.filter(record("Something else.", 10.0))
    assert bounded.filter(again := record("Invalid HTTP request.", 61.0))
    assert again.getMessage() == "Invalid HTTP request. (and 970 times more before, not written)"
    assert bounded.filter(quiet := record("Invalid HTTP request.", 200.0))
    assert quiet.getMessage() == "Invalid HTTP request."


def test_events_of_ours_are_told_apart_by_their_names() -> None:
    bounded = Bounded(1)
    assert bounded.filter(record({"event": "call.rejected", "to": "+1"}, 0.0))
    assert not bounded.filter(record({"event": "call.rejected", "to": "+2"}, 1.0))
    assert bounded.filter(record({"event": "agent.slow_consumer"}, 1.0))
    assert bounded.filter(later := record({"event": "call.rejected"}, 60.0))
    assert later.msg == {"event": "call.rejected", "not_written": 1}


def test_information_is_not_counted() -> None:
    bounded = Bounded(1)
    assert all(bounded.filter(record({"event": "call.ended"}, 0.0, logging.INFO)) for _ in range(100))


def test_messages_without_end_cost_no_memory() -> None:
    bounded = Bounded()
    for i in range(5000):
        bounded.filter(record(f"never the same {i}", 0.0))
    assert len(bounded._windows) <= 1000


def test_broken_characters_of_a_client_are_no_bug() -> None:
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    theirs = record("Invalid UTF-8 sequence received from client.", 0.0, logging.ERROR, broken)
    ours = record("failed", 0.0, logging.ERROR, ValueError("ours"))
    assert NoTraceback().filter(theirs)
    assert NoTraceback().filter(ours)
    assert (theirs.exc_info, theirs.levelname) == (None, "WARNING")
    assert ours.exc_info is not None


def test_what_is_known_or_looks_like_a_token_is_not_written() -> None:
    scrub = Scrubber()
    scrub.hide(["sk-verysecret", "short"])

    def seen(line: str) -> str:
        return str(scrub(None, "info", line))

    assert seen("the key sk-verysecret was refused") == "the key *** was refused"
    assert seen("cut short") == "cut short"
    assert seen("GET /v1/calls/1/recording?download=1&token=abc.def HTTP") == (
        "GET /v1/calls/1/recording?download=1&token=*** HTTP"
    )
    assert seen("wss://host/twilio/media/abc.def-ghi opened") == "wss://host/twilio/media/*** opened"
    assert seen('{"Authorization": "Bearer abc"}') == '{"Authorization": "Bearer ***"}'
    assert seen("found eyJhbGciOi.eyJzdWIi.c2ln here") == "found *** here"
    assert seen("key=vad.threshold") == "key=vad.threshold"


def test_what_was_said_is_written_where_that_is_wanted() -> None:
    with structlog.testing.capture_logs() as lines:
        spoken = Spoken()
        for event, text in (
            ("turn.end", "hello"),
            ("user.speaking", "hel"),
            ("message.confirmed", "hi there"),
        ):
            data = json.dumps({"event": event, "text": text}).encode()
            assert spoken.offer(data, Entry("CA1", 1, 0.0, event, data))
    assert [(line["call_id"], line["by"], line["text"]) for line in lines] == [
        ("CA1", "user", "hello"),
        ("CA1", "bot", "hi there"),
    ]


def test_settings_know_what_is_secret(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        api_keys=("one-key", "two-key"),
        llm_providers=(("mine", "http://127.0.0.1/v1"),),
        llm_keys=(("mine", "three-key"),),
        database_url="postgresql://user:four-key@host/db",
        otlp_headers="authorization=Bearer%20five",
    )
    assert {"one-key", "two-key", "three-key", "four-key", "Bearer five"} <= set(settings.secrets())
