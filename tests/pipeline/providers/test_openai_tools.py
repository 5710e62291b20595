"""Tools in a chat: how the model is told of them, and its calls, however a server sends them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProviderError
from pipeline.ports import (
    ChatMessage,
    LanguageModel,
    LlmEnd,
    LlmEvent,
    LlmReasoning,
    LlmRequest,
    LlmText,
    LlmToolCalls,
    ToolCall,
    ToolSpec,
)
from pipeline.providers.openai import calls, wire
from pipeline.providers.openai.calls import CallJoiner, CallPiece
from pipeline.providers.openai.dialect import Dialect
from pipeline.providers.openai.wire import Refusal
from tests.fakes.openai_endpoint import Plan
from tests.fakes.openai_endpoint.plan import TOOLLESS
from tests.pipeline.providers.test_openai_http import MODEL, answer, llm, serving, text_of

WEATHER = ToolSpec("weather", "Tells the weather.", {"properties": {"city": {"type": "string"}}})
ASKED = LlmRequest((ChatMessage("user", "How is it in Rome?"),), tools=(WEATHER,))
CALL = ToolCall("call_1", "weather", '{"city":"Rome"}')
PAST = (
    ChatMessage("user", "How is it in Rome?"),
    ChatMessage("assistant", "Let me look.", (CALL,)),
    ChatMessage("tool", "sunny", tool_call_id="call_1"),
)


def ids() -> Iterator[str]:
    return (f"made_{i}" for i in itertools.count(1))


def joined(*pieces: CallPiece) -> list[tuple[str, str, str]]:
    joiner, made = CallJoiner(), ids()
    for piece in pieces:
        joiner.feed(piece)
    return [(call.id, call.name, call.arguments) for call in joiner.calls(lambda: next(made))]


# --- the request ------------------------------------------------------------------------------------------


def body(request: LlmRequest, dialect: Dialect | None = None) -> dict[str, Any]:
    dialect = dialect or Dialect.of("m", hosted=False)
    found: dict[str, Any] = orjson.loads(wire.chat_body(request, "m", dialect.options(request)))
    return found


def test_tools_are_described_as_functions() -> None:
    sent = body(LlmRequest(ASKED.messages, tools=(WEATHER, ToolSpec("ping"))))
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells the weather.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        },
        {
            "type": "function",
            "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}},
        },
    ]
    assert "tool_choice" not in sent
    assert body(LlmRequest(ASKED.messages, tools=(WEATHER,), tool_choice="none"))["tool_choice"] == "none"


def test_without_tools_nothing_is_said_of_them() -> None:
    assert set(body(LlmRequest(ASKED.messages, tool_choice="none"))) == {
        "model", "messages", "stream", "stream_options",
    }  # fmt: skip


def test_calls_and_results_are_messages() -> None:
    wanted = {"id": "call_1", "type": "function"}
    wanted |= {"function": {"name": "weather", "arguments": '{"city":"Rome"}'}}  # type: ignore[dict-item]
    silent = ChatMessage("assistant", "", (CALL,))
    assert body(LlmRequest((*PAST, silent)))["messages"][1:] == [
        {"role": "assistant", "content": "Let me look.", "tool_calls": [wanted]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
        {"role": "assistant", "content": None, "tool_calls": [wanted]},
    ]


@pytest.mark.parametrize("arguments", ['{"city": "Ro', "", "[1]", '"x"', '{"a": "\ud800"}'])
def test_arguments_that_are_no_json_do_not_spoil_the_history(arguments: str) -> None:
    past = ChatMessage("assistant", "", (ToolCall("call_1", "weather", arguments),))
    (call,) = body(LlmRequest((past,)))["messages"][0]["tool_calls"]
    assert call["function"]["arguments"] == "{}"


# --- the pieces of the answer -----------------------------------------------------------------------------


def test_pieces_are_joined_by_their_index() -> None:
    assert joined(
        CallPiece(0, "a", "weather", ""),
        CallPiece(0, "", "", '{"city"'),
        CallPiece(1, "b", "ping", ""),
        CallPiece(0, "", "", ':"Rome"}'),
        CallPiece(1, "", "", "{}"),
    ) == [("a", "weather", '{"city":"Rome"}'), ("b", "ping", "{}")]


@given(st.data())
def test_calls_are_the_same_however_they_are_cut_and_mixed(data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.tuples(st.sampled_from("xyz"), st.text(max_size=12)), max_size=4))
    streams = []
    for index, (name, text) in enumerate(wanted):
        arguments = orjson.dumps({"t": text}).decode()
        cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=4)))
        parts = [arguments[a:b] for a, b in itertools.pairwise([0, *cuts, len(arguments)])]
        first = CallPiece(index, f"id{index}", name, parts[0])
        streams.append([first, *(CallPiece(index, "", "", part) for part in parts[1:])])
    pieces = []
    heads = 0
    while any(streams):
        # A call begins only behind the one before it; its pieces may come between others'.
        begun = [s for s in streams[: heads + 1] if s]
        stream = data.draw(st.sampled_from(begun)) if begun else streams[heads]
        if stream is streams[min(heads, len(streams) - 1)]:
            heads = min(heads + 1, len(streams) - 1)
        pieces.append(stream.pop(0))
    assert joined(*pieces) == [
        (f"id{i}", name, orjson.dumps({"t": text}).decode()) for i, (name, text) in enumerate(wanted)
    ]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # whole calls, none of which is counted
        ([(None, "a", "f", "{}"), (None, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
        # the same without ids, and the same tool twice
        ([(None, "", "f", "{}"), (None, "", "f", "{}")], [("made_1", "f", "{}"), ("made_2", "f", "{}")]),
        # whole calls that all have the same number
        ([(0, "a", "f", "{}"), (0, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([(0, "", "f", '{"a":1}'), (0, "", "f", '{"a":2}')], [("made_1", "f", '{"a":1}'), ("made_2", "f", '{"a":2}')]),
        # each piece has another id, or the name once more
        ([(0, "a", "f", '{"x"'), (0, "b", "", ":1}")], [("a", "f", '{"x":1}')]),
        ([(0, "a", "f", '{"x"'), (0, "a", "f", ":1}")], [("a", "f", '{"x":1}')]),
        ([(0, "", "f", '{"x"'), (0, "", "f", ":1}")], [("made_1", "f", '{"x":1}')]),
        ([(0, "", "f", "{}"), (0, "", "f", "")], [("made_1", "f", "{}")]),
        # pieces that are not counted
        ([(None, "a", "f", ""), (None, "", "", "{"), (None, "", "", "}")], [("a", "f", "{}")]),
        # the id first, then the name
        ([(0, "a", "", ""), (0, "", "f", "{}")], [("a", "f", "{}")]),
        # an id twice
        ([(0, "a", "f", "{}"), (1, "a", "g", "{}")], [("a", "f", "{}"), ("made_1", "g", "{}")]),
        ([(None, "", "", "{}")], [("made_1", "", "{}")]),
    ],
)  # fmt: skip
def test_servers_that_count_otherwise(
    pieces: list[tuple[int | None, str, str, str]], expected: list[tuple[str, str, str]]
) -> None:
    assert joined(*(CallPiece(*piece) for piece in pieces)) == expected


def test_an_answer_of_nothing_but_calls_has_its_bounds() -> None:
    with pytest.raises(ValueError, match="more calls"):
        joined(*(CallPiece(i, f"{i}", "f", "{}") for i in range(calls.MAX_CALLS + 1)))
    with pytest.raises(ValueError, match="more calls"):
        joined(*(CallPiece(0, "a", "f", "x" * 1000) for _ in range(300)))


@pytest.mark.parametrize(
    "call",
    [
        {"index": 0, "function": "f"}, {"function": {"name": 3}}, "f", 7, {"id": 5},
        {"function": {"arguments": [1]}},
    ],
)  # fmt: skip
def test_calls_that_are_none_are_no_answer(call: object) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        wire.chat_piece(orjson.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}))


def test_arguments_may_be_an_object() -> None:
    event = {"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}}]}
    piece = wire.chat_piece(orjson.dumps(event))
    assert isinstance(piece, wire.ChatPiece)
    assert joined(*piece.calls) == [("made_1", "f", '{"a":1}')]


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(400, "registry/gemma:2b does not support tools"), True),
        (Refusal(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'), True),
        (Refusal(500, "tools param requires --jinja flag"), True),
        (Refusal(404, "No endpoints found that support tool use."), True),
        (Refusal(400, "Unsupported parameter: 'tools'", "unsupported_parameter", "tools"), True),
        (Refusal(422, "body.tools: Extra inputs are not permitted"), True),
        (Refusal(400, "Invalid schema for function 'f': unknown type", param="tools[0].function.parameters"), False),
        (Refusal(400, "Invalid schema for function 'f': tool has an unknown type"), False),
        (Refusal(400, "Unknown name", param="tools[3].function.name"), False),
        (Refusal(500, "The server had an error"), False),
        (Refusal(429, "Too many tools are not supported"), False),
        (Refusal(400, "Unsupported value: temperature", param="temperature"), False),
    ],
)  # fmt: skip
def test_who_takes_no_tools(refusal: Refusal, expected: bool) -> None:
    assert wire.refuses_tools(refusal) is expected
    after = Dialect.of("m", hosted=False).after(refusal, {"tools": []})
    assert (after is not None and after.toolless) is expected


def test_without_tools_the_history_is_what_was_said() -> None:
    dialect = Dialect("max_tokens", left_out=frozenset({"tools"}))
    silent = ChatMessage("assistant", "", (CALL,))
    sent = body(LlmRequest((*PAST, silent, PAST[2]), tools=(WEATHER,), tool_choice="none"), dialect)
    assert "tools" not in sent
    assert "tool_choice" not in sent
    assert sent["messages"] == [
        {"role": "user", "content": "How is it in Rome?"},
        {"role": "assistant", "content": "Let me look."},
    ]


# --- over HTTP --------------------------------------------------------------------------------------------

TWO = (("weather", '{"city": "Rome, \u00e9"}'), ("weather", '{"city": "Oslo"}'))


@pytest.mark.e2e
@pytest.mark.parametrize("piece_bytes", [None, 1, 7])
async def test_text_then_calls(piece_bytes: int | None) -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(Plan(text="Let me look.", tool_calls=TWO, piece_bytes=piece_bytes, reasoning="Hm."))
        events = await answer(engine, ASKED)
        assert text_of(events) == "Let me look."
        *pieces, asked, end = events
        pondered = [event.text for event in pieces if isinstance(event, LlmReasoning)]
        # What is pondered has a text; each piece of the arguments is a sign of life.
        assert pondered[0] == "Hm."
        assert len(pondered) > 5
        assert not any(pondered[1:])
        assert all(isinstance(event, LlmText | LlmReasoning) for event in pieces)
        assert isinstance(asked, LlmToolCalls)
        assert [(call.name, call.arguments) for call in asked.calls] == list(TWO)
        assert isinstance(end, LlmEnd)
        assert end.finish_reason == "tool_calls"
        assert end.output_tokens
        assert end.model == MODEL
        assert server.llm.requests[0].json["tools"][0]["function"]["name"] == "weather"


@pytest.mark.e2e
async def test_an_answer_that_is_not_streamed() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    said = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    async with serving() as server, llm(server) as engine:
        server.llm.next(Plan(body=orjson.dumps(said), content_type="application/json"))
        pondered, asked, end = await answer(engine, ASKED)
        assert pondered == LlmReasoning("")
        assert asked == LlmToolCalls((ToolCall("c1", "weather", "{}"),))
        assert end == LlmEnd("tool_calls")


@pytest.mark.e2e
@pytest.mark.parametrize(
    "plan",
    [
        Plan(tool_calls=TWO, cut_after=4),
        Plan(tool_calls=TWO, end_after=4),
        Plan(tool_calls=TWO, garbage_after=3),
        Plan(tool_calls=TWO, error_after=3),
        Plan(deltas=({"tool_calls": ["f"]},)),
        Plan(deltas=({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "x" * 200_001}}]},)),
    ],
)
async def test_calls_of_an_answer_that_is_not_whole_are_never_given(plan: Plan) -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(plan)
        events: list[LlmEvent] = []
        with pytest.raises(ProviderError):
            await _hear(engine, events)
        assert events == []


async def _hear(engine: LanguageModel, events: list[LlmEvent]) -> None:
    async for event in engine.generate(ASKED):
        if event != LlmReasoning(""):
            events.append(event)  # noqa: PERF401 - what came before a fault is kept


@pytest.mark.e2e
async def test_a_model_without_tools_answers_without_them(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server, llm(server, model=TOOLLESS) as engine:
        request = LlmRequest((*PAST, ChatMessage("user", "Thanks.")), tools=(WEATHER,))
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert text_of(await answer(engine, request))
        assert [record.status for record in server.llm.requests] == [400, 200, 200, 200]
        assert "tools" not in server.llm.requests[-1].json
        assert [m["role"] for m in server.llm.requests[-1].json["messages"]] == ["user", "assistant", "user"]
        assert sum("takes no tools" in record.getMessage() for record in caplog.records) == 1
        # Another model of the same endpoint has its tools.
        wanted = LlmRequest((ChatMessage("user", 'call weather {"city": "Rome"}'),), MODEL, tools=(WEATHER,))
        assert any(isinstance(event, LlmToolCalls) for event in await answer(engine, wanted))


@pytest.mark.e2e
async def test_of_several_services_each_has_its_name() -> None:
    async with serving() as server, llm(server, name="groq") as engine:
        assert engine.name == "groq"
        server.llm.next(
            Plan(status=500), Plan(status=503), Plan(status=401), Plan(tool_calls=TWO, cut_after=4)
        )
        for _ in range(4):
            with pytest.raises(ProviderError, match="groq") as caught:
                await answer(engine, ASKED)
            assert caught.value.provider == "groq"


@pytest.mark.e2e
async def test_a_history_whose_calls_have_no_result_is_refused() -> None:
    async with serving() as server, llm(server) as engine:
        for broken in (PAST[:2], (PAST[0], PAST[2]), (*PAST, PAST[2])):
            with pytest.raises(ProviderError, match="tool") as caught:
                await answer(engine, LlmRequest(broken, tools=(WEATHER,)))
            assert not caught.value.retryable
        assert not any(record.status == 200 for record in server.llm.requests)
