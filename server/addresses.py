"""Where a request came from, through proxies that are trusted. Pure.

Each proxy appends the address that it was asked from to ``X-Forwarded-For``. What stands there before the first
trusted one was written by whoever asked: the last address that is no trusted proxy is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
MAX_HOPS = 20
UNKNOWN = "unknown"


class Proxies:
    """The networks whose machines say truly where a request came from."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network) for network in networks)

    def trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def caller(self, peer: str | None, forwarded: Iterable[str] = ()) -> str:
        """The address of whoever asks; ``peer``: the other end of the connection, ``forwarded``: the lines of
        ``X-Forwarded-For``. IPv6 by its network of 64 bits, all of which one person has."""
        found = _address(peer)
        hops = [hop for line in forwarded for hop in line.split(",")][-MAX_HOPS:]
        while found is not None and self.trusts(found) and hops:
            found = _address(hops.pop()) or found
        if found is None:
            return UNKNOWN
        return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found)


def _address(text: str | None) -> Address | None:
    """As proxies write it, perhaps with a port."""
    text = (text or "").strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
