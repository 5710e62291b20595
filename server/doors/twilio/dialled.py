"""Calls that were dialled: what to do when somebody picks up, how it goes, and whether that was a machine."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from server.doors.twilio.request import answer, read
from server.doors.twilio.voice import document
from server.services import Services
from telephony.carriers.twilio import status
from telephony.ports import AnsweredBy, DialProgress


async def answered(request: Request, dial_id: str, services: Services) -> Response:
    """Somebody picked up: answer with TwiML that opens the media stream of the call."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    call_id = form["CallSid"]
    return answer(document(services.dialling.answered(dial_id, call_id), call_id, services))


class Calling(Protocol):
    """Who had somebody called: by a dial of its own, or for a transfer."""

    def progress(self, reference: str, told: DialProgress, /) -> None:
        """How the call goes on."""

    def machine(self, reference: str, call_id: str, answered_by: AnsweredBy, detail: str, /) -> None:
        """Who picked up."""


async def progress(request: Request, reference: str, calling: Calling, services: Services) -> Response:
    """How a call that was dialled goes on."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    told = status.progress(form)
    if told is not None:
        calling.progress(reference, told)
    return Response(status_code=204)


async def machine(request: Request, reference: str, calling: Calling, services: Services) -> Response:
    """Answering machine detection has come to a verdict. What is answered is ignored by Twilio."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    detail = form.get("AnsweredBy", "")[:40]
    calling.machine(reference, form["CallSid"], status.answered_by(form), detail)
    return Response(status_code=204)
