"""What a caller hears on hold: music, on the same timeline as what the bot says, which waits, and part of no message."""

from __future__ import annotations

from media.music import HoldMusic, Player
from media.playout import Playout
from media.ports import AudioLeg

READY_MS, PIECE_MS = 300, 100
"""Music that lies ready to be sent, and how much of it is taken at a time."""


class Holding:
    """Of one call."""

    def __init__(self, playout: Playout, leg: AudioLeg) -> None:
        self._playout = playout
        self._leg = leg
        self._player: Player | None = None

    @property
    def plays(self) -> bool:
        return self._player is not None

    def begin(self, music: HoldMusic | None) -> None:
        """The call is on hold; None: in silence."""
        if music is not None:
            rate_hz = self._playout.sample_rate_hz
            self._player = Player(music.at(rate_hz), rate_hz)

    def fill(self) -> None:
        """Have enough of it ready."""
        while self._player is not None and self._playout.queued_ms < READY_MS:
            self._playout.write(self._player.take(self._playout.sample_rate_hz * PIECE_MS // 1000))

    def end(self, now: float) -> None:
        """It falls silent at once."""
        if self._player is not None:
            self._player = None
            self._leg.clear()
            self._playout.clear(now)
