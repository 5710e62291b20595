"""The one value that crosses every audio boundary: a stretch of mono 16-bit PCM, placed in audio time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]
"""Mono linear samples, one dimension, native byte order, full scale +-32767."""


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """A stretch of audio and where it lies on its leg's own clock.

    Audio time is samples counted since the leg began to send, so it neither drifts nor jumps with the
    network; lost frames are filled with silence before they get here, so that it keeps counting.
    """

    pcm: Pcm
    """The samples. Never written to after the frame is made: others hold the same array."""
    sample_rate_hz: int
    start: int
    """Samples of this leg that lie before the first one of this frame."""

    @property
    def end(self) -> int:
        """Samples of this leg up to and including the last one of this frame."""
        return self.start + len(self.pcm)

    @property
    def duration_ms(self) -> float:
        return len(self.pcm) * 1000.0 / self.sample_rate_hz
