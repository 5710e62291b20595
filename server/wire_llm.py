"""The part of ``server.wire`` for the language model and its tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, assert_never

from pipeline import events, ports
from server import protocol as wire
from server.lines import is_line
from server.protocol import AnyCallEvent, ErrorCode, HistoryMessage

MindEvent = (
    events.LlmBefore
    | events.PreparingTimeout
    | events.LlmAsked
    | events.LlmReasoned
    | events.LlmAnswered
    | events.LlmFailed
    | events.NoResponse
    | events.ToolCallsRequested
    | events.ToolStarted
    | events.ToolCompleted
    | events.ToolFailed
    | events.SkillLoaded
    | events.SkillUnloaded
)


def mind_to_wire(event: MindEvent, ids: dict[str, Any]) -> AnyCallEvent:
    """The message that tells ``event``; ``ids`` are the fields of its call and turn."""
    match event:
        case events.LlmBefore():
            return wire.LlmBefore(**ids, turn=ids.get("turn_id", 0))
        case events.PreparingTimeout():
            return wire.LlmPreparingTimeout(
                **ids, turn=ids.get("turn_id", 0), waited_ms=event.waited_ms, budget_ms=event.budget_ms
            )
        case events.LlmAsked():
            return wire.LlmThinking(
                **ids, message_id=event.message_id, provider=event.provider, model=event.model
            )
        case events.LlmReasoned():
            return wire.LlmReasoning(
                **ids, message_id=event.message_id, index=event.index, text=event.text, end=event.end
            )
        case events.LlmAnswered():
            return wire.LlmResponse(
                **ids,
                message_id=event.message_id,
                text=event.text,
                finish_reason=event.finish_reason,
                usage=wire.Usage(input_tokens=event.input_tokens, output_tokens=event.output_tokens),
                provider=event.provider,
                model=event.model,
            )
        case events.LlmFailed():
            return wire.LlmError(**ids, error=event.text, code=ErrorCode(event.code))
        case events.NoResponse():
            return wire.LlmNoResponse(**ids, message_id=event.message_id or None, reason=event.reason)
        case events.ToolCallsRequested():
            return wire.LlmToolCall(**ids, msg_id=event.msg_id, tool_calls=_calls(event.calls))
        case events.ToolStarted():
            return wire.ToolStarted(**ids, **_tool(event), arguments=dict(event.arguments))
        case events.ToolCompleted():
            return wire.ToolCompleted(
                **ids, **_tool(event), result=event.result, duration_ms=event.duration_ms
            )
        case events.ToolFailed():
            return wire.ToolFailed(
                **ids,
                **_tool(event),
                error=event.error,
                code=wire.ToolErrorCode(event.code),
                duration_ms=event.duration_ms,
            )
        case events.SkillLoaded():
            return wire.SkillLoaded(**ids, skill=event.skill, by=event.by)
        case events.SkillUnloaded():
            return wire.SkillUnloaded(**ids, skill=event.skill, by=event.by)
        case _:
            assert_never(event)


def history(messages: Iterable[ports.ChatMessage]) -> tuple[HistoryMessage, ...]:
    """What a language model was told, with its tools."""
    return tuple(
        HistoryMessage(
            role=message.role,
            content=message.content,
            tool_calls=_asked(message.tool_calls) or None,
            tool_call_id=message.tool_call_id,
        )
        for message in messages
    )


def spoken(lines: Iterable[events.Utterance]) -> tuple[HistoryMessage, ...]:
    """What was said in a call, whoever answered."""
    return tuple(HistoryMessage(role=line.role, content=line.content) for line in lines)


def line_transcript(said: Iterable[events.Said]) -> tuple[wire.LineUtterance, ...]:
    """What was said before a call was handed over."""
    return tuple(wire.LineUtterance(who=_who(line), text=line.content, at=line.at_ms) for line in said)


def _who(line: events.Said) -> Literal["caller", "line", "agent"]:
    if line.role == "user":
        return "caller"
    return "line" if is_line(line.owner) else "agent"


def _asked(calls: Iterable[ports.ToolCall]) -> tuple[wire.AskedTool, ...]:
    return tuple(
        wire.AskedTool(id=call.id, function=wire.AskedFunction(name=call.name, arguments=call.arguments))
        for call in calls
    )


def _calls(calls: Iterable[ports.ToolCall]) -> tuple[wire.ToolCall, ...]:
    return tuple(wire.ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in calls)


def _tool(event: events.ToolStarted | events.ToolCompleted | events.ToolFailed) -> dict[str, Any]:
    return {
        "msg_id": event.msg_id,
        "tool_call_id": event.tool_call_id,
        "name": event.name,
        "kind": event.kind,
    }
