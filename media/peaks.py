"""The waveform of a call as it is drawn: of each side the loudest sample of every 20 ms, one byte each.

Pure. Both sides lie on the caller's clock, as in a recording (``media.recording``): the caller's audio where its
frames say, the bot's where it was heard.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from media.frames import Pcm

HOP_MS: Final = 20
FLOOR_DB: Final = -60.0
"""Byte 0: this or less. 255 is full scale, and between them the scale is linear in decibels."""
SETTLE_MS: Final = 2000
"""So late the play-out may still learn what was heard: the newest part may change for so long."""
BATCH: Final = 50
"""Pieces that are measured together: numpy's price is for each call, not for each sample."""
GAP: Final = 10
"""Hops of nothing between two pieces that are not measured together any more."""
MAX_MS: Final = 24 * 3600 * 1000
"""A call is not drawn beyond that."""


def _scale() -> npt.NDArray[np.uint8]:
    """From the magnitude of a sample to its byte."""
    magnitude = np.arange(32769, dtype=np.float64)
    with np.errstate(divide="ignore"):
        level = 20.0 * np.log10(magnitude / 32768.0)
    return np.clip(np.round(255.0 * (1.0 - level / FLOOR_DB)), 0, 255).astype(np.uint8)


_SCALE = _scale()


class _Side:
    """One channel. Pieces wait until there are enough of them to be worth measuring."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._hop = sample_rate_hz * HOP_MS // 1000
        self._max = sample_rate_hz // 1000 * MAX_MS
        self._waiting: list[Pcm] = []
        """One behind the other, from ``_from`` to ``end``."""
        self._from = 0
        self._peaks = bytearray()
        self.end = 0
        """One past the last sample that was placed."""

    def place(self, start: int, pcm: Pcm) -> None:
        """``start`` is at ``end`` or behind it. Beyond the longest call nothing is kept."""
        if not len(pcm) or start >= self._max:
            return
        gap = start - self.end
        if gap:
            if gap > self._hop * GAP:
                self.measure()
            elif self._waiting:
                self._waiting.append(np.zeros(gap, np.int16))
        if not self._waiting:
            self._from = start
        self._waiting.append(pcm)
        self.end = start + len(pcm)
        if len(self._waiting) >= BATCH:
            self.measure()

    def measure(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        first, lead = divmod(self._from, self._hop)
        pcm = np.concatenate([np.zeros(lead, np.int16), *waiting, np.zeros(-self.end % self._hop, np.int16)])
        pcm = pcm[: max(0, self._max - first * self._hop)]
        # The magnitude of -32768 is no int16, but the same bits are an uint16.
        loudest = np.abs(pcm).view(np.uint16).reshape(-1, self._hop).max(axis=1)
        found = _SCALE[loudest]
        if first < len(self._peaks):
            # A hop that an earlier batch ended in.
            found[0] = max(found[0], self._peaks[first])
            del self._peaks[first:]
        self._peaks.extend(bytes(first - len(self._peaks)))
        self._peaks.extend(found.tobytes())

    def hops(self, first: int, last: int) -> bytes:
        """As many as asked for; where nothing was placed there is silence."""
        self.measure()
        return bytes(self._peaks[first:last]).ljust(max(0, last - first), b"\0")

    @property
    def size(self) -> int:
        return len(self._peaks)


class Peaks:
    """Of one call, while it goes on and after it. Takes what a recorder takes."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._user = _Side(sample_rate_hz)
        self._bot = _Side(sample_rate_hz)

    def caller(self, start: int, pcm: Pcm) -> None:
        """A frame of the caller, at its place on the caller's clock. What lies before audio that is there is left out."""
        placed = self._user.end
        if start < placed:
            start, pcm = placed, pcm[placed - start :]
        self._user.place(start, pcm)

    def bot(self, at: int, pcm: Pcm) -> None:
        """Audio of the bot, heard from sample ``at`` of the caller's clock on. Where that place is taken it goes to the
        next free one, as in the recording."""
        self._bot.place(max(at, self._bot.end), pcm)

    @property
    def until_ms(self) -> int:
        """The end of what was placed so far, in whole hops."""
        hop = self._rate * HOP_MS // 1000
        return min(-(-max(self._user.end, self._bot.end) // hop) * HOP_MS, MAX_MS)

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._user.size + self._bot.size

    def between(self, from_ms: int, until_ms: int) -> tuple[bytes, bytes]:
        """User and bot, a byte for each hop."""
        first, last = from_ms // HOP_MS, until_ms // HOP_MS
        return self._user.hops(first, last), self._bot.hops(first, last)
