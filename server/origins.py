"""Which pages may call: the ``Origin`` header against what an agent allows.

Pure. An entry is an origin (``https://app.example.org``), one with any name before a domain
(``https://*.example.org``) or with any port (``http://localhost:*``). No entry means everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

_USUAL = {"http": 80, "https": 443}


def allowed(origin: str, entries: Iterable[str]) -> bool:
    """Whether a page of this origin may call."""
    page = _parts(origin)
    if page is None or page.path or page.query or page.fragment or "*" in origin:
        return False
    return any(_fits(page, entry) for entry in entries)


def _fits(page: SplitResult, entry: str) -> bool:
    any_port = entry.endswith(":*")
    wanted = _parts(entry.removesuffix(":*").rstrip("/"))
    if wanted is None or wanted.scheme != page.scheme:
        return False
    if not any_port and _port(wanted) != _port(page):
        return False
    name, host = wanted.hostname or "", page.hostname or ""
    if name.startswith("*."):
        return len(name) > 3 and host.endswith(name[1:]) and host != name[2:]
    return bool(host) and name == host


def _port(parts: SplitResult) -> int | None:
    return parts.port if parts.port is not None else _USUAL.get(parts.scheme)


def _parts(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in _USUAL and parts.username is None else None
