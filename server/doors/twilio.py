"""Twilio's two doors: ``POST /twilio/voice`` asks what to do with a call, ``WS /twilio/media/{token}`` is
its audio.

Both are closed to whoever cannot show that he is Twilio. A request is known by its signature; where the
operator has set no auth token, it is let in only by the open-door rule, and only if he wrote that down.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import structlog
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from server.call import Call, CallState
from server.calls import AtCapacity, CallIsOver
from server.doors.handshake import close
from server.protocol import ErrorCode, ErrorEvent, to_json
from server.resolve import resolve
from server.services import Services
from server.tokens import MEDIA, TokenError
from server.wire import CallFacts
from telephony.carriers.twilio import signature, twiml
from telephony.carriers.twilio.leg import StreamRefused, TwilioLeg, accept

log = structlog.get_logger(__name__)

MAX_FORM = 64 << 10
CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""Twilio's has 34 characters. It becomes part of the answer, of events and of paths."""
MEDIA_PATH = "/twilio/media/"
TOKEN_LIFETIME_S = 60.0

Params = list[tuple[str, str]]


class NotTwilio(Exception):
    """The request is refused; ``str()`` tells the operator why."""


async def voice(request: Request, services: Services) -> Response:
    """A call came in: answer with TwiML that opens its media stream, or reject it."""
    body = await _read_form(request)
    if body is None:
        return PlainTextResponse(f"at most {MAX_FORM} bytes of form data are read", 413)
    form: Params = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    try:
        _verify(request, services, form)
    except NotTwilio as refusal:
        log.warning("twilio.webhook_refused", error=str(refusal))
        return PlainTextResponse(str(refusal), 403)
    fields = dict(form)
    call_id = fields.get("CallSid", "")
    if not CALL_ID.fullmatch(call_id):
        what = "must be at most 64 letters, digits, - and _" if call_id else "is missing"
        return PlainTextResponse(f"CallSid {what}: this is the voice webhook of a Twilio number", 400)
    account = services.settings.twilio_account_sid
    if account is not None and fields.get("AccountSid") != account:
        text = "this call belongs to another account than TWILIO_ACCOUNT_SID"
        log.warning("twilio.webhook_refused", call_id=call_id, error=text)
        return PlainTextResponse(text, 403)
    return Response(_answer(call_id, fields, services), media_type=twiml.CONTENT_TYPE)


async def _read_form(request: Request) -> bytes | None:
    """The body; None where it is larger than any webhook's. Whoever sends it is not known yet."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return None
    return body


def _answer(call_id: str, fields: dict[str, str], services: Services) -> str:
    known = services.calls.get(call_id)
    if services.calls.is_over(call_id) or (known is not None and known.state is CallState.LIVE):
        # A late repetition. The stream, where there is one, goes on by itself.
        log.info("twilio.repeated_webhook", call_id=call_id)
        return twiml.hangup()
    number = fields.get("To", "")
    answering = services.agents.answering(number, fields.get("From", ""))
    if answering is None:
        log.warning("call.rejected", call_id=call_id, to=number, reason="no agent is online for this number")
        return twiml.reject("rejected")
    agent, channel = answering
    facts = CallFacts(call_id, agent.agent_id, fields.get("From", ""), number)
    config = resolve([channel.configuration, agent.configuration], services.defaults)
    try:
        services.calls.ring(facts, agent, config)
    except AtCapacity:
        log.warning("call.rejected", call_id=call_id, reason="at capacity", limit=len(services.calls))
        return twiml.reject("busy")
    token = services.tokens.issue(call_id, MEDIA, services.clock.epoch(), TOKEN_LIFETIME_S)
    url = signature.websocket_url(services.settings.public_url, MEDIA_PATH + token)
    return twiml.connect_stream(url, call_id)


async def media(websocket: WebSocket, token: str, services: Services) -> None:
    """The media stream of a call that was answered with its token."""
    try:
        _verify(websocket, services, [])
        call = _call_of(token, services)
    except (NotTwilio, TokenError) as refusal:
        log.warning("twilio.media_refused", error=str(refusal))
        await websocket.close(1008, str(refusal)[:120])  # Before it is accepted: HTTP 403.
        return
    services.calls.connecting(call)
    await websocket.accept()
    socket = _Socket(websocket)
    try:
        start = await accept(socket, call.call_id)
    except StreamRefused as refusal:
        log.warning("twilio.media_refused", call_id=call.call_id, error=str(refusal))
        _tell_refusal(call, str(refusal))
        await socket.close(refusal.code, str(refusal)[:120])
        services.calls.forget(call)
        return
    leg = TwilioLeg(socket, start, lead_ms=services.settings.twilio_lead_ms)
    try:
        listener = services.calls.start(call, leg)
    except CallIsOver:
        await socket.close(1008, "the call was given up before its media came")
        return
    await leg.run(listener)
    if socket.binary:
        await socket.close(1003, "a media stream has text frames only")
    else:
        await socket.close(1000, "the media stream is over")


def _call_of(token: str, services: Services) -> Call:
    call_id = services.tokens.check(token, MEDIA)
    call = services.calls.get(call_id)
    if call is None:
        raise TokenError("the call of this token is over")
    if call.state is not CallState.RINGING:
        raise TokenError("this token was used already")
    return call


def _tell_refusal(call: Call, text: str) -> None:
    if call.owner is not None:
        error = ErrorEvent(
            error=f"the call could not begin: {text}",
            code=ErrorCode.MEDIA_REFUSED,
            agent_id=call.facts.agent_id,
            call_id=call.call_id,
        )
        call.owner.offer(to_json(error))


def _verify(connection: HTTPConnection, services: Services, form: Params) -> None:
    """Raises ``NotTwilio``."""
    settings = services.settings
    websocket = connection.scope["type"] == "websocket"
    path = _raw_path(connection)
    if settings.twilio_auth_token is None:
        if settings.twilio_unsigned == "loopback" and services.open_door(connection.headers):
            return
        raise NotTwilio(
            "unsigned webhooks are refused: set TWILIO_AUTH_TOKEN. For trials on this machine alone set "
            "TALKWIRE_TWILIO_UNSIGNED=loopback, which needs a loopback address and no proxy"
        )
    given = connection.headers.get(signature.HEADER)
    token = settings.twilio_auth_token.get_secret_value()
    if not signature.verify(token, settings.public_url, path, form, given, websocket=websocket):
        urls = signature.public_urls(settings.public_url, path, websocket=websocket)
        shown = [
            url.partition(MEDIA_PATH)[0] + MEDIA_PATH + "..." if MEDIA_PATH in url else url for url in urls
        ]
        log.warning("twilio.bad_signature", urls=shown, signature_present=given is not None, params=len(form))
        raise NotTwilio(
            "the signature does not fit: TWILIO_AUTH_TOKEN must be the account's, and TALKWIRE_PUBLIC_URL the "
            "address that Twilio calls"
        )


def _raw_path(connection: HTTPConnection) -> str:
    raw: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope.get("query_string", b"")
    path = raw.partition(b"?")[0]
    return (path + (b"?" + query if query else b"")).decode("latin-1")


class _Socket:
    """A Starlette WebSocket as the port of ``telephony.carriers.twilio.leg``."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self.binary = False
        """It was ended for a binary frame."""

    async def receive(self) -> str | None:
        message = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        self.binary = text is None
        return text

    async def send(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ConnectionError(str(error) or "closed") from None

    async def close(self, code: int, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await close(self._websocket, code, reason)
