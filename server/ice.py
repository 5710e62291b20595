"""The STUN and TURN servers that browsers are given, and that our own side uses.

Pure. Time-limited credentials are those of coturn's ``use-auth-secret``: a user name that begins with its expiry, and
as its password an HMAC of it (draft-uberti-behave-turn-rest-00).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

STUN_PORT = 3478
LIFETIME_S = 3600.0
"""TURN asks for them again when an allocation is renewed: they must outlast a call."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How the TURN servers are entered: a shared secret, or one user for all."""

    secret: str | None = None
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Ice:
    """An entry of ``RTCConfiguration.iceServers``."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None

    def as_json(self) -> dict[str, object]:
        told: dict[str, object] = {"urls": list(self.urls)}
        if self.username is not None:
            told |= {"username": self.username, "credential": self.credential or ""}
        return told


def servers(urls: tuple[str, ...], turn: Turn, epoch: float, label: str, *, relay: bool) -> list[Ice]:
    """All entries; TURN servers only with ``relay``, and where they can be entered. ``label``: who gets them, for the
    TURN server's log."""
    stun = tuple(url for url in urls if url.startswith("stun:"))
    relays = tuple(url for url in urls if not url.startswith("stun:"))
    found = [Ice(stun)] if stun else []
    if relays and relay:
        if turn.secret:
            username = f"{int(epoch + LIFETIME_S)}:{label}"
            digest = hmac.new(turn.secret.encode(), username.encode(), hashlib.sha1).digest()
            found.append(Ice(relays, username, base64.b64encode(digest).decode()))
        elif turn.username is not None:
            found.append(Ice(relays, turn.username, turn.password or ""))
    return found


def stun_servers(urls: tuple[str, ...]) -> list[tuple[str, int]]:
    """Host and port of the STUN servers among them."""
    found = []
    for url in urls:
        scheme, _, place = url.partition(":")
        host, _, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        if scheme == "stun":
            found.append(((host or port).strip("[]"), int(port) if host and port else STUN_PORT))
    return found
