"""What the page of a browser call is told of it. Pure.

Which events, and what of each, is declared with the rest of the wire (``server.protocol.page``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from server.protocol.page import COMMON, FIELDS

MAX_RESULT = 16 << 10
"""Bytes of a tool's result; a larger one is left out."""

RESULTS = frozenset({"tool.completed", "tool.failed"})


def for_page(data: bytes, *, reasoning: bool = False) -> Iterator[dict[str, Any]]:
    """The messages that tell a page of an event of its call; most often one or none. ``reasoning``: its agent lets pages
    see what the model thinks."""
    event: dict[str, Any] = orjson.loads(data)
    name = event["event"]
    if name == "call.ended" and event["reason"] == "routed":
        return  # For the caller nothing has ended.
    if name in RESULTS:
        yield _result(event)
    fields = FIELDS.get(name)
    if name == "llm.reasoning" and not reasoning:
        return
    if name == "tool.started" and event["kind"] != "page":
        return
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
