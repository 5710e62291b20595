"""What is made from the declaration is committed as it is made."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import server.protocol
from server.protocol import COMMANDS, EVENTS, Configuration, ErrorCode
from server.protocol.export import PAGE, SCHEMA, page, schema, schema_json
from tests.server.test_protocol_commands import TEST_DATA as COMMAND_DATA
from tests.server.test_protocol_events import TEST_DATA as EVENT_DATA

DEFINITIONS: dict[str, dict[str, Any]] = schema()["$defs"]


def test_the_committed_schema_is_the_declared_one() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_json(), "run: python -m server.protocol.export"


def test_the_committed_page_is_the_declared_one() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m server.protocol.export"


def test_a_page_without_a_marker_is_refused() -> None:
    text = PAGE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the markers"):
        page(text.replace("<!-- end: events -->", ""))


# --- the schema -------------------------------------------------------------------------------------------


def test_the_schema_has_every_message_and_no_titles_of_fields() -> None:
    for message in (*COMMANDS, *EVENTS):
        definition = DEFINITIONS[message.__name__]
        assert definition["description"]
        for field in definition["properties"].values():
            assert "title" not in field


def test_the_unions_are_complete() -> None:
    for union, members in (("Command", COMMANDS), ("Event", EVENTS)):
        refs = [choice["$ref"] for choice in DEFINITIONS[union]["oneOf"]]
        assert refs == [f"#/$defs/{member.__name__}" for member in members]


def test_the_schema_tells_what_travels() -> None:
    """Each row of the tests has all that is required, and nothing that is not declared."""
    for name, rows in {**COMMAND_DATA, **EVENT_DATA}.items():
        definition = DEFINITIONS[name]
        for row in rows:
            assert set(definition.get("required", ())) <= row.keys()
            assert row.keys() <= definition["properties"].keys()


def test_what_may_be_left_out_is_not_required() -> None:
    assert "turn_id" not in DEFINITIONS["BotWord"]["required"]
    assert DEFINITIONS["BotWord"]["properties"]["turn_id"]["type"] == "integer"
    assert "turn_id" in DEFINITIONS["TurnEnd"]["required"]
    assert "protocol" in DEFINITIONS["Connected"]["required"]
    assert "format" in DEFINITIONS["CallRecording"]["required"]
    assert DEFINITIONS["ClientPing"]["required"] == ["event"]
    assert DEFINITIONS["BotReplyStreamStart"]["required"] == ["event", "call_id", "action", "message_id"]


def test_ranges_and_words_reach_the_schema() -> None:
    vad = DEFINITIONS["VadSettings"]["properties"]["threshold"]["anyOf"][0]
    assert (vad["minimum"], vad["maximum"]) == (0.01, 1)
    assert DEFINITIONS["ErrorCode"]["enum"] == [code.value for code in ErrorCode]
    assert DEFINITIONS["AgentCreate"]["additionalProperties"] is True
    assert DEFINITIONS["BotWord"]["additionalProperties"] is False
    assert "from" in DEFINITIONS["CallStarted"]["properties"]


# --- the page ---------------------------------------------------------------------------------------------


def test_the_page_has_a_section_for_each_message_and_a_row_for_each_key_and_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for message in (*COMMANDS, *EVENTS):
        assert f"### `{message.model_fields['event'].default}`" in text
    for key in Configuration.model_fields:
        assert f"| `{key}` |" in text
    for code in ErrorCode:
        assert f"| `{code}` |" in text


def test_links_within_the_page_lead_somewhere() -> None:
    text = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_the_messages_of_the_example_are_valid() -> None:
    """The first minute of the page is read by its own rules; ``...`` stands for the fields of a call."""
    text = PAGE.read_text(encoding="utf-8")
    call = {"agent_id": "a", "call_id": "c", "session_id": "c", "seq": 1, "ts": 1.0, "correlation_id": "t"}
    ended = {"started_at": 1.0, "ended_at": 2.0, "messages": [], "transcript": [], "direction": "inbound"}
    seen = 0
    for sign, line, rest in re.findall(r"^([<>]) (\{.*?)(,\.\.\.)?\}$", text, re.MULTILINE):
        fields = json.loads(line + "}")
        if sign == ">":
            server.protocol.parse_command(json.dumps(fields))
        else:
            event = next(event for event in EVENTS if event.model_fields["event"].default == fields["event"])
            more = {**call, **({**ended, "from": "x", "to": "y"} if fields["event"] == "call.ended" else {})}
            event.model_validate({**(more if rest else {}), **fields})
        seen += 1
    assert seen >= 15


# --- the package ------------------------------------------------------------------------------------------


def test_the_declaration_is_pure() -> None:
    """It imports nothing of ours, and no clock, socket, task or environment."""
    forbidden = {"asyncio", "time", "os", "socket", "threading", "logging", "media", "pipeline", "telephony"}
    for path in Path(server.protocol.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in forbidden, f"{path.name} imports {name}"
                assert not name.startswith("server") or name.startswith("server.protocol")


def test_the_readme_names_every_event() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    events = {event.model_fields["event"].default for event in EVENTS} - {"ping", "pong"}
    assert {name for name in events if f"`{name}`" not in readme} == set()
