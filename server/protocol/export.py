"""Makes ``schema.json``, ``openapi.json``, ``asyncapi.json`` and the generated parts of ``PROTOCOL.md``.

``python -m server.protocol.export`` rewrites them; the tests say when that was forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from server.protocol.acks import Ack
from server.protocol.asyncapi import ASYNCAPI, asyncapi_json
from server.protocol.base import PROTOCOL, CallEvent, Command, Event, Message
from server.protocol.calls import HistoryMessage, LineUtterance
from server.protocol.commands import COMMANDS
from server.protocol.configuration import (
    AnalysisSettings,
    AwaySettings,
    Configuration,
    EventSettings,
    InterruptionSettings,
    LineSettings,
    LlmSettings,
    MediaSettings,
    PreparingSettings,
    RecordingSettings,
    SessionConfig,
    SessionLimitSettings,
    SttSettings,
    TurnDetectionSettings,
    VadSettings,
    VoiceSettings,
)
from server.protocol.errors import CloseCode, ErrorCode, WarningCode
from server.protocol.events import EVENTS
from server.protocol.history import KnownCall, KnownMessage
from server.protocol.llm import Usage
from server.protocol.openapi import DOCS, OPENAPI, docs_html, openapi_json
from server.protocol.page import ACTIONS, COMMON, FIELDS, OWN
from server.protocol.replies import ResumedCall
from server.protocol.skills import SkillDefinition
from server.protocol.tools import AskedFunction, AskedTool, ToolCall, ToolDefinition, ToolFunction, ToolResult
from server.protocol.turns import TurnLatency

HERE = Path(__file__).parent
SCHEMA = HERE / "schema.json"
PAGE = HERE / "PROTOCOL.md"

OBJECTS: tuple[type[BaseModel], ...] = (
    VoiceSettings,
    SttSettings,
    LlmSettings,
    InterruptionSettings,
    TurnDetectionSettings,
    VadSettings,
    SessionLimitSettings,
    AnalysisSettings,
    EventSettings,
    MediaSettings,
    RecordingSettings,
    AwaySettings,
    SessionConfig,
    LineSettings,
    PreparingSettings,
    ToolDefinition,
    ToolFunction,
    SkillDefinition,
    ToolResult,
    ToolCall,
    AskedTool,
    AskedFunction,
    KnownMessage,
    KnownCall,
    Usage,
    TurnLatency,
    HistoryMessage,
    LineUtterance,
    ResumedCall,
)
"""Objects within messages, in the order of the page."""

JsonObject = dict[str, Any]


class WireSchema(GenerateJsonSchema):
    """The schema of what really travels: the server leaves out fields without a value, and the name of a
    message is never left out.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        schema = field["schema"]
        if schema["type"] != "default":
            return True
        constant = schema["schema"]["type"] == "literal" and len(schema["schema"]["expected"]) == 1
        return constant or (self.mode == "serialization" and schema.get("default") is not None)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().nullable_schema(schema)


def schema() -> JsonObject:
    """All messages as one JSON schema (2020-12): in ``$defs``, with ``Command`` and ``Event`` for all of the agent
    socket, ``PageAction`` and ``PageEvent`` for all of a page's data channel."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(command, "validation") for command in COMMANDS]
    wanted += [(event, "serialization") for event in EVENTS]
    wanted += [(action, "validation") for action in ACTIONS]
    wanted += [(event, "serialization") for event in OWN]
    refs, document = models_json_schema(
        wanted, by_alias=True, ref_template="#/$defs/{model}", schema_generator=WireSchema
    )
    definitions = document["$defs"]
    definitions["Command"] = {"oneOf": [refs[command, "validation"] for command in COMMANDS]}
    definitions["Event"] = {"oneOf": [refs[event, "serialization"] for event in EVENTS]}
    told = {
        f"Page{event.__name__}": _of_page(event, definitions) for event in EVENTS if _name(event) in FIELDS
    }
    definitions.update(told)
    definitions["PageAction"] = {"oneOf": [refs[action, "validation"] for action in ACTIONS]}
    channel: tuple[type[BaseModel], ...] = (*OWN, Ack)
    own = [refs[event, "serialization"] for event in channel]
    definitions["PageEvent"] = {"oneOf": [*({"$ref": f"#/$defs/{name}"} for name in told), *own]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Agent protocol {PROTOCOL}",
        "description": "An agent sends Commands and is sent Events; a page sends PageActions and is sent PageEvents.",
        "$defs": dict(sorted(definitions.items())),
    }


def _name(event: type[BaseModel]) -> str:
    name: str = event.model_fields["event"].default
    return name


def _of_page(event: type[BaseModel], definitions: JsonObject) -> JsonObject:
    """What of an event goes to a page."""
    whole = definitions[event.__name__]
    kept = (*COMMON, *FIELDS[_name(event)])
    return {
        **whole,
        "properties": {key: value for key, value in whole["properties"].items() if key in kept},
        "required": [key for key in whole["required"] if key in kept],
        "title": f"Page{event.__name__}",
    }


def schema_json() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


# --- the page ---------------------------------------------------------------------------------------------


def page(current: str) -> str:
    """``current`` with its generated parts made anew; what stands between them is written by hand.

    Raises ``ValueError`` where the markers of a part are missing.
    """
    definitions = schema()["$defs"]
    parts = {
        "error codes": _table(("Code", "Meaning"), ((f"`{c}`", c.meaning) for c in ErrorCode)),
        "warning codes": _table(("Code", "Meaning"), ((f"`{c}`", c.meaning) for c in WarningCode)),
        "close codes": _table(("Code", "Meaning"), ((f"{c:d}", c.meaning) for c in CloseCode)),
        "configuration": _fields(_object(Configuration), definitions),
        "objects": "\n\n".join(_object_section(part, definitions) for part in OBJECTS),
        "call fields": _fields(_object(CallEvent), definitions, leave_out={"event"}),
        "commands": "\n\n".join(_section(command, definitions) for command in COMMANDS),
        "events": "\n\n".join(_section(event, definitions) for event in EVENTS),
    }
    for name, text in parts.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        head, found, rest = current.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{PAGE.name} lacks the markers {begin} and {end}")
        current = f"{head}{begin}\n\n{text}\n\n{end}{tail}"
    return current


TOLD = (HistoryMessage, LineUtterance, ToolCall, AskedTool, AskedFunction, Usage, TurnLatency)
"""Objects of events; the others are of commands."""


def _object(model: type[BaseModel]) -> JsonObject:
    told = issubclass(model, (Event, *TOLD))
    mode: JsonSchemaMode = "serialization" if told else "validation"
    return model.model_json_schema(schema_generator=WireSchema, mode=mode)


def _section(message: type[Message], definitions: JsonObject) -> str:
    definition = definitions[message.__name__]
    properties = definition["properties"]
    title = f"### `{properties['event']['const']}`"
    if "action" in properties:
        title += f" {properties['action']['const']}"
    hidden = {"event"} | ({"ack"} if issubclass(message, Command) else set())
    notes = []
    if Configuration in message.__mro__:
        hidden |= set(Configuration.model_fields)
        notes.append("And the [configuration keys](#configuration).")
    if issubclass(message, CallEvent):
        # A turn's event has the same fields, some of them always.
        hidden |= set(CallEvent.model_fields)
        always = " `turn_id` and `correlation_id` are always there." * (
            "turn_id" in definition.get("required", ())
        )
        notes.append(f"And the [fields of a call](#fields-of-a-call).{always}")
    return "\n\n".join(
        text
        for text in (
            title,
            _prose(message),
            _fields(definition, definitions, leave_out=hidden),
            " ".join(notes),
        )
        if text
    )


def _object_section(model: type[BaseModel], definitions: JsonObject) -> str:
    return "\n\n".join((f"#### {model.__name__}", _prose(model), _fields(_object(model), definitions)))


def _prose(model: type[BaseModel]) -> str:
    paragraphs = re.split(r"\n\s*\n", (model.__doc__ or "").strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _fields(definition: JsonObject, definitions: JsonObject, leave_out: Iterable[str] = ()) -> str:
    required = definition.get("required", ())
    rows = []
    for name, value in definition["properties"].items():
        if name not in leave_out:
            always = "yes" if name in required else ""
            rows.append((f"`{name}`", _type(value, definitions), always, value.get("description", "")))
    return _table(("Field", "Type", "Required", "Meaning"), rows) if rows else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _type(value: JsonObject, definitions: JsonObject) -> str:
    return " or ".join(dict.fromkeys(_kinds(value, definitions)))


def _kinds(value: JsonObject, definitions: JsonObject) -> Iterator[str]:
    """The forms that a value may have, in JSON's words. Null is not told: it always means absent."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        target = definitions[name]
        yield _words(target["enum"]) if "enum" in target else f"[{name}](#{name.lower()})"
    elif choices := value.get("anyOf") or value.get("oneOf"):
        for choice in choices:
            yield from _kinds(choice, definitions)
    elif "const" in value or "enum" in value:
        yield _words(value.get("enum") or [value["const"]])
    elif "type" not in value:
        yield "any"
    elif value.get("type") == "array":
        yield f"list of {_type(value['items'], definitions)}"
    elif value.get("type") == "object":
        yield "object"
    elif value.get("type") != "null":
        yield f"{value['type']}{_bounds(value)}"


def _words(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _bounds(value: JsonObject) -> str:
    low, high = value.get("minimum"), value.get("maximum")
    if low is not None and high is not None:
        return f" {low:g} to {high:g}"
    if low is not None:
        return f" from {low:g}"
    return f" of at most {value['maxLength']}" if "maxLength" in value else ""


def main() -> None:
    SCHEMA.write_text(schema_json(), encoding="utf-8")
    OPENAPI.write_text(openapi_json(), encoding="utf-8")
    ASYNCAPI.write_text(asyncapi_json(), encoding="utf-8")
    DOCS.write_text(docs_html(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
