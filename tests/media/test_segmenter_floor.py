"""A segment begins with what stands out of the line's noise, and goes on however quiet it becomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media import wav
from media.frames import Pcm
from media.ports import VadWindow
from media.resample import resample
from media.segmenter import VadParams, VoiceEnded, VoiceSegmenter, VoiceStarted
from media.vad.webrtc import WebrtcVad

RATE_HZ, WINDOW = 8000, 256
CLIPS = Path(__file__).parents[2] / "examples" / "clips"
NOISE_DB = -45.0


def play(
    stretches: list[tuple[int, float, float]], margin_db: float = VadParams().noise_margin_db
) -> list[VoiceStarted | VoiceEnded]:
    """Stretches of (windows, probability, level in dBFS)."""
    segmenter = VoiceSegmenter(RATE_HZ, VadParams(noise_margin_db=margin_db))
    out: list[VoiceStarted | VoiceEnded] = []
    at = 0
    for count, probability, db in stretches:
        for _ in range(count):
            out.extend(segmenter.push(VadWindow(probability, at, at + WINDOW, 10 ** (db / 20))))
            at += WINDOW
    return out


QUIET = (100, 0.05, NOISE_DB)


def test_what_does_not_stand_out_of_the_noise_begins_nothing() -> None:
    mistaken = (10, 0.75, NOISE_DB + 2)
    assert play([QUIET, mistaken]) == []
    assert len(play([QUIET, mistaken], margin_db=0)) == 1


def test_what_does_stand_out_begins_a_segment_as_ever() -> None:
    voice = (10, 0.75, NOISE_DB + 9)
    assert play([QUIET, voice]) == play([QUIET, voice], margin_db=0) != []


def test_speech_beyond_doubt_needs_no_level() -> None:
    assert len(play([QUIET, (1, 0.95, NOISE_DB)])) == 1


def test_who_speaks_as_soon_as_he_is_connected_is_heard() -> None:
    assert play([(90, 0.75, -30.0)]) == play([(90, 0.75, -30.0)], margin_db=0) != []


def test_a_voice_that_fades_into_the_noise_is_not_cut_off() -> None:
    edges = play([QUIET, (10, 0.85, -25), (20, 0.85, NOISE_DB)])
    assert len(edges) == 1


def test_the_margin_is_checked() -> None:
    with pytest.raises(ValueError, match="noise_margin_db must be 0 to 30, not -1"):
        VadParams(noise_margin_db=-1)


def edges(pcm: Pcm, params: VadParams) -> list[VoiceStarted | VoiceEnded]:
    """What the WebRTC detector and the segmenter say of an audio."""
    segmenter = VoiceSegmenter(RATE_HZ, params)
    out: list[VoiceStarted | VoiceEnded] = []
    stream = WebrtcVad().open(RATE_HZ, lambda window: out.extend(segmenter.push(window)))
    stream.feed(pcm)
    stream.close()
    return out


def test_white_noise_begins_fewer_segments_and_speech_as_many() -> None:
    pytest.importorskip("webrtcvad")
    rng = np.random.default_rng(1)
    noise = np.rint(rng.standard_normal(RATE_HZ * 40) * 32768 * 10 ** (-30 / 20)).astype(np.int16)
    without, with_floor = (
        sum(isinstance(edge, VoiceStarted) and edge.at > RATE_HZ for edge in edges(noise, params))
        for params in (VadParams(noise_margin_db=0), VadParams())
    )
    assert without >= 2, "this noise tempts the detector"
    assert with_floor <= without // 2
    for path in sorted(CLIPS.glob("*.wav")):
        pcm, rate_hz = wav.read(path)
        speech = resample(pcm, rate_hz, RATE_HZ)
        quiet = (rng.standard_normal(RATE_HZ * 4) * 32768 * 10 ** (-55 / 20)).astype(np.int16)
        said = np.concatenate([quiet, speech, quiet[: RATE_HZ // 2]])
        assert edges(said, VadParams()) == edges(said, VadParams(noise_margin_db=0)), path.name
