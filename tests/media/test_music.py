"""Music on hold: the same every time, soft, without a seam, and cheap to play."""

from __future__ import annotations

import numpy as np
import pytest

from media.music import FADE_MS, HoldMusic, Player


@pytest.mark.parametrize("rate", [8000, 16000])
def test_what_is_made_here_is_always_the_same_and_never_loud(rate: int) -> None:
    loop = HoldMusic().at(rate)
    assert np.array_equal(loop, HoldMusic().at(rate))
    assert loop.dtype == np.int16
    assert 2000 < np.abs(loop).max() < 5000
    loudness = [np.sqrt(np.mean(piece.astype(float) ** 2)) for piece in np.array_split(loop, 20)]
    assert min(loudness) > 200


def test_it_has_no_seam() -> None:
    loop = HoldMusic().at(8000).astype(int)
    assert abs(loop[0] - loop[-1]) <= np.abs(np.diff(loop)).max()
    seam = np.concatenate((loop[-400:], loop[:400]))
    assert np.sqrt(np.mean(seam.astype(float) ** 2)) > 100


def test_a_rate_is_made_once() -> None:
    music = HoldMusic()
    assert music.at(8000) is music.at(8000)


def test_a_player_comes_in_softly_and_begins_again_at_the_end() -> None:
    loop = np.arange(1, 10_001, dtype=np.int16)
    player = Player(loop, 8000)
    pieces = [player.take(800) for _ in range(30)]
    pcm = np.concatenate(pieces)
    assert pcm[0] == 0
    fade = 8000 * FADE_MS // 1000
    assert (pcm[:fade] <= np.resize(loop, fade)).all()
    assert np.array_equal(pcm[fade:], np.resize(loop, 24_000)[fade:])


def test_a_file_that_does_not_meet_itself_is_faded_there() -> None:
    loop = HoldMusic(np.full(16_000, 9000, np.int16), 8000).at(8000)
    assert (loop[0], loop[-1]) == (0, 0)
    assert (loop[200:-200] == 9000).all()


def test_less_than_a_second_is_no_music() -> None:
    with pytest.raises(ValueError, match="a second at least"):
        HoldMusic(np.zeros(7999, np.int16), 8000)
