"""``GET /talkwire.js``: the browser client, as it was built from ``clients/browser`` and committed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

CLIENT = Path(__file__).resolve().parents[1] / "static" / "talkwire.js"


@dataclass(frozen=True)
class _File:
    content: bytes
    headers: dict[str, str]


@cache
def _client() -> _File:
    content = CLIENT.read_bytes()
    headers = {
        # Pages of other origins load it as a module, which asks for this.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        # The name has no version in it: a browser may keep the file for a while, and then asks whether it is the same.
        "Cache-Control": "public, max-age=300",
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "X-Content-Type-Options": "nosniff",
    }
    return _File(content, headers)


def client(request: Request) -> Response:
    """The file, or that the browser has it."""
    file = _client()
    known = request.headers.get("if-none-match", "")
    if known == "*" or file.headers["ETag"] in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=file.headers)
    return Response(file.content, media_type="text/javascript; charset=utf-8", headers=file.headers)
