"""The call log as its readers see it: each event of the wire is one entry in a small closed vocabulary, or none.

Pure. An entry follows from its event alone, so it is the same to the byte whoever reads it, from whatever place on,
during the call and after it. It keeps the ``seq`` of its event: what is not told leaves a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from server.agents import key_for
from server.ring import Entry

Told = dict[str, Any]
_Tell = Callable[[Told], tuple[str, Told] | None]

SUMMARY: Final = "call.summary"
GAP: Final = "log.gap"
CAUGHT_UP: Final = "log.caught_up"
PARTIAL: Final = "user.speaking"
"""The event of ours that has interim texts; the entry of this name says whether the user speaks."""
MAX_REMEMBERED: Final = 8192
"""Bytes of an event that is remembered together with what was told of it."""
EPHEMERAL: Final = frozenset({"user.speaking", "bot.word", "audio.metrics"})
"""Entries that only lead up to others; and ``user.message`` that is not final."""
ALWAYS: Final = frozenset({GAP, CAUGHT_UP, "call.ended", SUMMARY})
"""They pass every filter of types."""
TYPES: Final = frozenset(
    {
        "call.ringing",
        "call.started",
        "call.ended",
        SUMMARY,
        "user.speaking",
        "user.message",
        "bot.speaking",
        "bot.word",
        "bot.finished",
        "bot.interrupted",
        "bot.corrected",
        "turn.start",
        "turn.end",
        "tool.call",
        "tool.result",
        "docs.sources",
        "skill.loaded",
        "skill.unloaded",
        "audio.metrics",
        "handoff.requested",
        "handoff.active",
        "handoff.released",
        "supervisor.said",
        "supervisor.whispered",
        GAP,
        CAUGHT_UP,
    }
)
"""All that there are; of some this server has nothing to tell yet."""
LATENCY: Final = {
    "vad_ms": "vad",
    "endpointing_ms": "eou",
    "stt_ms": "asr",
    "llm_first_token_ms": "llm_ttft",
    "agent_ms": "agent",
    "tts_first_byte_ms": "tts_ttfb",
    "transport_ms": "transport",
    "total_ms": "e2e",
}
"""What the parts of an answer's time are called in the log, where they are in seconds."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry."""

    seq: int
    type: str
    ephemeral: bool
    agent: str
    data: bytes
    """JSON, with the seven keys of the envelope."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asks for. ``types`` None: all."""

    types: frozenset[str] | None = None
    durable: bool = False
    """Without what is ephemeral."""
    agents: frozenset[str] | None = None
    """Only what these have of a call; None: any."""

    def takes(self, entry: LogEntry) -> bool:
        if entry.type in ALWAYS:
            return True
        if self.agents is not None and entry.agent not in self.agents:
            return False
        if self.durable and entry.ephemeral:
            return False
        return self.types is None or entry.type in self.types


def in_call(entry: Entry) -> LogEntry | None:
    """What the log of its call tells of an event. None: nothing."""
    return _lately(entry) if len(entry.data) <= MAX_REMEMBERED else _in_call(entry)


def _in_call(entry: Entry) -> LogEntry | None:
    tell = MAPPED.get(entry.event)
    if tell is None:
        return None
    event = orjson.loads(entry.data)
    told = tell(event)
    if told is None:
        return None
    kind, data = told
    ephemeral = kind in EPHEMERAL or entry.event == PARTIAL
    return _made(entry.seq, entry.ts, entry.call_id, slug_of(event), kind, data, ephemeral=ephemeral)


# The readers of a live call ask for the same entries within a moment.
_lately = lru_cache(maxsize=4096)(_in_call)


def forget_lately() -> None:
    """What was told lately is not remembered any more."""
    _lately.cache_clear()


def of_agent(entry: Entry, place: int) -> LogEntry | None:
    """What the log of its agent tells of an event: how calls come and go. ``place``: its ``seq`` there."""
    tell = LIFECYCLE.get(entry.event)
    if tell is None:
        return None
    event = orjson.loads(entry.data)
    kind, data = tell(event)
    data = {"call": entry.call_id, **data}
    return _made(place, entry.ts, None, slug_of(event), kind, data, ephemeral=False)


def marker(kind: str, data: Mapping[str, Any], seq: int, ts: float, call: str | None, agent: str) -> LogEntry:
    """A word about the log itself; ``seq`` is that of the entry which was told last."""
    return _made(seq, ts, call, agent, kind, data, ephemeral=False)


def _made(
    seq: int, ts: float, call: str | None, agent: str, kind: str, data: Mapping[str, Any], *, ephemeral: bool
) -> LogEntry:
    envelope = {
        "seq": seq,
        "ts": ts,
        "call": call,
        "agent": agent,
        "type": kind,
        "ephemeral": ephemeral,
        "data": data,
    }
    return LogEntry(seq, kind, ephemeral, agent, orjson.dumps(envelope))


def slug_of(event: Told) -> str:
    """By what the agent, or the line, of an event is known."""
    return _key_of(str(event.get("agent_id") or ""))


# The calls of a server are those of few agents.
_key_of = lru_cache(maxsize=256)(key_for)


# --- calls ------------------------------------------------------------------------------------------------


def _rings(event: Told) -> tuple[str, Told]:
    return "call.ringing", {"direction": event["direction"], "from": event["from"], "to": event["to"]}


def _starts(event: Told) -> tuple[str, Told]:
    told = {
        "direction": event["direction"],
        "from": event["from"],
        "to": event["to"],
        "channel": event["transport"],
    }
    return "call.started", {**told, "metadata": event["metadata"]} if event.get("metadata") else told


def _starts_once(event: Told) -> tuple[str, Told] | None:
    # A call that is handed over has begun already: whose it is now, ``agent`` says.
    return _starts(event) if event.get("routed_from") is None else None


def _ends(event: Told) -> tuple[str, Told]:
    return "call.ended", {"reason": event["reason"], "duration": event["duration_seconds"]}


def _ends_once(event: Told) -> tuple[str, Told] | None:
    return _ends(event) if event["reason"] != "routed" else None


def _sums_up(event: Told) -> tuple[str, Told]:
    return SUMMARY, {
        key: event[key] for key in ("metrics", "usage", "reason", "recording_url") if key in event
    }


# --- what is said -----------------------------------------------------------------------------------------


def _speaks(event: Told) -> tuple[str, Told]:
    return "user.speaking", {"active": event["event"] == "speech.started"}


def _interim(event: Told) -> tuple[str, Told]:
    return "user.message", {"id": event["correlation_id"], "text": event["text"], "final": False}


def _understood(event: Told) -> tuple[str, Told]:
    # The id of the turn: interim and final texts have it, and a turn that goes on keeps it.
    told = {"id": event["correlation_id"], "text": event["text"], "final": True}
    return "user.message", {**told, "language": event["language"]} if event.get("language") else told


def _bot_speaks(event: Told) -> tuple[str, Told]:
    return "bot.speaking", {"id": event["message_id"], "text": event["text"]}


def _word(event: Told) -> tuple[str, Told]:
    return "bot.word", {"id": event["message_id"], "w": event["word"]}


def _finished(event: Told) -> tuple[str, Told]:
    # What was heard comes first: readers drop a message that is over and has no text.
    return _corrected(event) or ("bot.finished", {"id": event["message_id"]})


def _confirmed(event: Told) -> tuple[str, Told] | None:
    if event.get("finished") and event.get("corrects") is not None:
        return "bot.finished", {"id": event["message_id"]}
    return _corrected(event)


def _interrupted(event: Told) -> tuple[str, Told] | None:
    if not event["played_ms"]:
        return None  # Nobody has heard of it.
    told = {"id": event["message_id"]}
    words = event["words_spoken"]
    return "bot.interrupted", {**told, "at_word": words - 1} if words else told


def _corrected(event: Told) -> tuple[str, Told] | None:
    if event.get("corrects") is None:
        return None
    told = {"supersedes": event["corrects"], "id": event["message_id"], "text": event.get("text", "")}
    return "bot.corrected", told


# --- turns, tools, skills ---------------------------------------------------------------------------------


def _users_turn(event: Told) -> tuple[str, Told]:
    return "turn.start", {"turn": event["turn_id"], "role": "user"}


def _bots_turn(event: Told) -> tuple[str, Told]:
    return "turn.start", {"turn": event["turn_id"], "role": "bot"}


def _turn_over(event: Told) -> tuple[str, Told]:
    return "turn.end", {"turn": event["turn_id"], "latency": in_seconds(event.get("latency") or {})}


def in_seconds(latency: Mapping[str, int]) -> dict[str, float]:
    """The parts of an answer's time under their names in the log; those that are known."""
    return {name: latency[part] / 1000 for part, name in LATENCY.items() if part in latency}


def _tool_called(event: Told) -> tuple[str, Told]:
    told = {"id": event["tool_call_id"], "name": event["name"], "args": event["arguments"]}
    return "tool.call", told


def _tool_gave(event: Told) -> tuple[str, Told]:
    told = {
        "id": event["tool_call_id"],
        "name": event["name"],
        "result": event.get("result"),
        "ms": event["duration_ms"],
    }
    return "tool.result", {**told, "error": event["error"]} if "error" in event else told


def _skill(event: Told) -> tuple[str, Told]:
    return event["event"], {"skill": event["skill"], "by": event["by"]}


def _person(event: Told) -> tuple[str, Told]:
    return event["event"], {name: event[name] for name in ("text", "by") if name in event}


def _measured(event: Told) -> tuple[str, Told]:
    names = ("source", "energy_db", "rms", "peak", "is_speech", "vad_prob", "timestamp")
    return "audio.metrics", {name: event[name] for name in names if name in event}


def _human(kind: str) -> _Tell:
    """The agent hands the caller over to a human."""
    return lambda _: (kind, {"by": "agent"})


LIFECYCLE: Final[Mapping[str, Callable[[Told], tuple[str, Told]]]] = {
    "call.ringing": _rings,
    "call.dialing": _rings,
    "call.started": _starts,
    "call.ended": _ends,
}
"""What an agent's log has: a call that is handed over ends for the one and begins for the other."""

MAPPED: Final[Mapping[str, _Tell]] = {
    "call.ringing": _rings,
    "call.dialing": _rings,
    "call.started": _starts_once,
    "call.ended": _ends_once,
    SUMMARY: _sums_up,
    "speech.started": _speaks,
    "speech.ended": _speaks,
    PARTIAL: _interim,
    "user.message": _understood,
    "bot.speaking": _bot_speaks,
    "bot.word": _word,
    "bot.finished": _finished,
    "bot.interrupted": _interrupted,
    "message.confirmed": _confirmed,
    "message.aborted": _corrected,
    "turn.started": _users_turn,
    "turn.end": _bots_turn,
    "turn.completed": _turn_over,
    "tool.started": _tool_called,
    "tool.completed": _tool_gave,
    "tool.failed": _tool_gave,
    "skill.loaded": _skill,
    "skill.unloaded": _skill,
    "audio.metrics": _measured,
    "supervisor.said": _person,
    "supervisor.whispered": _person,
    "handoff.requested": _person,
    "handoff.active": _person,
    "handoff.released": _person,
    "call.transferring": _human("handoff.requested"),
    "call.transferred": _human("handoff.active"),
    "call.forwarded": _human("handoff.active"),
    "call.transfer_failed": _human("handoff.released"),
    "call.forward_failed": _human("handoff.released"),
}
"""What the log of a call tells, by the names of the wire's events."""

NOT_TOLD: Final = frozenset(
    {
        # The state of the call, the agent and the engines: the raw log has it.
        "call.rejected",
        "call.answered_by",
        "call.updated",
        "call.muted",
        "call.unmuted",
        "call.held",
        "call.unheld",
        "call.dtmf_received",
        "call.dtmf_sent",
        "call.routed",
        "call.route_failed",
        "call.recording",
        "recording.started",
        "recording.announced",
        "recording.paused",
        "recording.resumed",
        "session.created",
        "session.ready",
        "session.idle_warning",
        "session.timeout",
        "user.mute_started",
        "user.mute_stopped",
        "agent.state",
        "history.snapshot",
        "error",
        "server.warning",
        # What other entries say already: the final text, whose turn it is, its latency, the correction.
        "eager.turn",
        "turn.pause",
        "turn.resumed",
        "turn.continued",
        "turn.metrics",
        "bot.output",
        "bot.paused",
        "bot.resumed",
        "barge_in",
        "reply.rejected",
        "tts.started",
        "tts.stopped",
        "llm.tool_call",
        "llm.before",
        "llm.preparing_timeout",
        "llm.thinking",
        "llm.reasoning",
        "llm.response",
        "llm.error",
        "llm.no_response",
    }
)
"""Events of calls that no entry tells."""
