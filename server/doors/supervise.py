"""``POST /v1/calls/{call_id}/supervise``: what a person does in a live call."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.doors.body import json_object
from server.doors.browser import Refused
from server.doors.guard import PRIVATE, Guard, denied
from server.doors.scoped import live_call
from server.protocol import ErrorCode
from server.services import Services
from server.supervising import SupervisionRefused, verb_of

MAX_BODY: Final = 64 << 10
_STATUS: Final = {
    ErrorCode.BAD_MESSAGE: 400,
    ErrorCode.CALL_UNKNOWN: 404,
    ErrorCode.CALL_BUSY: 409,
    ErrorCode.REQUEST_REFUSED: 409,
    ErrorCode.CARRIER_UNSUPPORTED: 501,
    ErrorCode.INTERNAL_ERROR: 500,
}


async def supervise(request: Request, call_id: str, services: Services, guard: Guard) -> Response:
    """For whoever may see all calls, and for holders of a stream token with ``scope=supervise``."""
    try:
        if not services.settings.supervising:
            raise Refused(404, "nobody speaks in calls on this server but its agents (TALKWIRE_SUPERVISING)")
        _, grant = live_call(request, call_id, services, guard, supervise=True)
        body = await json_object(request, MAX_BODY)
    except Refused as refused:
        return denied(refused)
    try:
        verb = verb_of(body)
        told = services.supervising.carry_out(call_id, verb, grant.name)
    except SupervisionRefused as error:
        key = {"key": error.key} if error.key is not None else {}
        told = {"detail": str(error), "code": error.code.value, **key}
        return JSONResponse(told, _STATUS.get(error.code, 422), PRIVATE)
    return JSONResponse({"verb": verb.verb, **told}, 202 if told["status"] == "processing" else 200, PRIVATE)
