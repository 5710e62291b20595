"""From the caller's samples to what the acoustic model was trained on: 16 kHz, at a level it knows.

Pure arithmetic on one segment. A telephone channel ends at 3.4 kHz, while the model listens up to 6.8 kHz and
finds nothing there; so the band is not only interpolated, its mirror image is put above it at
``MIRROR`` of its strength (where speech has its fricatives, it then hears something of their shape).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MODEL_RATE_HZ = 16000
RATES_HZ = (8000, 16000)
"""What a segment may come in."""

MIRROR = 0.3
_TAPS = 63

TARGET_LEVEL = 8000.0
"""Where the 99th percentile of the magnitudes is put."""
MIN_GAIN, MAX_GAIN = 0.25, 8.0
_MEASURE_MS = 300
"""Speech that is heard before the gain is fixed. One gain a segment: a gain that moves inside a word makes
the recogniser insert words."""
_PATIENCE_MS = 1500
"""A segment in which nothing rises above a whisper is let through after this."""
_FAINT = 200.0
_REGRET_MS = 4000
_REGRET = 3.0
"""Where speech within the first seconds turns out to be this much louder than what the gain was measured
on (a noise came first), the gain was a mistake and the segment is heard again."""

Samples = npt.NDArray[np.float32]


def _telephone_kernel() -> Samples:
    """Interpolates samples with zeros between them to twice the rate, and leaves ``MIRROR`` of the image."""
    k = np.arange(_TAPS) - _TAPS // 2
    low = np.sinc(k / 2) * np.hamming(_TAPS)
    centre = np.zeros(_TAPS)
    centre[_TAPS // 2] = 2.0
    return np.asarray(low + MIRROR * (centre - low), dtype=np.float32)


_KERNEL = _telephone_kernel()


class Frontend:
    """One segment on its way into the decoder.

    ``push`` gives nothing until the level is known (300 ms of speech, at most 1.5 s of audio), then all of
    it, then each piece as it comes. Where ``misjudged`` turns true, ``again`` gives everything anew.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        if sample_rate_hz not in RATES_HZ:
            raise ValueError(f"the recogniser takes {RATES_HZ} Hz, not {sample_rate_hz}")
        self._telephone = sample_rate_hz != MODEL_RATE_HZ
        self._tail = np.zeros(_TAPS - 1, dtype=np.float32)
        self._held: list[Samples] = []
        self._held_samples = 0
        self._gain: float | None = None
        self._sure = False

    def push(self, pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Take the next samples; return what the decoder may have now."""
        samples = pcm.astype(np.float32)
        if self._telephone:
            samples = self._upsample(samples)
        if not self._sure:
            self._held.append(samples)
            self._held_samples += len(samples)
            if self._gain is not None and self._held_samples > _REGRET_MS * MODEL_RATE_HZ // 1000:
                self._be_sure()
        if self._gain is not None:
            return _to_pcm(samples * self._gain)
        return self._start(self._held_samples >= _PATIENCE_MS * MODEL_RATE_HZ // 1000)

    @property
    def misjudged(self) -> bool:
        """The gain turned out to be far too high; true at most once a segment."""
        if self._sure or self._gain is None:
            return False
        recent = np.concatenate(self._held)[-_MEASURE_MS * MODEL_RATE_HZ // 1000 :]
        return float(np.percentile(np.abs(recent), 99)) * self._gain > _REGRET * TARGET_LEVEL

    def again(self) -> npt.NDArray[np.int16]:
        """Everything from the beginning of the segment, at a gain that suits the loudest part of it."""
        held = np.concatenate(self._held)
        recent = held[-_MEASURE_MS * MODEL_RATE_HZ // 1000 :]
        self._gain = _gain_for(float(np.percentile(np.abs(recent), 99)))
        self._be_sure()
        return _to_pcm(held * self._gain)

    def flush(self) -> npt.NDArray[np.int16]:
        """The segment is over: return what is still held."""
        if self._gain is not None or not self._held:
            return np.zeros(0, dtype=np.int16)
        return self._start(True)

    def _start(self, now: bool) -> npt.NDArray[np.int16]:
        held = np.concatenate(self._held)
        level = measured_level(held, now)
        if level is None and not now:
            return np.zeros(0, dtype=np.int16)
        self._gain = _gain_for(level if level is not None else TARGET_LEVEL)
        return _to_pcm(held * self._gain)

    def _be_sure(self) -> None:
        self._sure = True
        self._held.clear()

    def _upsample(self, samples: Samples) -> Samples:
        spread = np.zeros(2 * len(samples), dtype=np.float32)
        spread[::2] = samples
        line = np.concatenate((self._tail, spread))
        self._tail = line[len(line) - (_TAPS - 1) :]
        if not len(samples):
            return spread
        return np.convolve(line, _KERNEL, "valid")


def measured_level(samples: Samples, now: bool) -> float | None:
    """The 99th percentile of the magnitudes in the first 300 ms of speech (16 kHz samples); None while there
    is too little of it, unless it is wanted ``now``.

    Speech begins where a 10 ms piece first reaches a quarter of the loudest one: that needs no idea of
    the noise floor, which a segment that begins inside a word does not show.
    """
    piece = MODEL_RATE_HZ // 100
    pieces = len(samples) // piece
    if not pieces:
        return None
    peaks = np.abs(samples[: pieces * piece]).reshape(pieces, piece).max(axis=1)
    onset = int(np.argmax(peaks >= max(_FAINT, 0.25 * float(peaks.max()))))
    heard = samples[onset * piece :][: _MEASURE_MS * MODEL_RATE_HZ // 1000]
    faint = float(peaks.max()) < _FAINT
    if not now and (faint or len(heard) < _MEASURE_MS * MODEL_RATE_HZ // 1000):
        return None
    return float(np.percentile(np.abs(heard), 99))


def _gain_for(level: float) -> float:
    return min(max(TARGET_LEVEL / max(level, 1.0), MIN_GAIN), MAX_GAIN)


def _to_pcm(samples: Samples) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
