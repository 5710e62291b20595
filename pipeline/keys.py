"""The keys that the other side presses: which so far, and their tones, which nobody is to take for speech.

A carrier takes the tones out of the audio, and may leave the rest of one in it. Pure.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from media.frames import AudioFrame
from pipeline.events import DigitReceived

TONE_MS = 150
"""So long behind the message of a key there may be something of its tone."""
MAX_KEYS = 1000
"""As many are remembered."""


class Keys:
    """Of one call."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._tone = sample_rate_hz * TONE_MS // 1000
        self._digits = ""
        self._quiet_until = 0

    def pressed(self, digit: str, at: int) -> DigitReceived:
        """One more; ``at``: the sample of the caller's clock at which it was told."""
        self._digits = (self._digits + digit)[-MAX_KEYS:]
        self._quiet_until = at + self._tone
        return DigitReceived(digit, self._digits)

    def forget(self) -> None:
        """Count anew: somebody else is told of the keys from now on."""
        self._digits = ""

    def without_tone(self, frame: AudioFrame) -> AudioFrame:
        """What may be listened to of a frame: silence in place of a tone."""
        loud = self._quiet_until - frame.start
        if loud <= 0:
            return frame
        pcm = frame.pcm.copy()
        pcm[:loud] = np.int16(0)
        return replace(frame, pcm=pcm)
