"""Change of sample rate for a live stream: a polyphase FIR filter that never holds back more than a few ms.

Source: the windowed-sinc method of J. O. Smith, "Digital Audio Resampling", with the Kaiser window. The ratio
is reduced to ``up / down``; output sample ``m`` lies at input position ``m * down / up`` exactly, so the
delay of the filter is compensated: what was at 1.000 s stays at 1.000 s. The price is that the last few ms
of what was fed wait for what follows them (``Resampler.held_back_ms``, 3 ms where the lower rate is 8 kHz),
until ``flush`` gives them out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from media.frames import Pcm

_ZERO_CROSSINGS = 24
"""Half the length of the kernel, in samples of the lower rate."""
_CUTOFF = 0.454
"""Middle of the transition band as a share of the lower rate. Where that rate is 8 kHz the filter is flat to
3.3 kHz, 0.4 dB down at the 3.4 kHz where a telephone channel ends, and 70 dB down from 4 kHz on."""
_KAISER_BETA = 6.8
_MAX_PHASES = 1024
_BLOCK = 480
"""Output samples computed in one go; bounds the scratch memory (block * taps floats)."""

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The filter of one ratio, laid out in the order in which a stream needs it."""

    up: int
    down: int
    left: int
    """Input samples needed before the position of an output sample."""
    right: int
    """Input samples needed from that position on, beyond the first."""
    rows: _Floats
    """Row ``j`` filters output ``m`` where ``m % up == j``; repeated so that any block is one slice."""
    offsets: npt.NDArray[np.intp]
    """Input position of row ``j``, relative to that of the output with ``m % up == 0``."""


@lru_cache(maxsize=32)
def _kernel(up: int, down: int) -> _Kernel:
    stretch = max(1.0, down / up)  # when going down, the kernel is as long as its lower rate demands
    half = math.ceil(_ZERO_CROSSINGS * stretch)
    outputs = np.arange(up, dtype=np.int64)
    fraction = (outputs * down % up) / up
    # Distance of tap k from the position of the output sample, in input samples.
    distance = np.arange(1 - half, half + 1)[None, :] - fraction[:, None]
    cutoff = _CUTOFF / stretch
    window = np.i0(
        _KAISER_BETA * np.sqrt(np.clip(1 - (distance / (_ZERO_CROSSINGS * stretch)) ** 2, 0, None))
    )
    rows = np.sinc(2 * cutoff * distance) * window
    # Each phase passes DC with gain 1 exactly: else a constant would come out with a ripple of the phases.
    rows /= rows.sum(axis=1, keepdims=True)
    order = np.arange(up + _BLOCK, dtype=np.int64)
    return _Kernel(
        up=up,
        down=down,
        left=half - 1,
        right=half,
        rows=rows[order % up].astype(np.float32),
        offsets=(order * down // up).astype(np.intp),
    )


class Resampler:
    """One stream from one rate to another, fed in chunks of any length.

    What comes out does not depend on how the input was cut into chunks, and together with ``flush`` it is
    ``round(n * to_hz / from_hz)`` samples for ``n`` fed. Equal rates pass through untouched.

    Raises ``ValueError`` for rates that are not positive or have no practical common measure.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"sample rates must be positive, not {from_hz} and {to_hz} Hz")
        common = math.gcd(from_hz, to_hz)
        if max(from_hz, to_hz) // common > _MAX_PHASES:
            raise ValueError(
                f"cannot resample {from_hz} to {to_hz} Hz: their ratio is not a fraction of small numbers; "
                "use a usual rate such as 8000, 16000, 22050, 24000, 44100 or 48000"
            )
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._kernel = None if from_hz == to_hz else _kernel(to_hz // common, from_hz // common)
        self._reset()

    def _reset(self) -> None:
        kernel = self._kernel
        self._fed = 0
        self._given = 0
        # Input samples that are still needed. Before the stream there was silence.
        self._held: _Floats = np.zeros(kernel.left if kernel is not None else 0, np.float32)
        self._held_start = -len(self._held)

    @property
    def held_back_ms(self) -> float:
        """How much of what was fed is not out yet, at most; ``flush`` gives it out."""
        return 0.0 if self._kernel is None else self._kernel.right * 1000.0 / self.from_hz

    def process(self, pcm: Pcm) -> Pcm:
        """Feed the next samples; returns those of the target rate that are now complete, maybe none."""
        kernel = self._kernel
        if kernel is None:
            return pcm
        self._fed += len(pcm)
        # Output m is complete when the input reaches floor(m * down / up) + right.
        complete = -(-(self._fed - kernel.right) * kernel.up // kernel.down)
        return self._advance(kernel, pcm, max(complete, self._given))

    def flush(self) -> Pcm:
        """End the stream: returns its tail. The next sample fed begins a new stream."""
        kernel = self._kernel
        if kernel is None:
            return np.zeros(0, np.int16)
        total = round(Fraction(self._fed * kernel.up, kernel.down))
        tail = self._advance(kernel, np.zeros(kernel.right + 1, np.int16), total)
        self._reset()
        return tail

    def _advance(self, kernel: _Kernel, pcm: Pcm, until: int) -> Pcm:
        """Take in ``pcm`` and compute the outputs up to (not with) number ``until``."""
        held = np.concatenate((self._held, pcm), dtype=np.float32)
        out = np.empty(until - self._given, np.float32)
        taps = kernel.rows.shape[1]
        stride = held.itemsize
        # Row i of this view is the stretch of input that begins at sample i; it copies nothing.
        stretches = np.ndarray((max(len(held) - taps + 1, 0), taps), np.float32, held, 0, (stride, stride))
        done = 0
        while done < len(out):
            count = min(len(out) - done, _BLOCK)
            cycle, row = divmod(self._given + done, kernel.up)
            first = cycle * kernel.down - kernel.left - self._held_start
            inputs = stretches[kernel.offsets[row : row + count] + first]
            np.einsum("ij,ij->i", inputs, kernel.rows[row : row + count], out=out[done : done + count])
            done += count
        self._given = until
        keep_from = until * kernel.down // kernel.up - kernel.left
        self._held = held[max(keep_from - self._held_start, 0) :].copy()
        self._held_start = max(keep_from, self._held_start)
        np.rint(out, out=out)
        np.clip(out, -32768, 32767, out=out)
        return out.astype(np.int16)


def resample(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
    """A whole recording at another rate, ``round(len(pcm) * to_hz / from_hz)`` samples.

    Takes about a thousandth of the audio's length: a whole recording does not belong on the event loop.
    """
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate((resampler.process(pcm), resampler.flush()))
