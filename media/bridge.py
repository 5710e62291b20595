"""Two conversations joined in memory: what one of them plays the other hears, without a network between them.

Both legs live on one clock, which counts samples from the moment at which they were joined. Audio that is sent lies on it
where it is heard: behind what was sent before, or at the present instant. Every 20 ms both sides are given what the
other's timeline has there, silence included, as a telephone would; a mark comes back at the very instant that it
stands for. So the playhead of one side is what the other side was given, to the sample, and ``clear`` takes back all that
lies after the present instant.

One timer drives both, on absolute deadlines: after a stall of the loop everything comes that was due, in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import numpy as np

from media.frames import AudioFrame, Pcm
from media.ports import LegFormat, LegListener

RATE_HZ: Final = 16_000
"""All that voice detectors and recognisers want to have."""
FRAME: Final = RATE_HZ * 20 // 1000
FRAME_S: Final = FRAME / RATE_HZ
LEAD_MS: Final = 300
"""How far ahead of the other's ear audio lies ready. It costs nothing, for all of it can be taken back."""
MAX_AHEAD: Final = 10 * RATE_HZ
"""Samples that may wait: a session sends a fraction of a second ahead."""
AT_ONCE: Final = 25
"""Frames that are handed over in a row after a stall, before others have their turn."""
_ROUNDING_S: Final = 1e-6
_QUIET: Final = np.zeros(FRAME, dtype=np.int16)


class BridgeLeg:
    """One side of a ``Bridge``."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._chunks: deque[tuple[int, Pcm]] = deque()
        """What was sent and is not heard yet, by where it lies."""
        self._end = 0
        """One past the last sample that was sent."""

    @property
    def format(self) -> LegFormat:
        return LegFormat(RATE_HZ, LEAD_MS)

    def send(self, pcm: Pcm) -> None:
        start = max(self._end, self._bridge.now)
        if start + len(pcm) - self._bridge.now <= MAX_AHEAD:
            self._chunks.append((start, pcm))
            self._end = start + len(pcm)

    def mark(self, name: str) -> None:
        self._bridge.at(self._end, self, name)

    def clear(self) -> None:
        cut = self._bridge.now
        while self._chunks and self._chunks[-1][0] >= cut:
            self._chunks.pop()
        if self._chunks:
            start, pcm = self._chunks[-1]
            self._chunks[-1] = (start, pcm[: cut - start])
        self._end = min(self._end, cut)

    async def hang_up(self, detail: str) -> None:
        """Part them: for the other side the call is over, too."""
        self._bridge.part(self, detail)

    def take(self, start: int) -> Pcm:
        """The frame that begins there; it is asked for once, and in order."""
        chunks, end = self._chunks, start + FRAME
        if not chunks or chunks[0][0] >= end:
            return _QUIET
        frame: Pcm = np.zeros(FRAME, dtype=np.int16)
        while chunks and chunks[0][0] < end:
            at, pcm = chunks.popleft()
            # What lies before the frame came too late for its place: it cannot, for it lies at or after its sending.
            part = pcm[: end - at]
            frame[at - start : at - start + len(part)] = part
            if len(part) < len(pcm):
                chunks.appendleft((end, pcm[len(part) :]))
        return frame


class Bridge:
    """Two legs. ``join`` gives each its conversation, from then on time passes; it is over when one hangs up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.legs = (BridgeLeg(self), BridgeLeg(self))
        self._listeners: tuple[LegListener, LegListener] | None = None
        self._joined_at = 0.0
        self._given = 0
        """Samples that both sides were given."""
        self._timer: asyncio.TimerHandle | None = None
        self.over = False

    def join(self, first: LegListener, second: LegListener) -> None:
        """``first`` is told what the first leg's caller is: the conversation that speaks into the second leg."""
        self._listeners = (first, second)
        for listener in self._listeners:
            listener.on_way(0.0, 0.0)
        self._joined_at = self._loop.time()
        if not self.over:
            self._arm()

    @property
    def now(self) -> int:
        """The present instant, in samples; it never lies before what was given already."""
        if self._listeners is None:
            return 0
        elapsed = round((self._loop.time() - self._joined_at) * RATE_HZ)
        return max(self._given, elapsed)

    def at(self, position: int, leg: BridgeLeg, name: str) -> None:
        """Return this mark of a leg when that has been heard."""
        when = max(self._loop.time(), self._instant(position))
        self._loop.call_at(when, self._heard, leg, name, when)

    def part(self, leg: BridgeLeg, detail: str) -> None:
        """This side has hung up. Told twice it is once."""
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._listeners is not None:
            other = self._listeners[0 if leg is self.legs[1] else 1]
            other.on_closed(
                "hangup", f"the other side hung up: {detail}" if detail else "the other side hung up"
            )

    def _instant(self, position: int) -> float:
        return self._joined_at + position / RATE_HZ

    def _heard(self, leg: BridgeLeg, name: str, at: float) -> None:
        if self._listeners is not None and not self.over:
            self._listeners[self.legs.index(leg)].on_mark(name, at)

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._instant(self._given + FRAME), self._tick)

    def _tick(self) -> None:
        # Timers of some loops come a little early.
        now = max(self._loop.time(), self._instant(self._given + FRAME)) + _ROUNDING_S
        for _ in range(AT_ONCE):
            if self.over or self._instant(self._given + FRAME) > now:
                break
            self._hand_over()
        if not self.over:
            self._arm()

    def _hand_over(self) -> None:
        """Give each side what the other has played meanwhile."""
        assert self._listeners is not None
        start = self._given
        spoken = [leg.take(start) for leg in self.legs]
        self._given = start + FRAME
        for listener, pcm in zip(self._listeners, reversed(spoken), strict=True):
            if self.over:
                return
            try:
                listener.on_audio(AudioFrame(pcm, RATE_HZ, start))
            except Exception:
                # A bug must not leave two calls that nobody drives: the loop tells of it.
                listener.on_closed("failed", "internal error")
                raise
