from __future__ import annotations

import numpy as np
import pytest

from media.onset import sound_before

RATE = 8000


def stretch(*parts: tuple[int, float], seed: int = 1) -> np.ndarray:
    """Noise of (milliseconds, rms) one after the other."""
    rng = np.random.default_rng(seed)
    pieces = [rng.normal(0.0, max(rms, 1e-9), RATE * ms // 1000) for ms, rms in parts]
    return np.concatenate(pieces).clip(-32000, 32000).astype(np.int16)


@pytest.mark.parametrize("floor", [0.0, 5.0, 30.0])
@pytest.mark.parametrize("voiced_ms", [0, 30, 80, 150])
def test_the_rise_out_of_the_quiet_is_found(floor: float, voiced_ms: int) -> None:
    found = sound_before(stretch((900, floor), (voiced_ms, 600.0)), RATE)
    assert found * 1000 / RATE == pytest.approx(voiced_ms, abs=10)


def test_it_goes_back_200_ms_at_most() -> None:
    assert sound_before(stretch((500, 0.0), (600, 600.0)), RATE) == RATE // 5


def test_a_short_hole_does_not_end_the_search_and_a_longer_one_does() -> None:
    assert sound_before(stretch((800, 0), (50, 600.0), (20, 0), (40, 600.0)), RATE) == RATE * 110 // 1000
    assert sound_before(stretch((800, 0), (50, 600.0), (60, 0), (40, 600.0)), RATE) == RATE * 40 // 1000


def test_steady_noise_is_no_sound() -> None:
    assert sound_before(stretch((1000, 400.0)), RATE) == 0


def test_a_line_that_hisses_a_little_has_no_sound() -> None:
    assert sound_before(stretch((700, 0.0), (300, 40.0)), RATE) == 0


@pytest.mark.parametrize("samples", [0, 1, 79])
def test_too_little_to_judge_is_nothing(samples: int) -> None:
    assert sound_before(np.full(samples, 5000, np.int16), RATE) == 0


@pytest.mark.parametrize("rate", [8000, 16000])
def test_any_rate(rate: int) -> None:
    pcm = np.concatenate([np.zeros(rate, np.int16), np.full(rate // 10, 900, np.int16)])
    assert sound_before(pcm, rate) == rate // 10
