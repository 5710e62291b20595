"""The pool: who is judged when, in which batch, and that no stream touches another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.ports import VadWindow
from media.vad.pool import QUIET_WINDOWS, Floats, PooledStream, VadPool

WINDOW, CONTEXT = 8, 2


class SumModel:
    """Tells all it was given: the probability is a function of window, context, and the windows before."""

    state_units = 3

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fail = False

    def window(self, sample_rate_hz: int) -> tuple[int, int]:
        return WINDOW * sample_rate_hz // 8000, CONTEXT * sample_rate_hz // 8000

    def __call__(self, audio: Floats, state: Floats, sample_rate_hz: int) -> tuple[Floats, Floats]:
        assert audio.dtype == state.dtype == np.float32
        self.batches.append(len(audio))
        if self.fail:
            raise RuntimeError("the model broke")
        weights = np.arange(1, audio.shape[1] + 1, dtype=np.float32)
        score = (audio * weights).sum(axis=1, keepdims=True)
        following = (state * 0.5 + score[None]).astype(np.float32)
        return following[1, :, :1].copy(), following


class Ticks:
    """A loop's ``call_later`` that waits until it is told to."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.due.append((delay_s, callback))

    def run(self) -> None:
        while self.due:
            self.due.pop(0)[1]()


def pcm(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.array(values, np.int16)


def noise(length: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.random.default_rng(seed).integers(-30000, 30000, length).astype(np.int16)


def alone(samples: np.ndarray[tuple[int], np.dtype[np.int16]], rate: int = 8000) -> list[VadWindow]:
    """What a stream gets that is the only one and is fed at once."""
    ticks, told = Ticks(), list[VadWindow]()
    VadPool(SumModel(), ticks).open(rate, told.append).feed(samples)
    ticks.run()
    return told


def test_feeding_only_copies_and_the_tick_judges() -> None:
    ticks, model, told = Ticks(), SumModel(), list[VadWindow]()
    stream = VadPool(model, ticks).open(8000, told.append)
    stream.feed(noise(7))
    assert ticks.due == []  # no window yet: nothing to wake up for
    stream.feed(noise(1))
    assert len(ticks.due) == 1
    assert model.batches == []
    ticks.run()
    assert [(verdict.start, verdict.end) for verdict in told] == [(0, 8)]


def test_the_model_sees_window_context_and_state() -> None:
    samples = pcm(*range(0, 16384, 1024))
    first, second = alone(samples)
    x = samples / 32768
    score_1 = float((np.concatenate(([0, 0], x[:8])) * np.arange(1, 11)).sum())
    score_2 = float((x[6:16] * np.arange(1, 11)).sum())
    assert first.probability == pytest.approx(score_1, rel=1e-6)
    assert second.probability == pytest.approx(score_1 * 0.5 + score_2, rel=1e-6)


def test_one_tick_judges_the_windows_of_all_streams_as_one_batch() -> None:
    ticks, model, told = Ticks(), SumModel(), list[VadWindow]()
    pool = VadPool(model, ticks)
    streams = [pool.open(8000, told.append) for _ in range(10)]
    for stream in streams:
        stream.feed(noise(8))
    assert len(ticks.due) == 1
    ticks.run()
    assert model.batches == [10]
    assert len(told) == 10


def test_a_stream_with_several_windows_takes_part_in_several_rounds() -> None:
    ticks, model = Ticks(), SumModel()
    pool = VadPool(model, ticks)
    behind, on_time = list[VadWindow](), list[VadWindow]()
    one, two = pool.open(8000, behind.append), pool.open(8000, on_time.append)
    samples = noise(27)
    one.feed(samples)
    two.feed(samples[:8])
    ticks.run()
    assert model.batches == [2, 1, 1]
    assert behind == alone(samples)
    assert on_time == alone(samples[:8])
    assert len(ticks.due) == 0


def test_each_rate_has_its_own_windows_in_the_same_tick() -> None:
    ticks, model = Ticks(), SumModel()
    pool = VadPool(model, ticks)
    narrow, wide = list[VadWindow](), list[VadWindow]()
    pool.open(8000, narrow.append).feed(noise(8))
    pool.open(16000, wide.append).feed(noise(16))
    assert len(ticks.due) == 1
    ticks.run()
    assert narrow == alone(noise(8))
    assert wide == alone(noise(16), 16000)


def test_a_single_call_does_not_wait_and_many_wait_at_most_8_ms() -> None:
    ticks = Ticks()
    pool = VadPool(SumModel(), ticks)
    streams = [pool.open(8000, lambda _: None)]
    streams[0].feed(noise(8))
    assert ticks.due[0][0] == 0.0
    ticks.run()
    streams += [pool.open(8000, lambda _: None) for _ in range(39)]
    streams[0].feed(noise(8))
    assert ticks.due[0][0] == 0.008
    ticks.run()
    for stream in streams[2:]:
        stream.close()
    streams[0].feed(noise(8))
    assert ticks.due[0][0] == 0.001
    ticks.run()


def test_the_last_call_may_go_while_the_verdicts_go_out() -> None:
    ticks = Ticks()
    pool = VadPool(SumModel(), ticks)

    def on_window(_: VadWindow) -> None:
        stream.close()
        raise RuntimeError("a bug of one call")

    stream = pool.open(8000, on_window)
    stream.feed(noise(24))
    with pytest.raises(RuntimeError):
        ticks.run()
    assert [delay_s for delay_s, _ in ticks.due] == [0.0]
    ticks.run()


def test_a_burst_beyond_the_backlog_loses_nothing_and_is_told_in_order() -> None:
    ticks, told = Ticks(), list[VadWindow]()
    stream = VadPool(SumModel(), ticks).open(8000, told.append)
    samples = noise(8 * 50 + 3)
    stream.feed(samples)
    assert told == []  # verdicts come from the tick alone, never out of feed
    ticks.run()
    assert [verdict.start for verdict in told] == list(range(0, 400, 8))
    one_by_one, slow = Ticks(), list[VadWindow]()
    stream = VadPool(SumModel(), one_by_one).open(8000, slow.append)
    for at in range(0, len(samples), 5):
        stream.feed(samples[at : at + 5])
        one_by_one.run()
    assert slow == told


def test_a_row_given_back_begins_afresh() -> None:
    ticks = Ticks()
    pool = VadPool(SumModel(), ticks)
    first = pool.open(8000, lambda _: None)
    first.feed(noise(29, seed=1))
    ticks.run()
    first.close()
    told = list[VadWindow]()
    pool.open(8000, told.append).feed(noise(24, seed=2))
    ticks.run()
    assert told == alone(noise(24, seed=2))
    assert pool.open_streams == 1


def test_a_closed_stream_hears_nothing_more() -> None:
    ticks, told = Ticks(), list[VadWindow]()
    pool = VadPool(SumModel(), ticks)
    stream = pool.open(8000, told.append)
    stream.feed(noise(8))
    stream.close()
    stream.close()
    stream.feed(noise(80))
    ticks.run()
    assert told == []
    assert pool.open_streams == 0


def test_a_window_left_waiting_at_close_does_not_touch_the_next_stream_of_that_row() -> None:
    ticks, model, told = Ticks(), SumModel(), list[VadWindow]()
    pool = VadPool(model, ticks)
    gone = pool.open(8000, lambda _: None)
    gone.feed(noise(20, seed=1))
    gone.close()
    heir = pool.open(8000, told.append)
    samples = noise(30, seed=2)
    heir.feed(samples[:5])
    ticks.run()
    assert model.batches == []
    heir.feed(samples[5:])
    ticks.run()
    assert told == alone(samples)


def test_a_callback_may_close_its_own_stream_and_others() -> None:
    ticks = Ticks()
    pool = VadPool(SumModel(), ticks)
    told: list[str] = []

    def on_first(_: VadWindow) -> None:
        told.append("first")
        first.close()
        second.close()

    first = pool.open(8000, on_first)
    second = pool.open(8000, lambda _: told.append("second"))
    first.feed(noise(24))
    second.feed(noise(8))
    ticks.run()
    assert told == ["first"]


def test_a_callback_may_feed() -> None:
    ticks, told = Ticks(), list[VadWindow]()
    pool = VadPool(SumModel(), ticks)

    def on_window(verdict: VadWindow) -> None:
        told.append(verdict)
        if len(told) < 4:
            stream.feed(noise(8))

    stream = pool.open(8000, on_window)
    stream.feed(noise(8))
    ticks.run()
    assert [verdict.start for verdict in told] == [0, 8, 16, 24]


def test_a_callback_that_raises_costs_no_other_call_its_verdict() -> None:
    ticks, told = Ticks(), list[VadWindow]()
    pool = VadPool(SumModel(), ticks)

    def broken(_: VadWindow) -> None:
        raise RuntimeError("a bug of one call")

    streams = [pool.open(8000, broken), pool.open(8000, told.append)]
    for stream in streams:
        stream.feed(noise(8))
    with pytest.raises(RuntimeError, match="a bug of one call"):
        ticks.run()
    ticks.run()
    assert told == alone(noise(8))


def test_a_model_that_fails_costs_its_windows_and_no_more() -> None:
    """And it does not spin: the same windows are not tried again and again."""
    ticks, model, told = Ticks(), SumModel(), list[VadWindow]()
    stream = VadPool(model, ticks).open(8000, told.append)
    model.fail = True
    stream.feed(noise(8))
    with pytest.raises(RuntimeError, match="the model broke"):
        ticks.run()
    assert ticks.due == []
    model.fail = False
    stream.feed(noise(8))
    ticks.run()
    assert [(verdict.start, verdict.end) for verdict in told] == [(8, 16)]


@settings(max_examples=60, deadline=None)
@given(
    feeds=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 90), st.booleans()), max_size=40),
)
def test_whatever_the_company_a_stream_gets_what_it_would_get_alone(
    feeds: list[tuple[int, int, bool]],
) -> None:
    ticks = Ticks()
    pool = VadPool(SumModel(), ticks)
    told = [list[VadWindow]() for _ in range(6)]
    streams = [pool.open(8000 if i % 2 == 0 else 16000, told[i].append) for i in range(6)]
    fed = [np.zeros(0, np.int16)] * 6
    for n, (who, length, tick) in enumerate(feeds):
        samples = noise(length, seed=n)
        streams[who].feed(samples)
        fed[who] = np.concatenate((fed[who], samples))
        if tick:
            ticks.run()
    ticks.run()
    for i in range(6):
        expected = alone(fed[i], 8000 if i % 2 == 0 else 16000)
        assert [(v.start, v.end) for v in told[i]] == [(v.start, v.end) for v in expected]
        assert [v.probability for v in told[i]] == pytest.approx(
            [v.probability for v in expected], rel=1e-5, abs=1e-5
        )


async def test_on_a_real_loop_the_tick_comes_by_itself() -> None:
    arrived: asyncio.Future[VadWindow] = asyncio.get_running_loop().create_future()
    stream = VadPool(SumModel()).open(8000, arrived.set_result)
    stream.feed(noise(8))
    assert not arrived.done()
    assert [await asyncio.wait_for(arrived, 5)] == alone(noise(8))


def test_a_loop_that_ended_with_a_tick_under_way_does_not_silence_the_pool() -> None:
    told = list[VadWindow]()
    pool = VadPool(SumModel())
    stream = pool.open(8000, told.append)

    async def feed_and_leave() -> None:
        stream.feed(noise(8))

    async def feed_and_wait() -> None:
        stream.feed(noise(8))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    companions = [pool.open(8000, lambda _: None) for _ in range(20)]  # so that the tick is some ms away
    asyncio.run(feed_and_leave())
    for companion in companions:
        companion.close()
    asyncio.run(feed_and_wait())
    assert [verdict.start for verdict in told] == [0, 8]


class CountingModel:
    """Its state counts the windows since it began; loud windows are speech."""

    state_units = 1

    def window(self, sample_rate_hz: int) -> tuple[int, int]:
        return WINDOW, CONTEXT

    def __call__(self, audio: Floats, state: Floats, sample_rate_hz: int) -> tuple[Floats, Floats]:
        self.seen = state[0, :, 0].copy()
        probability = np.where(np.abs(audio).max(axis=1) > 0.1, 0.9, 0.05).astype(np.float32)
        return probability[:, None], state + 1


def test_a_second_of_quiet_begins_a_stream_anew_and_leaves_the_others_alone() -> None:
    model, due = CountingModel(), []
    pool = VadPool(model, lambda _, callback: due.append(callback))
    quiet, talking = (pool.open(8000, lambda _: None) for _ in range(2))
    seen = []
    for _ in range(QUIET_WINDOWS + 2):
        quiet.feed(np.zeros(WINDOW, np.int16))
        talking.feed(np.full(WINDOW, 9000, np.int16))
        while due:
            due.pop(0)()
        seen.append(model.seen.tolist())
    assert [row[0] for row in seen] == [*range(QUIET_WINDOWS), 0, 1]
    assert [row[1] for row in seen] == list(range(QUIET_WINDOWS + 2))


async def test_the_tick_is_nobodys_and_each_verdict_its_own_calls() -> None:
    whose: ContextVar[str] = ContextVar("whose")

    class Model(SumModel):
        def __call__(self, audio: Floats, state: Floats, sample_rate_hz: int) -> tuple[Floats, Floats]:
            ticks.append(whose.get("nobody's"))
            return super().__call__(audio, state, sample_rate_hz)

    ticks: list[str] = []
    told: list[tuple[str, str]] = []
    pool = VadPool(Model())

    def opened(name: str) -> PooledStream:
        whose.set(name)
        return pool.open(8000, lambda _: told.append((name, whose.get("nobody's"))))

    first, second = copy_context().run(opened, "first"), copy_context().run(opened, "second")
    frames = [(first, "first"), (second, "second")]
    for stream, name in frames:
        context = copy_context()
        context.run(whose.set, name)
        context.run(stream.feed, noise(WINDOW))
    while len(told) < 2:
        await asyncio.sleep(0.001)
    assert ticks == ["nobody's"]
    assert told == [("first", "first"), ("second", "second")]
