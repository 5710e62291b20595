"""Figures for Prometheus: what happened in calls, counted as it is told, and how the process stands when it is asked.

Labels are few and their values known beforehand: neither callers nor agents are among them, so that a busy server
stays cheap to watch and its figures tell nothing of anybody.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.agents import AgentRegistry
from server.book import CallBook
from server.calls import CallRegistry
from server.cluster.port import Alone, Cluster
from server.dialling import Dialling
from server.followed import DOORS, Followed
from server.looplag import LoopLag
from server.ring import Entry
from server.ringing import Ringing
from server.store.opened import Kept
from server.version import __version__

PARTS: Final = {
    "vad_ms": "vad",
    "endpointing_ms": "endpointing",
    "stt_ms": "stt",
    "llm_first_token_ms": "llm_first_token",
    "agent_ms": "agent",
    "tts_first_byte_ms": "tts_first_byte",
    "transport_ms": "transport",
    "total_ms": "total",
}
"""Of ``turn.metrics``: what an answer took, part by part. The parts overlap."""
TURN_BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
CALL_BUCKETS: Final = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)


disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is read when somebody asks."""

    calls: CallRegistry
    agents: AgentRegistry
    ringing: Ringing
    dialling: Dialling
    lag: LoopLag
    max_calls: int
    kept: Kept
    book: CallBook
    cluster: Cluster = field(default_factory=Alone)


class Metrics(Collector):
    """Of the process. It watches all calls, as any tap does."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self.registry = registry = CollectorRegistry()
        self._started = Counter(
            "talkwire_calls_started", "Calls that began.", ("transport", "direction"), registry=registry
        )
        self._ended = Counter("talkwire_calls_ended", "Calls that ended.", ("reason",), registry=registry)
        self._lasted = Histogram(
            "talkwire_call_seconds", "How long calls lasted.", buckets=CALL_BUCKETS, registry=registry
        )
        self._turns = Histogram(
            "talkwire_turn_seconds",
            "What answers took, by part; total: from the end of the user's speech to the bot's first sound.",
            ("part",),
            buckets=TURN_BUCKETS,
            registry=registry,
        )
        self._tokens = Counter(
            "talkwire_llm_tokens",
            "Tokens of language models, as they count them.",
            ("kind",),
            registry=registry,
        )
        self._interrupted = Counter(
            "talkwire_interruptions", "Messages of the bot that were cut off.", ("reason",), registry=registry
        )
        self._resumed = Counter(
            "talkwire_false_interruptions", "Pauses of the bot that were none: it went on.", registry=registry
        )
        self._errors = Counter(
            "talkwire_errors", "Errors told to agents.", ("code", "stage", "provider"), registry=registry
        )
        self._tools = Counter("talkwire_tools", "Tools that were run.", ("outcome",), registry=registry)
        self._tool_s = Histogram("talkwire_tool_seconds", "How long tools took.", registry=registry)
        self._note: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "call.started": self._on_started,
            "call.ended": self._on_ended,
            "turn.metrics": self._on_turn,
            "bot.interrupted": lambda event: self._interrupted.labels(event["reason"]).inc(),
            "bot.resumed": lambda _: self._resumed.inc(),
            "error": self._on_error,
            "tool.completed": lambda event: self._on_tool("completed", event),
            "tool.failed": lambda event: self._on_tool("failed", event),
        }
        registry.register(self)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    # --- what happens -------------------------------------------------------------------------------------

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """An event of a call."""
        note = self._note.get(entry.event) if entry is not None else None
        if note is not None:
            note(orjson.loads(data))
        return True

    def _on_started(self, event: dict[str, Any]) -> None:
        if event.get("routed_from") is None:  # Else it began with another agent.
            self._started.labels(event.get("transport", ""), event["direction"]).inc()

    def _on_ended(self, event: dict[str, Any]) -> None:
        if event["reason"] == "routed":
            return  # Only for the agent that had it.
        self._ended.labels(event["reason"]).inc()
        self._lasted.observe(event["duration_seconds"])

    def _on_turn(self, event: dict[str, Any]) -> None:
        for key, part in PARTS.items():
            if (ms := event.get(key)) is not None:
                self._turns.labels(part).observe(ms / 1000)
        for kind in ("input", "output"):
            if tokens := event.get(f"{kind}_tokens"):
                self._tokens.labels(kind).inc(tokens)

    def _on_error(self, event: dict[str, Any]) -> None:
        self._errors.labels(event["code"], event.get("stage", ""), event.get("provider", "")).inc()

    def _on_tool(self, outcome: str, event: dict[str, Any]) -> None:
        self._tools.labels(outcome).inc()
        self._tool_s.observe(event["duration_ms"] / 1000)

    # --- how it stands ------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """Read by the registry."""
        standing = self._standing
        calls = standing.calls
        info = GaugeMetricFamily("talkwire_build_info", "The version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        live = GaugeMetricFamily("talkwire_calls", "Calls there are now.", labels=["state", "transport"])
        for (state, transport), count in Tally(
            (c.state.value, c.facts.transport) for c in calls.all()
        ).items():
            live.add_metric([state, transport], count)
        yield live
        refused = CounterMetricFamily(
            "talkwire_calls_refused", "Calls that were refused while they rang.", labels=["reason"]
        )
        for reason, count in standing.ringing.refused.items():
            refused.add_metric([reason], count)
        yield refused
        yield from _readers(standing.book.followed)
        lag = GaugeMetricFamily(
            "talkwire_loop_lag_seconds",
            "How late the event loop was in the last minute.",
            labels=["quantile"],
        )
        for name, ms in standing.lag.summary().items():
            lag.add_metric([LAG_QUANTILES[name]], ms / 1000)
        yield lag
        journal = standing.kept.figures()
        lost = CounterMetricFamily("talkwire_journal_lost", "Events that could not be kept.")
        lost.add_metric([], journal.get("lost", 0))
        yield lost
        for name, text, value in (
            ("database_up", "0: events are spooled until it is back.", standing.kept.state != "away"),
            ("journal_queued", "Events that are to be written to the database.", journal.get("queued", 0)),
            (
                "journal_spooled_bytes",
                "Of the file that they go to meanwhile.",
                journal.get("spooled_bytes", 0),
            ),
            ("calls_max", "Calls that are taken at once.", standing.max_calls),
            ("draining", "1: it takes no further calls, and stops.", calls.draining),
            ("lagging", "1: it takes no further calls until its loop is in time again.", calls.lagging()),
            ("agents_online", "Agents that are connected.", len(list(standing.agents.online()))),
            (
                "events_undelivered",
                "Events of live calls that no connection has taken yet.",
                sum(call.undelivered for call in calls.all()),
            ),
            ("dials_waiting", "Dials that wait for their turn.", standing.dialling.waiting),
            ("tasks", "Tasks of the event loop.", len(asyncio.all_tasks())),
        ):
            yield GaugeMetricFamily(f"talkwire_{name}", text, value=float(value))
        health = standing.cluster.health()
        for name, text in CLUSTER.items():
            if name in health:
                yield GaugeMetricFamily(f"talkwire_cluster_{name}", text, value=float(health[name]))

    async def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        # Those of the process are read from files.
        return generate_latest(self.registry) + await asyncio.to_thread(generate_latest, self._process)


def _readers(followed: Followed) -> Iterator[Metric]:
    now = GaugeMetricFamily("talkwire_readers", "Who follows lists and logs of calls.", labels=["door"])
    for door in DOORS:
        now.add_metric([door], followed.by(door))
    yield now
    gone = CounterMetricFamily(
        "talkwire_readers_closed", "Readers that were closed, or not let in.", labels=["door", "reason"]
    )
    for (door, reason), count in followed.gone.items():
        gone.add_metric([door, reason], count)
    yield gone


CLUSTER: Final = {
    "nodes": "Nodes that live, this one included.",
    "redis": "1: Redis answers.",
    "waiting": "Messages for other nodes that wait for Redis.",
}
LAG_QUANTILES: Final = {"p50_ms": "0.5", "p95_ms": "0.95", "p99_ms": "0.99", "max_ms": "1"}
