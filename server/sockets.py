"""The address of the server, taken before anything slow is loaded."""

from __future__ import annotations

import socket
import sys
from typing import Final

from server.settings import Settings, SettingsError

FILES: Final = 65_536
"""Open files that are enough for any number of sockets that one process serves."""


def bind(settings: Settings, *, shared: bool = False) -> socket.socket:
    """Take the address before anything slow is loaded. ``shared``: with other processes of this server. Raises
    ``SettingsError`` where it is not to be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio's own loop turns Nagle's delay off only where the protocol is named: 40 ms for the second small message.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((settings.host, settings.port))
    except OSError as error:
        sock.close()
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. Stop what uses "
            "it, or set TALKWIRE_PORT (and TALKWIRE_HOST) to another"
        ) from None
    return sock


def bind_own(settings: Settings) -> socket.socket:
    """For a process that shares its address with others: one at which it is found itself, on any port."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind((settings.host, 0))
    return sock


def raise_file_limit() -> None:
    """Each socket is an open file, and a shell allows 1024: take what the hard limit gives."""
    if sys.platform == "win32":
        return  # It has no such limit.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
