"""``GET /talkwire.js``: the browser client, as it was built from ``clients/browser`` and committed."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

CLIENT: Final = Path(__file__).resolve().parents[1] / "static" / "talkwire.js"
HEADERS: Final = {
    # Pages of other origins load it as a module, which asks for this.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    # Its name has no version: a browser may keep it for a while, and then asks whether it is the same.
    "Cache-Control": "public, max-age=300",
    "X-Content-Type-Options": "nosniff",
}


class ClientFile:
    """Of one server. It is read once."""

    def __init__(self) -> None:
        self._content = b""
        self._tag = ""

    async def answer(self, request: Request) -> Response:
        """The file, or that the browser has it."""
        if not self._tag:
            content = await asyncio.to_thread(CLIENT.read_bytes)
            self._content, self._tag = content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {**HEADERS, "ETag": self._tag}
        known = {
            tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")
        }
        if known & {self._tag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(self._content, media_type="text/javascript", headers=headers)
