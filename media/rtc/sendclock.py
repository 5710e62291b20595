"""When each packet to a browser goes, and when what it holds is heard.

Packets are of 20 ms. A run begins with the first one after a pause; its packets have absolute deadlines from there,
and go ahead of them by a lead, which is what bridges a stall of the loop. At the end of a run a tail of silence
keeps the far end from making up more of the last sound.

Pure: time is an argument, in seconds of any monotonic clock. RTP timestamps are at 48 kHz and follow the clock.
"""

from __future__ import annotations

import math
from enum import Enum

PACKET_S = 0.02
TICKS = 960
TAIL = 10
"""Packets of silence behind a run. After 200 ms the encoder itself has nothing more to say."""


class Next(Enum):
    """What is to be sent now."""

    AUDIO = "audio"
    SILENCE = "silence"


class SendClock:
    """Of one connection."""

    def __init__(self, lead_ms: int) -> None:
        self.lead_s = lead_ms / 1000
        self._base_at = 0.0
        """When the packet with index 0 of this run is heard, but for the way there."""
        self._index = 0
        self._timestamp = 0
        """Of the next packet."""
        self._silent = TAIL
        self._hold_until = -math.inf
        self.slips = 0
        """How often a packet went later than it was to be heard."""

    @property
    def idle(self) -> bool:
        """Nothing is sent until there is audio."""
        return self._silent >= TAIL

    def next(self, now: float, *, audio: bool) -> Next | None:
        """What is to be sent now; ``sent`` must follow. ``audio``: there is some."""
        due = self._due
        if not audio or now < self._hold_until:
            return Next.SILENCE if not self.idle and now >= due else None
        if self._silent:
            self._begin(now)
        elif now > due:
            # The far end had nothing to play meanwhile: all that follows is heard later by that.
            self.slips += 1
            self._base_at += now - due
        return Next.AUDIO if now >= self._due - self.lead_s else None

    def sent(self, what: Next) -> int:
        """It goes now: its RTP timestamp."""
        timestamp = self._timestamp
        self._timestamp += TICKS
        self._index += 1
        self._silent = 0 if what is Next.AUDIO else self._silent + 1
        return timestamp

    def deadline(self, *, audio: bool) -> float | None:
        """When ``next`` has something; None: not before there is audio."""
        if not audio:
            return None if self.idle else self._due
        at = max(self._hold_until, self._due - self.lead_s if not self._silent else -math.inf)
        return at if self.idle else min(at, self._due)

    def hold(self, until: float) -> None:
        """No audio goes before that."""
        self._hold_until = until

    @property
    def heard_until(self) -> float:
        """When the last packet that was sent is over, but for the way there."""
        return self._due

    @property
    def _due(self) -> float:
        return self._base_at + self._index * PACKET_S

    def _begin(self, now: float) -> None:
        if self.idle:
            # As long as the pause was the timestamps leap.
            self._timestamp += max(0, math.ceil((now - self._due) / PACKET_S)) * TICKS
        self._base_at, self._index, self._silent = now, 0, 0
