"""What a call comes to: its state, its turns and how quick its answers were, folded out of its events as they come.

Pure. The same events give the same summary, whether they are told one by one or read out of a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from server.agents import slug
from server.ring import Entry
from server.wire import CallFacts

MAX_RESPONSES = 5000
"""Response times that are kept; a call of a day does not have more turns that matter."""
MAX_TEXT = 300
"""Characters of a text that is shown in a list."""
CUT_OFF = ("early", "user_spoke")

State = Literal["ringing", "dialing", "live", "ended"]


@dataclass(frozen=True, slots=True)
class PastSummary:
    """What a call came to, as it is kept."""

    facts: CallFacts
    slug: str
    told: Mapping[str, Any]
    """As ``CallSummary.as_json`` has it."""

    @property
    def call_id(self) -> str:
        return self.facts.call_id

    @property
    def state(self) -> State:
        state: State = self.told["state"]
        return state

    @property
    def created_at(self) -> float:
        return float(self.told["created_at"])

    @property
    def reason(self) -> str | None:
        reason: str | None = self.told["reason"]
        return reason

    @property
    def last_seq(self) -> int:
        return int(self.told["last_seq"])

    @property
    def place(self) -> tuple[float, str]:
        """Where it stands in a list of calls that are over."""
        return float(self.told["ended_at"] or 0.0), self.call_id

    def as_json(self, now: float) -> dict[str, Any]:
        """For lists."""
        return dict(self.told)


class CallSummary:
    """Of one call. It may be asked at any time."""

    def __init__(self, facts: CallFacts, slug: str, created_at: float) -> None:
        self.facts = facts
        self.slug = slug
        self.created_at = created_at
        """When it was taken on, epoch seconds."""
        self.state: State = "ringing"
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.reason: str | None = None
        self.detail: str | None = None
        self.language: str | None = None
        self.answered_by: str | None = None
        self.last_seq = 0
        self.interruptions = 0
        self.errors = 0
        self.last_user: str | None = None
        self.last_bot: str | None = None
        self.recording = False
        """There is a recording of it, or will be."""
        self._last_at = 0.0
        self.agent_state: str | None = None
        self._duration_ms = 0
        self._turns: set[int] = set()
        self._voice_ended: dict[int, float] = {}
        """When the user had said what was not answered yet, by turn."""
        self._measured: list[int] = []
        self._estimated: list[int] = []

    @property
    def call_id(self) -> str:
        return self.facts.call_id

    def add(self, entry: Entry) -> bool:
        """Count an event in. True: it changed what is shown of the call, beyond the number of its events."""
        self.last_seq, self._last_at = entry.seq, entry.ts
        fold = _FOLDS.get(entry.event)
        if fold is None:
            return False
        fold(self, orjson.loads(entry.data))
        return True

    def close(self) -> None:
        """The call is over. Where its end was not told, it is that of its last event."""
        if self.state == "ended":
            return
        self.state, self.reason, self.ended_at = "ended", "failed", self._last_at
        self.agent_state = None
        if self.started_at is not None:
            self._duration_ms = round((self._last_at - self.started_at) * 1000)

    def past(self) -> PastSummary:
        """What is kept of it."""
        return PastSummary(self.facts, self.slug, self.as_json(self._last_at))

    def percentile_ms(self, percent: int) -> int | None:
        """Of the times from the end of the user's voice to the first sound of the answer; None: there was none.

        They are what ``turn.metrics`` measured; where an agent has these switched off, what can be told from the
        events themselves.
        """
        times = sorted(self._measured or self._estimated)
        return times[max(0, -(-len(times) * percent // 100) - 1)] if times else None

    def as_json(self, now: float) -> dict[str, Any]:
        """For lists; ``now`` in epoch seconds."""
        duration_ms = self._duration_ms
        if self.state == "live" and self.started_at is not None:
            duration_ms = max(0, round((now - self.started_at) * 1000))
        facts = self.facts
        return {
            "call_id": facts.call_id,
            "agent_id": facts.agent_id,
            "transport": facts.transport,
            "direction": facts.direction,
            "from": facts.from_,
            "to": facts.to,
            "state": self.state,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "duration_ms": duration_ms,
            "reason": self.reason,
            "detail": self.detail,
            "language": self.language,
            "answered_by": self.answered_by,
            "agent_state": self.agent_state,
            "turns": len(self._turns),
            "interruptions": self.interruptions,
            "errors": self.errors,
            "last_seq": self.last_seq,
            "recording": self.recording,
            "response_ms_p50": self.percentile_ms(50),
            "response_ms_p95": self.percentile_ms(95),
            "last_user_text": self.last_user,
            "last_bot_text": self.last_bot,
        }

    # --- what each event means ----------------------------------------------------------------------------

    def _started(self, event: dict[str, Any]) -> None:
        if self.started_at is None:
            self.started_at = event["ts"]
            self.state = "live"
        if event.get("routed_from") is not None:
            agent_id = event["agent_id"]
            self.facts, self.slug = replace(self.facts, agent_id=agent_id), slug(agent_id)
        self.language = event.get("language")

    def _moved(self, event: dict[str, Any]) -> None:
        self.agent_state = event["state"]

    def _dialing(self, event: dict[str, Any]) -> None:
        self.state = "dialing"

    def _picked_up(self, event: dict[str, Any]) -> None:
        self.answered_by = event["answered_by"]

    def _records(self, _: dict[str, Any]) -> None:
        self.recording = True

    def _updated(self, event: dict[str, Any]) -> None:
        self.language = event["language"]

    def _heard(self, event: dict[str, Any]) -> None:
        self.last_user = event["text"][:MAX_TEXT]

    def _said(self, event: dict[str, Any]) -> None:
        self.last_bot = event["text"][:MAX_TEXT]

    def _turn_ended(self, event: dict[str, Any]) -> None:
        turn_id = event["turn_id"]
        self._turns.add(turn_id)
        self._voice_ended[turn_id] = event["ts"] - event["latency_ms"] / 1000.0

    def _bot_began(self, event: dict[str, Any]) -> None:
        turn_id = event.get("turn_id")
        ended = self._voice_ended.pop(turn_id, None) if turn_id is not None else None
        if ended is not None and len(self._estimated) < MAX_RESPONSES:
            self._estimated.append(max(0, round((event["ts"] - ended) * 1000)))

    def _measured_turn(self, event: dict[str, Any]) -> None:
        total_ms = event.get("total_ms")
        if total_ms is not None and len(self._measured) < MAX_RESPONSES:
            self._measured.append(total_ms)

    def _interrupted(self, event: dict[str, Any]) -> None:
        self.interruptions += event["reason"] in CUT_OFF

    def _failed(self, event: dict[str, Any]) -> None:
        self.errors += 1

    def _ended(self, event: dict[str, Any]) -> None:
        if event["reason"] == "routed":
            return  # Only for whoever had it.
        self.state = "ended"
        self.ended_at = event["ended_at"]
        self.reason, self.detail = event["reason"], event.get("detail")
        self._duration_ms = round(event["duration_seconds"] * 1000)
        self.agent_state = None
        self._voice_ended.clear()


_FOLDS: dict[str, Callable[[CallSummary, dict[str, Any]], None]] = {
    "call.dialing": CallSummary._dialing,
    "call.answered_by": CallSummary._picked_up,
    "call.started": CallSummary._started,
    "agent.state": CallSummary._moved,
    "call.updated": CallSummary._updated,
    "user.message": CallSummary._heard,
    "message.confirmed": CallSummary._said,
    "turn.end": CallSummary._turn_ended,
    "bot.speaking": CallSummary._bot_began,
    "turn.metrics": CallSummary._measured_turn,
    "bot.interrupted": CallSummary._interrupted,
    "error": CallSummary._failed,
    "recording.started": CallSummary._records,
    "call.ended": CallSummary._ended,
}
"""Only these are read; the others cost a look into this table."""
