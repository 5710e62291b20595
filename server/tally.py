"""The last entry of a call's log: how quick its answers were and what its engines were given, counted out of its events.

Pure. The same events give the same entry, whether they are told one by one or read out of a store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from server.envelopes import LATENCY, SUMMARY, in_seconds
from server.ring import Entry

MAX_TIMES: Final = 5000
"""Answers whose times are kept; a call of a day does not have more that matter."""
PERCENTS: Final = (50, 90, 95)


class Tally:
    """Of one call."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {name: [] for name in LATENCY.values()}
        self._responses = self._input_tokens = self._output_tokens = 0
        self._characters = self._speech_ms = 0
        self._reason: str | None = None
        self._url: str | None = None
        self.told = False
        """The log ends with its last entry."""

    def add(self, entry: Entry) -> None:
        """Count an event in."""
        self.told = entry.event == SUMMARY
        count = _COUNTED.get(entry.event)
        if count is not None:
            count(self, orjson.loads(entry.data))

    def entry(self, last: Entry, ts: float) -> Entry:
        """The last entry of a log that ends with ``last`` by now. It is nobody's: no agent is told of it."""
        seq, ts = last.seq + 1, max(ts, last.ts)
        agent_id = orjson.loads(last.data).get("agent_id")
        told = {
            "event": SUMMARY,
            "agent_id": agent_id,
            "call_id": last.call_id,
            "session_id": last.call_id,
            "seq": seq,
            "ts": ts,
            **self.figures(),
        }
        return Entry(last.call_id, seq, ts, SUMMARY, orjson.dumps(told))

    def figures(self) -> dict[str, Any]:
        """Times in seconds; of what was never measured nothing is said."""
        told: dict[str, Any] = {
            "metrics": {name: spread(times) for name, times in self._times.items() if times},
            "usage": {
                "llm": {
                    "responses": self._responses,
                    "input_tokens": self._input_tokens,
                    "output_tokens": self._output_tokens,
                },
                "tts": {"characters": self._characters},
                "stt": {"seconds": self._speech_ms / 1000},
            },
            "reason": self._reason or "failed",
        }
        return {**told, "recording_url": self._url} if self._url is not None else told

    # --- what each event means ----------------------------------------------------------------------------

    def _turn_over(self, event: dict[str, Any]) -> None:
        for name, seconds in in_seconds(event.get("latency") or {}).items():
            if len(self._times[name]) < MAX_TIMES:
                self._times[name].append(seconds)

    def _answered(self, event: dict[str, Any]) -> None:
        usage = event["usage"]
        self._responses += 1
        self._input_tokens += usage.get("input_tokens") or 0
        self._output_tokens += usage.get("output_tokens") or 0

    def _voiced(self, event: dict[str, Any]) -> None:
        self._characters += event["characters"]

    def _spoke(self, event: dict[str, Any]) -> None:
        self._speech_ms += event["duration_ms"]

    def _ended(self, event: dict[str, Any]) -> None:
        if event["reason"] != "routed":
            self._reason = event["reason"]

    def _recorded(self, event: dict[str, Any]) -> None:
        self._url = event.get("url")


_COUNTED: Final[dict[str, Callable[[Tally, dict[str, Any]], None]]] = {
    "turn.completed": Tally._turn_over,
    "llm.response": Tally._answered,
    "tts.stopped": Tally._voiced,
    "speech.ended": Tally._spoke,
    "call.ended": Tally._ended,
    "call.recording": Tally._recorded,
}


def spread(times: list[float]) -> dict[str, float | int]:
    """Nearest ranks."""
    ranked = sorted(times)
    ranks = {f"p{percent}": ranked[max(0, -(-len(ranked) * percent // 100) - 1)] for percent in PERCENTS}
    return {**ranks, "max": ranked[-1], "n": len(ranked)}
