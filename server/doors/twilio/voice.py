"""Calls that come in: ``POST /twilio/voice`` asks what to do with one, ``POST /twilio/status`` tells how one went."""

from __future__ import annotations

import asyncio

import structlog
from starlette.requests import Request
from starlette.responses import Response

from server.doors.twilio.media import stream_url
from server.doors.twilio.request import Form, answer, read
from server.services import Services
from server.tracing.received import received
from telephony.carriers.twilio import status, twiml
from telephony.carriers.twilio.carrier import NAME, RESUME_PATH
from telephony.carriers.twilio.leg import TwilioLeg
from telephony.ports import Answer, HangUp, Incoming, Refuse, Verdict

log = structlog.get_logger(__name__)

_TOLD = {"ForwardedFrom": "forwarded_from", "CallerName": "caller_name", "StirVerstat": "stir_verstat"}
_SIP_HEADER = "SipHeader_"
MAX_HEADERS = 50


async def voice(request: Request, services: Services) -> Response:
    """A call came in: answer with TwiML that opens its media stream, or refuse it."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    carrier = services.carriers[NAME]
    incoming = Incoming(
        form["CallSid"],
        form.get("From", ""),
        form.get("To", ""),
        carrier.name,
        _metadata(form),
        received(request.headers),
    )
    verdict = await _while_connected(request, services, incoming)
    call = services.calls.get(incoming.call_id)
    if call is not None:
        call.carrier = carrier
    return answer(document(verdict, incoming.call_id, services))


def document(verdict: Verdict, call_id: str, services: Services, *, again: bool = False) -> str:
    """``again``: the call has had a media stream before."""
    match verdict:
        case Answer():
            action = services.settings.public_url.rstrip("/") + RESUME_PATH
            url = stream_url(call_id, services, again=again)
            return twiml.connect_stream(url, call_id, action=action)
        case Refuse(reason, text, language):
            return twiml.say(text, language) if text else twiml.reject(reason)
        case HangUp():
            return twiml.hangup()


async def _while_connected(request: Request, services: Services, incoming: Incoming) -> Verdict:
    """The verdict, or that the caller did not wait for it: Twilio then drops the request."""
    capabilities = services.carriers[incoming.carrier].capabilities
    async with asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(services.ringing.decide(incoming, capabilities), name="ringing")
        watching = tasks.create_task(_dropped(request), name="webhook")
        await asyncio.wait([deciding, watching], return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        deciding.cancel()
    return HangUp() if deciding.cancelled() else deciding.result()


async def _dropped(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def resume(request: Request, services: Services) -> Response:
    """A media stream is over, and Twilio asks what comes next: another one where the call goes on, else its end."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    call_id = form["CallSid"]
    call = services.calls.get(call_id)
    leg = call.leg if call is not None else None
    if call is None or not isinstance(leg, TwilioLeg) or leg.over:
        return answer(twiml.hangup())
    if not leg.may_resume():
        log.warning("twilio.stream_lost", call_id=call_id, told="too often: the call ends")
        return answer(twiml.hangup())
    log.info("twilio.stream_resumed", call_id=call_id)
    return answer(document(Answer(), call_id, services, again=True))


async def number_status(request: Request, services: Services) -> Response:
    """How a call of one of the numbers goes on, where the number's status callback is set to this."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    told = status.progress(form)
    if told is not None and told.state in status.OVER:
        services.ringing.over(told.call_id, "the caller hung up while it rang")
        call = services.calls.get(told.call_id)
        if call is not None:
            services.calls.over_at_carrier(call)
    return Response(status_code=204)


def _metadata(form: Form) -> dict[str, str]:
    found = {ours: form[theirs] for theirs, ours in _TOLD.items() if form.get(theirs)}
    headers = [name for name in form if name.startswith(_SIP_HEADER)][:MAX_HEADERS]
    return {**found, **{"sip_" + name.removeprefix(_SIP_HEADER): form[name] for name in headers}}
