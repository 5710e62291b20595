"""Commands that are almost right, made from the schema: whatever is wrong with them, it is told and nothing else."""

from __future__ import annotations

import gc
import json
import weakref
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.protocol import (
    COMMANDS,
    DONE,
    Command,
    ErrorCode,
    ProtocolError,
    SessionConfigure,
    ack_of,
    ack_of_refused,
    codec,
    error_event,
    parse_command,
    to_json,
    unknown_keys,
)
from tests.protocol.schema import DEFINITIONS, Json, sample

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ODD = st.recursive(
    SCALARS | st.sampled_from(["", "x" * 201, "x" * 200_001, 10**30, -(10**30), 1e308, 0.1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def almost(schema: Json) -> st.SearchStrategy[Any]:
    """What the schema asks for, and now and then something else, at any depth."""
    right = _right(schema)
    return st.integers(0, 9).flatmap(lambda chance: ODD if chance == 0 else right)


def _right(schema: Json) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _named(schema["$ref"].rpartition("/")[2])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([almost(choice) for choice in choices])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    match schema.get("type"):
        case "object" if schema.get("properties"):
            fields = {name: almost(field) for name, field in schema["properties"].items()}
            return st.fixed_dictionaries({}, optional=fields)
        case "array":
            return st.lists(almost(schema["items"]), max_size=3)
        case "integer" | "number":
            return st.sampled_from([schema.get("minimum", 0), schema.get("maximum", 1), 1, 1.5])
        case "boolean":
            return st.booleans()
        case "string":
            return st.sampled_from(["en", "text", "es-PE", "UTC", ""])
        case _:
            return st.dictionaries(st.text(max_size=8), SCALARS, max_size=3)


@cache
def _named(name: str) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: almost(DEFINITIONS[name]))


def told(message: Any) -> ProtocolError | None:
    """Read it. Nothing but ``ProtocolError`` may come of it, and what is said of it must be sayable."""
    raw = message if isinstance(message, str) else orjson.dumps(message)
    try:
        command = parse_command(raw)
    except ProtocolError as error:
        event = orjson.loads(to_json(error_event(error)))
        assert 0 < len(event["error"]) < 5000
        ack = ack_of_refused(error)
        if ack is not None:
            said = orjson.loads(to_json(ack))
            assert (said["status"], said["code"], said["message"]) == (
                "error",
                event["code"],
                event["error"],
            )
        return error
    unknown_keys(command)
    ack = ack_of(command, DONE)
    assert (ack is None) is (command.ack is None)
    repr(command)
    return None


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_a_command_with_anything_in_it_is_read_or_refused(command: type[Command], data: Any) -> None:
    definition = DEFINITIONS[command.__name__]
    given = data.draw(_right(definition))
    must = sample(definition)
    kept = {name: must[name] for name in ("event", "action") if name in must}
    whole = {**must, **given, **kept} if data.draw(st.booleans()) else {**given, **kept}
    try:
        orjson.dumps(whole)
    except (TypeError, ValueError):
        return  # A number that JSON of ours does not carry.
    told(whole)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_field_of_a_wrong_kind_is_refused_by_its_name(command: type[Command]) -> None:
    definition = DEFINITIONS[command.__name__]
    whole = sample(definition, full=True, values={"timezone": "UTC"})
    kinds: tuple[Any, ...] = ([[[]]], {"\x00": [None]}, 10**17, "x" * 300_000, ["x"] * 2000)
    dropped = {"greeting"} if command is SessionConfigure else set()
    for field in whole.keys() - {"event", "action"} - dropped:
        refusals = [told({**whole, field: kind}) for kind in kinds]
        assert any(refusals), field
        for error in refusals:
            assert error is None or (error.key or "").split(".")[0] in (field, "ref"), (field, error)


def test_a_prompt_of_a_megabyte_is_refused_with_its_bound() -> None:
    limit, fits = 200_000, "é" * 200_000
    for fields, key in (
        ({"prompt": "x" * 1_000_000}, "prompt"),
        ({"prompt": fits + "x"}, "prompt"),
        ({"llm": {"prompt": fits + "x"}}, "llm.prompt"),
    ):
        error = told({"event": "agent.create", "agent_id": "My Agent", "ack": "1", **fields})
        assert error is not None
        assert (error.code, error.agent_id, error.key) == (ErrorCode.REGISTRATION_ERROR, "My Agent", key)
        assert f"at most {limit} characters" in error.message
        assert len(error.message) < 200
    assert told({"event": "agent.create", "agent_id": "a", "prompt": fits}) is None


@pytest.mark.parametrize(
    "event",
    ["", " ", "ping ", "PING", "agent", "agent.", "event", "__class__", "\x00", "é" * 5000, "ack", "pong.x"],
)
def test_an_event_that_nobody_knows_is_told_as_that(event: str) -> None:
    error = told({"event": event, "ack": "1", "agent_id": "a", "call_id": "c"})
    assert error is not None
    assert (error.code, error.agent_id, error.call_id, error.ack) == (ErrorCode.UNKNOWN_EVENT, "a", "c", "1")


def test_what_is_nested_a_hundred_thousand_deep_is_only_refused() -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        for depth in (100, 900, 100_000):
            inner = opening * depth + "1" + closing * depth
            told(f'{{"event":"agent.create","agent_id":"a","vars":{inner},"tools":{inner},"x":{inner}}}')
            told(f'{{"event":"llm.tool_result","call_id":"c","msg_id":"m","results":{inner}}}')


def test_a_key_that_comes_twice_is_the_last_one() -> None:
    assert told('{"event":"nonsense","event":"ping"}') is None


def test_keys_of_any_spelling_are_kept_in_bounds() -> None:
    keys = {f"{'aB' * 500}{number}": number for number in range(2000)}
    command = parse_command(json.dumps({"event": "agent.create", "agent_id": "a", **keys}))
    assert len(unknown_keys(command)) == 100


@pytest.mark.parametrize(
    "text",
    [
        '{"event":"channel.add","agent_id":"a","type":"phone"}',
        '{"event":"bot.reply","call_id":7}',
        '{"event":"agent.create","agent_id":"a","prompt":[]}',
        "{",
        '{"event":"nonsense"}',
    ],
)
def test_nothing_of_a_refused_message_stays(text: str) -> None:
    """Its exception leads over frames to the socket that it came from."""

    class Socket: ...

    def door() -> weakref.ref[Socket]:
        socket = Socket()
        try:
            parse_command(text)
        except ProtocolError:
            return weakref.ref(socket)
        raise AssertionError("it was taken")

    gone = door()
    gc.collect()
    assert gone() is None


def test_a_sentence_with_braces_is_told_as_it_is() -> None:
    fault = {
        "loc": ("x",),
        "type": "string_pattern_mismatch",
        "msg": "String should match '^a{1,2}$'",
        "input": "q",
    }
    assert codec._explain({**fault, "ctx": {"pattern": "^a{1,2}$"}}) == (
        "x",
        "x String should match '^a{1,2}$' (got text of 1 characters)",
    )
