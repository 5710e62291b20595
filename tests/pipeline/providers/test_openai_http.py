"""Faults of an endpoint and of the network, over real HTTP: what the engines make of them."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from media.frames import Pcm
from pipeline.errors import ProviderBusy, ProviderError, ProviderUnavailable
from pipeline.ports import (
    ChatMessage,
    LlmEnd,
    LlmEvent,
    LlmRequest,
    LlmText,
    Probe,
    SttEvent,
    SttFailed,
    SttFinal,
    SttOptions,
    SttPartial,
    TtsAudio,
    TtsRequest,
)
from pipeline.providers.openai import Endpoint, OpenAiLlm, OpenAiStt, OpenAiTts, client, transport
from pipeline.providers.openai import llm as llm_module
from pipeline.providers.openai import stt as stt_module
from tests.fakes.openai_endpoint import FOREVER, Plan, endpoint
from tests.fakes.openai_endpoint import Endpoint as Server
from tests.fakes.openai_endpoint.voice import WORD_MS

pytestmark = pytest.mark.e2e

KEY = "sk-test-0123456789"
MODEL = "gpt-4o-mini"
HELLO = LlmRequest((ChatMessage("user", "Hello!"),))
RATE_HZ = 8000
SPEECH: Pcm = (3000 * np.sin(np.arange(RATE_HZ) / 5)).astype(np.int16)
GATEWAY = Plan(status=502, body=b"<html><title>Bad Gateway</title>", content_type="text/html")
Engine = OpenAiLlm | OpenAiTts | OpenAiStt


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Server]:
    settings: dict[str, Any] = {"key": KEY, "token_ms": 0, "tts_speed": FOREVER}
    settings["stt_models"] = (stt_module.DEFAULT_MODEL, "gpt-4o-transcribe", "whisper-1")
    async with endpoint(**{**settings, **changes}) as server:
        yield server


@asynccontextmanager
async def started(engine: Engine) -> AsyncIterator[Any]:
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()


def llm(server: Server, **changes: Any) -> Any:
    return started(OpenAiLlm(Endpoint(server.base_url, KEY), **{"model": MODEL, **changes}))


def tts(server: Server, **changes: Any) -> Any:
    return started(OpenAiTts(Endpoint(server.base_url, KEY), **changes))


def stt(server: Server, **changes: Any) -> Any:
    return started(OpenAiStt(Endpoint(server.base_url, KEY), **changes))


async def answer(engine: OpenAiLlm, request: LlmRequest = HELLO) -> list[LlmEvent]:
    async with asyncio.timeout(10):
        return [event async for event in engine.generate(request)]


def text_of(events: list[LlmEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, LlmText))


async def speak(engine: OpenAiTts, text: str = "Hello there.", rate_hz: int = 24_000, **more: Any) -> Pcm:
    async with asyncio.timeout(10):
        chunks = [
            event.pcm
            async for event in engine.speak(TtsRequest(text, rate_hz, **more))
            if isinstance(event, TtsAudio)
        ]
    return np.concatenate([np.zeros(0, np.int16), *chunks])


async def hear(engine: OpenAiStt, pcm: Pcm = SPEECH, **options: Any) -> list[SttEvent]:
    """All events of one segment."""
    events: list[SttEvent] = []
    over = asyncio.Event()

    def listen(event: SttEvent) -> None:
        events.append(event)
        if not isinstance(event, SttPartial):
            over.set()

    stream = engine.open(SttOptions(RATE_HZ, **options), listen)
    stream.begin(1)
    stream.feed(pcm)
    stream.end()
    async with asyncio.timeout(10):
        await over.wait()
    await stream.aclose()
    return events


async def use(engine: Engine) -> object:
    """One request of whatever kind. Raises ``ProviderError``."""
    if isinstance(engine, OpenAiLlm):
        return await answer(engine)
    if isinstance(engine, OpenAiTts):
        return await speak(engine)
    events = await hear(engine)
    if isinstance(events[-1], SttFailed):
        raise events[-1].error
    return events


async def fault_of(engine: Engine) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await use(engine)
    assert caught.value.provider == "openai"
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert KEY not in shown, "the key is in an error"
    return caught.value


KINDS: dict[str, Callable[[Endpoint], Engine]] = {
    "llm": lambda at: OpenAiLlm(at, model=MODEL),
    "tts": OpenAiTts,
    "stt": OpenAiStt,
}
every_kind = pytest.mark.parametrize("stage", sorted(KINDS))


def made(stage: str, server: Server, key: str = KEY) -> Any:
    return started(KINDS[stage](Endpoint(server.base_url, key)))


# --- what all three have in common ------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize(
    ("plan", "kind", "retryable", "said"),
    [
        (Plan(status=429), ProviderBusy, True, "429"),
        (Plan(status=429, code="insufficient_quota"), ProviderUnavailable, False, "no credit"),
        (Plan(status=500), ProviderError, True, "HTTP 500: The server had an error"),
        (GATEWAY, ProviderError, True, "HTTP 502: Bad Gateway"),
        (Plan(status=503), ProviderBusy, True, "overloaded"),
        (Plan(status=400), ProviderError, False, "HTTP 400"),
        (Plan(status=401), ProviderUnavailable, False, "its API key was refused at http://127.0.0.1:"),
        (Plan(status=403), ProviderUnavailable, False, "its API key was refused"),
        (Plan(status=404), ProviderError, False, "does not exist"),
        (Plan(status=404, body=b"Not Found", content_type="text/plain"), ProviderUnavailable, False, "Not Found"),
        (Plan(status=418, body=b"", content_type="text/plain"), ProviderError, False, "HTTP 418"),
        (Plan(status=500, message="You sent {key} to us."), ProviderError, True, "You sent [key] to us."),
        (Plan(status=500, message="x" * 190 + "{key}"), ProviderError, True, "xxx"),
        (Plan(status=500, message_bytes=300_000), ProviderError, True, "HTTP 500"),
        (Plan(body=b"<html>Welcome!</html>", content_type="text/html"), ProviderUnavailable, False, "web page"),
        (Plan(headers=(("content-encoding", "gzip"),)), ProviderError, False, "compressed (gzip)"),
    ],
)  # fmt: skip
async def test_a_fault_is_told_for_what_it_is(
    stage: str, plan: Plan, kind: type[ProviderError], retryable: bool, said: str
) -> None:
    async with serving() as server, made(stage, server) as engine:
        await use(engine)  # so that the endpoint is known to take what it is sent
        getattr(server, stage).next(plan)
        fault = await fault_of(engine)
        assert type(fault) is kind
        assert fault.stage == stage
        assert fault.retryable is retryable
        assert said in fault.cause
        assert len(fault.cause) < 300
        assert len(getattr(server, stage).requests) == 2, "it was tried again"
        await use(engine)


@every_kind
@pytest.mark.parametrize("reset", [False, True])
async def test_an_answer_that_is_cut_off_is_a_fault_worth_another_try(stage: str, reset: bool) -> None:
    async with serving(token_ms=5) as server, made(stage, server) as engine:
        getattr(server, stage).next(Plan(cut_after=1, reset=reset))
        fault = await fault_of(engine)
        assert fault.retryable
        assert "cut off" in fault.cause
        await use(engine)


@every_kind
async def test_a_pooled_connection_that_is_dead_is_replaced_at_once(stage: str) -> None:
    async with serving() as server, made(stage, server) as engine:
        route = getattr(server, stage)
        route.next(Plan(afterwards="trap"))
        await use(engine)
        await use(engine)  # its request crossed the close
        assert server.connections == 2
        assert len(route.requests) == 2
        route.next(Plan(afterwards="silent"))
        await use(engine)
        await use(engine)
        assert server.connections <= 4


@every_kind
async def test_several_dead_connections_in_a_row_are_got_over(stage: str) -> None:
    async with serving() as server, made(stage, server) as engine:
        route = getattr(server, stage)
        route.next(Plan(afterwards="trap", before_head_ms=20), Plan(afterwards="trap", before_head_ms=20))
        await asyncio.gather(use(engine), use(engine))
        assert server.connections == 2
        await use(engine)
        assert server.connections == 3


@every_kind
@pytest.mark.parametrize("reset", [False, True])
async def test_a_fresh_connection_that_dies_is_not_asked_again(stage: str, reset: bool) -> None:
    async with serving() as server, made(stage, server) as engine:
        getattr(server, stage).next(Plan(cut_before_head=True, reset=reset))
        fault = await fault_of(engine)
        assert fault.cause.startswith("no answer from http://127.0.0.1:")
        assert fault.retryable
        assert len(getattr(server, stage).requests) == 1


@every_kind
async def test_connections_are_kept_alive(stage: str) -> None:
    async with serving() as server, made(stage, server) as engine:
        for _ in range(5):
            await use(engine)
        assert server.connections == 1


@every_kind
async def test_a_hundred_calls_at_once_find_room(stage: str) -> None:
    async with serving(llm_ms=100, tts_ms=100, stt_ms=100) as server, made(stage, server) as engine:
        await asyncio.gather(*(use(engine) for _ in range(100)))
        assert 50 < server.connections <= 100
        await asyncio.gather(*(use(engine) for _ in range(100)))
        assert server.connections <= 100, "they were not kept"


@every_kind
async def test_nobody_listens_there(stage: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        at = Endpoint(f"http://user:hunter2@127.0.0.1:{held.getsockname()[1]}/v1?key=hunter2", KEY)
        async with started(KINDS[stage](at)) as engine:
            await engine.warm()
            fault = await fault_of(engine)
            probe = await engine.probe()
    assert fault.retryable
    assert fault.cause.startswith("cannot be reached at http://127.0.0.1:")
    assert probe.problem is not None
    assert str(probe.problem) == str(fault)
    assert "hunter2" not in str(fault) + repr(at)


@every_kind
@pytest.mark.parametrize(
    ("url", "said"), [("http://nowhere.invalid/v1", "cannot be reached at http://nowhere.invalid/v1")]
)
async def test_a_name_that_nobody_knows(stage: str, url: str, said: str) -> None:
    async with started(KINDS[stage](Endpoint(url, KEY))) as engine:
        assert said in (await fault_of(engine)).cause


@every_kind
async def test_https_to_a_server_without_it(stage: str) -> None:
    async with serving() as server:
        at = Endpoint(server.base_url.replace("http:", "https:"), KEY)
        async with started(KINDS[stage](at)) as engine:
            fault = await fault_of(engine)
            assert "cannot be reached at https://127.0.0.1:" in fault.cause


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "ftp://localhost/v1", "http://", "", "http://[::1/v1", "/v1"]
)
async def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    for make in KINDS.values():
        with pytest.raises(ProviderUnavailable, match="http or https"):
            await make(Endpoint(url, KEY)).start()


async def test_the_hosted_service_needs_a_key() -> None:
    for make in KINDS.values():
        with pytest.raises(ProviderUnavailable, match="API key"):
            await make(Endpoint()).start()


@pytest.mark.parametrize("key", ["sk test", "sk-test\n", "sk-t\u00e9st", "sk-\x00"])
async def test_what_is_no_key_is_refused_at_the_start(key: str) -> None:
    for make in KINDS.values():
        with pytest.raises(ProviderUnavailable, match="API key holds") as caught:
            await make(Endpoint("http://127.0.0.1:9/v1", key)).start()
        assert key not in str(caught.value)


@every_kind
async def test_a_connection_that_is_never_taken(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_S", 0.1)
    with socket.socket() as busy, socket.socket() as first, socket.socket() as second:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(busy.getsockname())
        at = Endpoint(f"http://127.0.0.1:{busy.getsockname()[1]}/v1", KEY)
        async with started(KINDS[stage](at)) as engine:
            fault = await fault_of(engine)
            assert fault.retryable
            assert fault.cause.startswith("cannot be reached at http://127.0.0.1:")
            assert fault.cause.endswith("no connection within 0.1 s")


@every_kind
async def test_without_a_key_none_is_sent(stage: str) -> None:
    async with serving(key=None) as server, made(stage, server, key="") as engine:
        await use(engine)
        assert (await engine.probe()).problem is None
        assert [request.authorization for request in server.requests] == [None] * len(server.requests)


async def test_what_the_environment_says_of_an_account_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    async with serving() as server, llm(server) as engine:
        await answer(engine)
        assert "secret" not in str(server.llm.requests[0].headers)
        assert server.llm.requests[0].authorization == f"Bearer {KEY}"


async def test_a_user_and_password_in_the_address_are_sent_and_never_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(key=None) as server:
        at = Endpoint(server.base_url.replace("http://", "http://me:p%40ss@"))
        async with started(OpenAiLlm(at, model=MODEL)) as engine:
            await answer(engine)
        assert server.llm.requests[0].authorization == "Basic bWU6cEBzcw=="
        assert "p%40ss" not in caplog.text + repr(at)


@every_kind
async def test_the_key_is_never_logged(stage: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as server, made(stage, server) as engine:
        await use(engine)
        getattr(server, stage).next(Plan(status=500, message="You sent {key} to us."))
        await fault_of(engine)
        assert KEY not in caplog.text + repr(engine) + repr(vars(engine))


@every_kind
async def test_a_stall_is_ended(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_S", 0.1)
    async with serving() as server, made(stage, server) as engine:
        getattr(server, stage).next(Plan(before_head_ms=FOREVER), Plan(stall_after=1))
        assert (await fault_of(engine)).retryable
        assert (await fault_of(engine)).retryable
        for record in getattr(server, stage).requests:
            assert await record.over() == "disconnected"
        await use(engine)


@every_kind
async def test_closing_the_engine_ends_its_requests(stage: str) -> None:
    async with serving() as server:
        getattr(server, stage).next(Plan(before_head_ms=FOREVER))
        async with made(stage, server) as engine:
            task = asyncio.create_task(use(engine))
            record = await getattr(server, stage).request()
        assert await record.over() == "disconnected"
        task.cancel()
        await asyncio.wait([task])


# --- warm and probe ---------------------------------------------------------------------------------------


@every_kind
async def test_a_warm_connection_is_used_by_the_request(stage: str) -> None:
    async with serving() as server, made(stage, server) as engine:
        await asyncio.gather(*(engine.warm() for _ in range(5)))
        assert server.counts["models"] == 1
        await use(engine)
        assert server.connections == 1
        await engine.warm()
        assert server.counts["models"] == 1, "there is an idle connection"


async def test_warming_goes_on_where_no_connection_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, llm(server) as engine:
        server.models.next(Plan(cut_after=1), Plan(afterwards="close"), Plan(status=500))
        for count in (1, 2, 3):
            await engine.warm()
            assert server.counts["models"] == count
        await engine.warm()  # an error is an answer, too
        assert server.counts["models"] == 3
        monkeypatch.setattr(client, "FRESH_S", 0.0)
        await engine.warm()
        assert server.counts["models"] == 4


async def test_warming_goes_on_where_the_idle_connection_was_used_up() -> None:
    async with serving(token_ms=20) as server, llm(server) as engine:
        await engine.warm()
        events = engine.generate(HELLO)
        await anext(events)
        await engine.warm()
        assert server.counts["models"] == 2
        assert server.connections == 2
        await events.aclose()
        await engine.warm()
        assert server.counts["models"] == 2


async def test_a_slow_endpoint_is_warmed_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WARM_S", 0.05)
    async with serving() as server, llm(server) as engine:
        server.models.next(Plan(before_head_ms=FOREVER))
        await engine.warm()
        assert await server.models.requests[0].over() == "disconnected"


@every_kind
async def test_a_probe_of_what_works(stage: str) -> None:
    async with serving() as server, made(stage, server) as engine:
        probe = await engine.probe()
        assert probe.problem is None
        assert probe.models is not None
        assert MODEL in probe.models
        assert not probe.missing
        assert all(record.audio == b"" and not record.json.get("input") for record in server.requests)


@every_kind
async def test_a_list_of_models_behind_another_door_says_nothing_about_the_key(stage: str) -> None:
    async with serving() as server, made(stage, server) as engine:
        server.models.next(Plan(status=401))
        assert await engine.probe() == Probe(None, None)
        assert [record.status for record in server.requests] == [401, 400]


async def test_a_list_of_models_without_a_door_says_nothing_about_the_key() -> None:
    async with serving() as server, made("llm", server) as engine:
        server.llm.next(Plan(status=401))
        found = await engine.probe()
        assert found.problem is not None
        assert "its API key was refused" in found.problem.cause
        server.llm.next(Plan(status=404))
        assert (await engine.probe()).problem is None


@pytest.mark.parametrize(
    ("plan", "retry_after_s"),
    [
        (Plan(status=429, retry_after_s=20), 20.0),
        (Plan(status=429, retry_after_s=0.25), 0.25),
        (Plan(status=503, headers=(("retry-after", "7"),)), 7.0),
        (Plan(status=429), None),
    ],
)
async def test_how_long_it_wants_to_be_left_alone(plan: Plan, retry_after_s: float | None) -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(plan)
        with pytest.raises(ProviderBusy) as busy:
            await answer(engine)
        assert busy.value.retry_after_s == retry_after_s


@every_kind
@pytest.mark.parametrize("status", [401, 403])
async def test_a_probe_tells_of_a_key_that_is_refused(stage: str, status: int) -> None:
    async with serving() as server, made(stage, server) as engine:
        server.models.next(Plan(status=status))
        getattr(server, stage).next(Plan(status=status))
        problem = (await engine.probe()).problem
        assert problem is not None
        assert "its API key was refused" in problem.cause
        assert not problem.retryable


@every_kind
async def test_a_probe_tells_of_a_key_that_is_missing(stage: str) -> None:
    async with serving() as server, made(stage, server, key="") as engine:
        problem = (await engine.probe()).problem
        assert problem is not None
        assert "its API key is missing" in problem.cause


@every_kind
async def test_a_probe_tells_of_a_wrong_path(stage: str) -> None:
    async with serving() as server:
        at = Endpoint(server.base_url.removesuffix("/v1"), KEY)
        async with started(KINDS[stage](at)) as engine:
            probe = await engine.probe()
            assert probe.problem is not None
            assert probe.missing
            assert "is /v1 missing" in probe.problem.cause
            assert not probe.problem.retryable


@every_kind
async def test_a_probe_of_a_server_without_a_list_of_models(stage: str) -> None:
    async with serving() as server, made(stage, server) as engine:
        server.models.plan = Plan(status=404)
        probe = await engine.probe()
        assert probe.problem is None
        assert probe.models is None
        getattr(server, stage).plan = Plan(status=422)
        assert (await engine.probe()).problem is None


@pytest.mark.parametrize("stage", ["stt", "tts"])
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_probe_of_a_server_that_has_models_but_no_speech(stage: str, status: int) -> None:
    async with serving() as server, made(stage, server) as engine:
        getattr(server, stage).plan = Plan(status=status)
        probe = await engine.probe()
        assert probe.problem is not None
        assert probe.missing
        assert probe.models is not None
        assert "offer no speech" in probe.problem.cause


@every_kind
@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(status=500), "HTTP 500"),
        (Plan(cut_before_head=True), "no answer"),
        (Plan(cut_after=1), "cut off"),
        (Plan(body=b"<!doctype html>", content_type="text/html"), "web page"),
        (Plan(before_head_ms=FOREVER), "did not answer within"),
    ],
)
async def test_a_probe_tells_of_a_fault(
    stage: str, plan: Plan, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PROBE_S", 0.2)
    async with serving() as server, made(stage, server) as engine:
        server.models.plan = plan
        problem = (await engine.probe()).problem
        assert problem is not None
        assert said in problem.cause
        assert problem.stage == stage


@every_kind
async def test_a_probe_before_the_start_tells_so(stage: str) -> None:
    problem = (await KINDS[stage](Endpoint("http://127.0.0.1:1/v1")).probe()).problem
    assert isinstance(problem, ProviderUnavailable)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://models.example/v1", "http://proxy.example:3128"),
        ("https://models.example/v1", "http://proxy.example:3129"),
        ("http://inside.example/v1", None),
        ("http://localhost:8000/v1", None),
        ("http://127.0.0.1:8000/v1", None),
        ("http://[::1]:8000/v1", None),
    ],
)
def test_the_proxy_of_the_environment_is_used(
    url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3129")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert transport.proxy_for(url) == proxy


# --- language model ---------------------------------------------------------------------------------------


async def test_an_answer_however_it_is_cut_up() -> None:
    async with serving(reply="Na\u00efve \U0001f600 caf\u00e9. " * 20) as server, llm(server) as engine:
        whole = text_of(await answer(engine))
        assert whole == "Na\u00efve \U0001f600 caf\u00e9. " * 20
        for size in (1, 7, 100):
            server.llm.next(Plan(piece_bytes=size))
            assert text_of(await answer(engine)) == whole


async def test_text_is_given_as_it_comes() -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(Plan(deltas=("One ", "two."), stall_after=2))
        events = engine.generate(HELLO)
        async with asyncio.timeout(5):
            assert await anext(events) == LlmText("One ")
        await events.aclose()
        assert await server.llm.requests[0].over() == "disconnected"


async def test_closing_ends_the_request_within_a_piece() -> None:
    async with serving(token_ms=20, reply="word " * 500) as server, llm(server) as engine:
        events = engine.generate(HELLO)
        await anext(events)
        record = server.llm.requests[0]
        await events.aclose()
        sent = record.pieces
        assert await record.over() == "disconnected"
        assert record.pieces <= sent + 1


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(end_after=3), "cut off"),
        (Plan(end_after=0), "cut off"),
        (Plan(body=b"", content_type="text/event-stream"), "cut off"),
        (Plan(garbage_after=2), "cannot be read"),
        (Plan(error_after=2), "it gave up: The server had an error"),
        (Plan(body=b"[]", content_type="application/json"), "cannot be read"),
        (Plan(body=b"{", content_type="application/json"), "cannot be read"),
        (Plan(body=b"{}", content_type="application/json"), "cut off"),
        (Plan(body=b'{"error": {"message": "Out of luck"}}', content_type="application/json"), "Out of luck"),
        (Plan(body=b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'), "cannot be read"),
        (Plan(body=b"data: " + b"x" * (2 << 20), content_type="text/event-stream"), "cannot be read"),
    ],
)
async def test_a_broken_answer_is_a_fault(plan: Plan, said: str) -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(plan)
        fault = await fault_of(engine)
        assert said in fault.cause
        assert fault.retryable


async def test_text_before_a_fault_is_given() -> None:
    async with serving(token_ms=5) as server, llm(server) as engine:
        server.llm.next(Plan(deltas=("One ", "two."), error_after=3))
        events = engine.generate(HELLO)
        assert [await anext(events), await anext(events)] == [LlmText("One "), LlmText("two.")]
        with pytest.raises(ProviderError):
            await anext(events)


async def test_an_end_without_the_last_word_is_an_end() -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(Plan(done=False))
        events = await answer(engine)
        assert events[-1] == LlmEnd(
            "stop", *[getattr(events[-1], f) for f in ("input_tokens", "output_tokens", "model")]
        )


@pytest.mark.parametrize(
    "plan", [Plan(stall_after=3), Plan(cut_after=3), Plan(cut_after=4), Plan(stall_after=4)]
)
async def test_what_happens_behind_the_end_of_the_text_is_no_fault(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_module, "REST_S", 0.05)
    async with serving() as server, llm(server) as engine:
        server.llm.next(replace(plan, deltas=("Yes.",)))
        events = await answer(engine)
        assert events[0] == LlmText("Yes.")
        assert isinstance(events[1], LlmEnd)
        assert events[1].finish_reason == "stop"


async def test_what_a_model_ponders_is_not_said() -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(
            Plan(deltas=({"reasoning_content": "Hm."}, {"content": None, "reasoning": "Hm."}, {}, "Yes.", ""))
        )
        events = await answer(engine)
        assert [event.text for event in events if isinstance(event, LlmText)] == ["Yes."]


async def test_a_refusal_by_the_model_is_said() -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(Plan(deltas=({"content": None, "refusal": "I am sorry."},)))
        assert text_of(await answer(engine)) == "I am sorry."


async def test_the_tokens_are_counted_where_the_server_tells_them() -> None:
    refuses = Plan(status=400, message="Unsupported parameter: stream_options")
    async with serving() as server, llm(server) as engine:
        counted = (await answer(engine))[-1]
        assert isinstance(counted, LlmEnd)
        assert (counted.input_tokens or 0, counted.output_tokens or 0) > (0, 0)
        server.llm.next(refuses)
        untold = (await answer(engine))[-1]
        assert isinstance(untold, LlmEnd)
        assert (untold.input_tokens, untold.output_tokens) == (None, None)
        assert untold.finish_reason == "stop"


async def test_a_server_that_does_not_stream_is_understood() -> None:
    body = (
        b'{"choices": [{"message": {"content": "Hello."}, "finish_reason": "length"}],'
        b' "usage": {"prompt_tokens": 3, "completion_tokens": 2}}'
    )
    async with serving() as server, llm(server) as engine:
        server.llm.next(Plan(body=body, content_type="application/json"))
        assert await answer(engine) == [LlmText("Hello."), LlmEnd("length", 3, 2)]


async def test_what_is_sent() -> None:
    async with serving() as server, llm(server) as engine:
        await answer(engine)
        messages = (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello!"))
        await answer(engine, LlmRequest(messages, "gpt-4o", 0.3, 50))
        plain, full = (record.json for record in server.llm.requests)
        assert plain == {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Hello!"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert full == {
            "model": "gpt-4o",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.3,
            "max_tokens": 50,
        }


async def test_fields_that_a_model_refuses_are_changed_once_and_for_all() -> None:
    async with serving() as server, llm(server, model="gpt-5-mini") as engine:
        request = LlmRequest(HELLO.messages, None, 0.3, 50)
        for _ in range(2):
            assert text_of(await answer(engine, request))
        statuses = [record.status for record in server.llm.requests]
        assert statuses == [400, 400, 200, 200]
        last = server.llm.requests[-1].json
        assert last["max_completion_tokens"] == 50
        assert "temperature" not in last
        await answer(engine, LlmRequest(HELLO.messages, MODEL, 0.3, 50))
        assert server.llm.requests[-1].json["max_tokens"] == 50, "another model speaks its own dialect"


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_knows_no_options_of_the_stream(status: int) -> None:
    async with serving() as server, llm(server) as engine:
        server.llm.next(Plan(status=status, message="Bad request."))
        assert text_of(await answer(engine))
        await answer(engine)
        assert [record.status for record in server.llm.requests] == [status, 200, 200]
        assert not any("stream_options" in record.json for record in server.llm.requests)


async def test_a_request_that_is_bad_in_itself_is_refused() -> None:
    async with serving() as server, llm(server) as engine:
        with pytest.raises(ProviderError, match="messages") as caught:
            await answer(engine, LlmRequest(()))
        assert not caught.value.retryable
        assert len(server.llm.requests) == 2
        await answer(engine)
        with pytest.raises(ProviderError, match="temperature"):
            await answer(engine, LlmRequest(HELLO.messages, temperature=7))
        assert len(server.llm.requests) == 4, "what is out of its range is not left out"


# --- speech -----------------------------------------------------------------------------------------------


async def test_audio_however_it_is_cut_up() -> None:
    async with serving() as server, tts(server) as engine:
        whole = await speak(engine)
        assert len(whole) == 2 * 24 * WORD_MS
        for size in (1, 3, 997, 100_001):
            server.tts.next(Plan(piece_bytes=size, pace_ms=0))
            text = "Hello there." if size > 1 else "Hello."
            assert np.array_equal(
                await speak(engine, text), whole[: len(whole) if size > 1 else 24 * WORD_MS]
            )


async def test_audio_is_given_as_it_comes() -> None:
    async with serving() as server, tts(server) as engine:
        server.tts.next(Plan(stall_after=2))
        events = engine.speak(TtsRequest("One two three.", 8000))
        async with asyncio.timeout(5):
            heard = 0
            while heard < 8 * 190:  # of two pieces of 100 ms, but for what the resampler holds back
                event = await anext(events)
                assert isinstance(event, TtsAudio)
                heard += len(event.pcm)
        await events.aclose()
        assert await server.tts.requests[0].over() == "disconnected"


async def test_closing_ends_the_synthesis_within_a_chunk() -> None:
    async with serving(tts_speed=2) as server, tts(server) as engine:
        events = engine.speak(TtsRequest("word " * 100, 8000))
        await anext(events)
        record = server.tts.requests[0]
        await events.aclose()
        sent = record.pieces
        assert await record.over() == "disconnected"
        assert record.pieces <= sent + 1


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("own_hz", [16_000, 22_050, 24_000])
async def test_the_rate_of_the_endpoint(rate_hz: int, own_hz: int) -> None:
    async with serving(tts_rate_hz=own_hz) as server, tts(server, sample_rate_hz=own_hz) as engine:
        assert len(await speak(engine, rate_hz=rate_hz)) == pytest.approx(2 * WORD_MS * rate_hz / 1000, abs=2)
    async with serving(tts_rate_hz=own_hz) as server, tts(server) as engine:
        server.tts.next(Plan(content_type=f"audio/pcm;rate={own_hz}"))
        assert len(await speak(engine, rate_hz=rate_hz)) == pytest.approx(2 * WORD_MS * rate_hz / 1000, abs=2)


@pytest.mark.parametrize(
    ("plan", "retryable", "said"),
    [
        (Plan(content_type="audio/mpeg"), False, "audio/mpeg instead of audio/pcm"),
        (Plan(content_type="application/json"), False, "application/json instead of"),
        (Plan(body=b"ID3\x04rest", content_type="audio/pcm"), False, "compressed"),
        (Plan(body=b"", content_type="audio/pcm"), True, "without any audio"),
        (Plan(body=b"x", content_type="audio/pcm"), True, "without any audio"),
        (Plan(content_type="audio/pcm; rate=22051"), False, "22051"),
    ],
)
async def test_what_cannot_be_played_is_a_fault(plan: Plan, retryable: bool, said: str) -> None:
    async with serving() as server, tts(server) as engine:
        server.tts.next(plan)
        with pytest.raises(ProviderError) as caught:
            await speak(engine, rate_hz=8000)
        assert said in caught.value.cause
        assert caught.value.retryable is retryable
        await speak(engine)


async def test_what_is_asked_of_the_voice() -> None:
    async with serving() as server, tts(server, model="tts-1", voice="nova") as engine:
        await speak(engine, "One.")
        await speak(engine, "Two.", model="tts-1-hd", voice="echo", speed=1.25)
        plain, full = (record.json for record in server.tts.requests)
        assert plain == {"model": "tts-1", "voice": "nova", "input": "One.", "response_format": "pcm"}
        assert full == {
            "model": "tts-1-hd",
            "voice": "echo",
            "input": "Two.",
            "response_format": "pcm",
            "speed": 1.25,
        }


async def test_a_text_without_a_word_is_not_asked_for() -> None:
    async with serving() as server, tts(server) as engine:
        assert len(await speak(engine, "... !")) == 0
        assert server.requests == []


# --- transcriptions ---------------------------------------------------------------------------------------


async def test_the_text_comes_in_pieces_where_the_endpoint_streams() -> None:
    async with serving(token_ms=20) as server, stt(server) as engine:
        server.stt.next(Plan(deltas=("Good ", "mor", "ning. ")))
        *partials, final = await hear(engine)
        assert partials[:2] == [SttPartial(1, "Good", 0.8), SttPartial(1, "Good mor", 0.8)]
        assert final == SttFinal(1, "Good morning.", 0.8)


@pytest.mark.parametrize("model", ["whisper-1", stt_module.DEFAULT_MODEL])
async def test_an_answer_in_one_piece_is_understood(model: str) -> None:
    async with serving() as server, stt(server, stream=model == "whisper-1") as engine:
        assert await hear(engine, model=model) == [SttFinal(1, "this is what was said", 0.8)]
        server.stt.next(Plan(body=b" Plain text.\n", content_type="text/plain"))
        assert await hear(engine, model=model) == [SttFinal(1, "Plain text.", 0.8)]


async def test_the_confidence_is_that_of_the_tokens_where_it_is_told() -> None:
    async with serving() as server, stt(server, model="gpt-4o-transcribe") as engine:
        assert (await hear(engine))[-1] == SttFinal(1, "this is what was said", 0.9)
        assert server.stt.requests[0].form["include[]"] == ["logprobs"]
    async with serving() as server, stt(server, model="gpt-4o-transcribe", stream=False) as engine:
        assert (await hear(engine))[-1] == SttFinal(1, "this is what was said", 0.9)


async def test_what_is_sent_to_be_heard() -> None:
    async with serving() as server, stt(server) as engine:
        await hear(engine, language="en-US", phrases=("book a room", "Zo\u00eb"))
        await hear(engine, language="auto")
        first, second = server.stt.requests
        assert first.form == {
            "model": [stt_module.DEFAULT_MODEL],
            "response_format": ["json"],
            "language": ["en"],
            "prompt": ["book a room, Zo\u00eb"],
            "stream": ["true"],
        }
        assert "language" not in second.form
        pcm, rate_hz = first.heard()
        assert rate_hz == RATE_HZ
        assert np.array_equal(pcm, SPEECH)
        assert (first.audio_name, first.audio_type) == ("speech.wav", "audio/wav")


async def test_a_short_sound_is_long_enough_for_the_endpoint() -> None:
    async with serving() as server, stt(server) as engine:
        assert isinstance((await hear(engine, SPEECH[:100]))[-1], SttFinal)
        pcm, _ = server.stt.requests[0].heard()
        assert np.array_equal(pcm[:100], SPEECH[:100])
        assert not pcm[100:].any()


async def test_an_endpoint_that_refuses_to_stream_is_asked_without_from_then_on() -> None:
    async with serving() as server, stt(server) as engine:
        server.stt.next(Plan(status=400, message="Unknown parameter: 'stream'."))
        assert (await hear(engine))[-1] == SttFinal(1, "this is what was said", 0.8)
        await hear(engine)
        assert [record.status for record in server.stt.requests] == [400, 200, 200]
        assert not any("stream" in record.form for record in server.stt.requests)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(done=False), "cut off"),
        (Plan(end_after=1), "cut off"),
        (Plan(garbage_after=1), "cannot be read"),
        (Plan(error_after=1), "it gave up: The server had an error"),
        (Plan(body=b"{}", content_type="application/json"), "cannot be read"),
        (Plan(body=b"{", content_type="application/json"), "cannot be read"),
        (Plan(body=b"\xff\xfe", content_type="text/plain"), "cannot be read"),
        (Plan(body=b'data: {"choices": [3]}\n\n', content_type="text/event-stream"), "cannot be read"),
        (Plan(body=b'{"error": "no model"}', content_type="application/json"), "no model"),
        (Plan(body=b"x" * (5 << 20), content_type="text/plain"), "more than 4 MB"),
    ],
)
async def test_a_broken_transcript_is_a_fault(plan: Plan, said: str) -> None:
    async with serving() as server, stt(server) as engine:
        server.stt.next(plan)
        fault = await fault_of(engine)
        assert said in fault.cause
        assert fault.retryable


async def test_a_transcript_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_module, "REQUEST_S", 0.1)
    async with serving() as server, stt(server) as engine:
        server.stt.next(Plan(pace_ms=60, deltas=("very ",) * 100))
        assert "no text within" in (await fault_of(engine)).cause


async def test_closing_the_stream_ends_its_request() -> None:
    async with serving() as server, stt(server) as engine:
        server.stt.next(Plan(before_head_ms=FOREVER))
        stream = engine.open(SttOptions(RATE_HZ), lambda event: None)
        stream.begin(1)
        stream.feed(SPEECH)
        stream.pause()
        record = await server.stt.request()
        await stream.aclose()
        assert await record.over() == "disconnected"


async def test_the_answer_asked_for_at_the_pause_is_the_final() -> None:
    async with serving(stt_ms=20) as server, stt(server) as engine:
        finals: list[SttEvent] = []
        stream = engine.open(SttOptions(RATE_HZ), finals.append)
        stream.begin(1)
        stream.feed(SPEECH)
        stream.pause()
        record = await server.stt.request()
        assert await record.over() == "sent"
        stream.feed(np.zeros(2400, np.int16))
        assert all(isinstance(event, SttPartial) for event in finals)
        stream.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert isinstance(finals[-1], SttFinal)
        assert len(server.stt.requests) == 1
        await stream.aclose()


async def test_without_earliness_nothing_is_asked_at_a_pause() -> None:
    async with serving() as server, stt(server) as engine:
        engine.early = False
        done = asyncio.Event()
        stream = engine.open(SttOptions(RATE_HZ), lambda event: done.set())
        stream.begin(1)
        stream.feed(SPEECH)
        stream.pause()
        await asyncio.sleep(0.05)
        assert server.stt.requests == []
        stream.end()
        async with asyncio.timeout(5):
            await done.wait()
        assert len(server.stt.requests) == 1
        await stream.aclose()


async def test_more_speech_after_the_pause_is_asked_about_anew() -> None:
    async with serving() as server, stt(server) as engine:
        server.stt.next(Plan(before_head_ms=FOREVER))
        done = asyncio.Event()
        events: list[SttEvent] = []

        def listen(event: SttEvent) -> None:
            events.append(event)
            if isinstance(event, SttFinal):
                done.set()

        stream = engine.open(SttOptions(RATE_HZ), listen)
        stream.begin(1)
        stream.feed(SPEECH)
        stream.pause()
        first = await server.stt.request()
        stream.feed(SPEECH)
        stream.end()
        async with asyncio.timeout(5):
            await done.wait()
        assert await first.over() == "disconnected"
        assert len(server.stt.requests[1].heard()[0]) == 2 * len(SPEECH)
        await stream.aclose()


@every_kind
async def test_headers_of_the_environment_are_for_the_hosted_service(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: sesame\nAuthorization: Bearer sesame")
    async with serving() as server, made(stage, server) as engine:
        await use(engine)
        record = getattr(server, stage).requests[-1]
        assert "sesame" not in str(record.headers)
