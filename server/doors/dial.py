"""``POST /v1/calls``: have an agent that is online call somebody. The body is that of ``call.dial``."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server import protocol as wire
from server.agents import slug
from server.dialling import DialRefused
from server.doors.body import json_object
from server.doors.browser import Refused
from server.doors.guard import PRIVATE, Guard, denied
from server.protocol import ErrorCode, ProtocolError
from server.services import Services
from server.tracing.received import received

MAX_BODY: Final = 256 << 10
WAIT_S: Final = 15.0
"""For the carrier to take the call; one that waits for its turn longer is told by the id of its dial."""

_STATUS: Final = {
    ErrorCode.DIAL_QUEUE_FULL: 429,
    ErrorCode.SERVER_AT_CAPACITY: 503,
    ErrorCode.CARRIER_UNSUPPORTED: 501,
    ErrorCode.CALLER_ID_REFUSED: 422,
    ErrorCode.DIAL_REFUSED: 422,
}


async def dial(request: Request, services: Services, guard: Guard) -> Response:
    """201 with the call's id; 202 where it still waits for its turn; else what is wrong. The agent is told all
    events of the call, as if it had asked for it."""
    try:
        guard.check(request)
        body = await json_object(request, MAX_BODY)
    except Refused as refused:
        return denied(refused)
    try:
        command = wire.parse_command(orjson.dumps({**body, "event": "call.dial", "ack": None}))
    except ProtocolError as error:
        return _told(400, error.message, error.code, key=error.key)
    assert isinstance(command, wire.CallDial)
    agent = services.agents.get(slug(command.agent_id))
    if agent is None:
        text = f"agent {command.agent_id[:60]!r} is not online"
        return _told(404, text, ErrorCode.AGENT_UNKNOWN, key="agent_id")
    try:
        placing = services.dialling.place(agent, command, trace=received(request.headers))
    except DialRefused as refusal:
        return _told(_STATUS.get(refusal.code, 422), str(refusal), refusal.code, **refusal.extras)
    known = {"dial_id": placing.dial_id, "agent_id": agent.agent_id}
    try:
        async with asyncio.timeout(WAIT_S):
            call_id = await asyncio.shield(placing.placed)
    except TimeoutError:
        return JSONResponse({**known, "queue_length": services.dialling.waiting}, 202, PRIVATE)
    if call_id is None:
        return _told(502, placing.why, ErrorCode.CARRIER_ERROR, **known)
    return JSONResponse({**known, "call_id": call_id}, 201, PRIVATE)


def _told(status: int, detail: str, code: ErrorCode, **more: Any) -> Response:
    told = {name: value for name, value in more.items() if value is not None}
    retry_s = told.get("retry_after_s")
    headers = {"Retry-After": str(max(1, round(retry_s)))} if retry_s is not None else {}
    return JSONResponse({"detail": detail, "code": code.value, **told}, status, {**PRIVATE, **headers})
