"""Log-mel features: they are Whisper's, at 8 kHz as at 16, and what they cannot be made of is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.endpointing.mel import MELS, Floats, log_mel, mel_filters

RATE = 16000


def sweep(rate: int = RATE, seconds: int = 2) -> Floats:
    """A tone that rises and swells, and a still one above it."""
    t = np.arange(seconds * rate) / rate
    rising = 0.4 * np.sin(2 * np.pi * (120 + 450 * t) * t) * (1 + np.sin(2 * np.pi * 3 * t)) / 2
    return np.asarray(rising + 0.02 * np.sin(2 * np.pi * 5200 * t), np.float32)


FRAMES = (0, 1, 33, 66, 99, 132, 165, 199)
WHISPER = {  # of the sweep, by the feature extractor of the package transformers, 5.x, for 2 s: mel -> FRAMES
    4: (1.0847, 1.0805, -0.1372, -0.6086, -0.6086, -0.6086, -0.6086, -0.1196),
    16: (0.3406, -0.1884, -0.0904, 0.4892, -0.5601, -0.6086, -0.6086, -0.0953),
    28: (0.0864, -0.4348, -0.6086, -0.6003, 0.6793, -0.1950, -0.6086, -0.0310),
    40: (-0.1645, -0.6086, -0.6086, -0.6086, -0.6086, -0.5941, 0.4105, 0.2581),
    52: (-0.6086, -0.6086, -0.6086, -0.6086, -0.6086, -0.6086, -0.6086, -0.0931),
    64: (-0.0634, -0.5712, -0.6086, -0.6086, -0.6086, -0.6086, -0.6086, -0.3256),
    76: (-0.0748, -0.5849, -0.6086, -0.6086, -0.6086, -0.6086, -0.6086, -0.5841),
}


def test_the_features_are_those_of_whisper() -> None:
    features = log_mel(sweep())
    assert features.shape == (MELS, 200)
    assert features.dtype == np.float32
    for mel, values in WHISPER.items():
        assert features[mel, list(FRAMES)] == pytest.approx(values, abs=2e-4)
    assert float(features.mean()) == pytest.approx(-0.43078, abs=1e-4)
    assert float(features.std()) == pytest.approx(0.41994, abs=1e-4)


def test_the_filters_are_slaneys_triangles() -> None:
    filters = mel_filters()
    assert filters.shape == (MELS, 201)
    assert filters.min() == 0.0
    # Sums and peaks as transformers and librosa give them, below, at and above the break at 1 kHz.
    known = {0: (0.024862594, 1), 24: (0.024862594, 23), 25: (0.024914436, 24), 79: (0.02492534, 192)}
    for mel, (total, peak) in known.items():
        assert float(filters[mel].sum()) == pytest.approx(total, rel=1e-5)
        assert int(filters[mel].argmax()) == peak


def plain(audio: Floats, frame: int) -> list[float]:
    """Powers of the mels of one frame, summed up term by term as the definition says."""
    mirrored = np.concatenate((audio[200:0:-1], audio, audio[-2:-202:-1])).astype(np.float64)
    window = [0.5 * (1 - math.cos(2 * math.pi * n / 400)) for n in range(400)]
    samples = mirrored[frame * 160 : frame * 160 + 400] * window
    turns = np.arange(201)[:, None] * np.arange(400)[None, :] / 400
    powers = np.abs((samples * np.exp(-2j * np.pi * turns)).sum(axis=1)) ** 2
    return [float((powers * weights).sum()) for weights in mel_filters()]


def test_the_definition_computed_term_by_term_gives_the_same() -> None:
    noise = (np.random.default_rng(2).standard_normal(16 * 160) * 0.2).astype(np.float32)
    logs = np.array([[math.log10(max(power, 1e-10)) for power in plain(noise, frame)] for frame in range(16)])
    expected = (np.maximum(logs, logs.max() - 8) + 4) / 4
    assert np.allclose(log_mel(noise).T, expected, atol=1e-4)


@pytest.mark.parametrize("frames", [3, 15, 16, 17, 79, 80, 81, 161])
def test_any_number_of_frames_is_computed_alike(frames: int) -> None:
    """Frames are worked on in blocks: none is left out where they do not fill the last one."""
    noise = (np.random.default_rng(3).standard_normal(200 * 160) * 0.2).astype(np.float32)
    whole = log_mel(noise)
    part = log_mel(noise[: frames * 160 + 90])
    assert part.shape == (MELS, frames)
    # All but the frames that reach over the end: there the sound is mirrored.
    assert np.allclose(part[:, : frames - 1], whole[:, : frames - 1], atol=1e-5)


def test_audio_of_8_khz_has_the_features_that_it_has_at_16_khz() -> None:
    """One sound, sampled at both rates: the tones differ by nothing but what lies above 4 kHz."""
    t8, t16 = np.arange(16000) / 8000, np.arange(32000) / 16000
    tones = [(310.0, 0.3), (1250.0, 0.1), (2900.0, 0.05)]
    at_8, at_16 = (
        np.asarray(sum(gain * np.sin(2 * np.pi * hz * t) for hz, gain in tones), np.float32)
        for t in (t8, t16)
    )
    low, full = log_mel(at_8, 8000), log_mel(at_16, 16000)
    assert low.shape == full.shape
    # Inside; at the ends the mirrored sound is not the same.
    inside = np.abs(low - full)[:, 3:-3]
    loud = full[:, 3:-3] > full.max() - 1
    assert loud.any()
    assert float(inside[loud].max()) < 0.005
    assert float(inside.mean()) < 0.02


def test_what_lies_far_below_the_loudest_is_cut_off() -> None:
    audio = sweep()
    audio[8000:24000] = 0
    features = log_mel(audio)
    assert float(features.min()) == pytest.approx(float(features.max()) - 2.0, abs=1e-6)
    silence = log_mel(np.zeros(RATE, np.float32))
    assert np.allclose(silence, -1.5, atol=1e-6)


def test_the_audio_is_left_as_it_was() -> None:
    audio = sweep()
    before = audio.copy()
    log_mel(audio)
    assert np.array_equal(audio, before)


@pytest.mark.parametrize("rate", [0, -8000, 11025, 22050, 44100])
def test_a_rate_without_whole_windows_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match=f"8000 or 16000, not {rate} Hz"):
        log_mel(sweep(), rate)


def test_too_little_audio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"25 ms of audio \(400 samples\), not 399"):
        log_mel(np.zeros(399, np.float32))
