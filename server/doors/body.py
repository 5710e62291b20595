"""The body of a request, within a bound."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import orjson
from starlette.requests import Request

from server.doors.browser import Refused


async def json_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """Raises ``Refused`` for one that is too long, or no JSON object."""
    raw = b""
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            raw += chunk
            if len(raw) > max_bytes:
                raise Refused(413, f"at most {max_bytes} bytes are read")
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body must be a JSON object")
    return found
