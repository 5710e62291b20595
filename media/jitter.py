"""The holes of a carrier's audio stream, read off its chunk counter.

Twilio numbers the ``media`` messages of each track from 1 (``media.chunk``); each is 20 ms. The WebSocket
keeps them in order, but the carrier may drop some before they reach it, or repeat some when it recovers.
A leg's clock counts samples, so each hole must be filled with silence of its length.
Source: Twilio, "Media Streams - WebSocket messages", the ``media`` message.
"""

from __future__ import annotations

from collections import OrderedDict

_RESTART_RUN = 5
"""So many old numbers one after the other are no repetition: the counter began anew."""


class ChunkSequence:
    """The counter of one track.

    ``max_gap`` is the longest hole that is filled, in chunks (default 250, 5 s at 20 ms). A larger jump in
    either direction means that the counter itself began anew; the stream then goes on without a hole.
    """

    def __init__(self, max_gap: int = 250) -> None:
        self._max_gap = max_gap
        self._expected: int | None = None
        # Numbers given up as lost, so that a late one is told from a repeated one. Never longer than max_gap.
        self._holes: OrderedDict[int, None] = OrderedDict()
        self._old_run: list[int] = []
        self.lost = 0
        """Chunks that never came, or came too late."""
        self.duplicate = 0
        """Chunks dropped because they had come before."""
        self.late = 0
        """Chunks dropped because silence already stands in their place."""
        self.resets = 0
        """How often the counter began anew."""

    def missing_before(self, chunk: int) -> int | None:
        """How many chunks of silence belong before this one; None where this one is to be dropped."""
        if self._expected is None:
            return self._accept(chunk, 0)
        ahead = chunk - self._expected
        if abs(ahead) > self._max_gap:
            return self._begin_anew(chunk)
        if ahead < 0:
            return self._old(chunk)
        for number in range(self._expected, chunk):
            self._holes[number] = None
        while len(self._holes) > self._max_gap:
            self._holes.popitem(last=False)
        return self._accept(chunk, ahead)

    def _accept(self, chunk: int, missing: int) -> int:
        self._expected = chunk + 1
        self.lost += missing
        self._old_run.clear()
        return missing

    def _begin_anew(self, chunk: int) -> int:
        self.resets += 1
        self._holes.clear()
        return self._accept(chunk, 0)

    def _old(self, chunk: int) -> int | None:
        if self._old_run and chunk != self._old_run[-1] + 1:
            self._old_run.clear()
        self._old_run.append(chunk)
        if len(self._old_run) >= _RESTART_RUN:
            return self._begin_anew(chunk)
        if chunk in self._holes:
            del self._holes[chunk]
            self.late += 1
        else:
            self.duplicate += 1
        return None
