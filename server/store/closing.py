"""The end of a call whose server was killed, and what there is of its recording: told by the next one, out of what is in
the log and the folder.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from server.protocol import CallEnded, CallRecording, EndReason, HistoryMessage, to_json
from server.recordings import OnDisk
from server.ring import Entry
from server.summary import CallSummary, PastSummary
from server.tally import Tally

DETAIL = "the server that held the call was killed, or lost its machine"


def closed(
    call: PastSummary, entries: Sequence[Entry], now: float, recorded: OnDisk | None, *, after: int = 0
) -> tuple[list[Entry], PastSummary]:
    """What is added to the log, and what the call came to. Nothing is added of what was told before its server was
    killed. ``now`` in epoch seconds; ``recorded``: its file, if there is one; ``after``: the ``seq`` of the last event
    that anybody was told, which may be missing in the log."""
    summary, tally = CallSummary(call.facts, call.slug, call.created_at), Tally()
    for entry in entries:
        summary.add(entry)
        tally.add(entry)
    added: list[Entry] = []

    def add(entry: Entry) -> None:
        added.append(entry)
        summary.add(entry)
        tally.add(entry)

    if summary.state != "ended":
        add(_end(call, entries, summary, now, max(summary.last_seq, after) + 1))
    sealed = tally.told
    if not sealed and recorded is not None and recorded.duration_ms and not _told(entries, "call.recording"):
        add(_recording(call, entries, summary, now, recorded))
    if not sealed:
        add(tally.entry((*entries, *added)[-1], now))
    summary.close()
    summary.recording = recorded is not None
    return added, summary.past()


def _told(entries: Sequence[Entry], *names: str) -> list[dict[str, Any]]:
    return [orjson.loads(entry.data) for entry in entries if entry.event in names]


def _recording(
    call: PastSummary, entries: Sequence[Entry], summary: CallSummary, now: float, file: OnDisk
) -> Entry:
    began = _told(entries, "recording.started")
    facts = summary.facts
    seq, ts = summary.last_seq + 1, max([now, *(entry.ts for entry in entries[-1:])])
    message = CallRecording(
        agent_id=facts.agent_id,
        call_id=facts.call_id,
        session_id=facts.call_id,
        seq=seq,
        ts=ts,
        url=file.url,
        duration_ms=file.duration_ms,
        format=file.format,
        sample_rate=file.sample_rate_hz,
        channels=began[-1]["channels"] if began else "stereo",
        started_at=_first_sample_at(entries),
    )
    return Entry(facts.call_id, seq, ts, message.event, to_json(message))


def _first_sample_at(entries: Sequence[Entry]) -> float | None:
    """As an event has it that was told in the middle of the audio; None: there was none, and nobody knows."""
    placed = _told(
        entries, "recording.started", "recording.announced", "recording.paused", "recording.resumed"
    )
    return next((round(told["ts"] - told["at_ms"] / 1000.0, 3) for told in placed if told["at_ms"]), None)


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
    """What user and bot said since the call was handed over last, as far as it was told: each message as it was told
    last, in the order of their coming."""
    lines: dict[tuple[str, str], HistoryMessage] = {}
    for entry in entries:
        if entry.event == "call.ended":
            lines.clear()
        elif entry.event == "user.message":
            told = orjson.loads(entry.data)
            lines["user", told["message_id"]] = HistoryMessage(role="user", content=told["text"])
        elif entry.event == "message.confirmed":
            told = orjson.loads(entry.data)
            lines["bot", told["message_id"]] = HistoryMessage(role="assistant", content=told["text"])
    return tuple(lines.values())
