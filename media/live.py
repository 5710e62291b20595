"""A call as it goes on, both sides mixed to one channel, for somebody who listens to it.

Pure. It takes what a recorder takes and lays it on the same clock (``media.recording``), a little later than it was
said: what was heard of the bot is known and placed only then.
"""

from __future__ import annotations

from typing import Final

from media.frames import Pcm
from media.recording import StereoTimeline, laid_out

CHUNK_MS: Final = 50
BEHIND_MS: Final = 500
"""So far behind the caller's clock it is given out: by then the bot's side is placed, where no mark is lost."""
FIRST_BEHIND_MS: Final = 1200
"""In the first second of a call nobody can place what was heard."""
GAP_MS: Final = 1000
"""A longer gap of the caller's clock, when the audio path was away, is left out."""
MAX_HELD_MS: Final = 10_000


class LiveMix:
    """From one instant of a call on, which is ``begin`` on the caller's clock."""

    def __init__(self, sample_rate_hz: int, begin: int) -> None:
        self._rate = sample_rate_hz
        self._chunk = sample_rate_hz * CHUNK_MS // 1000
        self._behind = sample_rate_hz * BEHIND_MS // 1000
        self._sure_at = sample_rate_hz * FIRST_BEHIND_MS // 1000
        self._begin_at(begin)

    def _begin_at(self, begin: int) -> None:
        self._begin = begin
        self._timeline = StereoTimeline(self._rate, MAX_HELD_MS)

    @property
    def held(self) -> int:
        """Samples of both sides in memory."""
        return self._timeline.held

    def caller(self, start: int, pcm: Pcm) -> list[bytes]:
        """A frame of the caller has come. Returns what can be heard now, in chunks of 50 ms: s16le, one channel."""
        out: list[bytes] = []
        if start - self._begin - self._timeline.clock > self._rate * GAP_MS // 1000:
            out = self.rest()
            self._begin_at(start)
        at = start - self._begin
        if at < 0:
            at, pcm = 0, pcm[-at:]
        clock = self._timeline.caller(at, pcm)
        if self._begin + clock < self._sure_at:
            return out
        while self._timeline.given + self._chunk <= clock - self._behind:
            out.append(self._take(self._timeline.given + self._chunk))
        return out

    def bot(self, at: int, pcm: Pcm) -> None:
        """Audio of the bot, heard from sample ``at`` of the caller's clock on."""
        at -= self._begin
        if at < 0:
            at, pcm = 0, pcm[-at:]
        if len(pcm):
            self._timeline.bot(at, pcm)

    def rest(self) -> list[bytes]:
        """All that is left: nothing more comes, or not for a while. The last chunk is a shorter one."""
        out: list[bytes] = []
        while (given := self._timeline.given) < self._timeline.end:
            out.append(self._take(min(given + self._chunk, self._timeline.end)))
        return out

    def _take(self, upto: int) -> bytes:
        _, both = self._timeline.take(upto)
        self._timeline.settle(upto)
        return laid_out(both, "mono").astype("<i2", copy=False).tobytes()
