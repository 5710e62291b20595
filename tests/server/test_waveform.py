"""Where a waveform lies in time."""

from __future__ import annotations

import numpy as np
import pytest

from media.peaks import SETTLE_MS
from server.waveform import SETTLED, Waveform

RATE, FRAME = 8000, 160


class Caller:
    """Sends a frame each 20 ms, on a clock that may be wrong by so many parts in a million."""

    def __init__(self, wrong_ppm: float = 0.0) -> None:
        self.now = 500.0
        self.step = 0.02 * (1 + wrong_ppm * 1e-6)
        self.samples = 0
        self.waveform = Waveform(RATE, lambda: self.now + self.late, float)
        self.late = 0.0

    def send(self, frames: int) -> None:
        for _ in range(frames):
            self.now += self.step
            self.waveform.caller(self.samples, np.full(FRAME, 1000, np.int16))
            self.samples += FRAME


def test_the_first_sample_was_a_frame_before_it_came() -> None:
    caller = Caller()
    assert caller.waveform.strip(0) is None
    caller.send(50)
    strip = caller.waveform.strip(0)
    assert strip is not None
    assert strip.starts_at == pytest.approx(500.0)
    assert (strip.from_ms, strip.until_ms) == (0, 1000)
    assert strip.until_at == pytest.approx(501.0)


def test_the_burst_at_the_beginning_and_a_stall_later_do_not_move_it() -> None:
    caller = Caller()
    caller.late = 0.4
    caller.send(20)
    caller.late = 0.0
    caller.send(SETTLED)
    caller.late = 0.8
    caller.send(34)
    strip = caller.waveform.strip(0)
    assert strip is not None
    assert strip.starts_at == pytest.approx(500.0)
    assert strip.until_at == pytest.approx(caller.now)


def test_a_clock_that_runs_slowly_is_told_by_both_ends() -> None:
    caller = Caller(wrong_ppm=100)
    caller.send(50 * 3600)
    strip = caller.waveform.strip(0)
    assert strip is not None
    assert strip.until_ms == 3_600_000
    assert strip.starts_at == pytest.approx(500.0, abs=0.001)
    assert strip.until_at == pytest.approx(caller.now, abs=0.003)
    assert strip.until_at - strip.starts_at == pytest.approx(3600.36, abs=0.003)


def test_what_may_still_change_is_said_until_the_call_is_over() -> None:
    caller = Caller()
    caller.send(25)
    strip = caller.waveform.strip(0)
    assert strip is not None
    assert strip.settled_ms == 0
    caller.send(100)
    strip = caller.waveform.strip(1210)
    assert strip is not None
    assert (strip.from_ms, strip.until_ms, strip.settled_ms) == (1200, 2500, 2500 - SETTLE_MS)
    assert len(strip.user) == len(strip.bot) == 65
    caller.waveform.over = True
    strip = caller.waveform.strip(9999)
    assert strip is not None
    assert (strip.from_ms, strip.until_ms, strip.settled_ms, strip.user) == (2500, 2500, 2500, b"")
