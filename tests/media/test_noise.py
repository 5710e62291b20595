"""The floor of a line and the volume of a caller, from the levels of windows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.noise import ASSUMED_DB, LOWEST_DB, SPAN_MS, Loudness, NoiseFloor, decibels
from media.ports import VadWindow

RATE_HZ, WINDOW = 8000, 256
WINDOWS_A_SECOND = RATE_HZ / WINDOW


def windows(levels_db: Iterable[float | None]) -> list[VadWindow]:
    return [
        VadWindow(0.0, i * WINDOW, (i + 1) * WINDOW, None if db is None else 10 ** (db / 20))
        for i, db in enumerate(levels_db)
    ]


def floor_after(levels_db: Iterable[float | None]) -> float | None:
    floor = NoiseFloor(RATE_HZ)
    for window in windows(levels_db):
        floor.push(window)
    return floor.floor_db


def seconds(s: float, db: float) -> list[float]:
    return [db] * round(s * WINDOWS_A_SECOND)


@pytest.mark.parametrize("db", [-70.0, -45.0, -25.0])
def test_the_floor_of_white_noise_is_its_level(db: float) -> None:
    rng = np.random.default_rng(3)
    samples = rng.standard_normal((round(6 * WINDOWS_A_SECOND), WINDOW)) * 10 ** (db / 20)
    rms = np.sqrt((samples**2).mean(axis=1))
    found = floor_after(20 * np.log10(rms))
    assert found is not None
    assert abs(found - db) < 1.0


def test_words_in_quiet_do_not_raise_it() -> None:
    word_and_gap = seconds(0.4, -26) + seconds(0.1, -60)
    found = floor_after(word_and_gap * 20)
    assert found is not None
    assert found < -50


def test_it_is_not_known_before_half_a_second() -> None:
    assert floor_after(seconds(0.4, -50)) is None
    assert floor_after(seconds(0.6, -50)) is not None


def test_who_speaks_from_the_first_sample_is_no_noise() -> None:
    found = floor_after(seconds(2.5, -26))
    assert found is not None
    assert found <= ASSUMED_DB + 2


def test_it_follows_a_rise_within_three_seconds_and_a_fall_at_once() -> None:
    floor = NoiseFloor(RATE_HZ)
    known = []
    for window in windows(seconds(4, -60) + seconds(4, -35) + seconds(0.3, -60)):
        floor.push(window)
        known.append(floor.floor_db)
    rise = round(4 * WINDOWS_A_SECOND)
    rose = next(i for i, db in enumerate(known) if db is not None and db > -40)
    assert SPAN_MS - 600 < (rose - rise) / WINDOWS_A_SECOND * 1000 < SPAN_MS + 600
    last = known[-1]
    assert last is not None
    assert last < -57


def test_digital_silence_and_windows_without_a_level() -> None:
    silence = NoiseFloor(RATE_HZ)
    for i in range(40):
        silence.push(VadWindow(0.0, i * WINDOW, (i + 1) * WINDOW, 0.0))
    assert silence.floor_db is not None
    assert LOWEST_DB <= silence.floor_db < LOWEST_DB + 3
    assert floor_after([None] * 100) is None
    assert NoiseFloor(RATE_HZ).above_db(windows([-20])[0]) == float("inf")


@given(st.lists(st.floats(-100, 0), min_size=1, max_size=200))
def test_it_never_lies_above_what_was_heard(levels: list[float]) -> None:
    found = floor_after(levels)
    if found is not None:
        assert LOWEST_DB <= found <= max(LOWEST_DB, *levels) + 2


# --- loudness ---------------------------------------------------------------------------------------------


def volume_after(levels_db: Iterable[float | None]) -> float:
    loudness = Loudness(RATE_HZ)
    for window in windows(levels_db):
        loudness.push(window)
    return loudness.value


@pytest.mark.parametrize(
    ("db", "volume"), [(-60, 0.0), (-90, 0.0), (-39, 0.35), (-26, 0.567), (0, 1.0), (6, 1.0)]
)
def test_the_scale_is_linear_in_decibels(db: float, volume: float) -> None:
    assert volume_after(seconds(3, db)) == pytest.approx(volume, abs=0.01)


def test_phone_speech_passes_the_gate_within_a_barge_in_and_background_talk_does_not() -> None:
    assert volume_after(seconds(0.2, -26)) > 0.35 + 0.15
    assert volume_after(seconds(0.2, -36)) > 0.35 + 0.04
    assert volume_after(seconds(3, -45)) < 0.35 - 0.09


def test_a_gap_between_words_does_not_count_against_it() -> None:
    assert volume_after(seconds(0.4, -26) + seconds(0.064, -70)) > 0.35
    assert volume_after(seconds(0.4, -26) + seconds(1, -70)) < 0.05
    assert volume_after([-20, None, None]) == volume_after([-20])


def test_decibels_of_nothing() -> None:
    assert decibels(0.0) == LOWEST_DB
    assert decibels(1.0) == 0.0
