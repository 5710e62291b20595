"""From what a synthesiser gives to what a call plays: silence at both ends, level, sample rate."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from media.frames import Pcm
from media.resample import Resampler

HEAD_MS = 10
"""At most this much silence stays before the first sound: the caller waits for it."""
TAIL_MS = 180
"""Exactly this much silence follows the last sound. It is the pause between two sentences of one message,
which are two requests; shorter sounds rushed, and longer is dead air before the caller's turn."""
CEILING = 10 ** (-3.1 / 20)
_KNEE = 0.4
_EMPTY = np.zeros(0, np.int16)


@lru_cache(maxsize=16)
def level_table(gain_db: float) -> npt.NDArray[np.int16]:
    """What each of the 65536 sample values becomes: a fixed gain, straight up to -8 dBFS, and bent above so
    that nothing passes -3 dBFS. The peaks of these voices are single pulses 17 to 19 dB above their mean, so
    a plain gain could not reach the level of telephone speech (-20 dBFS) without clipping them."""
    values = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.float64)
    x = values / 32768 * 10 ** (gain_db / 20)
    room = CEILING - _KNEE
    bent = _KNEE + room * np.tanh((np.abs(x) - _KNEE) / room)
    shaped = np.where(np.abs(x) <= _KNEE, np.abs(x), bent) * np.sign(x)
    table: npt.NDArray[np.int16] = np.rint(shaped * 32767).astype(np.int16)
    return table


class Shaper:
    """One request's audio, fed in chunks of any length at ``from_hz``, given out at ``to_hz``.

    Samples (of the synthesiser) up to the magnitude ``quiet`` are silence; -50 dBFS where the voice has no
    noise of its own. Raises ``ValueError`` for rates between which ``Resampler`` does not convert.
    """

    def __init__(self, from_hz: int, to_hz: int, gain_db: float, quiet: int = 100) -> None:
        self._from_hz = from_hz
        self._resampler = Resampler(from_hz, to_hz)
        self._table = level_table(gain_db)
        self._threshold = quiet
        self._keep = from_hz * HEAD_MS // 1000
        self._fed = 0
        self._quiet = _EMPTY
        self.trimmed: int | None = None
        """Samples (of ``from_hz``) cut off the beginning; None until a sound was fed."""

    def feed(self, pcm: Pcm) -> Pcm:
        """The next samples; returns what is sure to be part of the request. Silence waits for the sound
        behind it, since it may turn out to be the end."""
        waiting = np.concatenate((self._quiet, pcm)) if len(self._quiet) else pcm
        self._fed += len(pcm)
        # The most negative value has no positive twin, so magnitudes are compared without abs().
        loud = np.flatnonzero((waiting > self._threshold) | (waiting < -self._threshold))
        if not len(loud):
            self._quiet = (
                waiting if self.trimmed is not None else waiting[max(len(waiting) - self._keep, 0) :]
            )
            return _EMPTY
        first = 0
        if self.trimmed is None:
            first = max(int(loud[0]) - self._keep, 0)
            self.trimmed = self._fed - len(waiting) + first
        after = int(loud[-1]) + 1
        self._quiet = waiting[after:].copy()
        return self._out(waiting[first:after])

    def finish(self) -> Pcm:
        """The end: the last samples with the closing silence. Nothing where there was no sound at all."""
        if self.trimmed is None:
            return _EMPTY
        tail = np.zeros(self._from_hz * TAIL_MS // 1000, np.int16)
        kept = min(len(tail), len(self._quiet))
        # What is left of the voice's own ending fades: a hard end of even the faintest noise can be heard.
        fade = np.linspace(1.0, 0.0, kept) if kept else np.zeros(0)
        tail[:kept] = np.rint(self._quiet[:kept] * fade).astype(np.int16)
        return np.concatenate((self._out(tail), self._level(self._resampler.flush())))

    def _out(self, pcm: Pcm) -> Pcm:
        return self._level(self._resampler.process(pcm))

    def _level(self, pcm: Pcm) -> Pcm:
        return self._table[pcm.view(np.uint16)]
