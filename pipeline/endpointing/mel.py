"""Log-mel features as the Whisper models take them. Pure numpy, single precision.

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.2: an
80-channel log-magnitude mel spectrogram on 25 ms windows with a stride of 10 ms, scaled over the whole input.
The parts that the paper leaves open are those of its published models: a periodic Hann window, frames centred
on their instant with the sound mirrored at both ends, and the mel scale and the triangles of equal area of
M. Slaney, "Auditory Toolbox", technical report 1998-010, Interval Research (1998).

Only what lies below 8 kHz is used, in steps of 40 Hz. A window of 25 ms gives these steps at any rate, so that
audio of 8 kHz needs no resampling: its spectrum is the lower half of the one at 16 kHz, the upper half empty.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

MELS = 80
FRAMES_PER_S = 100
_RATE_HZ = 16000
"""The models were trained at this rate: levels are those of its spectrum."""
_STEP_HZ = 40
_BINS = _RATE_HZ // 2 // _STEP_HZ + 1
_FLOOR = 1e-10
_RANGE = 8.0
"""What lies further below the loudest cell counts as so far below: powers of ten, so 80 dB."""
_BLOCK = 80
"""Frames that are computed in one go; what that takes stays in the cache, which is four times as fast."""
_ROWS = 16
"""Frames of one product of matrices. It stays too small for the linear algebra library to wake threads of its
own, which would spin on after it on cores that calls need."""

_LINEAR_HZ_PER_MEL = 200 / 3
_BREAK_HZ = 1000.0
"""The scale is linear below and logarithmic above, 27 mels to each factor of 6.4."""
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_MELS_PER_NEPER = 27 / np.log(6.4)


def _mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) * _MELS_PER_NEPER)


@lru_cache(maxsize=1)
def mel_filters() -> Floats:
    """Weights ``[MELS, 201]`` of the bins 0, 40, .. 8000 Hz: triangles of area 1 (per Hz) on the mel scale."""
    mels = np.linspace(0.0, _mel(_RATE_HZ / 2), MELS + 2)
    above = _BREAK_HZ * np.exp(np.maximum(mels - _BREAK_MEL, 0.0) / _MELS_PER_NEPER)
    edges = np.where(mels < _BREAK_MEL, mels * _LINEAR_HZ_PER_MEL, above)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(_BINS) * float(_STEP_HZ)
    triangles = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return np.asarray(np.maximum(triangles, 0.0) * 2 / (right - left), np.float32)


@lru_cache(maxsize=8)
def _hann(length: int) -> Floats:
    """Periodic, and scaled so that a tone has the level that it has at 16 kHz."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return np.asarray(window * (_RATE_HZ / _STEP_HZ / length), np.float32)


def log_mel(audio: Floats, sample_rate_hz: int = _RATE_HZ) -> Floats:
    """The features ``[MELS, frames]`` of a recording ``[samples]``, a frame for each full 10 ms.

    The scale of ``audio`` is the model's affair (full scale of 1 for Whisper itself).
    Raises ``ValueError`` for a rate that 25 ms is no even number of samples of, or for less than 25 ms.
    """
    if sample_rate_hz <= 0 or sample_rate_hz % 400:
        raise ValueError(f"log-mel features need a rate such as 8000 or 16000, not {sample_rate_hz} Hz")
    length, hop = sample_rate_hz // _STEP_HZ, sample_rate_hz // FRAMES_PER_S
    if len(audio) < length:
        raise ValueError(f"log-mel features need 25 ms of audio ({length} samples), not {len(audio)} samples")
    frames = len(audio) // hop
    padded = np.pad(np.asarray(audio, np.float32), length // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[: frames * hop : hop]
    mels = np.empty((frames, MELS), np.float32)
    for first in range(0, frames, _BLOCK):
        block = slice(first, first + _BLOCK)
        _mels_of(windows[block] * _hann(length), mels[block])
    levels = np.log10(np.maximum(mels, np.float32(_FLOOR), out=mels), out=mels)
    np.maximum(levels, levels.max() - np.float32(_RANGE), out=levels)
    levels += np.float32(4)
    levels *= np.float32(0.25)
    return np.ascontiguousarray(levels.T)


def _mels_of(windows: Floats, out: Floats) -> None:
    """From ``[frames, samples]`` to ``[frames, MELS]``."""
    spectrum = np.fft.rfft(windows)[:, :_BINS]
    power = np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)
    weights = _weights(power.shape[1])
    for first in range(0, len(power), _ROWS):
        np.matmul(power[first : first + _ROWS], weights, out=out[first : first + _ROWS])


@lru_cache(maxsize=8)
def _weights(bins: int) -> Floats:
    return np.ascontiguousarray(mel_filters()[:, :bins].T)
