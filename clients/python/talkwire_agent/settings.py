"""What the environment says."""

from __future__ import annotations

import os

from talkwire_agent.errors import MissingKey

DEFAULT_URL = "ws://127.0.0.1:8080"


def api_key() -> str:
    """``TALKWIRE_API_KEY``, else the first of ``TALKWIRE_API_KEYS``. Raises ``MissingKey``."""
    keys = os.environ.get("TALKWIRE_API_KEY", "") or os.environ.get("TALKWIRE_API_KEYS", "")
    key = keys.split(",")[0].strip()
    if not key:
        raise MissingKey("no API key: set TALKWIRE_API_KEY, or pass api_key to Talkwire()")
    return key


def address(url: str | None) -> str:
    """The agent socket of the server at ``url`` (ws, wss, http or https), else of ``TALKWIRE_URL``.

    Raises ``ValueError`` for another scheme.
    """
    base = (url or os.environ.get("TALKWIRE_URL", "") or DEFAULT_URL).rstrip("/")
    scheme, found, rest = base.partition("://")
    schemes = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
    if not found or scheme not in schemes:
        raise ValueError(
            f"{base!r} is no address of a server: it must begin with ws://, wss://, http:// or https://"
        )
    base = f"{schemes[scheme]}://{rest}"
    return base if base.endswith("/client") else f"{base}/client"
