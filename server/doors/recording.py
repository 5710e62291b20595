"""``GET /v1/calls/{call_id}/recording``: the file of a call that is over, with byte ranges.

For those who may look at calls, and for holders of the address that ``call.recording`` told: its token is for this one
call, and expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from server.doors.browser import Refused
from server.doors.guard import PRIVATE, Guard, denied
from server.services import Services
from server.tokens import TokenError, Tokens

AUDIENCE: Final = "call-recording"
TYPES: Final = {".wav": "audio/wav", ".opus": "audio/ogg"}


def linker(
    public_url: str, tokens: Tokens, epoch: Callable[[], float], lifetime_s: float
) -> Callable[[str], str]:
    """What makes the address of a call's recording."""

    def link(call_id: str) -> str:
        token = tokens.issue(call_id, AUDIENCE, epoch(), lifetime_s)
        return f"{public_url.rstrip('/')}/v1/calls/{quote(call_id, safe='')}/recording?token={token}"

    return link


def allow(request: Request, call_id: str, services: Services, guard: Guard) -> None:
    """Raises ``Refused``."""
    token = request.query_params.get("token")
    if token is None:
        guard.check(request)
        return
    try:
        holds = services.tokens.check(token, AUDIENCE)
    except TokenError as error:
        raise Refused(401, f"{error}: use the url that call.recording told, or an API key") from None
    if holds != call_id:
        raise Refused(403, "the token is for the recording of another call")


async def recording(request: Request, call_id: str, services: Services, guard: Guard) -> Response:
    """The file, or the bytes of it that are asked for (``Range``)."""
    try:
        allow(request, call_id, services, guard)
        path = await _file(call_id, services)
    except Refused as refused:
        return denied(refused)
    return FileResponse(
        path,
        headers=PRIVATE,
        media_type=TYPES[path.suffix],
        filename=f"{call_id}{path.suffix}",
        content_disposition_type="attachment" if request.query_params.get("download") else "inline",
    )


async def _file(call_id: str, services: Services) -> Path:
    if services.book.is_live(call_id):
        raise Refused(409, "the call goes on: its recording can be had when it has ended")
    # Also of a call that the book does not know any more: the file may have been kept for longer.
    path = await asyncio.to_thread(services.calls.recordings.find, call_id)
    if path is None:
        raise Refused(404, "there is no recording of this call: it was not recorded, or its file was deleted")
    return path
