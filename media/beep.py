"""The tone by which a caller is told that he is recorded. Pure."""

from __future__ import annotations

import numpy as np

from media.frames import Pcm

HZ = 1400
"""Of the beep that American telephone recorders have to give (47 CFR 64.501)."""
LENGTH_MS = 500
FADE_MS = 10
PEAK = 0.12
"""Of full scale, as the music on hold."""


def beep(sample_rate_hz: int) -> Pcm:
    """Half a second of it, faded in and out."""
    count = sample_rate_hz * LENGTH_MS // 1000
    places = np.arange(count)
    fade = sample_rate_hz * FADE_MS // 1000
    edge = np.minimum(1.0, np.minimum(places, count - 1 - places) / fade)
    tone = np.sin(places * (2 * np.pi * HZ / sample_rate_hz)) * edge * PEAK * 32767
    return np.asarray(np.rint(tone)).astype(np.int16)
