"""The shipped clips are what their maker says: format, level, silence around, and a small size together."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

CLIPS = Path(__file__).parents[3] / "examples" / "clips"
NAMES = ["count", "goodbye", "hello", "repeat", "spell", "story", "time", "wait"]


def test_all_are_there_and_small() -> None:
    found = sorted(CLIPS.glob("*.wav"))
    assert [path.stem for path in found] == NAMES
    assert sum(path.stat().st_size for path in found) < 400_000


@pytest.mark.parametrize("name", NAMES)
def test_a_clip(name: str) -> None:
    with wave.open(str(CLIPS / f"{name}.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    loud = np.flatnonzero(np.abs(pcm) > 0.01)
    assert loud[0] / 16 == pytest.approx(100, abs=25)
    assert (len(pcm) - loud[-1]) / 16 == pytest.approx(100, abs=40)
    frames = pcm[: len(pcm) // 320 * 320].reshape(-1, 320)
    rms = np.sqrt((frames**2).mean(axis=1))
    active = np.sqrt((rms[rms > rms.max() / 30] ** 2).mean())
    assert 20 * np.log10(active) == pytest.approx(-20, abs=1)
