"""Is it Twilio that asks? Every webhook and every media upgrade is closed to whoever cannot show that.

A request is known by its signature; where the operator has set no auth token, it is let in only by the open-door
rule, and only if he wrote that down.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import structlog
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from structlog.contextvars import bind_contextvars

from server.services import Services
from telephony.carriers.twilio import signature, twiml

log = structlog.get_logger(__name__)

MAX_FORM = 64 << 10
CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""Twilio's has 34 characters. It becomes part of the answer, of events and of paths."""
MEDIA_PATH = "/twilio/media/"

Params = list[tuple[str, str]]
Form = dict[str, str]


class NotTwilio(Exception):
    """The request is refused; ``str()`` tells the operator why."""


async def read(request: Request, services: Services) -> Form | Response:
    """The fields of a webhook, of a name that comes twice the last; or what it is told instead."""
    params = await form_of(request)
    if params is None:
        return PlainTextResponse(f"at most {MAX_FORM} bytes of form data are read", 413)
    try:
        signed_by = verify(request, services, params)
    except NotTwilio as refusal:
        log.warning("twilio.webhook_refused", error=str(refusal))
        return PlainTextResponse(str(refusal), 403)
    form = dict(params)
    call_id = form.get("CallSid", "")
    if not CALL_ID.fullmatch(call_id):
        what = "must be at most 64 letters, digits, - and _" if call_id else "is missing"
        return PlainTextResponse(f"CallSid {what}: this is a webhook of Twilio's voice calls", 400)
    bind_contextvars(call_id=call_id)
    account = services.settings.twilio_account_sid
    if account is not None and form.get("AccountSid") != account:
        text = "this call belongs to another account than TWILIO_ACCOUNT_SID"
        log.warning("twilio.webhook_refused", call_id=call_id, error=text)
        return PlainTextResponse(text, 403)
    if signed_by is not None and services.signers.note(signed_by, services.clock.epoch()):
        log.info("twilio.signed_by", setting=signed_by)
    return form


def answer(document: str) -> Response:
    return Response(document, media_type=twiml.CONTENT_TYPE)


async def form_of(request: Request) -> Params | None:
    """As they came; None where there are too many."""
    body = await _body(request)
    return None if body is None else parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


async def _body(request: Request) -> bytes | None:
    """None where it is larger than any webhook's. Whoever sends it is not known yet."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return None
    return body


def verify(connection: HTTPConnection, services: Services, form: Params) -> str | None:
    """The setting whose token signed this; None: nothing was asked for. Raises ``NotTwilio``."""
    settings = services.settings
    websocket = connection.scope["type"] == "websocket"
    path = _raw_path(connection)
    tokens = settings.twilio_auth_tokens
    if not tokens:
        if settings.twilio_unsigned == "loopback" and services.open_door(connection.headers):
            return None
        raise NotTwilio(
            "unsigned webhooks are refused: set TWILIO_AUTH_TOKEN. For trials on this machine alone set "
            "TALKWIRE_TWILIO_UNSIGNED=loopback, which needs a loopback address and no proxy"
        )
    given = connection.headers.get(signature.HEADER)
    if not given:
        raise NotTwilio(
            f"there is no {signature.HEADER}: whoever called is not Twilio, or a proxy takes the header away"
        )
    names, values = list(tokens), list(tokens.values())
    place = signature.signed_by(values, settings.public_url, path, form, given, websocket=websocket)
    if place is None:
        urls = signature.public_urls(settings.public_url, path, websocket=websocket)
        shown = [
            url.partition(MEDIA_PATH)[0] + MEDIA_PATH + "..." if MEDIA_PATH in url else url for url in urls
        ]
        log.warning("twilio.bad_signature", urls=shown, params=len(form))
        raise NotTwilio(
            "the signature does not fit: TWILIO_AUTH_TOKEN must be the account's, and TALKWIRE_PUBLIC_URL the "
            "address that Twilio calls"
        )
    return names[place]


def _raw_path(connection: HTTPConnection) -> str:
    raw: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope.get("query_string", b"")
    path = raw.partition(b"?")[0]
    return (path + (b"?" + query if query else b"")).decode("latin-1")
