"""Which agents configure their calls as these begin. Pure.

A greeting waits for that, where the page's token says something of the caller. An agent that has never done it in three
such calls would cost each of its callers that wait: it is not waited for any more, until it does configure one in time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

SILENT_CALLS: Final = 3
MAX_AGENTS: Final = 1000
"""So many agents are remembered; of more the one is forgotten that had no call for the longest time."""


class Openings:
    """Of all agents, by slug."""

    def __init__(self, wait_ms: int) -> None:
        self._wait_ms = wait_ms
        self._silent: OrderedDict[str, int] = OrderedDict()
        """Calls in a row that an agent did not configure in time."""

    def wait_ms(self, slug: str) -> int:
        """How long the greeting of its next call waits."""
        return self._wait_ms if self._silent.get(slug, 0) < SILENT_CALLS else 0

    def seen(self, slug: str, *, configured: bool) -> None:
        """The time of one of its calls is over."""
        self._silent[slug] = 0 if configured else self._silent.get(slug, 0) + 1
        self._silent.move_to_end(slug)
        while len(self._silent) > MAX_AGENTS:
            self._silent.popitem(last=False)
