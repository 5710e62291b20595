"""The end of a call whose server was killed: told by the next one, out of what is in its log.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from server.protocol import CallEnded, EndReason, HistoryMessage, to_json
from server.ring import Entry
from server.summary import CallSummary, PastSummary
from server.tally import Tally

DETAIL = "the server that held the call was killed, or lost its machine"


def closed(
    call: PastSummary, entries: Sequence[Entry], now: float, *, recorded: bool
) -> tuple[Sequence[Entry], PastSummary]:
    """What is added to the log, and what the call came to. Where its end was told, what it came to is all that may be
    missing. ``now`` in epoch seconds; ``recorded``: there is a file."""
    summary, tally = CallSummary(call.facts, call.slug, call.created_at), Tally()
    for entry in entries:
        summary.add(entry)
        tally.add(entry)
    added: list[Entry] = []
    if summary.state != "ended":
        added.append(_end(call, entries, summary, now))
        summary.add(added[0])
        tally.add(added[0])
    if not tally.told:
        added.append(tally.entry((*entries, *added)[-1], now))
        summary.add(added[-1])
    summary.close()
    summary.recording = recorded
    return added, summary.past()


def _end(call: PastSummary, entries: Sequence[Entry], summary: CallSummary, now: float) -> Entry:
    last = entries[-1] if entries else None
    ended_at = last.ts if last is not None else call.created_at
    started_at = summary.started_at if summary.started_at is not None else ended_at
    lines = _transcript(entries)
    facts = call.facts
    seq, ts = summary.last_seq + 1, max(now, ended_at)
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
