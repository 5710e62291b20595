"""What the far end said and heard, side by side, each sample where it was on the caller's clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from media.g711 import ulaw_decode
from telephony.carriers.twilio.simulator.clip import Clip
from telephony.carriers.twilio.simulator.playback import RATE_HZ, Playback

Stereo = npt.NDArray[np.int16]
"""Shape (samples, 2): left what the caller said, right what they heard."""


class Said(Protocol):
    """A clip and where it begins on the caller's clock; None: it was never begun."""

    @property
    def clip(self) -> Clip: ...

    @property
    def start_sample(self) -> int | None: ...


def stereo(said: Iterable[Said], heard: Playback, started_s: float, end_s: float) -> Stereo:
    """The call from ``started_s`` to ``end_s``. Audio that was cleared is not in it."""
    out = np.zeros((max(0, round((end_s - started_s) * RATE_HZ)), 2), np.int16)
    for speech in said:
        if speech.start_sample is not None:
            _place(out, 0, speech.start_sample, speech.clip.ulaw)
    for stretch in heard.stretches:
        start = round((stretch.start_s - started_s) * RATE_HZ)
        _place(out, 1, start, bytes(stretch.ulaw[: stretch.heard]))
    return out


def _place(out: Stereo, channel: int, start: int, ulaw: bytes) -> None:
    pcm = ulaw_decode(ulaw)
    first, last = max(start, 0), min(start + len(pcm), len(out))
    if first < last:
        out[first:last, channel] = pcm[first - start : last - start]
