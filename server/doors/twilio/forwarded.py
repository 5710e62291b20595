"""Calls that are forwarded: who picks up, what he is told, and what comes next."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from pipeline.events import ForwardFailure
from server.doors.twilio.request import answer, read
from server.doors.twilio.voice import document
from server.services import Services
from telephony.carriers.twilio import twiml
from telephony.ports import Answer

_FAILURES: Final[dict[str, ForwardFailure]] = {
    "busy": "busy",
    "no-answer": "no_answer",
    "canceled": "canceled",
    "failed": "failed",
}


async def done(request: Request, call_id: str, services: Services) -> Response:
    """``<Dial>`` is over: the caller comes back where nobody took the call, else it ends. The caller may be gone."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    told = form.get("DialCallStatus", "")
    detail = f"Twilio says {told}" if told else ""
    if form["CallSid"] != call_id:
        return Response("this is not the call that was forwarded", 400, media_type="text/plain")
    failure = None if told in ("completed", "answered") else _FAILURES.get(told, "failed")
    if form.get("CallStatus") == "completed":
        # He did not wait for who was called.
        call = services.calls.get(call_id)
        if call is not None:
            services.calls.over_at_carrier(call)
        return answer(twiml.hangup())
    if not services.control.forwarded(call_id, failure, detail):
        return answer(twiml.hangup())
    return answer(document(Answer(), call_id, services, again=True))


async def progress(request: Request, call_id: str, services: Services) -> Response:
    """Who was called has picked up, or has hung up."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    status = form.get("CallStatus")
    if status in ("in-progress", "answered"):
        services.control.joined(call_id)
    elif status == "completed":
        services.control.parted(call_id)
    return Response(status_code=204)


async def whisper(request: Request, call_id: str, services: Services) -> Response:
    """He has picked up, and is told something before the two are joined."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    return answer(twiml.whisper(*services.control.announcement(call_id)))
