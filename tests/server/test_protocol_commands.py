"""What a client says is understood, or refused in words that say what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from server.protocol import (
    COMMANDS,
    AgentCreate,
    BotReply,
    BotReplyStreamChunk,
    BotReplyStreamEnd,
    BotReplyStreamStart,
    ChannelAdd,
    Command,
    Configuration,
    Connect,
    ErrorCode,
    HistoryData,
    HistorySet,
    HistorySetVars,
    Part,
    ProtocolError,
    SessionConfigure,
    SttSettings,
    VoiceSettings,
    error_event,
    failed_request,
    parse_command,
    to_json,
    unknown_keys,
)
from server.protocol.export import OBJECTS
from server.protocol.spelling import respelled

REQUEST = {"call_id": "CA1", "request_id": "rq_1_abcdef"}
TEST_DATA: dict[str, list[dict[str, Any]]] = {
    "Connect": [
        {"event": "connect", "api_key": "tw_0"},
        {"event": "connect", "api_key": "", "protocol": "talkwire/1", "client": "demo/1.0"},
        {"event": "connect", "api_key": "tw_0", "protocol": "talkwire/1", "resume": {"CA1": 17, "CA2": 0}},
        {"event": "connect", "api_key": "tw_0", "protocol": "talkwire/1", "max_message_bytes": 33_554_432},
    ],
    "ClientPing": [{"event": "ping"}],
    "ClientPong": [{"event": "pong"}],
    "AgentCreate": [
        {"event": "agent.create", "agent_id": "My Agent"},
        {
            "event": "agent.create",
            "agent_id": "clock",
            "voice": "espeak/en-us",
            "language": "es-PE",
            "stt": "pocketsphinx/en",
            "interruption": False,
            "greeting": "Hello.",
            "allowed_origins": ["https://example.org"],
        },
        {
            "event": "agent.create",
            "agent_id": "clock",
            "voice": {"provider": "espeak", "voice_id": "en-us"},
            "stt": {
                "provider": "pocketsphinx",
                "language": "en",
                "phrases": ["ten past nine"],
                "keyterms": ["noon"],
            },
            "interruption": {"enabled": True, "min_duration_ms": 200, "min_words": 2},
            "greeting": {"en": "Hello.", "es-PE": "Hola."},
            "turn_detection": {"silence_ms": 700, "max_silence_seconds": 2.5},
            "vad": {"threshold": 0.5, "speech_end_delay_ms": 300, "resume_min_ms": 200},
            "analysis": {"send_audio_metrics": True, "audio_metrics_interval_ms": 100, "recording": True},
            "media": {"recording": False},
            "away": {"mode": "line", "text": {"en": "Wait."}, "after_ms": 2500, "grace_s": 10},
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "look_up-1",
                        "description": "Finds an order.",
                        "parameters": {"type": "object", "properties": {"id": {"default": None}}},
                        "timeout_ms": 5000,
                        "filler": "Let me look.",
                    },
                },
                {"function": {"name": "x" * 64, "parameters": {}}},
            ],
            "config": {
                "stt": "pocketsphinx",
                "voice": "espeak/en",
                "language": "en",
                "interruption": True,
                "turn_detection": {"silence_ms": 600},
                "vad": {"threshold": 1},
                "away": "message",
                "analysis": {"recording": False},
            },
        },
    ],
    "AgentConfigure": [{"event": "agent.configure", "agent_id": "clock", "language": "en"}],
    "SessionConfigure": [
        {"event": "session.configure", "session_id": "CA1", "voice": "openai/nova", "llm": "gpt-4o"},
        {
            "event": "session.configure",
            "session_id": "CA1",
            "agent_id": "clock",
            "llm": {
                "enabled": True,
                "provider": "openai",
                "model": "gpt-4o",
                "prompt": "Be kind.",
                "temperature": 0.5,
                "max_tokens": 100,
            },
            "prompt": "Be brief.",
            "raw_prompt": True,
            "vars": {"name": "Ada", "größe": ""},
            "timezone": "America/Lima",
            "preparing": {"enabled": True, "timeout_ms": 9000},
            "skills": [
                {
                    "name": "Billing & co.",
                    "description": "Invoices.",
                    "instructions": "Be exact.",
                    "tools": [{"type": "function", "function": {"name": "invoice", "parameters": {}}}],
                    "activation": "manual",
                },
                {"name": "travel"},
            ],
            "tools": [],
        },
        {"event": "session.configure", "session_id": "CA1", "preparing": False},
    ],
    "ChannelAdd": [
        {"event": "channel.add", "agent_id": "clock", "type": "phone", "ref": "+1 (555) 000-2222"},
        {"event": "channel.add", "agent_id": "clock", "type": "phone", "ref": "*"},
        {"event": "channel.add", "agent_id": "clock", "type": "phone", "ref": "sip:204@example.org"},
        {"event": "channel.add", "agent_id": "clock", "type": "webrtc", "language": "en"},
    ],
    "ChannelConfigure": [
        {"event": "channel.configure", "agent_id": "clock", "ref": "*", "greeting": "Good evening."}
    ],
    "ChannelRemove": [
        {"event": "channel.remove", "agent_id": "clock", "ref": "webrtc"},
        {"event": "channel.remove", "agent_id": "clock", "ref": "+15550002222", "type": "phone"},
    ],
    "DevConfig": [
        {"event": "dev.config", "callers": []},
        {"event": "dev.config", "callers": ["+15550001111", "sip:dev@example.org"]},
    ],
    "BotReply": [
        {"event": "bot.reply", "call_id": "CA1", "message_id": "m1", "text": "Hi.", "in_reply_to": ""},
        {
            "event": "bot.reply",
            "call_id": "CA1",
            "message_id": "m1",
            "text": "Hi.",
            "in_reply_to": "u1",
            "add_to_history": True,
        },
    ],
    "BotReplyStreamStart": [
        {
            "event": "bot.reply.stream",
            "call_id": "CA1",
            "action": "start",
            "message_id": "m1",
            "in_reply_to": "u1",
        }
    ],
    "BotReplyStreamChunk": [
        {
            "event": "bot.reply.stream",
            "call_id": "CA1",
            "action": "chunk",
            "message_id": "m1",
            "token": " wor",
        }
    ],
    "BotReplyStreamEnd": [
        {"event": "bot.reply.stream", "call_id": "CA1", "action": "end", "message_id": "m1"}
    ],
    "BotCancel": [
        {"event": "bot.cancel", "call_id": "CA1"},
        {"event": "bot.cancel", "call_id": "CA1", "message_id": "m1"},
    ],
    "BotClear": [{"event": "bot.clear", "call_id": "CA1"}],
    "LlmToolResult": [
        {
            "event": "llm.tool_result",
            "call_id": "CA1",
            "msg_id": "tool_1",
            "results": [
                {"tool_call_id": "call_1", "result": {"time": None}, "ephemeral": True, "no_followup": True},
                {"tool_call_id": "call_2", "result": "text"},
                {"tool_call_id": "c" * 1000},
            ],
        }
    ],
    "LlmReady": [
        {"event": "llm.ready", "call_id": "CA1"},
        {"event": "llm.ready", "call_id": "CA1", "agent_id": "clock", "turn": 0},
    ],
    "SkillLoad": [{"event": "skill.load", "call_id": "CA1", "skill": "billing"}],
    "SkillUnload": [{"event": "skill.unload", "call_id": "CA1", "skill": "billing"}],
    "HistoryGet": [{"event": "history.get", **REQUEST}],
    "HistoryAdd": [
        {
            "event": "history.add",
            **REQUEST,
            "messages": [
                {"role": "system", "content": "x"},
                {"role": "assistant", "tool_calls": [{"id": "c1", "name": "clock", "arguments": "{}"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "ten"},
            ],
        }
    ],
    "HistorySet": [{"event": "history.set", **REQUEST, "messages": []}],
    "HistoryClear": [{"event": "history.clear", **REQUEST}],
    "HistorySetVars": [{"event": "history.set_vars", **REQUEST, "vars": {"name": "Ada", "old": None}}],
    "HistoryAddContext": [{"event": "history.add_context", **REQUEST, "text": "She likes tea."}],
    "HistorySetInstructions": [{"event": "history.set_instructions", **REQUEST, "prompt": ""}],
    "RecordingStart": [{"event": "recording.start", "call_id": "CA1"}],
    "RecordingPause": [{"event": "recording.pause", "call_id": "CA1"}],
    "RecordingResume": [{"event": "recording.resume", "call_id": "CA1"}],
    "CallMute": [{"event": "call.mute", "call_id": "CA1"}],
    "CallUnmute": [{"event": "call.unmute", "call_id": "CA1"}],
    "SessionResetIdle": [{"event": "session.reset_idle", "call_id": "CA1"}],
    "SessionPause": [
        {"event": "session.pause", "agent_id": "My Agent"},
        {"event": "session.pause", "agent_id": "My Agent", "session_id": "CA1"},
        {"event": "session.pause", "agent_id": "My Agent", "contact": "+1 (555) 000-1111"},
    ],
    "SessionResume": [
        {"event": "session.resume", "agent_id": "My Agent"},
        {"event": "session.resume", "agent_id": "My Agent", "session_id": "CA1"},
    ],
    "CallHold": [{"event": "call.hold", "call_id": "CA1"}],
    "CallUnhold": [{"event": "call.unhold", "call_id": "CA1"}],
    "CallDtmf": [{"event": "call.dtmf", "call_id": "CA1", "digits": digits} for digits in ("1", "wW09*#AD")],
    "CallForward": [
        {"event": "call.forward", "call_id": "CA1", "to": "+15550003333"},
        {
            "event": "call.forward",
            "call_id": "CA1",
            "to": "sip:a@example.org",
            "message": "A caller.",
            "announce": True,
        },
    ],
    "LineCreate": [
        {"event": "line.create", "number": "+15550002222"},
        {
            "event": "line.create",
            "number": "sip:204@example.org",
            "config": {"extension_window_ms": 0, "voice": "espeak/en-us", "language": "es"},
        },
    ],
    "LineDestroy": [{"event": "line.destroy", "number": "+15550002222"}],
    "CallRoute": [
        {"event": "call.route", "call_id": "CA1", "agent": "sales"},
        {
            "event": "call.route",
            "call_id": "CA1",
            "agent": "sales",
            "language": "es",
            "voice": "espeak/en-us",
            "stt": "pocketsphinx/en",
            "greeting": "",
            "prompt_vars": {"name": "Ada"},
            "context": {"menu": {"keys": [1, 2]}, "note": None},
            "history": False,
        },
    ],
    "SetContext": [
        {"event": "set_context", "call_id": "CA1", "key": "menu", "value": value}
        for value in ("sales", {"keys": [1]}, None)
    ],
    "CallTransfer": [
        {"event": "call.transfer", "call_id": "CA1", "to": "+15550003333"},
        {
            "event": "call.transfer",
            "call_id": "CA1",
            "to": "sip:a@example.org",
            "from": "+15550002222",
            "message": "One moment.",
            "announcement": "A caller.",
            "machine_detection": "start",
            "ring_timeout_seconds": 20,
        },
        {
            "event": "call.transfer",
            "call_id": "CA1",
            "to": "+15550003333",
            "consult": True,
            "greeting": "A caller has a question.",
            "config": {"language": "es"},
        },
    ],
    "CallTransferComplete": [{"event": "call.transfer_complete", "call_id": "CA1"}],
    "CallTransferCancel": [{"event": "call.transfer_cancel", "call_id": "CA1"}],
    "CallAccept": [{"event": "call.accept", "agent_id": "clock", "call_id": "CA1"}],
    "CallReject": [
        {"event": "call.reject", "agent_id": "clock", "call_id": "CA1"},
        {"event": "call.reject", "agent_id": "clock", "call_id": "CA1", "reason": "rejected"},
    ],
    "CallDial": [
        {"event": "call.dial", "agent_id": "clock", "to": "+15550001111"},
        {
            "event": "call.dial",
            "agent_id": "clock",
            "to": "sip:bob@example.org",
            "from": "+15550002222",
            "greeting": "Hello.",
            "metadata": {"order": 7},
            "config": {"language": "es"},
            "detect_turn_end": True,
            "machine_detection": "end",
            "on_machine": "hangup",
            "ring_timeout_seconds": 20,
        },
    ],
    "CallBridge": [
        {"event": "call.bridge", "agent_id": "clock", "target": "My Agent"},
        {
            "event": "call.bridge",
            "agent_id": "clock",
            "target": "weather",
            "greeting": "Hello.",
            "config": {"language": "es"},
            "media": {"recording": True},
            "metadata": {"order": 7},
            "detect_turn_end": False,
        },
    ],
    "CallHangup": [
        {"event": "call.hangup", "call_id": "CA1"},
        {"event": "call.hangup", "call_id": "CA1", "reason": "done"},
    ],
}
"""A row for each command: what travels, word for word."""


def refused(message: object) -> ProtocolError:
    raw = message if isinstance(message, str | bytes) else json.dumps(message)
    with pytest.raises(ProtocolError) as caught:
        parse_command(raw)
    return caught.value


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_each_command_is_read_as_it_was_sent(command: type[Command]) -> None:
    for row in TEST_DATA[command.__name__]:
        parsed = parse_command(json.dumps(row))
        assert type(parsed) is command
        assert unknown_keys(parsed) == []
        kept = parsed.model_dump(mode="json", exclude_unset=True)
        if isinstance(parsed, Connect):
            kept["api_key"] = parsed.api_key.get_secret_value()
        assert kept == row


def test_the_rows_are_those_of_the_commands() -> None:
    assert set(TEST_DATA) == {command.__name__ for command in COMMANDS}


def test_bytes_and_text_are_read_alike() -> None:
    raw = '{"event":"bot.reply","call_id":"c","message_id":"m","text":"Grüße"}'
    assert parse_command(raw) == parse_command(raw.encode())


def test_what_is_left_out_has_its_default() -> None:
    reply = parse_command('{"event":"bot.reply","call_id":"c","message_id":"m","text":"x"}')
    assert isinstance(reply, BotReply)
    assert (reply.in_reply_to, reply.add_to_history) == ("", False)


def test_a_command_cannot_be_changed() -> None:
    reply = parse_command('{"event":"bot.reply","call_id":"c","message_id":"m","text":"x"}')
    with pytest.raises(ValueError, match="frozen"):
        reply.event = "other"  # type: ignore[assignment,misc]  # what is tested


def test_a_stream_is_told_apart_by_its_action() -> None:
    def step(**fields: str) -> object:
        return type(
            parse_command(
                json.dumps({"event": "bot.reply.stream", "call_id": "c", "message_id": "m", **fields})
            )
        )

    assert step(action="start") is BotReplyStreamStart
    assert step(action="chunk", token="") is BotReplyStreamChunk
    assert step(action="end") is BotReplyStreamEnd
    error = refused({"event": "bot.reply.stream", "call_id": "c", "message_id": "m", "action": "stop"})
    assert (error.code, error.key, error.call_id) == (ErrorCode.BAD_MESSAGE, "action", "c")
    assert "start, chunk, end" in error.message
    assert refused({"event": "bot.reply.stream", "call_id": "c", "action": ["end"]}).key == "action"
    error = refused({"event": "bot.reply.stream", "call_id": "c", "message_id": "m", "action": "chunk"})
    assert (error.code, error.key) == (ErrorCode.BAD_MESSAGE, "token")


def test_messages_of_a_history_may_have_the_shape_of_any_library() -> None:
    nested = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "b"},
    ]
    messages = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [nested]},
        {"role": "tool", "tool_call_id": "c1", "content": "ten"},
    ]
    command = parse_command(json.dumps({"event": "history.set", **REQUEST, "messages": messages}))
    assert isinstance(command, HistorySet)
    user, asked, _ = command.messages
    assert user.content == "ab"
    assert (asked.content, asked.tool_calls) != ("", None)
    assert asked.tool_calls is not None
    assert (asked.tool_calls[0].name, asked.tool_calls[0].arguments) == ("clock", '{"zone":"UTC"}')


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages.0.role must be 'system', 'user'"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content must be text"),
        ({"messages": [{"role": "user", "content": [{"text": 5}]}]}, "messages.0.content must be text"),
        ({"messages": ["x"]}, "messages.0 must be an object"),
        ({"messages": "x"}, "messages must be a list"),
        ({}, "messages is required"),
        ({"messages": [{"role": "user"}] * 10_001}, "messages must have at most 10000 entries"),
    ],
)
def test_a_request_that_is_wrong_is_answered_by_its_id(wrong: dict[str, Any], says: str) -> None:
    error = refused({"event": "history.add", **REQUEST, **wrong})
    assert says in error.message
    answer = failed_request(error)
    assert answer is not None
    told = json.loads(to_json(answer))
    assert told == {"event": "history.updated", **REQUEST, "count": 0, "error": error.message}


def test_only_a_request_is_answered_by_its_id() -> None:
    asked = failed_request(refused({"event": "history.get", **REQUEST, "ack": 5}))
    assert isinstance(asked, HistoryData)
    assert (asked.event, asked.request_id) == ("history.data", REQUEST["request_id"])
    for wrong in (
        {"event": "history.get", "call_id": "c"},
        {"event": "history.get", "call_id": "c", "request_id": 5},
        {"event": "history.get", "request_id": "r"},
        {"event": "history.get", "call_id": "", "request_id": "r"},
        {"event": "bot.reply", "call_id": "c", "request_id": "r"},
    ):
        assert failed_request(refused(wrong)) is None


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"timezone": "Mars/Base"}, "timezone must be the name of a time zone"),
        ({"timezone": "Europe"}, "timezone must be the name of a time zone"),
        ({"timezone": "../../etc/hosts"}, "timezone must be the name of a time zone"),
        ({"vars": {"two words": "x"}}, "vars.two words must be a name"),
        ({"vars": {"x": ["y"]}}, "vars.x must be text of at most 20000 characters"),
        ({"vars": {f"v{i}": "" for i in range(201)}}, "vars must have at most 200 entries"),
        ({"skills": [{"name": ""}]}, "skills.0.name must be text of 1 to 64 characters"),
        ({"skills": [{"name": "x"}, {"name": "x"}]}, "skills must have names of their own (got 'x' twice)"),
        ({"skills": [{"name": "x", "activation": "never"}]}, "skills.0.activation must be 'model', 'manual'"),
        ({"skills": [{"name": "x", "tools": [{}]}]}, "skills.0.tools.0.function is required"),
        ({"skills": [{"name": f"s{i}"} for i in range(65)]}, "skills must have at most 64 entries"),
        ({"preparing": "yes"}, "preparing must be true, false or an object"),
        ({"preparing": {"timeout_ms": 0}}, "preparing.timeout_ms must be a whole number from 1 to 600000"),
    ],
)
def test_what_a_prompt_is_made_with_is_checked(keys: dict[str, Any], says: str) -> None:
    error = refused({"event": "agent.create", "agent_id": "a", **keys})
    assert error.code is ErrorCode.REGISTRATION_ERROR
    assert says in error.message
    assert (error.key or "").startswith(next(iter(keys)))


def test_a_client_sends_the_tools_of_its_skills_as_it_has_them() -> None:
    raw = {"name": "invoice", "description": "", "schema": {}, "_jsonSchema": {"type": "object"}}
    frame = {
        "event": "session.configure",
        "session_id": "CA1",
        "skills": [{"name": "billing", "tools": [raw]}],
    }
    command = parse_command(json.dumps(frame))
    assert isinstance(command, SessionConfigure)
    assert command.skills is not None
    (tool,) = command.skills[0].tools
    assert (tool.function.name, tool.function.parameters) == ("invoice", {"type": "object"})


def test_variables_may_be_numbers_and_flags() -> None:
    command = parse_command(
        json.dumps({"event": "history.set_vars", **REQUEST, "vars": {"a": 3, "b": True, "c": 1.5, "d": None}})
    )
    assert isinstance(command, HistorySetVars)
    assert command.vars == {"a": "3", "b": "true", "c": "1.5", "d": None}


# --- what is not a command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("\ud800", "not JSON"),
        ('{"event":"ping","x":NaN}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be a JSON object with the field event, not a list"),
        ("null", "not null"),
        ('"ping"', "not text of 4 characters"),
        ("{}", "event is required"),
        ('{"event":null}', "event is required and must be text, the name of a command (got null)"),
        ('{"event":["ping"]}', "event is required"),
    ],
)
def test_what_is_no_message_is_a_bad_message(raw: str | bytes, says: str) -> None:
    error = refused(raw)
    assert error.code is ErrorCode.BAD_MESSAGE
    assert says in error.message


def test_a_binary_frame_is_a_bad_message() -> None:
    with pytest.raises(ProtocolError, match="binary frames are not understood") as caught:
        parse_command(b'{"event":"ping"}', binary=True)
    assert caught.value.code is ErrorCode.BAD_MESSAGE


def test_an_unknown_event_is_told_with_the_nearest_known_one() -> None:
    error = refused({"event": "bot.replay", "agent_id": "My Agent", "call_id": "c"})
    assert error.code is ErrorCode.UNKNOWN_EVENT
    assert "'bot.replay'" in error.message
    assert "did you mean bot.reply" in error.message
    assert (error.agent_id, error.call_id) == ("My Agent", "c")


def test_an_event_that_resembles_none_is_told_with_all() -> None:
    message = refused({"event": "zzzzzz"}).message
    assert all(row["event"] in message for rows in TEST_DATA.values() for row in rows)


def test_an_event_of_the_server_is_none_of_the_client() -> None:
    assert "only the server sends it" in refused({"event": "bot.word"}).message


def test_an_endless_event_name_is_not_repeated() -> None:
    assert len(refused({"event": "x" * 100_000}).message) < 2000


EVENT_NAMES = sorted({row["event"] for rows in TEST_DATA.values() for row in rows})
FIELDS = ("agent_id", "call_id", "message_id", "text", "stt", "vad", "config", "type", "ref", "action")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.binary(max_size=80)
    | VALUES
    | st.fixed_dictionaries({"event": st.sampled_from(EVENT_NAMES)}, optional=dict.fromkeys(FIELDS, VALUES))
)
def test_nothing_that_a_client_sends_raises_anything_else(message: object) -> None:
    raw = message if isinstance(message, bytes) else json.dumps(message)
    try:
        parsed = parse_command(raw)
    except ProtocolError as error:
        to_json(error_event(error))
    else:
        unknown_keys(parsed)


# --- fields -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "key", "says"),
    [
        ({"event": "connect"}, "api_key", "connect: api_key is required"),
        ({"event": "connect", "api_key": "", "resume": {"CA1": -1}}, "resume", "at most 1000 call ids"),
        ({"event": "connect", "api_key": "", "resume": {"CA1": "2"}}, "resume", "at most 1000 call ids"),
        ({"event": "connect", "api_key": "", "resume": {"": 2}}, "resume", "at most 1000 call ids"),
        ({"event": "connect", "api_key": "", "resume": ["CA1"]}, "resume", "at most 1000 call ids"),
        (
            {"event": "connect", "api_key": "", "resume": {f"CA{n}": 1 for n in range(1001)}},
            "resume",
            "at most 1000 call ids",
        ),
        ({"event": "connect", "api_key": 5}, "api_key", "must be text of at most 512 characters (got 5)"),
        ({"event": "bot.clear"}, "call_id", "call_id is required"),
        ({"event": "bot.clear", "call_id": ""}, "call_id", "1 to 200 characters (got empty text)"),
        (
            {"event": "bot.reply", "call_id": "c", "message_id": "m", "text": 5},
            "text",
            "bot.reply: text must be text of at most 100000 characters (got 5)",
        ),
        (
            {"event": "bot.reply", "call_id": "c", "message_id": "m", "text": "x", "add_to_history": "yes"},
            "add_to_history",
            "must be true or false (got text of 3 characters)",
        ),
        (
            {"event": "bot.reply", "call_id": "c", "message_id": "m", "text": "x", "in_reply_to": "y" * 201},
            "in_reply_to",
            "must be text of at most 200 characters (got text of 201 characters)",
        ),
        ({"event": "dev.config"}, "callers", "callers is required"),
        ({"event": "dev.config", "callers": "+1"}, "callers", "must be a list (got text"),
        ({"event": "dev.config", "callers": [5]}, "callers.0", "must be text of 1 to 200 characters (got 5)"),
        ({"event": "dev.config", "callers": ["+1"] * 1001}, "callers", "at most 1000 entries"),
        ({"event": "agent.create"}, "agent_id", "agent_id is required"),
        ({"event": "agent.create", "agent_id": ""}, "agent_id", "1 to 200 characters (got empty text)"),
        ({"event": "agent.create", "agent_id": 7}, "agent_id", "agent_id must be text"),
        ({"event": "agent.create", "agent_id": "x" * 201}, "agent_id", "1 to 200 characters"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(fields: dict[str, Any], key: str, says: str) -> None:
    error = refused(fields)
    assert (error.code, error.key) == (ErrorCode.BAD_MESSAGE, key)
    assert says in error.message


@pytest.mark.parametrize(
    ("keys", "path", "says"),
    [
        ({"voice": 5}, "voice", "must be text such as provider/voice, or an object (got 5)"),
        ({"voice": {"provider": 3}}, "voice.provider", "must be text of 1 to 200 characters (got 3)"),
        (
            {"turn_detection": {"max_silence_seconds": 0.4}},
            "turn_detection.max_silence_seconds",
            "from 0.5 to 30",
        ),
        ({"stt": []}, "stt", "must be text such as provider/model, or an object (got a list of 0)"),
        ({"stt": {"phrases": "now"}}, "stt.phrases", "must be a list (got text of 3 characters)"),
        ({"stt": {"phrases": ["a", ""]}}, "stt.phrases.1", "1 to 200 characters (got empty text)"),
        ({"stt": {"phrases": ["x" * 201]}}, "stt.phrases.0", "1 to 200 characters"),
        ({"stt": {"keyterms": ["a"] * 501}}, "stt.keyterms", "must have at most 500 entries"),
        ({"interruption": "no"}, "interruption", "must be true, false or an object (got text"),
        (
            {"interruption": {"min_duration_ms": -1}},
            "interruption.min_duration_ms",
            "must be a whole number from 0 to 5000 (got -1)",
        ),
        ({"greeting": 5}, "greeting", "must be text, or an object of language to text (got 5)"),
        ({"greeting": {"en": None}}, "greeting.en", "at most 5000 characters (got null)"),
        ({"greeting": {"e n": "x"}}, "greeting.e n", "must be a BCP-47 language tag"),
        ({"language": "en_US"}, "language", "must be a BCP-47 language tag"),
        ({"language": "en\n"}, "language", "must be a BCP-47 language tag"),
        ({"tools": {}}, "tools", "must be a list (got an object)"),
        ({"tools": [{"type": "function"}]}, "tools.0.function", "is required"),
        ({"tools": [{"type": "web", "function": {"name": "a"}}]}, "tools.0.type", "must be 'function'"),
        ({"tools": [{"function": {"name": "a b"}}]}, "tools.0.function.name", "1 to 64 letters, digits"),
        ({"tools": [{"function": {"name": "a\n"}}]}, "tools.0.function.name", "1 to 64 letters, digits"),
        (
            {"tools": [{"function": {"name": "a", "parameters": 5}}]},
            "tools.0.function.parameters",
            "an object",
        ),
        (
            {"tools": [{"function": {"name": "a", "timeout_ms": 99}}]},
            "tools.0.function.timeout_ms",
            "from 100 to 600000 (got 99)",
        ),
        *(
            (
                {"tools": [{"function": {"name": "a", "parameters": schema}}]},
                "tools.0.function.parameters",
                text,
            )
            for schema, text in (
                ({"type": "string"}, 'its "type" must be "object"'),
                ({"type": "object", "properties": ["day"]}, '"properties" that are an object'),
                ({"properties": {"day": {}}, "required": True}, '"required" as a list of names'),
                ({"properties": {"day": {}}, "required": [1]}, '"required" as a list of names'),
            )
        ),
        ({"tools": [{"function": {"name": "a"}}] * 2}, "tools", "names of their own (got 'a' twice)"),
        ({"tools": [{"function": {"name": f"a{n}"}} for n in range(129)]}, "tools", "at most 128 entries"),
        ({"config": []}, "config", "must be an object (got a list of 0)"),
        (
            {"config": {"vad": {"threshold": 1.01}}},
            "config.vad.threshold",
            "a number from 0.01 to 1 (got 1.01)",
        ),
        ({"interruption": {"min_words": -1}}, "interruption.min_words", "from 0 to 20 (got -1)"),
        ({"voice": {"speed": 4.1}}, "voice.speed", "a number from 0.25 to 4 (got 4.1)"),
        ({"vad": {"threshold": True}}, "vad.threshold", "must be a number from 0.01 to 1 (got true)"),
        ({"vad": {"resume_min_ms": "5"}}, "vad.resume_min_ms", "must be a whole number from 0 to 2000"),
        ({"vad": {"resume_min_ms": 1.5}}, "vad.resume_min_ms", "must be a whole number from 0 to 2000"),
        (
            {"analysis": {"audio_metrics_interval_ms": 19}},
            "analysis.audio_metrics_interval_ms",
            "must be a whole number from 20 to 10000 (got 19)",
        ),
        ({"away": "sing"}, "away", "must be wait, line or message (got text of 4"),
        ({"away": True}, "away", "must be wait, line, message or an object"),
        ({"away": {"mode": "sing"}}, "away.mode", "must be wait, line or message"),
        ({"config": {"away": {"grace_s": 301}}}, "config.away.grace_s", "from 0 to 300"),
        ({"away": {"after_ms": -1}}, "away.after_ms", "from 0 to 300000"),
        ({"away": {"text": 5}}, "away.text", "text, or an object of language to text"),
        ({"analysis": {"recording": 1}}, "analysis.recording", "must be true or false (got 1)"),
        ({"media": {"recording": "on"}}, "media.recording", "must be true or false"),
        ({"turn_detection": {"silence_ms": 99}}, "turn_detection.silence_ms", "from 100 to 5000 (got 99)"),
        ({"allowed_origins": "*"}, "allowed_origins", "must be a list"),
    ],
)
def test_a_wrong_configuration_is_a_registration_error_under_the_clients_spelling(
    keys: dict[str, Any], path: str, says: str
) -> None:
    error = refused({"event": "agent.create", "agent_id": "My Agent", **keys})
    assert (error.code, error.agent_id, error.key) == (ErrorCode.REGISTRATION_ERROR, "My Agent", path)
    assert f"{path} " in error.message
    assert says in error.message


def test_the_overrides_of_a_channel_are_checked_as_those_of_an_agent() -> None:
    for event, more in (
        ("channel.add", {"type": "phone"}),
        ("channel.configure", {}),
        ("agent.configure", {}),
    ):
        error = refused({"event": event, "agent_id": "a", "ref": "*", **more, "vad": {"threshold": 2}})
        assert (error.code, error.key) == (ErrorCode.REGISTRATION_ERROR, "vad.threshold")


def test_a_channel_has_a_type_and_a_phone_its_number() -> None:
    error = refused({"event": "channel.add", "agent_id": "a", "type": "fax"})
    assert (error.code, error.key) == (ErrorCode.REGISTRATION_ERROR, "type")
    assert "'phone', 'webrtc', 'chat', 'whatsapp' or 'mic' (got 'fax')" in error.message
    error = refused({"event": "channel.add", "agent_id": "a", "type": "phone"})
    assert (error.code, error.key) == (ErrorCode.REGISTRATION_ERROR, "ref")
    assert "ref is required for a phone channel" in error.message


def test_only_an_id_of_reasonable_length_is_repeated() -> None:
    for length, repeated in ((200, True), (201, False)):
        error = refused({"event": "agent.create", "agent_id": "x" * length, "voice": 5})
        assert (error.agent_id is not None) is repeated


def test_all_faults_are_told_at_once_up_to_five() -> None:
    vad = {"threshold": 7, "speech_end_delay_ms": -1, "resume_min_ms": -1}
    error = refused(
        {"event": "agent.create", "agent_id": "a", "voice": 1, "language": 1, "stt": 1, "vad": vad}
    )
    assert "voice must" in error.message
    assert "vad.threshold must" in error.message
    assert error.message.endswith("and 1 more")


def test_a_refusal_does_not_repeat_what_may_be_a_secret() -> None:
    secret = "sk-verysecret" * 50
    assert "verysecret" not in refused({"event": "connect", "api_key": secret}).message
    assert (
        "verysecret"
        not in refused({"event": "agent.create", "agent_id": "a", "voice": {"provider": secret}}).message
    )


def test_null_means_not_set_here() -> None:
    agent = parse_command(
        '{"event":"agent.create","agent_id":"a","voice":null,"vad":{"threshold":null},"config":null}'
    )
    assert isinstance(agent, AgentCreate)
    assert agent.voice is None
    assert agent.config is None


def test_a_whole_number_may_be_written_with_a_point() -> None:
    agent = parse_command('{"event":"agent.create","agent_id":"a","vad":{"resume_min_ms":250.0}}')
    assert isinstance(agent, AgentCreate)
    assert agent.vad is not None
    assert agent.vad.resume_min_ms == 250
    assert type(agent.vad.resume_min_ms) is int


def test_keyterms_mean_the_same_as_phrases() -> None:
    assert SttSettings(phrases=("a", "b"), keyterms=("b", "c")).hints == ("a", "b", "c")
    assert SttSettings().hints == ()
    many = tuple(f"a{i}" for i in range(400))
    assert len(SttSettings(phrases=many, keyterms=tuple(f"b{i}" for i in range(400))).hints) == 500


# --- tools ------------------------------------------------------------------------------------------------


def test_a_session_takes_the_tools_of_a_clients_own_library() -> None:
    shape = {"type": "object", "properties": {"city": {"type": "string"}}}
    own = {
        "name": "weather", "description": "Tells it.", "schema": {"_def": {}}, "_jsonSchema": shape,
        "ephemeral": True, "noFollowup": False,
    }  # fmt: skip
    wire = {"type": "function", "function": {"name": "clock"}}
    command = {"event": "session.configure", "session_id": "CA1", "tools": [own, wire]}
    parsed = parse_command(json.dumps(command))
    assert isinstance(parsed, SessionConfigure)
    assert unknown_keys(parsed) == []
    assert parsed.tools is not None
    first, second = (tool.function for tool in parsed.tools)
    assert (first.name, first.description, first.parameters) == ("weather", "Tells it.", shape)
    assert (second.name, second.parameters) == ("clock", None)
    several: tuple[Any, ...] = (5, [5], [{}], [{"name": 5}])
    for wrong in several:
        assert refused({**command, "tools": wrong}).code is ErrorCode.BAD_MESSAGE


def test_what_is_nested_too_deeply_to_be_passed_on_is_refused() -> None:
    def nested(levels: int) -> Any:
        return json.loads("[" * levels + "1" + "]" * levels)

    result = {"event": "llm.tool_result", "call_id": "c", "msg_id": "m"}
    agent = {"event": "agent.create", "agent_id": "a"}
    for levels, fits in ((90, True), (150, False), (400, False)):
        commands = (
            {**result, "results": [{"tool_call_id": "a", "result": nested(levels)}]},
            {**agent, "tools": [{"function": {"name": "a", "parameters": {"x": nested(levels)}}}]},
        )
        for command in commands:
            if fits:
                parse_command(json.dumps(command))
            else:
                assert "deeper than 100 levels" in refused(command).message


def test_unknown_keys_of_a_tool_are_told_by_its_place() -> None:
    function = {"name": "clock", "strict": True}
    agent = parse_command(
        json.dumps({"event": "agent.create", "agent_id": "a", "tools": [{"x": 1, "function": function}]})
    )
    assert unknown_keys(agent) == ["tools.0.x", "tools.0.function.strict"]


def test_results_that_are_none_are_refused() -> None:
    command = {"event": "llm.tool_result", "call_id": "c", "msg_id": "m"}
    one = {"tool_call_id": "a"}
    several: tuple[Any, ...] = (None, [], {}, [{}], [{"tool_call_id": 5}], [one] * 129)
    for results in several:
        error = refused({**command, "results": results})
        assert error.code is ErrorCode.BAD_MESSAGE
        assert (error.key or "").startswith("results")
        assert error.call_id == "c"


def test_an_agent_may_declare_flat_tools_too() -> None:
    shape = {"type": "object", "properties": {"maxTokens": {"type": "number"}}}
    flat = {"type": "function", "name": "a", "parameters": shape, "timeoutMs": 500, "strict": True}
    agent = parse_command(json.dumps({"event": "agent.create", "agent_id": "a", "tools": [flat]}))
    assert isinstance(agent, AgentCreate)
    assert agent.tools is not None
    function = agent.tools[0].function
    assert (function.name, function.parameters, function.timeout_ms) == ("a", shape, 500)
    assert unknown_keys(agent) == ["tools.0.function.strict"]


# --- spelling ---------------------------------------------------------------------------------------------


def in_humps(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def humped(value: Any) -> Any:
    """A configuration as other languages spell it, the dictionaries of its developer as they are."""
    if isinstance(value, list):
        return [humped(item) for item in value]
    if not isinstance(value, dict):
        return value
    free = ("parameters", "greeting")
    return {in_humps(key): inner if key in free else humped(inner) for key, inner in value.items()}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("Welcome back.", "Welcome back."),
        ({"en": "Hello."}, {"en": "Hello."}),
        ("", ""),
        (5, None),
        ({"text": "Hi", "addToHistory": True}, None),
    ],
)
def test_a_greeting_of_another_shape_spoils_no_session_configure(given: Any, taken: Any) -> None:
    text = json.dumps({"event": "session.configure", "session_id": "CA1", "greeting": given})
    command = parse_command(text)
    assert isinstance(command, SessionConfigure)
    assert command.greeting == taken


CONFIGURING = ("AgentCreate", "AgentConfigure", "SessionConfigure", "ChannelAdd", "ChannelConfigure")


@pytest.mark.parametrize("name", CONFIGURING)
def test_configuration_may_be_spelled_in_humps(name: str) -> None:
    for row in TEST_DATA[name]:
        assert humped(row) != row
        assert parse_command(json.dumps(humped(row))) == parse_command(json.dumps(row))


def test_every_configuration_key_may_be_spelled_in_humps() -> None:
    def check(model: type[BaseModel]) -> None:
        for field, info in model.model_fields.items():
            name = in_humps(field)
            given = model.__pydantic_validator__
            if name != field and info.alias is None:
                with pytest.raises(ValidationError) as caught:
                    given.validate_python({name: object()})
                assert any(fault["loc"][0] == field for fault in caught.value.errors()), (model, name)

    check(Configuration)
    for part in OBJECTS:
        if issubclass(part, Part):
            check(part)


def test_our_own_spelling_goes_first() -> None:
    keys = {"rawPrompt": True, "raw_prompt": False, "vad": {"minSilenceMs": 300, "min_silence_ms": 400}}
    for fields in (keys, dict(reversed(keys.items()))):
        parsed = parse_command(json.dumps({"event": "session.configure", "session_id": "c", **fields}))
        assert isinstance(parsed, SessionConfigure)
        assert parsed.raw_prompt is False
        assert parsed.vad is not None
        assert parsed.vad.min_silence_ms == 400
        assert unknown_keys(parsed) == []


def test_an_error_names_a_respelled_key_in_our_spelling() -> None:
    error = refused({"event": "session.configure", "session_id": "c", "turnDetection": {"silenceMs": 1}})
    assert error.key == "turn_detection.silence_ms"


def test_a_name_of_client_libraries_is_taken_only_where_there_is_such_a_key() -> None:
    assert respelled({"promptVars": {"aB": 1}}, {"vars"}) == {"vars": {"aB": 1}}
    assert respelled({"promptVars": 1, "x": 2}, {"y"}) == {"promptVars": 1, "x": 2}
    assert respelled({"a" * 200: 1, "aB": 2}, {"a_b"}) == {"a" * 200: 1, "a_b": 2}


def test_the_voice_of_a_session_may_be_called_tts() -> None:
    config = {"tts": {"provider": "polly", "voice_id": "Lucia"}}
    agent = parse_command(json.dumps({"event": "agent.create", "agent_id": "a", "config": config}))
    assert isinstance(agent, AgentCreate)
    assert agent.config is not None
    assert isinstance(agent.config.voice, VoiceSettings)
    assert (agent.config.voice.provider, agent.config.voice.voice_id) == ("polly", "Lucia")
    assert unknown_keys(agent) == []


def test_what_does_nothing_and_harms_nobody_is_not_mentioned() -> None:
    keys = {"flash": True, "mode": "fast", "memory": {}, "greetingInChat": True, "knowledgeBase": "kb"}
    agent = parse_command(json.dumps({"event": "agent.create", "agent_id": "a", **keys, "config": keys}))
    unknown = ["memory", "greetingInChat", "knowledgeBase"]
    assert unknown_keys(agent) == [*unknown, *(f"config.{key}" for key in unknown)]
    detection = {"turn_detection": {"flash": True}}
    agent = parse_command(json.dumps({"event": "agent.create", "agent_id": "a", **detection}))
    assert unknown_keys(agent) == ["turn_detection.flash"]


# --- unknown keys -----------------------------------------------------------------------------------------


def test_unknown_keys_are_kept_and_told_by_their_path() -> None:
    agent = parse_command(
        json.dumps(
            {
                "event": "agent.create",
                "agent_id": "a",
                "knowledge_base": {"id": "kb_1"},
                "greetingInChat": True,
                "stt": {"smart_format": True},
                "config": {"speaker_filter": {"enabled": True}, "analysis": {"send_turn_audio": True}},
            }
        )
    )
    assert sorted(unknown_keys(agent)) == [
        "config.analysis.send_turn_audio",
        "config.speaker_filter",
        "greetingInChat",
        "knowledge_base",
        "stt.smart_format",
    ]
    assert (agent.model_extra or {})["knowledge_base"] == {"id": "kb_1"}


def test_the_values_of_unknown_keys_stay_out_of_logs() -> None:
    channel = parse_command(
        '{"event":"channel.add","agent_id":"a","type":"whatsapp","ref":"1","accessToken":"sesame",'
        '"stt":{"api_key":"sesame"}}'
    )
    assert isinstance(channel, ChannelAdd)
    assert unknown_keys(channel) == ["accessToken", "stt.api_key"]
    assert "sesame" not in repr(channel)
    assert "sesame" not in repr(parse_command('{"event":"connect","api_key":"sesame"}'))


def test_no_end_of_unknown_keys_is_told_in_bounds() -> None:
    keys = {f"{i:05}" + "x" * 1000: 1 for i in range(500)}
    told = unknown_keys(parse_command(json.dumps({"event": "ping", **keys})))
    assert len(told) == 100
    assert max(map(len, told)) == 100
