"""What is wrong with a chat that holds tools, as the hosted service says it; and what is answered to one where no
plan says otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tests.fakes.openai_endpoint.wire import Json, Refusal

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_WISH = re.compile(r"call (\w+) (\{.*?\})")


def check_order(messages: Sequence[Any]) -> None:
    """Each call of a tool has exactly one result, right behind the message that asked for it."""
    open_calls: list[str] = []
    for i, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                text = (
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                )
                raise Refusal(400, f"Invalid parameter: {text}", param=f"messages[{i}].role")
            open_calls.remove(message["tool_call_id"])
            continue
        _check_answered(open_calls, i)
        calls = message.get("tool_calls")
        if calls is not None:
            open_calls = _asked(message, calls, i)
    _check_answered(open_calls, len(messages))


def _check_answered(open_calls: list[str], place: int) -> None:
    if open_calls:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        text += f"'tool_call_id'. The following did not have response messages: {', '.join(open_calls)}"
        raise Refusal(400, text, param=f"messages[{place}].role")


def _asked(message: Json, calls: Any, i: int) -> list[str]:
    if message["role"] != "assistant" or not isinstance(calls, list) or not calls:
        raise Refusal(400, f"Invalid 'messages[{i}].tool_calls'.", param=f"messages[{i}].tool_calls")
    ids = [call["id"] for call in calls]
    for call in calls:
        well = call.get("type") == "function" and call["id"] and _NAME.fullmatch(call["function"]["name"])
        if not well or not isinstance(json.loads(call["function"]["arguments"]), dict):
            raise Refusal(400, f"Invalid call {call!r}.", param=f"messages[{i}].tool_calls")
    if len(set(ids)) < len(ids):
        raise Refusal(400, f"Duplicate ids {ids}.", param=f"messages[{i}].tool_calls")
    return ids


def check_tools(body: Json) -> list[str]:
    """The names of the tools that may be asked for."""
    tools, choice = body.get("tools"), body.get("tool_choice", "auto")
    if tools is None:
        if "tool_choice" in body:
            text = "Invalid value for 'tool_choice': only allowed when 'tools' are specified."
            raise Refusal(400, text, param="tool_choice")
        return []
    if not isinstance(tools, list) or not tools:
        raise Refusal(400, "Invalid 'tools': empty array.", param="tools", code="empty_array")
    for i, tool in enumerate(tools):
        function = tool.get("function", {})
        if tool.get("type") != "function" or not _NAME.fullmatch(function.get("name", "")):
            raise Refusal(400, f"Invalid 'tools[{i}]'.", param=f"tools[{i}]")
        parameters = function.get("parameters", {})
        if parameters.get("type") != "object" or "properties" not in parameters:
            text = f"Invalid schema for function '{function['name']}': schema must be of type object."
            raise Refusal(
                400, text, param=f"tools[{i}].function.parameters", code="invalid_function_parameters"
            )
    return [] if choice == "none" else [tool["function"]["name"] for tool in tools]


def wishes(messages: Sequence[Any], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What is called where no plan says otherwise: what the user's last message says, as in
    ``call lookup {"city": "Paris"}``, unless it has been answered."""
    last = messages[-1]
    if last["role"] != "user" or not isinstance(last.get("content"), str):
        return ()
    return tuple((name, arguments) for name, arguments in _WISH.findall(last["content"]) if name in names)


def told(messages: Sequence[Any]) -> str | None:
    """What is answered to the results of tools; None: there are none to answer."""
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, message["content"])
    return f"It says {' and '.join(results)}." if results else None
