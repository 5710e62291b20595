"""What a client is told that asks what becomes of its commands."""

from __future__ import annotations

import json

import orjson
import pytest

from server.protocol import (
    COMMANDS,
    DONE,
    Ack,
    AgentCreate,
    BotReply,
    ErrorCode,
    ErrorEvent,
    Outcome,
    ProtocolError,
    SessionConfigure,
    ack_of,
    ack_of_refused,
    error_event,
    failed,
    outcome_of,
    parse_command,
    to_json,
)
from tests.server.test_protocol_commands import TEST_DATA


def told(ack: Ack | None) -> dict[str, object]:
    assert ack is not None
    found: dict[str, object] = orjson.loads(to_json(ack))
    assert found.pop("event") == "ack"
    return found


def refused(message: object) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse_command(json.dumps(message))
    return caught.value


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_may_ask(command: type) -> None:
    for row in TEST_DATA[command.__name__]:
        parsed = parse_command(json.dumps({**row, "ack": "7"}))
        assert told(ack_of(parsed, DONE))["ack"] == "7"
        assert ack_of(parse_command(json.dumps(row)), DONE) is None
        assert ack_of(parse_command(json.dumps({**row, "ack": None})), DONE) is None


def test_an_ack_repeats_the_commands_ids() -> None:
    reply = BotReply(ack="a", call_id="CA1", message_id="m", text="x")
    waits = Outcome("pending", extras={"message_id": "m", "queue_length": 2})
    assert told(ack_of(reply, waits)) == {
        "ack": "a", "command": "bot.reply", "status": "pending", "call_id": "CA1", "session_id": "CA1",
        "extras": {"message_id": "m", "queue_length": 2},
    }  # fmt: skip
    agent = AgentCreate(ack="a", agent_id="My Agent")
    assert told(ack_of(agent, DONE)) == {
        "ack": "a", "command": "agent.create", "status": "success", "agent_id": "My Agent",
    }  # fmt: skip
    configure = SessionConfigure(ack="a", session_id="CA1")
    gone = told(ack_of(configure, failed(ErrorCode.CALL_UNKNOWN, "over")))
    assert (gone["call_id"], gone["session_id"]) == ("CA1", "CA1")
    assert (gone["status"], gone["code"], gone["message"]) == ("error", "CALL_UNKNOWN", "over")


def test_what_an_error_event_says_is_in_the_ack() -> None:
    event = ErrorEvent(error="taken", code=ErrorCode.AGENT_CONFLICT, agent_id="A", retry_after_s=5.0)
    assert outcome_of(event) == failed(ErrorCode.AGENT_CONFLICT, "taken", retry_after_s=5.0)


@pytest.mark.parametrize(
    ("message", "code", "command"),
    [
        ({"event": "agent.creat"}, "UNKNOWN_EVENT", "agent.creat"),
        ({"event": "x" * 500}, "UNKNOWN_EVENT", "x" * 60),
        ({"event": "agent.create", "agent_id": "A", "voice": 5}, "REGISTRATION_ERROR", "agent.create"),
        ({"event": "bot.reply", "call_id": "c", "message_id": "m"}, "BAD_MESSAGE", "bot.reply"),
        ({"event": "bot.reply.stream", "action": "stop"}, "BAD_MESSAGE", "bot.reply.stream"),
        ({}, "BAD_MESSAGE", ""),
        ({"event": 5}, "BAD_MESSAGE", ""),
    ],
)
def test_what_is_refused_is_acknowledged_too(message: dict[str, object], code: str, command: str) -> None:
    error = refused({**message, "ack": "7"})
    ack = told(ack_of_refused(error))
    assert (ack["ack"], ack["status"], ack["code"], ack["command"]) == ("7", "error", code, command)
    assert ack["message"] == error_event(error).error
    assert ack.get("agent_id") == message.get("agent_id")
    assert ack_of_refused(refused(message)) is None


@pytest.mark.parametrize("ack", [5, "", "x" * 201, ["a"], {"a": 1}, True])
def test_an_ack_that_is_no_id_is_refused(ack: object) -> None:
    for message in ({"event": "ping"}, {"event": "agent.create", "agent_id": "A"}):
        error = refused({**message, "ack": ack})
        assert (error.code, error.key) == (ErrorCode.BAD_MESSAGE, "ack")
        assert "text of 1 to 200 characters" in error.message
        assert ack_of_refused(error) is None


def test_a_bad_session_configure_names_its_call() -> None:
    event = error_event(refused({"event": "session.configure", "session_id": "CA1", "voice": 5}))
    assert (event.code, event.call_id, event.session_id) == (ErrorCode.BAD_MESSAGE, "CA1", "CA1")
