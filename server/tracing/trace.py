"""One call's trace: call > turn > stages, with the times that its events have.

Names and attributes are OpenTelemetry's where it has some (GenAI), and ``talkwire.*`` elsewhere. What the server's own
measurement of an answer (``turn.metrics``) knows of a stage's length is taken from there. Nothing of what was said is in
it unless ``texts``, and no number in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from server.tracing.spans import Attributes, Spans, known, nanoseconds

Told = Mapping[str, Any]
CALL: Final = "call"
TURNS: Final = 8
"""Turns whose late tools and messages still find them."""


class CallTrace:
    """Takes the events of one call in order. ``parent``: of its trace; an empty one: it has a trace of its own."""

    def __init__(self, tracer: Tracer, event: Told, parent: Context, *, texts: bool = False) -> None:
        self._spans = Spans(tracer)
        self._texts = texts
        self._turns: dict[int, Context] = {}
        self._signals: dict[int, float] = {}
        """When turns looked over, first."""
        attributes = {
            "gen_ai.conversation.id": event["call_id"],
            "talkwire.call.id": event["call_id"],
            "gen_ai.agent.id": event["agent_id"],
        }
        kind = SpanKind.SERVER if event.get("direction", "inbound") == "inbound" else SpanKind.CLIENT
        self._context = self._spans.start(CALL, "call", event["ts"], parent, attributes, kind)

    @property
    def ended(self) -> bool:
        return self._spans.get(CALL) is None

    def see(self, event: Told) -> None:
        """The next event."""
        handle = HANDLERS.get(event["event"])
        if handle is not None:
            handle(self, event)

    def close(self, at: float) -> None:
        """Nothing more is told of the call."""
        for key in reversed([*self._spans.open()]):
            self._spans.end(key, at)

    def _parent(self, event: Told) -> Context:
        return self._turns.get(event.get("turn_id") or 0, self._context)

    def _start(
        self, key: str, name: str, event: Told, attributes: Attributes, kind: SpanKind = SpanKind.INTERNAL
    ) -> None:
        self._spans.start(key, name, event["ts"], self._parent(event), attributes, kind)

    def _note(self, span: Span | None, name: str, event: Told, attributes: Attributes) -> None:
        if span is not None:
            span.add_event(name, known(attributes), nanoseconds(event["ts"]))

    def _turn(self, event: Told) -> Span | None:
        """The turn that an event belongs to, else the call."""
        return self._spans.get(f"turn:{event.get('turn_id')}") or self._spans.get(CALL)

    # --- the call -----------------------------------------------------------------------------------------

    def on_started(self, event: Told) -> None:
        span = self._spans.get(CALL)
        if span is None:
            return
        attributes = {
            "gen_ai.agent.id": event["agent_id"],
            "talkwire.call.transport": event.get("transport"),
            "talkwire.call.direction": event.get("direction"),
            "talkwire.call.language": event.get("language"),
        }
        span.set_attributes(known(attributes))
        self.on_note(event)

    def on_ended(self, event: Told) -> None:
        reason = event["reason"]
        if reason == "routed":
            self.on_note(event)  # It goes on with another agent.
            return
        fault = reason if reason == "failed" else None
        for key in reversed([*self._spans.open()]):
            if key != CALL:
                self._spans.end(key, event["ts"])
        self._spans.end(CALL, event["ts"], {"talkwire.call.end_reason": reason}, fault)

    def on_note(self, event: Told) -> None:
        """Something that has no length."""
        told = {f"talkwire.{key}": event.get(key) for key in ("by", "reason")}
        self._note(self._spans.get(CALL), event["event"], event, told)

    def on_error(self, event: Told) -> None:
        """Of a provider, mostly. Its sentence stays out: it may repeat what was said."""
        code, stage = event["code"], event.get("stage")
        told = {
            "error.type": code,
            "talkwire.stage": stage,
            "talkwire.provider": event.get("provider"),
            "talkwire.retryable": event.get("retryable"),
            "talkwire.fallback": event.get("fallback"),
        }
        span = self._turn(event)
        self._note(span, "provider.error" if stage else "error", event, told)
        if span is not None and stage and event.get("fallback") is None:
            span.set_attribute("error.type", code)
            span.set_status(Status(StatusCode.ERROR))

    # --- turns --------------------------------------------------------------------------------------------

    def on_turn(self, event: Told) -> None:
        turn = event["turn_id"]
        attributes = {
            "talkwire.turn.id": turn,
            "talkwire.turn.correlation_id": event["correlation_id"],
            "gen_ai.conversation.id": event["call_id"],
        }
        key = f"turn:{turn}"
        self._turns[turn] = self._spans.start(key, "turn", event["ts"], self._context, attributes)
        while len(self._turns) > TURNS:
            del self._turns[next(iter(self._turns))]

    def on_voice(self, event: Told) -> None:
        key = f"speech:{event['segment_id']}"
        self._spans.start(key, "user speech", event["timestamp"], self._parent(event), {})

    def on_silence(self, event: Told) -> None:
        self._spans.end(f"speech:{event['segment_id']}", event["timestamp"])

    def on_text(self, event: Told) -> None:
        lag_ms, at = event.get("lag_ms"), event["ts"]
        if lag_ms is None:
            return
        attributes = {
            "talkwire.stt.confidence": event.get("confidence"),
            "talkwire.stt.language": event.get("language"),
        }
        self._spans.stage("stt", at - lag_ms / 1000, at, self._parent(event), attributes)

    def on_eager(self, event: Told) -> None:
        self._signals.setdefault(event["turn_id"], event["ts"])

    def on_turn_end(self, event: Told) -> None:
        at = event["ts"]
        self.on_eager(event)
        attributes = {
            "talkwire.endpointing.reason": event["reason"],
            "talkwire.endpointing.probability": event["probability"],
        }
        start = at - event["latency_ms"] / 1000
        self._spans.stage("endpointing", start, at, self._parent(event), attributes)
        span = self._spans.get(f"turn:{event['turn_id']}")
        if span is not None and self._texts:
            span.set_attribute("gen_ai.input.messages", _message("user", event["text"]))

    def on_continued(self, event: Told) -> None:
        """What was thought is void."""
        self._signals.pop(event["turn_id"], None)
        self._note(self._turn(event), event["event"], event, {})
        for key in self._spans.open("llm:"):
            self._spans.end(key, event["ts"], {"talkwire.llm.discarded": True})

    def on_completed(self, event: Told) -> None:
        self._signals.pop(event["turn_id"], None)
        attributes = {
            "talkwire.turn.interrupted": event["interrupted"],
            "talkwire.turn.aborted": event["aborted"],
            "talkwire.turn.messages": event["messages_spoken"],
        }
        self._spans.end(f"turn:{event['turn_id']}", event["ts"], attributes)

    # --- answers ------------------------------------------------------------------------------------------

    def on_thinking(self, event: Told) -> None:
        model, message = event.get("model"), event["message_id"]
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": event["provider"],
            "gen_ai.request.model": model,
            "talkwire.message.id": message,
        }
        self._start(
            f"llm:{message}", f"chat {model}" if model else "chat", event, attributes, SpanKind.CLIENT
        )

    def on_response(self, event: Told) -> None:
        usage = event.get("usage") or {}
        attributes = {
            "gen_ai.provider.name": event["provider"],  # Perhaps another one than was asked first.
            "gen_ai.response.model": event.get("model"),
            "gen_ai.response.finish_reasons": [event["finish_reason"]],
            "gen_ai.usage.input_tokens": usage.get("input_tokens"),
            "gen_ai.usage.output_tokens": usage.get("output_tokens"),
        }
        if self._texts and event["text"]:
            attributes["gen_ai.output.messages"] = _message("assistant", event["text"])
        self._spans.end(f"llm:{event['message_id']}", event["ts"], attributes)

    def on_llm_error(self, event: Told) -> None:
        for key in self._spans.open("llm:"):
            self._spans.end(key, event["ts"], fault=event["code"])

    def on_tool(self, event: Told) -> None:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event["name"],
            "gen_ai.tool.call.id": event["tool_call_id"],
            "gen_ai.tool.type": "function",
            "talkwire.tool.kind": event["kind"],
        }
        self._start(_tool(event), f"execute_tool {event['name']}", event, attributes)

    def on_tool_over(self, event: Told) -> None:
        fault = event["code"] if event["event"] == "tool.failed" else None
        self._spans.end(_tool(event), event["ts"], fault=fault)

    def on_synthesis(self, event: Told) -> None:
        message = event["message_id"]
        self._start(f"tts:{message}", "tts", event, {"talkwire.message.id": message}, SpanKind.CLIENT)

    def on_synthesised(self, event: Told) -> None:
        self._spans.end(f"tts:{event['message_id']}", event["ts"])

    def on_heard(self, event: Told) -> None:
        message = event["message_id"]
        self._start(f"playout:{message}", "playout", event, {"talkwire.message.id": message})

    def on_finished(self, event: Told) -> None:
        attributes = {"talkwire.playout.interrupted": False, "talkwire.playout.ms": event["duration_ms"]}
        self._spans.end(f"playout:{event['message_id']}", event["ts"], attributes)

    def on_interrupted(self, event: Told) -> None:
        attributes = {
            "talkwire.playout.interrupted": True,
            "talkwire.playout.ms": event["played_ms"],
            "talkwire.playout.cut_by": event["reason"],
        }
        self._spans.end(f"playout:{event['message_id']}", event["ts"], attributes)

    def on_metrics(self, event: Told) -> None:
        """How long the stages took that no pair of events encloses."""
        message, turn = event["message_id"], event["turn_id"]
        for name, start, key in (
            ("llm first token", self._spans.began(f"llm:{message}"), "llm_first_token_ms"),
            ("agent", self._signals.get(turn), "agent_ms"),
            ("tts first byte", self._spans.began(f"tts:{message}"), "tts_first_byte_ms"),
        ):
            took_ms = event.get(key)
            if start is not None and took_ms is not None:
                attributes = {"talkwire.message.id": message}
                self._spans.stage(name, start, start + took_ms / 1000, self._parent(event), attributes)
        span = self._spans.get(f"turn:{turn}")
        if span is not None:
            told = {f"talkwire.turn.{key}": event.get(key) for key in ("total_ms", "transport_ms", "slowest")}
            span.set_attributes(known(told))


def _tool(event: Told) -> str:
    return f"tool:{event['msg_id']}:{event['tool_call_id']}"


def _message(role: str, text: str) -> str:
    return orjson.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}]).decode()


HANDLERS: Final[Mapping[str, Callable[[CallTrace, Told], None]]] = {
    **dict.fromkeys(
        (
            "call.ringing",
            "call.dialing",
            "call.answered_by",
            "call.rejected",
            "call.held",
            "call.unheld",
            "call.muted",
            "call.unmuted",
            "call.transferring",
            "call.transferred",
            "session.timeout",
        ),
        CallTrace.on_note,
    ),
    "call.started": CallTrace.on_started,
    "call.ended": CallTrace.on_ended,
    "error": CallTrace.on_error,
    "turn.started": CallTrace.on_turn,
    "turn.completed": CallTrace.on_completed,
    "turn.continued": CallTrace.on_continued,
    "speech.started": CallTrace.on_voice,
    "speech.ended": CallTrace.on_silence,
    "user.message": CallTrace.on_text,
    "eager.turn": CallTrace.on_eager,
    "turn.end": CallTrace.on_turn_end,
    "llm.thinking": CallTrace.on_thinking,
    "llm.response": CallTrace.on_response,
    "llm.error": CallTrace.on_llm_error,
    "tool.started": CallTrace.on_tool,
    "tool.completed": CallTrace.on_tool_over,
    "tool.failed": CallTrace.on_tool_over,
    "tts.started": CallTrace.on_synthesis,
    "tts.stopped": CallTrace.on_synthesised,
    "bot.speaking": CallTrace.on_heard,
    "bot.finished": CallTrace.on_finished,
    "bot.interrupted": CallTrace.on_interrupted,
    "turn.metrics": CallTrace.on_metrics,
}
"""The events of which traces are made."""
