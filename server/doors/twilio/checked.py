"""What ``talkwire doctor`` sends through the public address, to see that it arrives here and is known for Twilio's.

Nothing is done but to answer. Whoever asks signs as Twilio does, as with every other door of this folder.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.doors.handshake import close
from server.doors.twilio.request import MEDIA_PATH, NotTwilio, form_of, verify
from server.services import Services
from server.tokens import DOCTOR

log = structlog.get_logger(__name__)

CHECK_PATH: Final = "/twilio/check"
CHECK_STREAM_PATH: Final = MEDIA_PATH + "check"
"""Where the media streams are, since a proxy may treat paths differently. No token looks like that."""
NONCE: Final = 64
"""Characters of one at most."""
ALIVE_S: Final = 10.0
PROOF_S: Final = 60.0


def proof(nonce: str, services: Services) -> str:
    """Shows to who knows this server's secret that this server has answered."""
    return services.tokens.issue(nonce[:NONCE], DOCTOR, services.clock.epoch(), PROOF_S)


async def check(request: Request, services: Services) -> Response:
    """A webhook that asks for nothing: who answers, and whose signature it had."""
    params = await form_of(request)
    if params is None:
        return PlainTextResponse("too much", 413)
    try:
        signed_by = verify(request, services, params)
    except NotTwilio as refusal:
        return PlainTextResponse(str(refusal), 403)
    signers, now = services.signers, services.clock.epoch()
    nonce = dict(params).get("nonce", "")
    seen = {setting: round(now - at, 1) for setting, at in signers.at.items()}
    told = {"proof": proof(nonce, services), "signed_by": signed_by, "last": signers.last, "seen_s_ago": seen}
    return JSONResponse(told)


async def check_stream(websocket: WebSocket, services: Services) -> None:
    """A media stream that carries nothing: its first message is a nonce, and all that come are sent back."""
    try:
        verify(websocket, services, [])
    except NotTwilio as refusal:
        await websocket.close(1008, str(refusal)[:120])  # Before it is accepted: HTTP 403.
        return
    await websocket.accept()
    with suppress(WebSocketDisconnect, TimeoutError, RuntimeError, KeyError):
        async with asyncio.timeout(ALIVE_S):
            await websocket.send_text(proof(await websocket.receive_text(), services))
            while True:
                await websocket.send_text(await websocket.receive_text())
    await close(websocket, 1000, "checked")


async def no_upgrade() -> Response:
    """A media socket was asked for as a plain request."""
    text = "this is a WebSocket, and its Upgrade header is missing: a proxy in front of the server drops it"
    return PlainTextResponse(text, 426, {"Upgrade": "websocket"})
