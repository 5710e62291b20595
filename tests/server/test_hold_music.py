"""The music on hold that an operator chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media import wav
from server.hold_music import hold_music
from server.settings import Settings, SettingsError


def chosen(path: Path | str) -> Settings:
    return Settings(hold_music=str(path))


def test_unset_the_server_makes_its_own_and_off_is_silence() -> None:
    music = hold_music(Settings())
    assert music is not None
    assert np.abs(music.at(8000)).max() > 1000
    assert hold_music(chosen("off")) is None


def test_a_file_is_brought_to_the_rate_of_the_line(tmp_path: Path) -> None:
    path = tmp_path / "tune.wav"
    path.write_bytes(wav.encode(np.full(16000 * 3, 5000, np.int16), 16000))
    music = hold_music(chosen(path))
    assert music is not None
    pcm = music.at(8000)
    assert len(pcm) == 24_000
    assert np.abs(pcm[400:-400] - 5000).max() < 50


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "cannot be read"),
        (b"ID3", "is not a WAV file"),
        (wav.encode(np.zeros(100, np.int16), 8000), "must last for a second"),
        (b"RIFF" + b"\0" * (11 << 20), "larger than 10 MB"),
    ],
)
def test_a_file_that_does_not_do_stops_the_start(tmp_path: Path, data: bytes | None, why: str) -> None:
    path = tmp_path / "tune.wav"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SettingsError, match="TALKWIRE_HOLD_MUSIC must be a WAV file") as caught:
        hold_music(chosen(path))
    assert why in str(caught.value)
