"""Level and band: what the decoder gets of what the caller said."""

from __future__ import annotations

import numpy as np
import pytest

from media.frames import Pcm
from pipeline.providers.pocketsphinx.frontend import MIRROR, TARGET_LEVEL, Frontend


def tone(level: float, length_s: float, rate_hz: int = 16000, hz: float = 440.0) -> Pcm:
    t = np.arange(int(length_s * rate_hz)) / rate_hz
    return np.asarray(np.rint(level * np.sin(2 * np.pi * hz * t)), dtype=np.int16)


def through(front: Frontend, pcm: Pcm, piece: int = 160) -> Pcm:
    heard = [front.push(pcm[at : at + piece]) for at in range(0, len(pcm), piece)]
    return np.concatenate([*heard, front.flush()])


def level(pcm: Pcm) -> float:
    return float(np.percentile(np.abs(pcm.astype(np.int32)), 99))


def strength(pcm: Pcm, hz: float) -> float:
    t = np.arange(len(pcm)) / 16000
    return float(np.abs(np.mean(pcm * np.exp(-2j * np.pi * hz * t))))


@pytest.mark.parametrize("loudness", [1100.0, 3000.0, 8000.0, 30000.0])
def test_speech_comes_out_at_one_level(loudness: float) -> None:
    out = through(Frontend(16000), tone(loudness, 1.0))
    assert len(out) == 16000
    assert level(out) == pytest.approx(TARGET_LEVEL, rel=0.05)


def test_the_gain_is_one_for_the_whole_segment() -> None:
    loud_later = np.concatenate((tone(4000, 0.5), tone(8000, 0.5)))
    out = through(Frontend(16000), loud_later)
    assert level(out[9600:]) == pytest.approx(2 * level(out[:7000]), rel=0.05)


def test_what_lies_before_the_speech_does_not_count_for_the_level() -> None:
    hiss = np.random.default_rng(1).normal(0, 20, 4800).astype(np.int16)
    out = through(Frontend(16000), np.concatenate((hiss, tone(4000, 1.0))))
    assert level(out[4800:]) == pytest.approx(TARGET_LEVEL, rel=0.05)


def test_nothing_comes_before_the_level_is_known_and_nothing_is_lost() -> None:
    front = Frontend(16000)
    pcm = tone(4000, 0.28)
    assert sum(len(front.push(pcm[at : at + 160])) for at in range(0, len(pcm), 160)) == 0
    assert len(front.push(tone(4000, 0.04))) == len(pcm) + 640
    assert len(front.push(tone(4000, 0.02))) == 320


def test_a_short_segment_comes_with_the_flush() -> None:
    assert len(through(Frontend(16000), tone(4000, 0.1))) == 1600


def test_a_whisper_is_let_through_in_the_end() -> None:
    front = Frontend(16000)
    pcm = tone(100, 2.0)
    out = [len(front.push(pcm[at : at + 160])) for at in range(0, len(pcm), 160)]
    assert sum(out) == len(pcm)
    assert sum(out[:149]) == 0


def test_a_noise_before_the_speech_is_found_out() -> None:
    front = Frontend(16000)
    knock = tone(600, 0.5)
    front.push(knock)
    judged = [front.misjudged]
    front.push(tone(9000, 0.3))
    judged.append(front.misjudged)
    again = front.again()
    assert len(again) == 16000 * 8 // 10
    assert level(again[8000:]) == pytest.approx(TARGET_LEVEL, rel=0.05)
    front.push(tone(30000, 0.3))
    judged.append(front.misjudged)
    assert judged == [False, True, False]  # once is enough


def test_silence_stays_silence() -> None:
    assert not through(Frontend(16000), np.zeros(8000, np.int16)).any()
    assert len(through(Frontend(8000), np.zeros(0, np.int16))) == 0


@pytest.mark.parametrize("piece", [1, 160, 333])
def test_the_telephone_band_is_doubled_without_seams(piece: int) -> None:
    pcm = tone(4000, 0.6, 8000, 1000)
    front, whole = Frontend(8000), Frontend(8000)
    pieces = through(front, pcm, piece)
    once = through(whole, pcm, len(pcm))
    assert len(pieces) == 2 * len(pcm)
    # Two runs may have measured the level a piece apart; after that they are the same to the last bit or two.
    assert np.abs(pieces.astype(int) - once).max() <= 40
    middle = pieces[2000:8000]
    assert strength(middle, 1000) == pytest.approx(strength(once[2000:8000], 1000), rel=0.01)


def test_the_telephone_band_has_its_mirror_image_above() -> None:
    out = through(Frontend(8000), tone(4000, 0.6, 8000, 1500))[2000:8000]
    assert strength(out, 6500) / strength(out, 1500) == pytest.approx(MIRROR, rel=0.05)
    assert strength(out, 3000) < 0.01 * strength(out, 1500)


def test_other_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="44100"):
        Frontend(44100)
