"""What the server's language model remembers of a call, as agents read and change it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field

from server.protocol.base import Allowed, Event, Part
from server.protocol.calls import HistoryMessage
from server.protocol.tools import CallId


def _text(content: Any) -> Any:
    """Some libraries write a text as a list of its parts, and none as null."""
    if content is None:
        return ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text", "") for part in content if part.get("type", "text") == "text"]
        return "".join(texts) if all(isinstance(text, str) for text in texts) else content
    return content


def _plain_call(call: Any) -> Any:
    """Many libraries nest it: ``{id, type, function: {name, arguments}}``."""
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        return {"id": call.get("id"), **call["function"]}
    return call


def _json_text(arguments: Any) -> Any:
    return orjson.dumps(arguments).decode() if isinstance(arguments, dict) else arguments


class KnownCall(Part):
    """A tool that was asked for: `{id, name, arguments}`, or `{id, type, function: {name, arguments}}`."""

    id: CallId = Field(description="The call; its result names it.")
    name: Annotated[str, Field(min_length=1, max_length=200), Allowed("text of 1 to 200 characters")] = Field(
        description="The tool."
    )
    arguments: Annotated[str, BeforeValidator(_json_text)] = Field(
        default="{}", description="What it was given: an object, as JSON text."
    )


class KnownMessage(Part):
    """One message of a history, in the shape that most libraries for language models have."""

    role: Literal["system", "user", "assistant", "tool"] = Field(description="Who said it.")
    content: Annotated[
        str, BeforeValidator(_text, json_schema_input_type=str | list[dict[str, Any]] | None)
    ] = Field(default="", description="What was said, or what a tool gave; also null, or a list of texts.")
    tool_calls: (
        Annotated[
            tuple[Annotated[KnownCall, BeforeValidator(_plain_call)], ...],
            Field(max_length=128, strict=False),
        ]
        | None
    ) = Field(
        default=None,
        description="What the `assistant` asked for. A call without a `tool` message right behind it is left "
        "out, and so is a result without a call: no model takes them.",
    )
    tool_call_id: CallId | None = Field(default=None, description="Of a `tool` message: whose result it is.")


Known = Annotated[tuple[KnownMessage, ...], Field(max_length=10_000, strict=False)]


class HistoryData(Event):
    """Answers `history.get`."""

    event: Literal["history.data"] = "history.data"
    agent_id: str | None = Field(default=None, description="The agent that has the call.")
    call_id: str = Field(description="The call, as in the command.")
    request_id: str = Field(description="As in the command.")
    messages: tuple[HistoryMessage, ...] = Field(
        description="What was said and heard so far, with tools; without the prompt."
    )
    error: str | None = Field(default=None, description="Why there is none.")


class HistoryUpdated(Event):
    """Answers the other commands of `history`."""

    event: Literal["history.updated"] = "history.updated"
    agent_id: str | None = Field(default=None, description="The agent that has the call.")
    call_id: str = Field(description="The call, as in the command.")
    request_id: str = Field(description="As in the command.")
    count: int = Field(ge=0, description="Messages of the history now, without the prompt.")
    error: str | None = Field(default=None, description="Why nothing was changed.")
