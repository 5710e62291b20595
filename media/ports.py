"""What media needs from outside, and what it offers: the caller's audio path, and a voice detector.

``AudioLeg`` is the port that joins a carrier or a browser to a conversation. It lives here so that the
pipeline and telephony never import each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from media.frames import AudioFrame, Pcm


@dataclass(frozen=True, slots=True)
class LegFormat:
    """How a leg wants to be fed."""

    sample_rate_hz: int
    lead_ms: int
    """How far ahead of the listener's ear audio is sent. More survives a longer stall; what is sent is
    taken back by ``clear`` at a barge-in, so it costs nothing there."""
    mark_every_ms: int = 200
    """How often the far end is asked to confirm what it has played."""


class LegListener(Protocol):
    """What a leg tells the conversation that it is attached to. All calls are plain and immediate."""

    def on_audio(self, frame: AudioFrame) -> None:
        """Audio of the caller, in order and without holes."""

    def on_mark(self, name: str, at: float | None = None) -> None:
        """The far end has played everything that was sent before the mark of this name (or has thrown it
        away: after ``clear`` a carrier may return marks that were never heard; the play-out knows). ``at``: when, on
        the loop's clock, where the leg knows that and a stall may have made this late; None: now."""

    def on_dtmf(self, digit: str) -> None:
        """The caller pressed a key."""

    def on_way(self, way_s: float, clear_s: float) -> None:
        """The leg knows by itself, and better than marks tell, how long audio takes to the listener's ear; and for how
        long after ``clear`` he goes on hearing what was sent. Seconds. It holds from now on."""

    def on_lost(self) -> None:
        """Nothing comes from the caller any more, and nothing reaches him: he may come back."""

    def on_back(self) -> None:
        """He is there again."""

    def on_closed(self, reason: str, detail: str) -> None:
        """The leg is gone for good. ``reason`` is one of the end reasons of a call."""


class AudioLeg(Protocol):
    """The audio path to one listener. Sending never blocks: a leg has a bounded outbox of its own."""

    @property
    def format(self) -> LegFormat: ...

    def send(self, pcm: Pcm) -> None:
        """Hand over audio to be played behind what was sent before. Whole 20 ms frames."""

    def mark(self, name: str) -> None:
        """Ask to be told (``LegListener.on_mark``) when all that was sent so far has been played."""

    def clear(self) -> None:
        """Throw away what was sent and not yet played, at once."""

    async def hang_up(self, detail: str) -> None:
        """End the call at the carrier and close the path. May be called twice."""


@dataclass(frozen=True, slots=True)
class VadWindow:
    """One verdict of a voice detector."""

    probability: float
    """That the window holds speech, 0 to 1."""
    start: int
    """First sample of the window on the leg's clock."""
    end: int
    """One past its last sample."""
    rms: float | None = None
    """Root mean square of its samples, 1 being full scale; None: not measured."""


class VadStream(Protocol):
    """The detector's state for one leg."""

    def feed(self, pcm: Pcm) -> None:
        """Give the next samples, of any length. Verdicts come to the callback given to ``open``, now or
        within the pool's next tick, in order."""

    def close(self) -> None:
        """Free the state; no verdict comes afterwards. May be called twice."""


class VoiceDetector(Protocol):
    """A voice detector, loaded once a process and shared by all calls."""

    def open(self, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> VadStream:
        """Start one leg. Raises ``ValueError`` for a rate that it does not take (8000 and 16000 it does)."""
