"""When each 20 ms goes to the PBX, and when they are heard.

Asterisk hands on what it is given the moment it comes, and keeps none of it: what goes ahead of the ear waits in the
telephone's own buffer, which is small. So audio goes ahead by a small lead only, on absolute deadlines. Where there
is none, silence goes, each frame when the one before it is over: Asterisk gives up a connection on which nothing has
happened for 2 s, and makes its RTP timestamps from what it is given as long as no more than 80 ms are missing.

Nothing tells when the audio was played. What is known is when it was sent: it is heard then, or right behind what was
sent before, whichever is later.

Pure: time is an argument, in seconds of any monotonic clock.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

FRAME_S: Final = 0.02
LATE_S: Final = FRAME_S
"""Silence that is later than this is not made up for: the far end had none, and what came twice as fast afterwards would
only wait there, before all that is said."""
_ROUNDING_S: Final = 1e-6


class Next(Enum):
    """What is to be sent now."""

    AUDIO = "audio"
    SILENCE = "silence"


class Pacer:
    """Of one connection, which begins ``now``. ``lead_ms``: the most that is out and not heard yet, two frames at
    least."""

    def __init__(self, lead_ms: int, now: float) -> None:
        self._lead_s = lead_ms / 1000
        self._last = Next.SILENCE
        self.heard_until = now
        """When all that was sent has been heard, but for the way there."""
        self.slips = 0
        """How often a frame of a run of audio came too late to be heard in time."""

    def next(self, now: float, *, audio: bool) -> Next | None:
        """What is to be sent now; ``sent`` must follow. ``audio``: there is some."""
        if now + _ROUNDING_S < self.deadline(audio=audio):
            return None
        return Next.AUDIO if audio else Next.SILENCE

    def deadline(self, *, audio: bool) -> float:
        """When ``next`` has something."""
        return self.heard_until + FRAME_S - self._lead_s if audio else self.heard_until

    def sent(self, what: Next, now: float) -> None:
        """It goes now."""
        late_s = now - self.heard_until
        if what is Next.AUDIO:
            if late_s > _ROUNDING_S and self._last is Next.AUDIO:
                self.slips += 1
            self.heard_until = max(self.heard_until, now)
        elif late_s > LATE_S:
            self.heard_until = now
        self.heard_until += FRAME_S
        self._last = what
