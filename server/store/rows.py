"""A call as a row, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from server.store.ops import Drawn
from server.summary import PastSummary
from server.waveform import Strip, Waveform
from server.wire import CallFacts
from telephony.numbers import normalise


def row_of(call: PastSummary, node: str) -> dict[str, Any]:
    """Its row; ``node`` is the server that has it."""
    facts, told = call.facts, call.told
    return {
        "call_id": facts.call_id,
        "node": node,
        "slug": call.slug,
        "state": "ended" if call.state == "ended" else "live",
        "caller": _plain(normalise(facts.contact)),
        "from_ref": _plain(normalise(facts.from_)),
        "to_ref": _plain(normalise(facts.to)),
        "created_at": call.created_at,
        "ended_at": told["ended_at"],
        "reason": call.reason,
        "last_seq": call.last_seq,
        "lost": 0,
        "lost_to": 0,
        "summary": orjson.dumps(told).decode(),
        "metadata": orjson.dumps(dict(facts.metadata)).decode() if facts.metadata else None,
    }


def call_of(row: Mapping[str, Any]) -> PastSummary:
    """The call of a row."""
    told = orjson.loads(row["summary"])
    facts = CallFacts(
        told["call_id"],
        told["agent_id"],
        told["from"],
        told["to"],
        told["direction"],
        told["transport"],
        orjson.loads(row["metadata"]) if row["metadata"] else None,
    )
    return PastSummary(facts, row["slug"], told)


def drawn_of(waveform: Waveform | None) -> Drawn | None:
    """What is kept of a waveform; None: there is none."""
    strip = waveform.strip(0) if waveform is not None else None
    if strip is None:
        return None
    return Drawn(strip.until_ms, strip.starts_at, strip.until_at, strip.user, strip.bot)


def strip_of(row: Mapping[str, Any], from_ms: int) -> Strip:
    """All of a kept waveform behind ``from_ms``."""
    hop_ms, until_ms = row["hop_ms"], row["until_ms"]
    from_ms = min(from_ms // hop_ms * hop_ms, until_ms)
    first = from_ms // hop_ms
    return Strip(
        from_ms,
        until_ms,
        until_ms,
        row["starts_at"],
        row["until_at"],
        row["user_peaks"][first:],
        row["bot_peaks"][first:],
    )


def _plain(text: str) -> str:
    """PostgreSQL has no room for NUL in a text."""
    return text.replace("\x00", "")
