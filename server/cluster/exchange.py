"""Commands of a connection for another node, and what that answers: each of them arrives once, however often the link
between the two breaks. Pure.

Both are numbered for as long as the connection lives. Who sent something keeps it until the other one has said that it is
there, and sends it again when both begin anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

MAX_KEPT = 2000
MAX_BYTES = 16 << 20


class Sent:
    """One direction, where it begins."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, str]] = deque()
        self._bytes = 0
        self._last = 0

    def add(self, text: str) -> int | None:
        """Its number. None: too much waits to be confirmed."""
        if len(self._kept) >= MAX_KEPT or self._bytes + len(text) > MAX_BYTES:
            return None
        self._last += 1
        self._kept.append((self._last, text))
        self._bytes += len(text)
        return self._last

    def arrived(self, number: int) -> None:
        """Up to this one."""
        while self._kept and self._kept[0][0] <= number:
            self._bytes -= len(self._kept.popleft()[1])

    def rest(self) -> Iterator[tuple[int, str]]:
        """What is not known to have arrived."""
        yield from tuple(self._kept)


class Received:
    """One direction, where it ends."""

    def __init__(self) -> None:
        self.last = 0

    def is_new(self, number: int) -> bool:
        """It was not here before."""
        if number <= self.last:
            return False
        self.last = number
        return True


class Exchange:
    """Both directions, of one connection and one node."""

    def __init__(self) -> None:
        self.sent = Sent()
        self.received = Received()
