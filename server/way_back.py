"""The tokens with which a page comes back to its call.

Each connection gives the page another one. Before the page is heard there nobody knows whether it got that: the
connection may never come about, or be lost again at once. So long the one that it came with is good as well. Pure.
"""

from __future__ import annotations

from hmac import compare_digest


class WayBack:
    """Of one call."""

    def __init__(self) -> None:
        self._given = ""
        """On the connection that opened last."""
        self._came_with = ""
        """To that connection, while the page was not heard on it."""

    def takes(self, token: str) -> bool:
        """Whether the page may come back with it now."""
        good = [known for known in (self._given, self._came_with) if known]
        return any(compare_digest(known.encode(), token.encode()) for known in good)

    def came(self, token: str) -> None:
        """A connection is made for who has this one."""
        self._came_with = token

    def gave(self, token: str) -> None:
        """The connection is open; this one was sent."""
        self._given = token

    def heard(self) -> None:
        """The page says something there: it has what was sent before."""
        self._came_with = ""
