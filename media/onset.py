"""Where a voice really began.

A detector is sure of a voice only when it has heard some of it, and weak first consonants are not voice to it
at all: its onset lies some 100 ms behind the first sound. What was recorded just before tells more: the level
rose out of the quiet there, and has not fallen back since.
"""

from __future__ import annotations

import numpy as np

from media.frames import Pcm

HOP_MS = 10
FURTHEST_MS = 200
"""An onset is moved back by no more: a long noise before a word is not the word."""
_HOLE_HOPS = 3
"""So long a fall in level, the closure of a plosive, does not end the search."""
_ABOVE_FLOOR = 4.0
"""How far above the quiet of the stretch a sound lies: 12 dB."""
_LEAST_RMS = 60.0
"""What is quieter than this (-55 dBFS) is no sound, however quiet the line."""


def sound_before(pcm: Pcm, sample_rate_hz: int) -> int:
    """How many samples at the end of ``pcm`` belong to the voice that begins right behind it: from 0 to 200 ms.

    ``pcm`` is what came before the detector's onset, best a second of it: its quiet quarter is the floor.
    """
    hop = sample_rate_hz * HOP_MS // 1000
    hops = len(pcm) // hop
    if not hops:
        return 0
    samples = pcm[len(pcm) - hops * hop :].astype(np.float32).reshape(hops, hop)
    levels = np.sqrt((samples * samples).mean(axis=1))
    threshold = max(_LEAST_RMS, _ABOVE_FLOOR * float(np.percentile(levels, 25)))
    loud = levels[::-1][: FURTHEST_MS // HOP_MS] >= threshold
    found = 0
    for back, is_loud in enumerate(loud.tolist(), 1):
        if is_loud:
            found = back
        elif back - found > _HOLE_HOPS:
            break
    return found * hop
