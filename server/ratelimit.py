"""How often somebody may try.

Pure: time is an argument, in seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address

MAX_KNOWN = 4096
"""Addresses that are remembered; with more the one that was seen longest ago is forgotten."""


class Attempts:
    """Counts by address: at most ``most`` within ``window_s``."""

    def __init__(self, most: int, window_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tries)

    def wait_s(self, address: str, now: float) -> float:
        """How long this address has to wait until it may try again; 0: it may now."""
        tries = self._tries.get(_network(address))
        if tries is None:
            return 0.0
        while tries and tries[0] <= now - self._window_s:
            tries.popleft()
        return tries[0] + self._window_s - now if len(tries) >= self._most else 0.0

    def note(self, address: str, now: float) -> None:
        """It tried."""
        network = _network(address)
        self._tries.setdefault(network, deque(maxlen=self._most)).append(now)
        self._tries.move_to_end(network)
        while len(self._tries) > MAX_KNOWN:
            self._tries.popitem(last=False)


def _network(address: str) -> str:
    """Whoever has an address of IPv6 has 64 bits of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address) or parsed.ipv4_mapped is not None:
        return address
    return parsed.packed[:8].hex()
