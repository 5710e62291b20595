"""The end of a call whose server was killed: told by the next one, out of what is in its log.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from server.protocol import CallEnded, EndReason, HistoryMessage, to_json
from server.ring import Entry
from server.summary import CallSummary, PastSummary

DETAIL = "the server that held the call was killed, or lost its machine"


def closed(
    call: PastSummary, entries: Sequence[Entry], now: float, *, recorded: bool, after: int = 0
) -> tuple[Entry | None, PastSummary]:
    """What is added to the log, and what the call came to. Nothing is added where its end was told: then only what comes
    after that was not. ``now`` in epoch seconds; ``recorded``: there is a file; ``after``: the
    ``seq`` of the last event that anybody was told, which may be missing in the log."""
    summary = CallSummary(call.facts, call.slug, call.created_at)
    for entry in entries:
        summary.add(entry)
    end = None
    if summary.state != "ended":
        end = _end(call, entries, summary, now, max(summary.last_seq, after) + 1)
        summary.add(end)
    summary.close()
    summary.recording = recorded
    return end, summary.past()


def _end(call: PastSummary, entries: Sequence[Entry], summary: CallSummary, now: float, seq: int) -> Entry:
    last = entries[-1] if entries else None
    ended_at = last.ts if last is not None else call.created_at
    started_at = summary.started_at if summary.started_at is not None else ended_at
    lines = _transcript(entries)
    facts = call.facts
    ts = max(now, ended_at)
    message = CallEnded(
        agent_id=facts.agent_id,
        call_id=facts.call_id,
        session_id=facts.call_id,
        seq=seq,
        ts=ts,
        reason=EndReason.FAILED,
        detail=DETAIL,
        duration_seconds=round(max(0.0, ended_at - started_at), 3),
        started_at=started_at,
        ended_at=ended_at,
        messages=lines,
        transcript=lines,
        direction=facts.direction,
        from_=facts.from_,
        to=facts.to,
    )
    return Entry(facts.call_id, seq, ts, message.event, to_json(message))


def _transcript(entries: Sequence[Entry]) -> tuple[HistoryMessage, ...]:
    """What user and bot said, as far as it was told: each message as it was told last, in the order of their coming."""
    lines: dict[tuple[str, str], HistoryMessage] = {}
    for entry in entries:
        if entry.event == "user.message":
            told = orjson.loads(entry.data)
            lines["user", told["message_id"]] = HistoryMessage(role="user", content=told["text"])
        elif entry.event == "message.confirmed":
            told = orjson.loads(entry.data)
            lines["bot", told["message_id"]] = HistoryMessage(role="assistant", content=told["text"])
    return tuple(lines.values())
