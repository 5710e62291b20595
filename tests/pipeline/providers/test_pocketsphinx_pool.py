"""The engine with worker processes that only pretend: order, bounds, deaths, closes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import numpy as np
import pytest
import uvloop

from pipeline.errors import ProviderBusy, ProviderError, ProviderUnavailable
from pipeline.ports import SttEvent, SttFailed, SttFinal, SttOptions, SttPartial
from pipeline.providers.pocketsphinx import PocketsphinxStt, engine, schedule, worker
from tests.pipeline.providers import stub_recogniser as stub

RATE_HZ = 8000
Pool = Callable[..., AbstractAsyncContextManager[PocketsphinxStt]]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(worker, "main", stub.main)
    monkeypatch.setattr(engine, "_MIN_LIFE_S", 0.0)

    @asynccontextmanager
    async def made(workers: int = 1, queue_s: float = 30.0) -> AsyncIterator[PocketsphinxStt]:
        stt = PocketsphinxStt(workers, queue_s)
        await stt.start()
        try:
            yield stt
        finally:
            await stt.aclose()

    return made


def pids() -> set[int]:
    return {p.pid for p in multiprocessing.active_children() if p.name == "talkwire-stt" and p.pid}


def _pid(slot: engine._Slot) -> int:
    assert slot.process is not None
    assert slot.process.pid is not None
    return slot.process.pid


def _busy_and_idle(ear: Ear) -> tuple[int, int]:
    """The process that has this caller's utterance, and the other one of two."""
    slot = ear.stream.segments[0].slot
    assert slot is not None
    busy = _pid(slot)
    (idle,) = pids() - {busy}
    return busy, idle


class Ear:
    def __init__(self, stt: PocketsphinxStt, *phrases: str) -> None:
        self.events: asyncio.Queue[SttEvent] = asyncio.Queue()
        self.stream = stt.open(SttOptions(RATE_HZ, phrases=phrases), self.events.put_nowait)

    def say(self, segment_id: int, samples: int = 160, *, first: int = 0, end: bool = True) -> None:
        self.stream.begin(segment_id)
        self.feed(samples, first=first)
        if end:
            self.stream.end()

    def feed(self, samples: int = 160, *, first: int = 0) -> None:
        pcm = np.zeros(samples, np.int16)
        pcm[:1] = first
        self.stream.feed(pcm)

    async def partial(self) -> SttPartial:
        async with asyncio.timeout(20):
            event = await self.events.get()
            assert isinstance(event, SttPartial)
            return event

    async def outcome(self) -> SttFinal | SttFailed:
        async with asyncio.timeout(20):
            while not isinstance(event := await self.events.get(), SttFinal | SttFailed):
                pass
            return event

    async def text(self) -> str:
        event = await self.outcome()
        assert isinstance(event, SttFinal)
        return event.text


async def test_a_long_segment_is_pieced_together_from_its_parts(pool: Pool) -> None:
    async with pool() as stt:
        ear = Ear(stt, "yes")
        ear.say(1, RATE_HZ // 10, end=False)
        ear.feed(RATE_HZ // 10, first=stub.PART)
        while (partial := await ear.partial()).text != "part1600 ~0":
            pass
        assert partial.segment_id == 1
        ear.feed(400)
        ear.stream.end()
        final = await ear.outcome()
        assert isinstance(final, SttFinal)
        assert final.text == "part1600 8000/yes/new/400"
        assert [(w.start_s, w.end_s) for w in final.words] == [(0.0, 0.5), (0.3, 0.4)]  # parted at 0.2 s
        assert final.confidence == pytest.approx(0.6)


async def test_what_was_learnt_of_the_caller_goes_with_the_call(pool: Pool) -> None:
    async with pool() as stt:
        ear, other = Ear(stt), Ear(stt)
        for number, learnt in enumerate(("new", "known", "known")):
            ear.say(number)
            assert await ear.text() == f"8000//{learnt}/160"
        other.say(9)
        assert await other.text() == "8000//new/160"


async def test_a_dead_worker_is_replaced_and_its_utterance_replayed(pool: Pool) -> None:
    async with pool() as stt:
        ear = Ear(stt)
        ear.say(1, 800, end=False)
        assert (await ear.partial()).text == "~800"
        (dead,) = pids()
        os.kill(dead, signal.SIGKILL)
        assert (await ear.partial()).text == "~800"  # heard again, by another one
        ear.feed(200)
        ear.stream.end()
        assert await ear.text() == "8000//new/1000"
        assert dead not in pids()


async def test_only_what_is_not_settled_is_replayed(pool: Pool) -> None:
    async with pool() as stt:
        ear = Ear(stt, "yes")
        ear.say(1, 800, first=stub.PART, end=False)
        assert (await ear.partial()).text == "part800 ~0"
        ear.feed(320)
        assert (await ear.partial()).text == "part800 ~320"
        os.kill(next(iter(pids())), signal.SIGKILL)
        assert (await ear.partial()).text == "part800 ~320"
        ear.stream.end()
        # Without its beginning the rest of an utterance is no phrase.
        assert await ear.text() == "part800 8000//new/320"


def test_a_worker_that_dies_is_no_error_of_who_speaks_to_it(pool: Pool) -> None:
    async def speak_into_the_void() -> None:
        async with pool() as stt:
            ear = Ear(stt)
            ear.say(1, 800, end=False)
            assert (await ear.partial()).text == "~800"
            slot = ear.stream.segments[0].slot
            assert slot is not None
            os.kill(_pid(slot), signal.SIGKILL)
            spoken = 0
            while slot.process is not None:  # its socket is closed a little before its death is heard of
                ear.feed(1)
                assert slot.process.backlog >= 0
                spoken += 1
                await asyncio.sleep(0)
            ear.stream.end()
            assert await ear.text() == f"8000//new/{800 + spoken}"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(speak_into_the_void())


async def test_an_utterance_that_kills_two_workers_is_given_up(pool: Pool) -> None:
    async with pool() as stt:
        ear = Ear(stt)
        ear.say(1, first=stub.DIE)
        ear.say(2)
        lost = await ear.outcome()
        assert isinstance(lost, SttFailed)
        assert lost.segment_id == 1
        assert lost.error.code == "PROVIDER_ERROR"
        assert "two workers died" in str(lost.error)
        assert (await ear.outcome()).segment_id == 2


async def test_a_worker_that_was_dead_before_it_took_the_utterance_is_not_blamed_on_it(pool: Pool) -> None:
    async with pool(2) as stt:
        ear = Ear(stt)
        ear.say(1, 800, end=False)
        assert (await ear.partial()).text == "~800"
        working, idle = _busy_and_idle(ear)
        os.kill(idle, signal.SIGSTOP)  # alive to the engine, and deaf
        os.kill(working, signal.SIGKILL)
        while (slot := ear.stream.segments[0].slot) is None or slot.process is None or _pid(slot) != idle:
            await asyncio.sleep(0.01)
        os.kill(idle, signal.SIGKILL)
        ear.stream.end()
        assert await ear.text() == "8000//new/800"


async def test_a_worker_that_speaks_nonsense_is_replaced(pool: Pool) -> None:
    async with pool() as stt:
        ear = Ear(stt)
        ear.say(1, first=stub.NONSENSE)
        assert isinstance(await ear.outcome(), SttFailed)
        ear.say(2)
        assert isinstance(await ear.outcome(), SttFinal)


async def test_a_worker_that_hangs_is_killed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FINAL_WITHIN_S", 0.05)
    async with pool() as stt:
        before = pids()
        ear = Ear(stt)
        ear.say(1, first=stub.HANG)
        assert isinstance(await ear.outcome(), SttFailed)
        ear.say(2)
        assert isinstance(await ear.outcome(), SttFinal)
        assert not before & pids()


async def test_a_full_pool_is_said_after_the_queueing_time(pool: Pool) -> None:
    async with pool(2, queue_s=0.05) as stt:
        for pid in pids():
            os.kill(pid, signal.SIGSTOP)
        ears = [Ear(stt) for _ in range(4)]
        for ear in ears:
            ear.say(1)
        busy = [await ear.outcome() for ear in ears[2:]]
        for event in busy:
            assert isinstance(event, SttFailed)
            assert isinstance(event.error, ProviderBusy)
            assert (event.error.code, event.error.provider) == ("STT_BUSY", "pocketsphinx")
        assert all(ear.events.empty() for ear in ears[:2])
        for pid in pids():
            os.kill(pid, signal.SIGCONT)
        for ear in ears[:2]:
            assert isinstance(await ear.outcome(), SttFinal)
        ears[3].say(2)  # and the stream that was refused lives on
        assert isinstance(await ears[3].outcome(), SttFinal)


async def test_who_waits_for_himself_is_not_refused(pool: Pool) -> None:
    async with pool(1, queue_s=0.01) as stt:
        ear = Ear(stt)
        ear.say(1, end=False)
        await ear.partial()
        (worker_pid,) = pids()
        os.kill(worker_pid, signal.SIGSTOP)
        ear.stream.end()
        for segment_id in (2, 3):
            ear.say(segment_id)
        await asyncio.sleep(0.05)  # the time of the queue has long passed: nobody else wants the worker
        os.kill(worker_pid, signal.SIGCONT)
        outcomes = [await ear.outcome() for _ in range(3)]
        assert [type(outcome) for outcome in outcomes] == [SttFinal] * 3
        assert [outcome.segment_id for outcome in outcomes] == [1, 2, 3]


async def test_what_is_given_up_does_not_overtake_what_came_before(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MAX_UNSETTLED_S", 1.0)
    monkeypatch.setattr(schedule, "MAX_WAITING", 1)
    async with pool(1) as stt:
        ear = Ear(stt)
        ear.say(1, end=False)
        await ear.partial()
        (worker_pid,) = pids()
        os.kill(worker_pid, signal.SIGSTOP)
        ear.stream.end()
        ear.say(2, 2 * RATE_HZ, end=False)
        ear.feed()  # more than may be kept of it
        ear.feed()
        ear.stream.end()
        ear.say(3)
        ear.say(4)  # more than may wait
        await asyncio.sleep(0.01)
        assert ear.events.empty()
        os.kill(worker_pid, signal.SIGCONT)
        outcomes = [await ear.outcome() for _ in range(4)]
        assert [outcome.segment_id for outcome in outcomes] == [1, 2, 3, 4]
        assert [type(outcome) for outcome in outcomes] == [SttFinal, SttFailed, SttFinal, SttFailed]


async def test_who_is_done_speaking_does_not_wait_for_who_still_speaks(pool: Pool) -> None:
    async with pool(1) as stt:
        talker, asker = Ear(stt), Ear(stt)
        talker.say(1, 800, end=False)
        assert (await talker.partial()).text == "~800"
        asker.say(1)
        assert await asker.text() == "8000//new/160"
        talker.feed(200)
        talker.stream.end()
        assert await talker.text() == "8000//new/1000"


async def test_who_waits_while_speaking_is_not_refused(pool: Pool) -> None:
    async with pool(1, queue_s=0.0) as stt:
        first, second = Ear(stt), Ear(stt)
        first.say(1, end=False)
        second.say(1, end=False)
        await first.partial()
        first.stream.end()
        assert isinstance(await first.outcome(), SttFinal)
        await second.partial()
        second.stream.end()
        assert isinstance(await second.outcome(), SttFinal)


async def test_too_many_waiting_are_refused_at_once(pool: Pool) -> None:
    async with pool(1) as stt:
        ears = [Ear(stt) for _ in range(schedule.MAX_WAITING + 2)]
        for ear in ears:
            ear.say(1, end=False)
        event = await ears[-1].outcome()
        assert isinstance(event, SttFailed)
        assert event.error.code == "STT_BUSY"
        ears[-1].feed()  # the rest of it is of no interest
        ears[-1].stream.end()
        for ear in ears[:-1]:
            ear.stream.end()
            assert isinstance(await ear.outcome(), SttFinal)
        assert ears[-1].events.empty()


async def test_a_segment_without_end_is_refused_when_its_memory_is_full(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MAX_UNSETTLED_S", 1.0)
    async with pool(1) as stt:
        running, waiting = Ear(stt), Ear(stt)
        for ear, code in ((running, "PROVIDER_ERROR"), (waiting, "STT_BUSY")):
            ear.say(1, RATE_HZ, end=False)
            if ear is waiting:
                running.say(2, end=False)
                for _ in range(2):
                    ear.feed()
            else:
                for _ in range(2):
                    ear.feed()
            event = await ear.outcome()
            assert isinstance(event, SttFailed)
            if ear is running:
                assert event.error.code == code
            ear.feed()
            ear.stream.end()


async def test_a_call_that_closes_frees_its_worker(pool: Pool) -> None:
    async with pool(1) as stt:
        ear, other = Ear(stt), Ear(stt)
        ear.say(1, end=False)
        await ear.partial()
        other.say(1, end=False)
        await ear.stream.aclose()
        assert (await other.partial()).text == "~160"
        other.stream.end()
        assert isinstance(await other.outcome(), SttFinal)
        assert ear.events.empty()


async def test_late_answers_of_a_withdrawn_run_are_not_taken_for_new_ones(pool: Pool) -> None:
    async with pool(1) as stt:
        talker, asker = Ear(stt), Ear(stt)
        talker.say(1, 400, end=False)
        os.kill(next(iter(pids())), signal.SIGSTOP)
        talker.feed(400, first=stub.PART)  # its answer will arrive after the segment was taken back
        asker.say(1)
        os.kill(next(iter(pids())), signal.SIGCONT)
        assert await asker.text() == "8000//new/160"
        talker.stream.end()
        assert await talker.text() == "8000//new/800"


async def test_workers_ignore_the_interrupt_of_the_terminal(pool: Pool) -> None:
    async with pool(2) as stt:
        before = pids()
        for pid in before:
            os.kill(pid, signal.SIGINT)
        for number in range(2):
            ear = Ear(stt)
            ear.say(number)
            assert isinstance(await ear.outcome(), SttFinal)
        assert pids() == before


async def test_close_ends_the_workers_and_waits_for_that(pool: Pool) -> None:
    async with pool(2) as stt:
        left = pids()
        assert len(left) == 2
        await stt.aclose()
        assert not pids()
        for pid in left:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


@pytest.mark.parametrize(
    ("target", "said"),
    [(stub.without_a_model, "No module named 'pocketsphinx'"), (stub.dead_at_birth, "died while loading")],
)
async def test_an_engine_that_cannot_work_says_why(
    monkeypatch: pytest.MonkeyPatch, target: Callable[..., None], said: str
) -> None:
    monkeypatch.setattr(worker, "main", target)
    stt = PocketsphinxStt(2)
    with pytest.raises(ProviderUnavailable, match=said) as caught:
        await stt.start()
    assert not caught.value.retryable
    assert isinstance(caught.value, ProviderError)
    assert not pids()
    await stt.aclose()


def test_a_pool_has_at_least_one_worker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        PocketsphinxStt(0)
