"""What every language model behind the port must do; what they say is another matter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from pipeline.errors import ProviderError, ProviderUnavailable
from pipeline.ports import (
    ChatMessage,
    LanguageModel,
    LlmEnd,
    LlmReasoning,
    LlmRequest,
    LlmText,
    LlmToolCalls,
    ToolCall,
    ToolSpec,
)
from pipeline.providers.openai import Endpoint, OpenAiLlm
from tests.fakes.llm import FakeLlm, Says, asks
from tests.fakes.openai_endpoint import endpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENGINES: dict[str, Callable[[str], LanguageModel]] = {
    "fake": lambda _: FakeLlm(otherwise=Says("That is all I know of it.", 0.05, 0.001)),
    "openai": lambda url: OpenAiLlm(Endpoint(url, "sk-test"), model="gpt-4o-mini"),
}
"""Made with the address of an endpoint, for those that lie behind a network."""
UNHEEDING = "it says what it was told to, whatever it is asked"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    async with endpoint(key="sk-test", token_ms=1) as served:
        yield served.base_url


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=sorted(ENGINES))
async def engine(request: pytest.FixtureRequest, url: str) -> AsyncIterator[LanguageModel]:
    made = ENGINES[request.param](url)
    await made.start()
    yield made
    await made.aclose()


@dataclass
class Said:
    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    ends: list[LlmEnd] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def asked(text: str, **options: object) -> LlmRequest:
    messages = (ChatMessage("system", "You are brief."), ChatMessage("user", text))
    return LlmRequest(messages, **options)  # type: ignore[arg-type]


async def ask(engine: LanguageModel, request: LlmRequest) -> Said:
    said = Said()
    async with asyncio.timeout(30):
        async for event in engine.generate(request):
            assert not said.ends, "something came after the end"
            if isinstance(event, LlmText):
                assert not said.calls, "text came behind the calls"
                said.texts.append(event.text)
            elif isinstance(event, LlmReasoning):
                assert not said.calls, "it ponders behind the calls"
            elif isinstance(event, LlmToolCalls):
                assert event.calls
                assert not said.calls, "all calls come at once"
                said.calls += event.calls
            else:
                said.ends.append(event)
    return said


async def test_an_answer_comes_in_pieces_and_has_one_end(engine: LanguageModel) -> None:
    said = await ask(engine, asked("Tell me about the opening hours of the museum."))
    assert len(said.texts) > 1
    assert all(said.texts), "an empty piece"
    assert len(said.ends) == 1
    assert said.ends[0].finish_reason == "stop"
    for count in (said.ends[0].input_tokens, said.ends[0].output_tokens):
        assert count is None or count > 0


async def test_the_whole_history_is_heeded(engine: LanguageModel) -> None:
    if engine.name == "fake":
        pytest.skip(UNHEEDING)
    messages = (
        ChatMessage("system", "You are brief."),
        ChatMessage("user", "One."),
        ChatMessage("assistant", "Two."),
        ChatMessage("user", "Na\u00efve caf\u00e9 \u4f60\u597d \U0001f600"),
    )
    said = await ask(engine, LlmRequest(messages))
    assert said.text
    alone = await ask(engine, LlmRequest(messages[-1:]))
    told, less = said.ends[0].input_tokens, alone.ends[0].input_tokens
    assert told is None or less is None or told > less


async def test_the_limit_is_heeded_and_told(engine: LanguageModel) -> None:
    if engine.name == "fake":
        pytest.skip(UNHEEDING)
    said = await ask(engine, asked("Tell me a long story about a museum.", max_tokens=3, temperature=0.2))
    assert said.ends[0].finish_reason == "length"
    assert len(said.texts) <= 3


TOOLS = (ToolSpec("lookup", "Finds a city.", {"properties": {"city": {"type": "string"}}}), ToolSpec("ping"))
WISH = 'Please call lookup {"city": "K\u00f6ln \U0001f600"} and call ping {} now.'


async def test_tools_are_asked_for_all_at_once(engine: LanguageModel) -> None:
    if isinstance(engine, FakeLlm):
        engine.script.append(asks(("lookup", '{"city": "K\u00f6ln \U0001f600"}'), ("ping", "{}")))
    said = await ask(engine, asked(WISH, tools=TOOLS, temperature=0))
    assert [call.name for call in said.calls] == ["lookup", "ping"]
    assert [json.loads(call.arguments) for call in said.calls] == [{"city": "K\u00f6ln \U0001f600"}, {}]
    assert len({call.id for call in said.calls}) == 2
    assert all(call.id for call in said.calls)
    assert said.ends[0].finish_reason == "tool_calls"


async def test_no_tool_is_asked_for_where_none_may_be(engine: LanguageModel) -> None:
    for options in ({"tools": TOOLS, "tool_choice": "none"}, {}):
        said = await ask(engine, asked(WISH, **options))
        assert said.calls == []
        assert said.text
        assert said.ends[0].finish_reason == "stop"


async def test_results_are_heeded(engine: LanguageModel) -> None:
    if engine.name == "fake":
        pytest.skip(UNHEEDING)
    first = await ask(engine, asked(WISH, tools=TOOLS, temperature=0))
    results: tuple[ChatMessage, ...] = (ChatMessage("tool", "Germany", tool_call_id=first.calls[0].id),)
    results += (ChatMessage("tool", '{"error": "no"}', tool_call_id=first.calls[1].id),)
    history = (ChatMessage("user", WISH), ChatMessage("assistant", "", tuple(first.calls)), *results)
    said = await ask(engine, LlmRequest(history, tools=TOOLS))
    assert said.calls == []
    assert "Germany" in said.text


async def test_requests_at_once_do_not_mix(engine: LanguageModel) -> None:
    alone = [(await ask(engine, asked(f"the number {i}", temperature=0))).text for i in range(8)]
    together = await asyncio.gather(*(ask(engine, asked(f"the number {i}", temperature=0)) for i in range(8)))
    assert [said.text for said in together] == alone


async def test_closing_the_generator_ends_the_request_and_spares_the_others(engine: LanguageModel) -> None:
    events = engine.generate(asked("Tell me a story."))
    other = asyncio.ensure_future(ask(engine, asked("hello")))
    await anext(events)
    await events.aclose()
    assert (await other).ends
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_a_generator_that_was_never_asked_can_be_closed(engine: LanguageModel) -> None:
    await engine.generate(asked("hello")).aclose()


async def test_a_cancelled_consumer_ends_the_request(engine: LanguageModel) -> None:
    for turns in range(6):
        task = asyncio.ensure_future(ask(engine, asked("Tell me a story. " * 100)))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await ask(engine, asked("hello"))).ends


async def test_a_model_that_is_not_there_is_refused(engine: LanguageModel) -> None:
    if engine.name == "fake":
        pytest.skip(UNHEEDING)
    with pytest.raises(ProviderError) as caught:
        await ask(engine, asked("hello", model="nobody's"))
    assert not caught.value.retryable
    assert caught.value.stage == "llm"
    assert "nobody's" in caught.value.cause
    assert (await ask(engine, asked("hello"))).ends


async def test_its_life(engine: LanguageModel, url: str) -> None:
    if engine.name == "fake":
        pytest.skip(UNHEEDING)
    made = ENGINES[engine.name](url)
    assert made.name == engine.name
    with pytest.raises(ProviderUnavailable):
        await ask(made, asked("hello"))
    await made.warm()
    await made.start()
    await made.start()
    await made.warm()
    assert (await ask(made, asked("hello"))).ends
    await made.aclose()
    await made.aclose()
    with pytest.raises(ProviderUnavailable):
        await ask(made, asked("hello"))
