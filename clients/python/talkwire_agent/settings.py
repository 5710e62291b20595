"""What the environment says."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from talkwire_agent.errors import MissingKey

DEFAULT_URL = "ws://127.0.0.1:8080"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def api_key(server: str) -> str:
    """``TALKWIRE_API_KEY``, else the first of ``TALKWIRE_API_KEYS``; for a server on this machine also the key
    that it has made itself, in the file ``api-key`` of ``TALKWIRE_DATA_DIR`` (``./data``).

    Raises ``MissingKey``.
    """
    keys = os.environ.get("TALKWIRE_API_KEY", "") or os.environ.get("TALKWIRE_API_KEYS", "")
    if not keys and urlsplit(server).hostname in LOOPBACK:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            keys = (Path(os.environ.get("TALKWIRE_DATA_DIR") or "data") / "api-key").read_text()
    key = keys.split(",")[0].strip()
    if not key:
        raise MissingKey(
            "no API key: set TALKWIRE_API_KEY, or pass api_key to Talkwire(). A server that made its own key "
            "keeps it in the file api-key of its TALKWIRE_DATA_DIR"
        )
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
