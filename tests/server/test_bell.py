"""What wakes readers, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from server.bell import Bell
from tests.fakes.loop import run_virtual


def test_whoever_waits_is_woken_at_once_and_patience_is_counted_from_each_wait() -> None:
    async def main() -> None:
        loop, bell = asyncio.get_running_loop(), Bell()
        began = loop.time()
        loop.call_later(4.0, bell.set)
        assert await bell.wait(10.0) is True
        assert loop.time() - began == pytest.approx(4.0)
        assert await bell.wait(10.0) is True, "it has rung already"
        bell.clear()
        assert await bell.wait(10.0) is False
        assert loop.time() - began == pytest.approx(14.0), "not when the first patience would have run out"
        assert await bell.wait(2.0) is False
        assert loop.time() - began == pytest.approx(16.0)
        bell.set()
        bell.clear()
        assert not bell.is_set()
        assert await asyncio.wait_for(bell.wait(1.0), 5.0) is False

    run_virtual(main())


def test_a_shorter_patience_is_not_kept_waiting_by_a_longer_one() -> None:
    async def main() -> None:
        loop, bell = asyncio.get_running_loop(), Bell()
        began = loop.time()
        loop.call_later(1.0, bell.set)
        assert await bell.wait(60.0)
        bell.clear()
        assert await bell.wait(5.0) is False
        assert loop.time() - began == pytest.approx(6.0)

    run_virtual(main())


def test_many_events_take_one_timer_and_a_reader_that_leaves_leaves_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        loop, bell = asyncio.get_running_loop(), Bell()
        set_timers: list[asyncio.TimerHandle] = []
        call_at = loop.call_at

        def counted(*args: object) -> asyncio.TimerHandle:
            set_timers.append(call_at(*args))  # type: ignore[arg-type]
            return set_timers[-1]

        monkeypatch.setattr(loop, "call_at", counted)
        for _ in range(1000):
            loop.call_soon(bell.set)
            assert await bell.wait(60.0)
            bell.clear()
        assert len(set_timers) == 1
        waiting = asyncio.create_task(bell.wait(60.0))
        await asyncio.sleep(0)
        waiting.cancel()
        bell.close()
        assert all(timer.cancelled() for timer in set_timers)
        bell.set()

    run_virtual(main())
