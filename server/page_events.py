"""What the page of a browser call is told of it. Pure.

A page belongs to the caller: it is told what he can hear or see of the call anyway. Each event that it gets is named
here with the fields that go along; prompts, reasoning, models, keys and the agent's own business are not among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

COMMON = ("event", "call_id", "seq", "ts", "turn_id", "correlation_id")
MAX_RESULT = 16 << 10
"""Bytes of a tool's result; a larger one is left out."""
_MESSAGE = ("message_id",)

FIELDS: dict[str, tuple[str, ...]] = {
    "call.started": ("agent_id", "language", "direction", "transport"),
    "call.updated": ("language",),
    "call.muted": ("by",),
    "call.unmuted": (),
    "call.held": (),
    "call.unheld": (),
    "call.ended": ("reason", "duration_seconds"),
    "session.ready": (),
    "session.idle_warning": ("remaining_seconds", "idle_timeout_seconds"),
    "speech.started": ("confidence", "timestamp", "segment_id"),
    "speech.ended": ("duration_ms", "timestamp", "segment_id"),
    "user.speaking": ("text", "confirmed_text"),
    "user.message": (*_MESSAGE, "text", "language"),
    "turn.pause": ("probability", "latency_ms"),
    "turn.end": (*_MESSAGE, "text", "latency_ms"),
    "turn.resumed": ("timestamp",),
    "turn.continued": ("timestamp",),
    "bot.speaking": (*_MESSAGE, "text"),
    "bot.word": (*_MESSAGE, "word", "word_index", "start_time", "end_time"),
    "bot.paused": (*_MESSAGE, "played_ms", "words_spoken"),
    "bot.resumed": (*_MESSAGE, "word_index"),
    "bot.finished": (*_MESSAGE, "duration_ms"),
    "bot.interrupted": (*_MESSAGE, "played_ms", "words_spoken", "reason"),
    "message.confirmed": (*_MESSAGE, "text"),
    "message.aborted": (*_MESSAGE, "reason"),
    "agent.state": ("state",),
    "audio.metrics": ("source", "energy_db", "rms", "peak", "is_speech", "vad_prob", "timestamp"),
    "llm.thinking": _MESSAGE,
    "llm.tool_call": ("msg_id", "tool_calls"),
}
"""What goes to the page, and what of it, beside ``COMMON``. ``session.timeout`` is not here: a page takes that for the
end, and is told when it is."""
RESULTS = frozenset({"tool.completed", "tool.failed"})


def for_page(data: bytes) -> Iterator[dict[str, Any]]:
    """The messages that tell a page of an event of its call; most often one or none."""
    event: dict[str, Any] = orjson.loads(data)
    name = event["event"]
    if name in RESULTS:
        yield _result(event)
    fields = FIELDS.get(name)
    if fields is not None:
        yield {key: event[key] for key in (*COMMON, *fields) if key in event}


def _result(event: dict[str, Any]) -> dict[str, Any]:
    """One frame for each tool, as pages expect it."""
    told = {key: event[key] for key in COMMON if key in event}
    result = event.get("result") if event["event"] == "tool.completed" else {"error": event.get("error", "")}
    if len(orjson.dumps(result)) > MAX_RESULT:
        result = None
    given: dict[str, Any] = {key: event[key] for key in ("msg_id", "tool_call_id", "name") if key in event}
    return {**told, "event": "llm.tool_result", **given, "result": result}
