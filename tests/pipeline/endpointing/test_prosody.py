"""The melody of sounds whose pitch is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from media.frames import Pcm
from pipeline.endpointing.evidence import Evidence, Prosody
from pipeline.endpointing.local import Local
from pipeline.endpointing.prosody import Register, measure, odds

RATES = (8000, 16000)


def voice(rate_hz: int, from_hz: float, to_hz: float, seconds: float = 1.2, fall_db: float = 0.0) -> Pcm:
    """A buzz that glides, ten partials of falling strength."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(from_hz * (to_hz / from_hz) ** (time / seconds)) / rate_hz
    sound = sum(np.sin(n * phase) / n for n in range(1, 11))
    pcm: Pcm = (3000 * sound * 10 ** (-fall_db * time / seconds / 20)).astype(np.int16)
    return pcm


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("hz", [80.0, 120.0, 210.0, 350.0])
def test_a_level_voice_has_its_pitch_and_no_slope(rate_hz: int, hz: float) -> None:
    melody = measure(voice(rate_hz, hz, hz), rate_hz, hz)
    assert np.allclose(melody.voiced_hz, hz, rtol=0.02)
    assert melody.prosody.pitch == pytest.approx(0.0, abs=0.3)
    assert melody.prosody.slope == pytest.approx(0.0, abs=1.0)
    assert melody.prosody.fade_db == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_fall_and_a_rise_are_told_apart(rate_hz: int) -> None:
    """An octave in 1.2 s: 10 semitones a second."""
    fall = measure(voice(rate_hz, 200, 100), rate_hz, 200).prosody
    rise = measure(voice(rate_hz, 100, 200), rate_hz, 200).prosody
    assert fall.slope == pytest.approx(-10, abs=1.5)
    assert rise.slope == pytest.approx(10, abs=1.5)
    assert fall.pitch == pytest.approx(-11, abs=1)
    assert rise.pitch == pytest.approx(-1, abs=1)
    assert odds(fall) > odds(rise)


def test_a_voice_that_fades_is_noticed() -> None:
    assert (measure(voice(8000, 120, 120, fall_db=20), 8000).prosody.fade_db or 0) < -3


@pytest.mark.parametrize(
    "pcm",
    [
        np.zeros(0, np.int16),
        np.zeros(100, np.int16),
        np.zeros(16000, np.int16),
        np.random.default_rng(1).integers(-3000, 3000, 16000).astype(np.int16),
        np.full(16000, -32768, np.int16),
    ],
    ids=["nothing", "little", "silence", "noise", "constant"],
)
def test_where_there_is_no_voice_there_is_no_pitch(pcm: Pcm) -> None:
    melody = measure(pcm, 16000, 120)
    assert melody.prosody.pitch is None
    assert melody.prosody.slope is None
    assert odds(melody.prosody) == 0.0


def test_only_the_end_is_looked_at() -> None:
    end = voice(8000, 150, 120)
    before = np.random.default_rng(2).integers(-9000, 9000, 40_000).astype(np.int16)
    assert measure(np.concatenate((before, end)), 8000, 130) == measure(end, 8000, 130)


def test_another_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="8000 or 16000"):
        measure(np.zeros(1000, np.int16), 44100)


def test_the_register_is_the_median_of_a_second_or_so_and_follows_the_caller() -> None:
    register = Register()
    told = []
    for heard in ((100.0,) * 20, (100.0,) * 20 + (300.0,) * 5, (200.0,) * 1000):
        register.add(heard)
        told.append(register.median_hz)
    assert told == [None, 100.0, 200.0]


def test_the_melody_moves_the_end_and_never_by_much() -> None:
    def end_ms(pitch: float | None) -> int:
        return Local().judge(Evidence("mountain view", prosody=Prosody(pitch=pitch))).end_ms

    assert end_ms(-3) < end_ms(None) < end_ms(3)
    assert end_ms(-50) >= end_ms(None) - 200
    assert math.isclose(end_ms(50), end_ms(4), abs_tol=1)
