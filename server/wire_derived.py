"""The part of ``server.wire`` for what follows from other events."""

from __future__ import annotations

from typing import Any, assert_never

from pipeline import events
from server import protocol as wire
from server.protocol import AnyCallEvent
from server.wire_llm import history

DerivedEvent = (
    events.BargeIn
    | events.TtsStarted
    | events.TtsStopped
    | events.BotOutput
    | events.TurnStarted
    | events.TurnCompleted
    | events.TurnMetrics
    | events.AgentState
    | events.HistorySnapshot
)


def derived_to_wire(event: DerivedEvent, ids: dict[str, Any]) -> AnyCallEvent:
    """The message that tells ``event``; ``ids`` are the fields of its call and turn."""
    match event:
        case events.BargeIn():
            return wire.BargeIn(**ids, cancelled_message_id=event.cancelled_message_id)
        case events.TtsStarted():
            return wire.TtsStarted(**ids, message_id=event.message_id)
        case events.TtsStopped():
            return wire.TtsStopped(**ids, message_id=event.message_id, characters=event.characters)
        case events.BotOutput():
            return wire.BotOutput(
                **ids,
                message_id=event.message_id,
                segment_id=event.segment_id,
                text=event.text,
                spoken=event.spoken,
                aggregated_by=event.aggregated_by,
            )
        case events.TurnStarted():
            return wire.TurnStarted(**ids, index=event.index)
        case events.TurnCompleted():
            return wire.TurnCompleted(
                **ids,
                messages_spoken=event.messages_spoken,
                interrupted=event.interrupted,
                aborted=event.aborted,
                duration_ms=event.duration_ms,
                latency=_latency(event.latency),
            )
        case events.TurnMetrics():
            return wire.TurnMetrics(
                **ids,
                message_id=event.message_id,
                **_parts(event),
                input_tokens=event.input_tokens,
                output_tokens=event.output_tokens,
                slowest=event.slowest,
            )
        case events.AgentState():
            return wire.AgentState(**ids, state=event.state)
        case events.HistorySnapshot():
            return wire.HistorySnapshot(**ids, count=event.count, messages=history(event.messages))
        case _:
            assert_never(event)


def _latency(took: events.TurnMetrics | None) -> wire.TurnLatency | None:
    return None if took is None else wire.TurnLatency(**_parts(took))


def _parts(took: events.TurnMetrics) -> dict[str, int | None]:
    return {name: getattr(took, name) for name in wire.LatencyParts.model_fields}
