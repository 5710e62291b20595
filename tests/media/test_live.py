"""What somebody hears who listens to a call, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest

from media.frames import Pcm
from media.live import BEHIND_MS, CHUNK_MS, FIRST_BEHIND_MS, LiveMix

RATE = 8000
FRAME, CHUNK = RATE // 50, RATE * CHUNK_MS // 1000


def tone(samples: int, value: int) -> Pcm:
    return np.full(samples, value, np.int16)


def heard(chunks: list[bytes]) -> Pcm:
    return np.frombuffer(b"".join(chunks), "<i2").astype(np.int16)


def frames(mix: LiveMix, first: int, last: int, value: int = 0) -> list[bytes]:
    """The caller's, from one sample of his clock to another."""
    return [chunk for at in range(first, last, FRAME) for chunk in mix.caller(at, tone(FRAME, value))]


def test_both_sides_stand_where_they_were_heard() -> None:
    mix = LiveMix(RATE, 0)
    out = frames(mix, 0, 4000, 100)
    mix.bot(2400, tone(800, 1000))
    out += frames(mix, 4000, 16_000, 100) + mix.rest()
    truth = tone(16_000, 100)
    truth[2400:3200] += 1000
    assert np.array_equal(heard(out), truth)


def test_nothing_is_given_out_before_it_can_be_placed() -> None:
    mix = LiveMix(RATE, 0)
    assert not frames(mix, 0, RATE * (FIRST_BEHIND_MS - 20) // 1000)
    out = frames(mix, RATE * (FIRST_BEHIND_MS - 20) // 1000, RATE * FIRST_BEHIND_MS // 1000)
    assert len(heard(out)) == RATE * (FIRST_BEHIND_MS - BEHIND_MS) // 1000
    assert {len(chunk) for chunk in out} == {CHUNK * 2}


def test_who_comes_late_hears_it_from_there_on() -> None:
    mix = LiveMix(RATE, 80_000 + 30)
    mix.bot(79_000, tone(1600, 500))  # Half of it was heard before.
    out = frames(mix, 79_920, 90_000, 7) + mix.rest()
    truth = tone(90_000 - 80_030, 7)
    truth[: 80_600 - 80_030] += 500
    both = heard(out)[: len(truth)]
    assert np.array_equal(both, truth)


def test_what_comes_before_is_not_heard() -> None:
    mix = LiveMix(RATE, 8000)
    mix.bot(0, tone(800, 500))
    assert not mix.caller(160, tone(FRAME, 500))
    assert not mix.rest()


def test_a_long_gap_of_the_clock_is_left_out() -> None:
    mix = LiveMix(RATE, 0)
    out = frames(mix, 0, 16_000, 5) + frames(mix, 160_000, 170_080, 6) + mix.rest()
    assert np.array_equal(heard(out), np.concatenate([tone(16_000, 5), tone(10_080, 6)]))


def test_a_short_one_is_silent() -> None:
    mix = LiveMix(RATE, 0)
    out = frames(mix, 0, 16_000, 5) + frames(mix, 20_000, 30_080, 6) + mix.rest()
    assert np.array_equal(heard(out), np.concatenate([tone(16_000, 5), tone(4000, 0), tone(10_080, 6)]))


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_a_minute_of_it_takes_no_memory(rate: int) -> None:
    mix = LiveMix(rate, 0)
    frame, total = rate // 50, 0
    for at in range(0, rate * 60, frame):
        mix.bot(at, tone(frame, 1))
        total += sum(map(len, mix.caller(at, tone(frame, 1))))
        assert mix.held <= rate * 2 * (FIRST_BEHIND_MS + CHUNK_MS + 20) // 1000
    assert total // 2 >= rate * 59
