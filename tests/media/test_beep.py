"""The tone that says that a call is recorded."""

from __future__ import annotations

import numpy as np
import pytest

from media.beep import HZ, beep


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_it_is_half_a_second_of_one_pitch_without_clicks(rate: int) -> None:
    tone = beep(rate)
    assert (len(tone), tone.dtype.name) == (rate // 2, "int16")
    spectrum = np.abs(np.fft.rfft(tone))
    assert np.argmax(spectrum) * 2 == HZ
    assert abs(int(tone[0])) == abs(int(tone[-1])) == 0
    assert 3000 < np.abs(tone).max() < 4000
