"""Who may come in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit


class KeyRing:
    """API keys. A check takes the same time whichever key is right, and however much of one."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys if key)

    def __len__(self) -> int:
        return len(self._digests)

    def check(self, candidate: str) -> bool:
        """Whether it is one of the keys. Of an empty ring, never."""
        digest = _digest(candidate)
        right = False
        for known in self._digests:
            # No early end: all keys are compared, and digests are of one length.
            right |= hmac.compare_digest(known, digest)
        return right

    @property
    def fingerprint(self) -> str:
        """Changes with any of the keys, and tells nothing of them."""
        return hashlib.sha256(b"".join(self._digests)).hexdigest()[:32]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).digest()


def open_door(host: str, public_url: str | None, headers: Mapping[str, str]) -> bool:
    """Whether something may be open without credentials.

    Only where nobody else can be at the other end: the server listens on loopback (``host`` is its bind
    address), it has no public URL or a loopback one, and the request did not come through a proxy or a
    tunnel, which would name its real origin in ``Forwarded`` (RFC 7239) or ``X-Forwarded-*``. A ``Host`` that is not
    this machine is a page in a local browser whose name was bound to a loopback address.
    """
    if not is_loopback(host):
        return False
    if public_url is not None and not is_loopback(urlsplit(public_url).hostname or ""):
        return False
    named = headers.get("host")
    if named is not None and not is_loopback(urlsplit(f"//{named}").hostname or ""):
        return False
    return not any(_is_proxy_header(name) for name in headers)


def is_loopback(host: str) -> bool:
    """Whether a host, as in a setting or a URL, is this machine. Names other than ``localhost`` are not."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_proxy_header(name: str) -> bool:
    name = name.lower()
    return name == "forwarded" or name.startswith("x-forwarded-")
