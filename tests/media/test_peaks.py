"""The waveform: what the definition says of each sample, whatever pieces the audio comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.frames import Pcm
from media.peaks import HOP_MS, MAX_MS, Peaks
from media.recording import StereoTimeline

RATE = 8000
HOP = RATE * HOP_MS // 1000


def pcm(*values: int) -> Pcm:
    return np.array(values, np.int16)


def tone(samples: int, value: int = 3277) -> Pcm:
    return np.full(samples, value, np.int16)


def by_definition(samples: Pcm) -> bytes:
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % HOP)).reshape(-1, HOP)
    with np.errstate(divide="ignore"):
        level = 20 * np.log10(np.abs(padded).max(axis=1) / 32768)
    return bytes(np.clip(np.round(255 * (1 + level / 60)), 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("value", "byte"),
    [(0, 0), (1, 0), (33, 0), (34, 1), (104, 43), (3277, 170), (16384, 229), (32767, 255), (-32768, 255)],
)
def test_the_scale_is_linear_in_decibels(value: int, byte: int) -> None:
    peaks = Peaks(RATE)
    peaks.caller(0, tone(HOP, value))
    assert peaks.between(0, 20)[0] == bytes([byte])


def test_each_side_lies_at_its_place_and_the_rest_is_silence() -> None:
    peaks = Peaks(RATE)
    peaks.caller(HOP, tone(HOP))
    peaks.bot(3 * HOP, tone(2 * HOP, -32768))
    assert peaks.until_ms == 100
    user, bot = peaks.between(0, 100)
    assert user == bytes([0, 170, 0, 0, 0])
    assert bot == bytes([0, 0, 0, 255, 255])
    assert peaks.between(40, 80) == (user[2:4], bot[2:4])
    assert peaks.between(200, 240) == (b"\0\0", b"\0\0")


def test_a_hop_is_as_loud_as_its_loudest_sample_though_it_comes_in_parts() -> None:
    peaks = Peaks(RATE)
    peaks.caller(0, tone(HOP // 2, 16384))
    assert peaks.between(0, 20)[0] == b"\xe5"
    peaks.caller(HOP // 2, tone(HOP // 2, 3277))
    assert peaks.between(0, 20)[0] == b"\xe5"
    peaks.caller(HOP, tone(10, 3277))
    assert peaks.between(0, 40)[0] == b"\xe5\xaa"
    peaks.caller(HOP + 10, tone(10, 16384))
    assert peaks.between(0, 40)[0] == b"\xe5\xe5"


pieces = st.lists(
    st.tuples(
        st.integers(-HOP, 40 * HOP),
        st.lists(st.integers(-32768, 32767), min_size=1, max_size=3 * HOP).map(lambda v: pcm(*v)),
    ),
    max_size=12,
)


@given(pieces, pieces, st.lists(st.integers(0, 12), max_size=4))
def test_it_is_the_waveform_of_the_recording(
    caller: list[tuple[int, Pcm]], bot: list[tuple[int, Pcm]], looked: list[int]
) -> None:
    """Whatever is placed, in whatever pieces, looked at in between or not."""
    peaks, timeline = Peaks(RATE), StereoTimeline(RATE)
    for index in range(max(len(caller), len(bot))):
        if index < len(caller):
            start = max(0, timeline.clock + caller[index][0])
            peaks.caller(start, caller[index][1])
            timeline.caller(start, caller[index][1])
        if index < len(bot):
            at = max(0, timeline.clock + bot[index][0])
            peaks.bot(at, bot[index][1])
            timeline.bot(at, bot[index][1])
        if index in looked:
            peaks.between(0, peaks.until_ms)
    end = timeline.end
    stereo = timeline.take(end)[1].reshape(-1, 2)
    user, heard = peaks.between(0, peaks.until_ms)
    assert peaks.until_ms == -(-end // HOP) * HOP_MS
    assert user == by_definition(stereo[:, 0])
    assert heard == by_definition(stereo[:, 1])


def test_a_call_costs_a_hundred_bytes_a_second_and_no_more() -> None:
    peaks = Peaks(RATE)
    for second in range(600):
        for hop in range(50):
            start = (second * 50 + hop) * HOP
            peaks.caller(start, tone(HOP))
            peaks.bot(start, tone(HOP))
    peaks.between(0, 20)
    assert peaks.size == 600 * 100


def test_a_clock_that_jumps_does_not_fill_the_memory() -> None:
    peaks = Peaks(RATE)
    peaks.caller(0, tone(HOP))
    peaks.caller(RATE // 1000 * MAX_MS * 3, tone(HOP))
    peaks.bot(RATE // 1000 * MAX_MS - HOP // 2, tone(3 * HOP))
    assert peaks.until_ms == MAX_MS
    user, bot = peaks.between(MAX_MS - 40, MAX_MS)
    assert (user, bot) == (b"\0\0", b"\0\xaa")
    assert peaks.size <= 2 * MAX_MS // HOP_MS
