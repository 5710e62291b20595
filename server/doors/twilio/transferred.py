"""Callers who wait in a conference, and who is called to speak with them."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from media import wav
from server.doors.twilio.request import answer, read
from server.doors.twilio.voice import document
from server.hold_music import PHONE_HZ
from server.services import Services
from server.tokens import TokenError
from server.transfer import Step
from telephony.carriers.twilio import twiml
from telephony.carriers.twilio.carrier import JOIN_PATH, MUSIC_PATH, NAME, WAIT_PATH, TwilioCarrier
from telephony.ports import Answer

MUSIC: Final = "twilio-music"
"""Audience of a token for the music of one conference."""
MUSIC_S: Final = 3600.0
SILENCE_S: Final = 60
"""Where the operator wants no music."""


async def wait(request: Request, reference: str, services: Services) -> Response:
    """Somebody is alone in the conference: what he hears."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    services.transfers.waits(reference, form["CallSid"])
    again = _url(services, WAIT_PATH + reference)
    if services.hold_music is None:
        return answer(twiml.pause(SILENCE_S, again))
    token = services.tokens.issue(reference, MUSIC, services.clock.epoch(), MUSIC_S)
    return answer(twiml.music(_url(services, f"{MUSIC_PATH}{token}.wav"), again))


async def music(token: str, services: Services) -> Response:
    """The music itself. Twilio does not sign what it fetches to play: the address is the capability."""
    try:
        services.tokens.check(token, MUSIC)
    except TokenError as refusal:
        return PlainTextResponse(str(refusal), 403)
    if services.hold_music is None:
        return PlainTextResponse("there is no music on hold here", 404)
    sound = wav.encode(services.hold_music.at(PHONE_HZ), PHONE_HZ)
    return Response(sound, media_type="audio/wav", headers={"Cache-Control": "private, max-age=3600"})


async def room(request: Request, reference: str, services: Services) -> Response:
    """Somebody has come into the conference, or has left it."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    match form.get("StatusCallbackEvent"):
        case "participant-join":
            services.transfers.came(reference, form["CallSid"])
        case "participant-leave":
            services.transfers.went(reference, form["CallSid"])
        case _:
            pass
    return Response(status_code=204)


async def left(request: Request, reference: str, services: Services) -> Response:
    """The conference is over for the caller: he comes back, or the call ends. He may be gone."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    call_id, hung_up = form["CallSid"], form.get("CallStatus") == "completed"
    if not services.transfers.left(reference, call_id, hung_up=hung_up):
        return answer(twiml.hangup())
    return answer(document(Answer(), call_id, services, again=True))


async def invited(request: Request, reference: str, services: Services) -> Response:
    """Who was called has picked up."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    return _next(services.transfers.answered(reference, form["CallSid"]), reference, services)


async def join(request: Request, reference: str, services: Services) -> Response:
    """He has heard what was announced, or has waited a little."""
    form = await read(request, services)
    if isinstance(form, Response):
        return form
    return _next(services.transfers.ready(reference, form["CallSid"]), reference, services)


def _next(step: Step, reference: str, services: Services) -> Response:
    then, carrier = _url(services, JOIN_PATH + reference), services.carriers[NAME]
    if step == "announce":
        return answer(twiml.announce(*services.transfers.announcement(reference), then))
    if step == "wait":
        return answer(twiml.pause(1, then))
    if step == "join" and isinstance(carrier, TwilioCarrier):
        return answer(twiml.join(carrier.room(reference)))
    return answer(twiml.hangup())


def _url(services: Services, path: str) -> str:
    return services.settings.public_url.rstrip("/") + path
