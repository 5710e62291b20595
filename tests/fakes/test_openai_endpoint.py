"""The endpoint itself: what the official client makes of it, and whether each fault is what it says."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI

from media import wav
from tests.fakes.openai_endpoint import FOREVER, Endpoint, Plan, endpoint
from tests.fakes.openai_endpoint.raw import raw
from tests.fakes.openai_endpoint.routes import Handlers
from tests.fakes.openai_endpoint.voice import QUIET_MS, WORD_MS

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-test-0123456789"
SPEECH = wav.encode(np.full(16_000, 1000, np.int16), 16_000)
"""A second of audio."""
FAST: dict[str, Any] = {"token_ms": 0.0, "tts_speed": FOREVER}


@asynccontextmanager
async def client(server: Endpoint, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0, timeout=5) as made:
        yield made


async def speak(api: AsyncOpenAI, text: str = "Hello there.", **changes: Any) -> list[bytes]:
    """The chunks of the answer."""
    wanted: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "response_format": "pcm", **changes}
    async with api.audio.speech.with_streaming_response.create(input=text, **wanted) as response:
        return [chunk async for chunk in response.iter_bytes()]


async def chat(api: AsyncOpenAI, text: str = "Hello!", **changes: Any) -> list[Any]:
    """The chunks of a streamed completion."""
    wanted: dict[str, Any] = {"model": "gpt-4o-mini", "stream": True, **changes}
    stream = await api.chat.completions.create(messages=[{"role": "user", "content": text}], **wanted)
    return [chunk async for chunk in stream]


async def hear(api: AsyncOpenAI, **changes: Any) -> Any:
    wanted: dict[str, Any] = {"model": "whisper-1", "file": ("turn.wav", SPEECH), **changes}
    return await api.audio.transcriptions.create(**wanted)


def said(chunks: Iterable[Any]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}


# --- what the official client makes of it -----------------------------------------------------------------


async def test_models_are_listed_and_found() -> None:
    async with endpoint() as server, client(server) as api:
        names = [model.id async for model in api.models.list()]
        assert {"whisper-1", "tts-1", "gpt-4o-mini"} <= set(names)
        assert (await api.models.retrieve("tts-1")).object == "model"
        with pytest.raises(openai.NotFoundError) as caught:
            await api.models.retrieve("tts-9")
        assert caught.value.code == "model_not_found"


async def test_a_transcription_in_all_its_forms() -> None:
    async with endpoint(transcript="Good morning, all.", **FAST) as server, client(server) as api:
        plain = await hear(api)
        assert (plain.text, plain.usage.type) == ("Good morning, all.", "duration")
        assert (await hear(api, model="gpt-4o-transcribe")).usage.type == "tokens"
        assert await hear(api, response_format="text") == "Good morning, all.\n"
        verbose = await hear(api, response_format="verbose_json", timestamp_granularities=["word"])
        assert [w.word for w in verbose.words] == ["Good", "morning", "all"]
        assert (verbose.words[-1].end, verbose.duration, verbose.segments) == (1.0, 1.0, None)
        (segment,) = (await hear(api, response_format="verbose_json")).segments
        assert (segment.start, segment.end) == (0.0, 1.0)

        asked = server.stt.requests[0]
        assert (asked.form["model"], asked.audio_name, asked.audio) == (["whisper-1"], "turn.wav", SPEECH)
        assert (len(asked.heard()[0]), asked.heard()[1]) == (16_000, 16_000)
        assert asked.authorization == f"Bearer {KEY}"


async def test_a_transcription_as_events() -> None:
    async with endpoint(transcript="Good morning, all.", **FAST) as server, client(server) as api:
        stream = await hear(api, model="gpt-4o-transcribe", stream=True, include=["logprobs"])
        *deltas, done = [event async for event in stream]
        assert [d.delta for d in deltas] == ["Good", " morning,", " all."]
        assert deltas[0].logprobs[0].logprob < 0
        assert (done.type, done.text) == ("transcript.text.done", "Good morning, all.")
        assert done.usage.total_tokens > 0
        server.stt.next(Plan(deltas=("Good ", "even"), done=False))
        events = [event async for event in await hear(api, model="gpt-4o-transcribe", stream=True)]
        assert [event.delta for event in events] == ["Good ", "even"]


async def test_the_oldest_model_ignores_stream() -> None:
    async with endpoint() as server, raw(server) as http:
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + SPEECH
        for name, value in (("model", "whisper-1"), ("stream", "true")):
            body += f'\r\n--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        kind = "content-type: multipart/form-data; boundary=b"
        http.send("POST", "/v1/audio/transcriptions", body + b"\r\n--b--\r\n", kind)
        status, headers, answer = await http.answer()
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(answer)["text"] == "this is what was said"


async def test_speech_is_a_buzz_for_each_word() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        pcm = np.frombuffer(b"".join(await speak(api, "One, two - three!")), "<i2")
        assert len(pcm) == 3 * WORD_MS * 24
        for word in pcm.reshape(3, -1):
            loud = (WORD_MS - QUIET_MS) * 24
            assert (word[:loud] != 0).all()
            assert not word[loud:].any()
        assert len(b"".join(await speak(api, "one", speed=2.0))) == WORD_MS * 24
        assert any(await speak(api, "..."))
        assert server.tts.requests[0].json["input"] == "One, two - three!"


async def test_speech_comes_as_a_wav_file_of_unknown_length_too() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        pcm, rate_hz = wav.decode(b"".join(await speak(api, "one", response_format="wav")))
        assert (len(pcm), rate_hz) == (WORD_MS * 24, 24_000)
        async with api.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="one"
        ) as response:
            assert response.headers["content-type"] == "audio/mpeg"


async def test_a_chat_completion_as_a_stream_of_chunks() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        first, *chunks, finish, usage = await chat(api, stream_options={"include_usage": True})
        assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
        assert said(chunks) == "You said: Hello. Is there anything else?"
        assert all(len(said([chunk])) <= 4 for chunk in chunks)
        assert (finish.choices[0].finish_reason, usage.choices) == ("stop", [])
        assert usage.usage.completion_tokens == len(chunks)
        assert {chunk.usage for chunk in chunks} == {None}

        cut = await chat(api, max_completion_tokens=3)
        assert (said(cut), cut[-1].choices[0].finish_reason) == (
            "You said: he"[:12].replace("he", "He"),
            "length",
        )


async def test_a_chat_completion_at_once() -> None:
    async with endpoint(reply="It is noon.") as server, client(server) as api:
        parts: Any = [{"type": "text", "text": "What time "}, {"type": "text", "text": "is it?"}]
        made = await api.chat.completions.create(
            model="gpt-5-mini",
            messages=[{"role": "system", "content": "Be short."}, {"role": "user", "content": parts}],
        )
        assert (made.choices[0].message.content, made.choices[0].finish_reason) == ("It is noon.", "stop")
        assert made.usage is not None
        assert made.usage.prompt_tokens == 7


async def test_a_plan_says_what_is_said() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        server.llm.next(
            Plan(text="One."), Plan(deltas=("Tw", {"reasoning_content": "hm"}, "o."), finish_reason="length")
        )
        assert said(await chat(api)) == "One."
        two = await chat(api)
        assert (said(two), two[-1].choices[0].finish_reason) == ("Two.", "length")
        server.stt.plan = Plan(text="Three.")
        assert [(await hear(api)).text for _ in range(2)] == ["Three.", "Three."]


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "param"),
    [("/v1/audio/transcriptions", None), ("/v1/audio/speech", "model"), ("/v1/chat/completions", "model")],
)
async def test_an_empty_object_and_a_get_are_refused_on_each_route(path: str, param: str | None) -> None:
    async with endpoint(key=KEY) as server, raw(server) as http:
        http.post(path, {}, f"authorization: Bearer {KEY}")
        status, _, body = await http.answer()
        error = json.loads(body)["error"]
        assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
        assert error.keys() == {"message", "type", "param", "code"}
        http.send("GET", path)
        status, headers, body = await http.answer()
        assert (status, headers["allow"]) == (405, "POST")
        assert json.loads(body)["error"]["code"] == "method_not_supported"


async def test_what_is_not_there() -> None:
    async with endpoint() as server, raw(server) as http:
        http.send("GET", "/v1/embeddings")
        assert (await http.answer())[0] == 404
        http.send("GET", "/models")
        assert json.loads((await http.answer())[2])["error"]["message"] == "Invalid URL (GET /models)"
        assert [record.route for record in server.requests] == [None, None]


async def test_a_wrong_key_is_refused_and_shown_only_in_part() -> None:
    async with endpoint(key="sk-right") as server, client(server) as api:
        for ask in (api.models.list(), hear(api), speak(api), chat(api)):
            with pytest.raises(openai.AuthenticationError) as caught:
                await ask
            assert caught.value.code == "invalid_api_key"
            assert KEY not in str(caught.value)
        server.models.next(Plan(status=401, message="No {key} here."))
        with pytest.raises(openai.AuthenticationError, match=f"No {KEY} here"):
            await api.models.list()
    async with endpoint(key="sk-right") as server, raw(server) as http:
        http.send("GET", "/v1/models")
        assert (await http.answer())[0] == 401


@pytest.mark.parametrize("model", ["gpt-9", "whisper-1"])
async def test_an_unknown_model_and_one_of_another_route_are_not_found(model: str) -> None:
    async with endpoint() as server, client(server) as api:
        for ask in (speak(api, model=model), chat(api, model=model), hear(api, model=model + "-x")):
            with pytest.raises(openai.NotFoundError) as caught:
                await ask
            assert (caught.value.code, caught.value.type) == ("model_not_found", "invalid_request_error")


async def test_what_the_hosted_service_refuses() -> None:
    short = ("a.wav", wav.encode(np.zeros(100, np.int16), 16_000))
    async with endpoint() as server, client(server) as api:
        refused = [
            (hear(api, file=short), "audio_too_short"),
            (hear(api, file=short, model="gpt-4o-transcribe"), "invalid_value"),
            (hear(api, file=("a.wav", b"noise")), "invalid_value"),
            (hear(api, model="gpt-4o-transcribe", response_format="verbose_json"), "unsupported_value"),
            (speak(api, ""), "missing_required_parameter"),
            (speak(api, "a" * 4097), "string_too_long"),
            (speak(api, speed=9.0), "decimal_out_of_range"),
            (speak(api, response_format="ogg"), "invalid_value"),
            (chat(api, model="gpt-5-mini", max_tokens=5), "unsupported_parameter"),
            (chat(api, model="gpt-5-mini", temperature=0.5), "unsupported_value"),
            (chat(api, temperature=3), "decimal_out_of_range"),
        ]
        for ask, code in refused:
            with pytest.raises(openai.BadRequestError) as caught:
                await ask
            assert caught.value.code == code


# --- time -------------------------------------------------------------------------------------------------


async def test_latency_head_and_pace() -> None:
    async with endpoint(stt_ms=60, llm_ms=60, tts_ms=60, token_ms=20) as server, client(server) as api:
        async with asyncio.TaskGroup() as tasks:
            for ask in (hear(api), chat(api), speak(api, "one")):
                tasks.create_task(ask)
        for record in server.requests:
            await record.over()
            assert record.head_s is not None
            assert record.ended_s is not None
            assert 0.055 < record.head_s - record.complete_s < 0.5
        (llm,), (tts,) = server.llm.requests, server.tts.requests
        assert llm.ended_s is not None
        assert tts.ended_s is not None
        assert 0.17 < llm.ended_s - (llm.head_s or 0) < 1  # ten pieces of text, 20 ms each
        assert 0.055 < tts.ended_s - (tts.head_s or 0) < 0.25  # 320 ms five times as fast, the first at once

        server.llm.next(Plan(before_head_ms=0, before_body_ms=80, gaps_ms=(0, 50), pace_ms=0))
        await chat(api)
        record = server.llm.requests[-1]
        assert record.head_s is not None
        assert record.first_piece_s is not None
        await record.over()
        assert 0.075 < record.first_piece_s - record.head_s < 0.5
        assert 0.045 < (record.ended_s or 0) - record.first_piece_s < 0.15


async def test_a_refusal_does_not_wait() -> None:
    async with endpoint(llm_ms=3000) as server, client(server) as api:
        async with asyncio.timeout(1):
            with pytest.raises(openai.NotFoundError):
                await chat(api, model="gpt-9")


async def test_a_client_that_leaves_is_noticed() -> None:
    async with endpoint(tts_speed=1) as server, client(server) as api:
        for plan in (Plan(), Plan(stall_after=1), Plan(stall_after=0), Plan(before_head_ms=FOREVER)):
            server.tts.next(plan)
            asking = asyncio.create_task(speak(api))
            record = await server.tts.request(len(server.tts.requests) + 1)
            await asyncio.sleep(0.03)
            assert record.outcome == "open"
            asking.cancel()
            assert await record.over() == "disconnected"
            assert record.disconnected
            assert record.pieces == (0 if plan.stall_after == 0 or plan.before_head_ms else 1)
        assert server.counts["disconnected"] == 4


async def test_a_slow_reader_is_not_buffered_without_bound() -> None:
    async with endpoint(tts_speed=FOREVER, tts_chunk_ms=1000) as server, raw(server) as http:
        asked = {"model": "tts-1", "voice": "alloy", "response_format": "pcm", "input": "word " * 800}
        http.post("/v1/audio/speech", asked)
        record = await server.tts.request()
        await asyncio.sleep(0.05)
        assert record.body_bytes < 800 * WORD_MS * 48
        _, _, body = await http.answer()
        assert len(body) == 800 * WORD_MS * 48
        assert await record.over() == "sent"


# --- faults of the connection -----------------------------------------------------------------------------


@pytest.mark.parametrize(("reset", "fault"), [(False, httpx2.RemoteProtocolError), (True, httpx2.ReadError)])
async def test_a_body_is_cut(reset: bool, fault: type[Exception]) -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        server.tts.next(Plan(cut_after=2, reset=reset))
        server.llm.next(Plan(cut_after=3, reset=reset))
        server.stt.next(Plan(cut_after=1, reset=reset))
        with pytest.raises(fault):
            await speak(api)
        for ask in (chat(api), hear(api)):
            with pytest.raises(openai.APIConnectionError) as caught:
                await ask
            assert isinstance(caught.value.__cause__, fault)
        assert [(r.pieces, await r.over()) for r in server.requests] == [(2, "cut"), (3, "cut"), (1, "cut")]
        assert said(await chat(api)).startswith("You said")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_ends_instead_of_an_answer(reset: bool) -> None:
    async with endpoint() as server, client(server) as api:
        server.stt.next(Plan(cut_before_head=True, reset=reset))
        with pytest.raises(openai.APIConnectionError):
            await hear(api)
        assert server.stt.requests[0].status is None


async def test_a_body_ends_early_as_if_it_were_whole() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        server.llm.next(Plan(end_after=3), Plan(done=False))
        chunks = await chat(api)
        assert (said(chunks), chunks[-1].choices[0].finish_reason) == ("You said", None)
        assert (await chat(api))[-1].choices[0].finish_reason == "stop"
        server.stt.next(Plan(end_after=1))
        with pytest.raises(json.JSONDecodeError):
            await hear(api)


async def test_connections_are_kept_dropped_and_trapped() -> None:
    async with endpoint() as server, raw(server) as http:
        http.send("GET", "/v1/models")
        await http.answer()
        http.post("/v1/chat/completions", CHAT)
        await http.answer()
        assert [r.connection for r in server.requests] == [1, 1]
        server.models.next(Plan(afterwards="trap"))
        http.send("GET", "/v1/models")
        assert "connection" not in (await http.answer())[1]
        assert server.open_connections == 1
        http.send("GET", "/v1/models")
        assert await http.closed() == b""
        assert len(server.requests) == 3
    async with endpoint() as server:
        for afterwards, told in (("close", "close"), ("silent", None)):
            async with raw(server) as http:
                server.models.next(Plan(afterwards=afterwards))  # type: ignore[arg-type]
                http.send("GET", "/v1/models")
                assert (await http.answer())[1].get("connection") == told
                assert await http.closed() == b""
        async with raw(server) as http:
            http.send("GET", "/v1/models")
            await http.answer()
            assert server.drop_idle() == 1
            assert await http.closed() == b""


async def test_the_official_client_keeps_its_connection_and_meets_a_dead_one() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        await chat(api)
        await speak(api)
        server.stt.next(Plan(afterwards="trap"))
        await hear(api)
        assert server.connections == 1
        with pytest.raises(openai.APIConnectionError):
            await hear(api)
        await hear(api)
        assert server.connections == 2


# --- faults of the content --------------------------------------------------------------------------------


async def test_errors_that_a_plan_wants() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        server.llm.next(
            Plan(
                status=429,
                retry_after_s=1.25,
                code="insufficient_quota",
                headers=(("x-should-retry", "false"),),
            ),
            Plan(status=500, message_bytes=1 << 20),
            Plan(status=503, body=b"<html>busy</html>", content_type="text/html"),
            Plan(status=404, body=b'{"detail":"Not Found"}'),
        )
        with pytest.raises(openai.RateLimitError) as limited:
            await chat(api)
        headers = limited.value.response.headers
        assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1250")
        assert (headers["x-should-retry"], limited.value.code) == ("false", "insufficient_quota")
        with pytest.raises(openai.InternalServerError) as failed:
            await chat(api)
        assert len(str(failed.value)) > 1 << 20
        with pytest.raises(openai.InternalServerError) as busy:
            await chat(api)
        assert (busy.value.status_code, busy.value.body) == (503, "<html>busy</html>")
        with pytest.raises(openai.NotFoundError) as missing:
            await chat(api)
        assert missing.value.body == {"detail": "Not Found"}
        server.llm.next(Plan(status=307, body=b"", headers=(("location", "/v1/chat/completions"),)))
        assert said(await chat(api)).startswith("You said")


async def test_garbage() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        server.llm.next(Plan(garbage_after=2), Plan(error_after=2))
        with pytest.raises(json.JSONDecodeError):
            await chat(api)
        with pytest.raises(openai.APIError, match="had an error"):
            await chat(api)
        server.stt.next(
            Plan(body=b"{not json"), Plan(content_type="text/html", body=b"<html>"), Plan(body=b"")
        )
        with pytest.raises(json.JSONDecodeError):
            await hear(api)
        assert await hear(api) == "<html>"
        with pytest.raises(json.JSONDecodeError):
            await hear(api)
        server.tts.next(Plan(piece_bytes=4801), Plan(garbage_after=0), Plan(body=b""))
        assert [len(chunk) for chunk in await speak(api)] == [4801] * 6 + [30720 - 6 * 4801]
        assert len((await speak(api))[0]) % 2 == 1
        assert await speak(api) == []


async def test_events_may_be_cut_anywhere() -> None:
    async with endpoint(**FAST) as server, client(server) as api:
        server.llm.next(Plan(piece_bytes=7, text="Señor, it is 20 °C."))
        assert said(await chat(api)) == "Señor, it is 20 °C."
        assert server.llm.requests[0].pieces > 200


# --- HTTP -------------------------------------------------------------------------------------------------


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    async with endpoint(llm_ms=30, token_ms=0) as server, raw(server) as http:
        http.post("/v1/chat/completions", CHAT)
        http.send("GET", "/v1/models")
        http.post("/v1/chat/completions", {**CHAT, "stream": True}, "connection: close")
        assert json.loads((await http.answer())[2])["object"] == "chat.completion"
        assert json.loads((await http.answer())[2])["object"] == "list"
        assert (await http.answer())[2].endswith(b"data: [DONE]\n\n")
        assert await http.closed() == b""


async def test_a_request_in_drops_and_in_chunks() -> None:
    async with endpoint() as server, raw(server) as http:
        body = json.dumps(CHAT).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
        message = head + b"expect: 100-continue\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        for at in range(0, len(message), 50):
            http.writer.write(message[at : at + 50])
            await asyncio.sleep(0)
        assert (await http.head())[0] == 100
        assert (await http.answer())[0] == 200
        assert server.llm.requests[0].json == CHAT


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"POST /v1/audio/speech HTTP/1.1\r\ncontent-length: 30000000\r\n\r\n" + bytes(27 << 20), 413),
    ],
)
async def test_what_is_no_request_is_refused(message: bytes, status: int) -> None:
    async with endpoint() as server, raw(server) as http:
        http.writer.write(message)
        assert (await http.head())[0] == status


async def test_a_fault_of_the_fixture_is_no_answer_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("our own bug")

    monkeypatch.setattr(Handlers, "models", broken)

    async def ask() -> bytes:
        async with endpoint() as server, raw(server) as http:
            http.send("GET", "/v1/models")
            return await http.closed()

    with pytest.raises(BaseExceptionGroup, match="the endpoint failed"):
        await ask()


async def test_it_ends_with_answers_under_way_and_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    async with endpoint() as server, raw(server) as http:
        server.llm.plan = Plan(before_head_ms=FOREVER)
        http.post("/v1/chat/completions", CHAT)
        record = await server.llm.request()
    assert await record.over() == "closed"
    assert asyncio.all_tasks() == before


async def test_as_a_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.openai_endpoint", "--port", str(port), "--key", KEY),
        *("--stt-ms", "0", "--transcript", "Yes.", "--plan", 'tts={"status": 500}'),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(10):
            assert await process.stdout.readline() == b"ready\n"
            async with AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0) as api:
                assert (await hear(api)).text == "Yes."
                with pytest.raises(openai.InternalServerError):
                    await speak(api)
            process.send_signal(signal.SIGTERM)
            served = json.loads(await process.stdout.read())
            assert await process.wait() == 0
        assert (served["stt"], served["tts"], served["connections"]) == (1, 1, 1)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
