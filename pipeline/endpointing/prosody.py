"""The melody of the last words before a silence. Pure.

A thought that is over usually falls in pitch and fades; one that goes on stays level or rises. Pitch is the peak
of the autocorrelation of 32 ms windows, divided by that of the window itself (P. Boersma, "Accurate short-term
analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", 1993), without the
search for a best path: medians have to do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from media.frames import Pcm
from pipeline.endpointing.evidence import Prosody

HEARD_MS = 1000
"""So much sound before the silence is looked at."""
LOWEST_HZ, HIGHEST_HZ = 70.0, 400.0
_RATE_HZ = 8000
_WINDOW = 256
_HOP = 128
_VOICED = 0.55
"""Of the energy of a window, what is periodic where it is voiced."""
_QUIET_DB = 30.0
_END_MS = 200
_SLOPE_MS = 300
_FEWEST = 4
"""Voiced windows below which no pitch is told."""

_Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Melody:
    """What was measured."""

    prosody: Prosody
    voiced_hz: tuple[float, ...]
    """The pitch of each voiced window: for ``Register.add``."""


class Register:
    """The pitch that one caller usually speaks at: the median of his last voiced windows."""

    __slots__ = ("_voiced",)

    def __init__(self) -> None:
        self._voiced: deque[float] = deque(maxlen=400)

    def add(self, voiced_hz: tuple[float, ...]) -> None:
        self._voiced.extend(voiced_hz)

    @property
    def median_hz(self) -> float | None:
        """None before half a second of voice."""
        return float(np.median(self._voiced)) if len(self._voiced) > 30 else None


def measure(pcm: Pcm, sample_rate_hz: int, median_hz: float | None = None) -> Melody:
    """Measure the end of what was said. Takes about a millisecond.

    :param pcm: int16 mono that ends where the voice does; its last second is used.
    :param median_hz: the caller's own, by ``Register``; without it that of this sound is taken.

    Raises ``ValueError`` for another rate than 8000 or 16000 Hz.
    """
    if sample_rate_hz not in (_RATE_HZ, 2 * _RATE_HZ):
        raise ValueError(f"prosody is measured at 8000 or 16000 Hz, not {sample_rate_hz}")
    sound = pcm[-HEARD_MS * sample_rate_hz // 1000 :].astype(np.float32)
    if sample_rate_hz != _RATE_HZ:
        sound = sound[: len(sound) // 2 * 2].reshape(-1, 2).mean(axis=1)
    if len(sound) < _WINDOW:
        return Melody(Prosody(), ())
    first = (len(sound) - _WINDOW) % _HOP  # the last window ends with the sound
    windows = np.lib.stride_tricks.sliding_window_view(sound[first:], _WINDOW)[::_HOP]
    level_db = 10.0 * np.log10(np.mean(windows**2, axis=1) + 1.0)
    pitch_hz = _pitch(windows)
    pitch_hz[level_db < level_db.max() - _QUIET_DB] = np.nan
    voiced = pitch_hz[~np.isnan(pitch_hz)]
    if median_hz is None and len(voiced) >= 3 * _FEWEST:
        median_hz = float(np.median(voiced))
    return Melody(
        Prosody(
            pitch=_end_pitch(pitch_hz, median_hz),
            slope=_slope(pitch_hz),
            fade_db=_fade(level_db),
        ),
        tuple(float(hz) for hz in voiced),
    )


def _pitch(windows: _Floats) -> _Floats:
    """Of each window in Hz; NaN where it is not voiced."""
    shape, own = _shape()
    spectrum = np.fft.rfft((windows - windows.mean(axis=1, keepdims=True)) * shape, 2 * _WINDOW)
    alike = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:, : len(own)]
    alike /= np.maximum(alike[:, :1], 1e-9) * own
    shortest = int(_RATE_HZ / HIGHEST_HZ)
    lags = alike[:, shortest:]
    best = lags.max(axis=1)
    # Twice the period fits as well: the shortest of those that fit about as well is meant. It is a peak.
    peak = (
        (lags[:, 1:-1] >= lags[:, :-2])
        & (lags[:, 1:-1] >= lags[:, 2:])
        & (lags[:, 1:-1] >= 0.9 * best[:, None])
    )
    at = peak.argmax(axis=1) + 1
    rows = np.arange(len(lags))
    left, middle, right = lags[rows, at - 1], lags[rows, at], lags[rows, at + 1]
    bend = left - 2 * middle + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    found: _Floats = _RATE_HZ / (shortest + at + shift)
    found[(middle < _VOICED) | ~peak.any(axis=1)] = np.nan
    return found


@lru_cache(maxsize=1)
def _shape() -> tuple[_Floats, _Floats]:
    """The window, and its own autocorrelation up to the longest lag."""
    shape = np.hanning(_WINDOW).astype(np.float32)
    own = np.correlate(shape, shape, "full")[_WINDOW - 1 :]
    return shape, own[: int(_RATE_HZ / LOWEST_HZ) + 2] / own[0]


def _last(pitch_hz: _Floats, ms: int) -> tuple[_Floats, _Floats]:
    """Times in s and semitones (of any base) of the voiced windows in the last so many ms of voicing."""
    voiced = np.flatnonzero(~np.isnan(pitch_hz))
    if not len(voiced):
        return np.zeros(0), np.zeros(0)
    near = voiced[voiced > voiced[-1] - ms * _RATE_HZ // 1000 // _HOP]
    return near * (_HOP / _RATE_HZ), 12.0 * np.log2(pitch_hz[near])


def _end_pitch(pitch_hz: _Floats, median_hz: float | None) -> float | None:
    _, semitones = _last(pitch_hz, _END_MS)
    if median_hz is None or len(semitones) < _FEWEST:
        return None
    return float(np.median(semitones) - 12.0 * np.log2(median_hz))


def _slope(pitch_hz: _Floats) -> float | None:
    """By Theil and Sen: the median of the slopes between pairs, so that an octave mistaken does no harm."""
    times, semitones = _last(pitch_hz, _SLOPE_MS)
    if len(times) < 2 * _FEWEST:
        return None
    half = len(times) // 2
    return float(
        np.median((semitones[half:][-half:] - semitones[:half]) / (times[half:][-half:] - times[:half]))
    )


def _fade(level_db: _Floats) -> float | None:
    count = _END_MS * _RATE_HZ // 1000 // _HOP
    heard = level_db[level_db >= level_db.max() - _QUIET_DB]
    if len(heard) < 2 * count:
        return None
    return float(level_db[-count:].mean() - heard.mean())


_PER_SEMITONE = 0.1
_MOST_ODDS = 0.4


def odds(prosody: Prosody | None) -> float:
    """What the melody says of the end of the turn, as log-odds: low at the end speaks for it.

    Only the pitch is weighed, and little: slope and fading did not part ends from pauses on recorded speech
    (``benchmarks.turns``), the pitch did somewhat (area under the curve 0.7), and a question may end high.
    """
    if prosody is None or prosody.pitch is None:
        return 0.0
    return max(-_MOST_ODDS, min(_MOST_ODDS, -_PER_SEMITONE * prosody.pitch))
