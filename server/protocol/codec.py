"""Bytes to commands, events to bytes. What cannot be understood is told in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, cast

import orjson
from pydantic import BaseModel, ValidationError

from server.protocol.base import Command, Event, Message, Part
from server.protocol.commands import (
    COMMANDS,
    AgentCommand,
    AnyCommand,
    HistoryCommand,
    HistoryGet,
    LineCreate,
)
from server.protocol.configuration import WITHOUT_EFFECT, SessionConfig
from server.protocol.errors import ErrorCode, ProtocolError
from server.protocol.events import EVENTS
from server.protocol.faults import faults_of
from server.protocol.history import HistoryData, HistoryUpdated
from server.protocol.replies import ErrorEvent, LineError

MAX_TOLD = 100
"""Unknown keys that are named at most, and characters of each."""


def to_json(event: Event) -> bytes:
    """The event as it goes into a text frame. Fields without a value are left out."""
    return event.__pydantic_serializer__.to_json(event, exclude_none=True, by_alias=True)


def parse_command(raw: bytes | str, *, binary: bool = False) -> AnyCommand:
    """Read one message of a client; ``binary`` says that it came in a binary frame.

    Raises ``ProtocolError``: ``BAD_MESSAGE``, ``UNKNOWN_EVENT``, or ``REGISTRATION_ERROR`` for a wrong
    value in a command about an agent or its channels.
    """
    if binary:
        raise _bad("binary frames are not understood: send JSON in text frames")
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _bad(f"not JSON: {error}. Send one JSON object in each text frame") from None
    if not isinstance(fields, dict):
        raise _bad(f"a message must be a JSON object with the field event, not {_kind(fields)}")
    try:
        return _read(fields)
    except ProtocolError as error:
        error.ack, error.command = _id(fields, "ack") or None, _shown(fields.get("event"))
        raise


def _read(fields: dict[str, Any]) -> AnyCommand:
    command = _class_of(fields)
    try:
        # The table of classes holds the members of the union and nothing else.
        return cast(AnyCommand, command.__pydantic_validator__.validate_python(fields))
    except ValidationError as error:
        refusal = _refusal(command, fields, error)
        if issubclass(command, HistoryCommand):
            refusal.request_id = _id(fields, "request_id") or None
        if issubclass(command, LineCreate) and _id(fields, "number"):
            refusal.number = _id(fields, "number")
            refusal.code = ErrorCode.LINE_CONFIG_ERROR
        raise refusal from None


def failed_request(error: ProtocolError) -> HistoryData | HistoryUpdated | LineError | None:
    """The answer to a request that cannot be understood, where it says by which id, or about which line, it is to be
    answered."""
    if error.number is not None:
        return LineError(number=error.number, code="LINE_CONFIG_ERROR", error=error.message)
    if error.request_id is None or error.call_id is None:
        return None
    asked: dict[str, Any] = {"call_id": error.call_id, "request_id": error.request_id}
    if error.command == _name(HistoryGet):
        return HistoryData(**asked, messages=(), error=error.message)
    return HistoryUpdated(**asked, count=0, error=error.message)


def error_event(error: ProtocolError) -> ErrorEvent:
    """What the client is told about its mistake."""
    return ErrorEvent(
        error=error.message,
        code=error.code,
        agent_id=error.agent_id,
        call_id=error.call_id,
        session_id=error.call_id,
        key=error.key,
    )


def unknown_keys(command: Command) -> list[str]:
    """Paths of the keys that this server does not know, in the order they came: at most 100."""
    found: list[str] = []
    for path in _unknown(command, ""):
        if len(found) == MAX_TOLD:
            break
        found.append(path)
    return found


def _unknown(model: BaseModel, prefix: str) -> Iterator[str]:
    for key in model.model_extra or ():
        if isinstance(model, SessionConfig) and key in WITHOUT_EFFECT:
            continue
        yield f"{prefix}{key[:MAX_TOLD]}"
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Part):
            yield from _unknown(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Part):
                    yield from _unknown(item, f"{prefix}{name}.{index}.")


# --- which message ----------------------------------------------------------------------------------------


def _name(message: type[Message]) -> str:
    return str(message.model_fields["event"].default)


def _actions() -> dict[str, dict[str, type[Command]]]:
    """Events that several commands share: they are told apart by ``action``."""
    table: dict[str, dict[str, type[Command]]] = {}
    for command in COMMANDS:
        if "action" in command.model_fields:
            table.setdefault(_name(command), {})[str(command.model_fields["action"].default)] = command
    return table


_BY_ACTION = _actions()
_BY_EVENT = {_name(command): command for command in COMMANDS}
_SENT_BY_SERVER = frozenset(_name(event) for event in EVENTS)


def _class_of(fields: dict[str, Any]) -> type[Command]:
    event = fields.get("event")
    if not isinstance(event, str):
        raise _bad(f"event is required and must be text, the name of a command{_got(fields, 'event')}")
    if event in _BY_ACTION:
        actions = _BY_ACTION[event]
        action = fields.get("action")
        if not isinstance(action, str) or action not in actions:
            allowed = ", ".join(actions)
            text = f"{event}: action must be one of {allowed}{_got(fields, 'action')}"
            raise ProtocolError(ErrorCode.BAD_MESSAGE, text, call_id=_call_id(fields), key="action")
        return actions[action]
    command = _BY_EVENT.get(event)
    if command is None:
        raise _unknown_event(event, fields)
    return command


def _unknown_event(event: str, fields: dict[str, Any]) -> ProtocolError:
    shown = _shown(event)
    if event in _SENT_BY_SERVER:
        advice = "only the server sends it"
    elif close := get_close_matches(shown, _BY_EVENT, n=3, cutoff=0.6):
        advice = f"did you mean {' or '.join(close)}?"
    else:
        advice = f"this server knows {', '.join(_BY_EVENT)}"
    return ProtocolError(
        ErrorCode.UNKNOWN_EVENT,
        f"unknown event {shown!r}: {advice}",
        agent_id=_id(fields, "agent_id"),
        call_id=_call_id(fields),
    )


def _shown(event: Any) -> str:
    return event[:60] if isinstance(event, str) else ""


# --- what is wrong with it --------------------------------------------------------------------------------


def _bad(text: str) -> ProtocolError:
    return ProtocolError(ErrorCode.BAD_MESSAGE, text)


def _id(fields: dict[str, Any], key: str) -> str | None:
    """The client's own spelling, where it may be repeated to it."""
    value = fields.get(key)
    return value if isinstance(value, str) and len(value) <= 200 else None


def _call_id(fields: dict[str, Any]) -> str | None:
    """Some commands name the call by ``session_id``."""
    return _id(fields, "call_id") or _id(fields, "session_id")


def _refusal(command: type[Command], fields: dict[str, Any], error: ValidationError) -> ProtocolError:
    faults = faults_of(error)
    told = [_explain(dict(fault)) for fault in faults[:5]]
    agent_id = _id(fields, "agent_id")
    named = issubclass(command, AgentCommand) and agent_id is not None
    named = named and told[0][0] not in ("agent_id", "ack")
    more = f"; and {len(faults) - len(told)} more" if len(faults) > len(told) else ""
    return ProtocolError(
        ErrorCode.REGISTRATION_ERROR if named else ErrorCode.BAD_MESSAGE,
        f"{_name(command)}: {'; '.join(sentence for _, sentence in told)}{more}",
        agent_id=agent_id,
        call_id=_call_id(fields),
        key=told[0][0] or None,
    )


_SENTENCES = {
    "missing": "is required",
    "string_type": "must be text",
    "string_too_long": "must be text of at most {max_length} characters",
    "bool_type": "must be true or false",
    "literal_error": "must be {expected}",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
}
"""What pydantic found, in the words of the wire; ``{...}`` comes from its context."""


def _explain(fault: dict[str, Any]) -> tuple[str, str]:
    """The path of the field at fault, and a sentence about it."""
    path = ".".join(
        str(step)[:MAX_TOLD] for step in fault["loc"] if not str(step).startswith("<") and step != "[key]"
    )
    kind, context = fault["type"], fault.get("ctx") or {}
    if kind == "value_error":
        return path or "ref", str(context["error"])
    ours = _SENTENCES.get(kind)
    # A sentence of pydantic's may hold braces: a pattern does.
    sentence = ours.format(**context) if ours else fault["msg"].replace("Input should be", "must be")
    if kind != "missing":
        given = fault["input"]
        # A word out of a list of words is shown: it is no secret, and most likely a slip.
        shown = repr(given[:40]) if kind == "literal_error" and isinstance(given, str) else _kind(given)
        sentence += f" (got {shown})"
    return path, f"{path} {sentence}"


def _kind(value: Any) -> str:
    """What was sent, without repeating text: it may be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        return f"text of {len(value)} characters" if value else "empty text"
    return f"a list of {len(value)}" if isinstance(value, list | tuple) else "an object"


def _got(fields: dict[str, Any], key: str) -> str:
    return f" (got {_kind(fields[key])})" if key in fields else ""
