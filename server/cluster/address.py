"""How other nodes reach this one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from server.settings import Settings

ANYWHERE = ("0.0.0.0", "::", "")


def own_address(settings: Settings, port: int | None = None) -> str:
    """As was set, else by what it listens on. ``port``: of its own listener, where several processes share the other
    one. Blocks."""
    given = settings.node_url
    if given is not None and port is None:
        return given.rstrip("/")
    host, scheme = settings.host, "http"
    if given is not None:
        parts = urlsplit(given)
        host, scheme = parts.hostname or host, parts.scheme
    elif host in ANYWHERE and settings.redis_url is not None:
        host = _towards(settings.redis_url.get_secret_value())
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port or settings.port}"


def _towards(url: str) -> str:
    """The address of this machine in the network in which Redis is."""
    parts = urlsplit(url)
    if not parts.hostname:
        return "127.0.0.1"
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 6379, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.connect(address)  # A datagram socket sends nothing by that.
            return str(sock.getsockname()[0])
    except OSError:
        return "127.0.0.1"
