"""What a caller hears on hold: a loop of music, made here or read from a file, and what plays it.

Pure, and not for the event loop where a loop is made or resampled: some 20 ms for a rate of 8 kHz.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from media.frames import Pcm
from media.resample import resample

FADE_MS = 800
"""It comes in softly."""
SEAM_MS = 20
"""A file is faded so long where its end meets its beginning."""
BAR_S = 3.2
PEAK = 0.12
"""Of full scale: some 18 dB below a voice."""
_CHORDS = (
    (110.00, (261.63, 329.63, 392.00, 493.88)),
    (174.61, (261.63, 349.23, 440.00, 523.25)),
    (146.83, (293.66, 349.23, 440.00, 523.25)),
    (196.00, (246.94, 293.66, 392.00, 493.88)),
)
"""Am7, F, Dm7, G: a bass and four notes, hertz."""
_ORDER = (0, 1, 2, 3, 2, 1, 3, 2)
"""In which the notes of a bar are struck."""

_Floats = npt.NDArray[np.float32]


class HoldMusic:
    """A loop, at any sample rate: each is made once, and kept."""

    def __init__(self, loop: Pcm | None = None, sample_rate_hz: int = 0) -> None:
        """Without a loop: the one that is made here. Raises ``ValueError`` for one of less than a second."""
        if loop is not None and len(loop) < sample_rate_hz:
            raise ValueError("hold music must last for a second at least")
        self._loop = loop if loop is None else _without_seam(loop, sample_rate_hz)
        self._rate = sample_rate_hz
        self._made: dict[int, Pcm] = {}

    def at(self, sample_rate_hz: int) -> Pcm:
        """The loop at this rate. Raises ``ValueError`` for a rate that it cannot be brought to."""
        if sample_rate_hz not in self._made:
            self._made[sample_rate_hz] = (
                _soft_loop(sample_rate_hz)
                if self._loop is None
                else resample(self._loop, self._rate, sample_rate_hz)
            )
        return self._made[sample_rate_hz]


class Player:
    """Plays a loop from its beginning, for as long as it is asked to."""

    def __init__(self, loop: Pcm, sample_rate_hz: int) -> None:
        self._loop = loop
        self._fade = sample_rate_hz * FADE_MS // 1000
        self._at = 0

    def take(self, samples: int) -> Pcm:
        """The next samples."""
        places = np.arange(self._at, self._at + samples)
        pcm: Pcm = self._loop[places % len(self._loop)]
        if self._at < self._fade:
            pcm = (pcm * np.minimum(1.0, places / self._fade)).astype(np.int16)
        self._at += samples
        return pcm


def _soft_loop(rate: int) -> Pcm:
    """Four bars of plucked chords. What rings on at the end is heard at the beginning, so that there is no seam."""
    length = round(len(_CHORDS) * BAR_S * rate)
    mix = np.zeros(length, dtype=np.float32)
    step_s = BAR_S / len(_ORDER)
    for bar, (bass, notes) in enumerate(_CHORDS):
        _strike(mix, bass, bar * BAR_S, 0.9, rate)
        for place, note in enumerate(_ORDER):
            _strike(mix, notes[note], bar * BAR_S + place * step_s, 0.5, rate)
    loop: Pcm = (mix / np.abs(mix).max() * PEAK * 32767).astype(np.int16)
    return loop


def _strike(mix: _Floats, hertz: float, at_s: float, loudness: float, rate: int) -> None:
    seconds = np.arange(round(2.4 * rate), dtype=np.float32) / rate
    tone = np.zeros_like(seconds)
    for harmonic in range(1, 5):
        # The higher, the weaker and the shorter, as with a string.
        decay = np.exp(-seconds * (1.4 + 0.9 * harmonic))
        tone += decay * np.sin(2 * np.pi * hertz * harmonic * seconds) / harmonic**2
    tone *= loudness * np.minimum(1.0, seconds / 0.012) * np.minimum(1.0, (2.4 - seconds) / 0.2)
    places = (round(at_s * rate) + np.arange(len(tone))) % len(mix)
    mix[places] += tone


def _without_seam(loop: Pcm, rate: int) -> Pcm:
    fade = min(len(loop) // 2, rate * SEAM_MS // 1000)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    out = loop.copy()
    out[:fade] = (out[:fade] * ramp).astype(np.int16)
    out[len(out) - fade :] = (out[len(out) - fade :] * ramp[::-1]).astype(np.int16)
    return out
