"""Levels: the scale, its ends, and intervals that do not depend on the frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.levels import SILENCE, Level, Meter, level_of


def test_silence_is_the_floor() -> None:
    assert level_of(np.zeros(160, np.int16)) == Level(-60.0, 0.0, 0.0)
    assert level_of(np.zeros(0, np.int16)) == SILENCE


def test_full_scale_is_the_ceiling_on_both_sides() -> None:
    assert level_of(np.full(160, -32768, np.int16)) == Level(0.0, 1.0, 1.0)
    top = level_of(np.full(160, 32767, np.int16))
    assert top.peak == 32767 / 32768
    assert -0.001 < top.energy_db < 0


def test_a_sine_is_3_db_below_its_peak() -> None:
    sine = np.rint(16384 * np.sin(2 * np.pi * 400 * np.arange(8000) / 8000)).astype(np.int16)
    level = level_of(sine)
    assert level.peak == pytest.approx(0.5, abs=1e-4)
    assert level.rms == pytest.approx(0.5 / math.sqrt(2), abs=1e-4)
    assert level.energy_db == pytest.approx(-9.03, abs=0.01)


def test_what_lies_below_the_floor_is_told_as_the_floor_with_its_true_rms() -> None:
    level = level_of(np.full(160, 3, np.int16))
    assert level.energy_db == -60.0
    assert level.rms == pytest.approx(3 / 32768)


def test_a_meter_tells_one_level_per_interval() -> None:
    meter = Meter(8000, interval_ms=100)
    frame = np.full(160, 1000, np.int16)
    told = [meter.add(frame) for _ in range(10)]
    assert [len(levels) for levels in told] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert told[4][0].rms == pytest.approx(1000 / 32768)


def test_an_interval_begins_from_nothing() -> None:
    meter = Meter(8000, interval_ms=20)
    assert meter.add(np.full(160, 20000, np.int16))[0].peak == 20000 / 32768
    assert meter.add(np.zeros(160, np.int16)) == (SILENCE,)


@given(cuts=st.lists(st.integers(0, 500), max_size=10), seed=st.integers(0, 99))
def test_the_cut_into_frames_changes_nothing(cuts: list[int], seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-9000, 9000, sum(cuts)).astype(np.int16)
    meter, at = Meter(8000, 20), 0
    told: list[Level] = []
    for cut in cuts:
        told += meter.add(pcm[at : at + cut])
        at += cut
    whole = [level_of(pcm[i : i + 160]) for i in range(0, len(pcm) - 159, 160)]
    assert [level.peak for level in told] == [level.peak for level in whole]
    assert [level.rms for level in told] == pytest.approx([level.rms for level in whole], rel=1e-5)


def test_an_interval_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no sample"):
        Meter(8000, 0)
