"""The queue in front of a voice worker: what a dying, hanging, refusing or busy worker means to a call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pipeline.errors import ProviderBusy, ProviderError, ProviderUnavailable
from pipeline.ports import TtsAudio, TtsRequest, TtsWord
from pipeline.synthesis import engine as engine_module
from pipeline.synthesis.engine import WorkerTts
from pipeline.synthesis.shaping import TAIL_MS
from tests.pipeline.tts import stub_worker

RATE_HZ = stub_worker.RATE_HZ


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[WorkerTts]:
    made = WorkerTts("stub", stub_worker.main, max_waiting=3)
    await made.start()
    yield made
    await made.aclose()


async def say(engine: WorkerTts, text: str, voice: str | None = None) -> list[TtsWord | TtsAudio]:
    return [event async for event in engine.speak(TtsRequest(text, RATE_HZ, voice=voice))]


async def drain(events: AsyncIterator[TtsWord | TtsAudio]) -> list[TtsWord | TtsAudio]:
    return [event async for event in events]


async def queued(engine: WorkerTts, count: int) -> None:
    while len(engine._waiting) < count:
        await asyncio.sleep(0)


async def test_a_worker_that_died_between_two_requests_is_replaced_unnoticed(engine: WorkerTts) -> None:
    before = engine.worker_pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    assert len(await say(engine, "hello")) == 3
    assert engine.worker_pid != before


async def test_a_sentence_is_spoken_again_where_nothing_was_given(engine: WorkerTts, tmp_path: Path) -> None:
    assert len(await say(engine, "die-once", str(tmp_path / "died"))) == 3


async def test_a_text_that_kills_every_worker_fails_and_harms_nobody_else(engine: WorkerTts) -> None:
    failing = asyncio.ensure_future(say(engine, "die"))
    other = asyncio.ensure_future(say(engine, "hello"))
    with pytest.raises(ProviderError, match="died twice") as caught:
        await failing
    assert caught.value.retryable
    assert len(await other) == 3


async def test_a_death_in_the_middle_is_an_error_worth_another_try(engine: WorkerTts) -> None:
    events = engine.speak(TtsRequest("die-late", RATE_HZ))
    assert isinstance(await anext(events), TtsWord)
    assert isinstance(await anext(events), TtsAudio)
    with pytest.raises(ProviderError, match="in the middle") as caught:
        await anext(events)
    assert caught.value.retryable
    assert len(await say(engine, "hello")) == 3


async def test_a_bug_in_the_worker_is_a_death(engine: WorkerTts) -> None:
    with pytest.raises(ProviderError, match="died twice"):
        await say(engine, "raise")
    assert len(await say(engine, "hello")) == 3


async def test_a_worker_that_hangs_is_killed(engine: WorkerTts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_STALL_S", 0.2)
    before = engine.worker_pid
    with pytest.raises(ProviderError, match="in the middle"):
        await say(engine, "hang")
    assert len(await say(engine, "hello")) == 3
    assert engine.worker_pid != before


async def test_a_cancel_that_a_worker_ignores_kills_it(
    engine: WorkerTts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_CANCEL_S", 0.1)
    events = engine.speak(TtsRequest("hang", RATE_HZ))
    await anext(events)
    await events.aclose()
    assert len(await say(engine, "hello")) == 3


async def test_a_refusal_is_final_and_the_worker_lives(engine: WorkerTts) -> None:
    before = engine.worker_pid
    with pytest.raises(ProviderError, match="use another text") as caught:
        await say(engine, "refuse")
    assert not caught.value.retryable
    assert len(await say(engine, "hello")) == 3
    assert engine.worker_pid == before


async def test_a_cancel_stops_the_synthesis_and_the_worker_goes_on(engine: WorkerTts) -> None:
    before = engine.worker_pid
    events = engine.speak(TtsRequest("endless", RATE_HZ))
    await anext(events)
    other = asyncio.ensure_future(say(engine, "hello"))
    await events.aclose()
    assert engine._current is None or engine._current.order.text == "hello"
    assert len(await other) == 3
    assert engine.worker_pid == before


async def test_a_full_queue_is_busy_and_a_cancelled_request_gives_its_place_up(engine: WorkerTts) -> None:
    first = engine.speak(TtsRequest("endless", RATE_HZ))
    await anext(first)
    waiting = [asyncio.ensure_future(say(engine, f"hello{i}")) for i in range(3)]
    await queued(engine, 3)
    with pytest.raises(ProviderBusy, match="3 requests") as caught:
        await say(engine, "one too many")
    assert caught.value.retryable
    assert caught.value.code == "TTS_BUSY"
    waiting[1].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting[1]
    late = asyncio.ensure_future(say(engine, "late"))
    await queued(engine, 3)
    await first.aclose()
    assert [len(await task) for task in (waiting[0], waiting[2], late)] == [3, 3, 3]


async def test_a_text_that_has_begun_is_not_refused_in_its_middle(engine: WorkerTts) -> None:
    long = engine.speak(TtsRequest("word " * 100, RATE_HZ))
    words = [await anext(long)]
    endless = engine.speak(TtsRequest("endless", RATE_HZ))
    await anext(endless)
    waiting = [asyncio.ensure_future(say(engine, "hello")) for _ in range(3)]
    await queued(engine, 3)
    rest = asyncio.ensure_future(drain(long))
    await queued(engine, 4)
    await endless.aclose()
    words += [event for event in await rest if isinstance(event, TtsWord)]
    assert len(words) == 100
    assert [len(await task) for task in waiting] == [3, 3, 3]


async def test_first_come_first_served_piece_by_piece(engine: WorkerTts) -> None:
    done: list[str] = []

    async def speak(name: str, text: str) -> None:
        await say(engine, text)
        done.append(name)

    long = asyncio.ensure_future(speak("long", "word " * 200))
    short = [asyncio.ensure_future(speak(f"short{i}", "hello")) for i in range(2)]
    await asyncio.gather(long, *short)
    assert done == ["short0", "short1", "long"]


async def test_a_long_text_is_one_request_to_its_caller(engine: WorkerTts) -> None:
    events = await say(engine, "word " * 200)
    words = [event for event in events if isinstance(event, TtsWord)]
    assert [word.index for word in words] == list(range(200))
    piece_s = 1 + TAIL_MS / 1000  # the stub speaks each piece in one second
    pieces_ = -(-200 // 60)  # 60 words of 5 characters fill a piece
    assert words[59].end_s == pytest.approx(1.0)
    assert words[60].start_s == pytest.approx(piece_s)
    assert words[-1].end_s == pytest.approx((pieces_ - 1) * piece_s + 1)
    assert sum(len(e.pcm) for e in events if isinstance(e, TtsAudio)) == round(pieces_ * piece_s * RATE_HZ)


async def test_closing_the_engine_ends_what_is_spoken_and_what_waits(engine: WorkerTts) -> None:
    pid = engine.worker_pid
    first = engine.speak(TtsRequest("endless", RATE_HZ))
    await anext(first)
    waiting = asyncio.ensure_future(say(engine, "hello"))
    await queued(engine, 1)
    await engine.aclose()
    with pytest.raises(ProviderUnavailable):
        await waiting
    with pytest.raises(ProviderUnavailable):
        async for _ in first:
            pass
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ProviderUnavailable, match="not started"):
        await say(engine, "hello")


async def test_what_is_not_installed_says_what_to_do() -> None:
    with pytest.raises(ProviderUnavailable, match="apt-get install stub"):
        await WorkerTts("stub", stub_worker.missing).start()


async def test_a_worker_that_does_not_start_is_an_error() -> None:
    with pytest.raises(ProviderError, match="died at the start"):
        await WorkerTts("stub", stub_worker.stillborn).start()


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (TtsRequest("hello", 12345), "12345 Hz; use one of 8000"),
        (TtsRequest("hello", RATE_HZ, speed=0.0), "use 0.25 to 4.0"),
        (TtsRequest("hello", RATE_HZ, speed=float("nan")), "use 0.25 to 4.0"),
        (TtsRequest("a" * 1001, RATE_HZ), "1001 characters without white space"),
    ],
)
async def test_bad_requests(engine: WorkerTts, request_: TtsRequest, named: str) -> None:
    with pytest.raises(ProviderError, match=named) as caught:
        async for _ in engine.speak(request_):
            pass
    assert not caught.value.retryable
