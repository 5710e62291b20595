"""``WS /twilio/media/{token}``: the audio of a call that was answered with this token."""

from __future__ import annotations

from functools import partial

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from structlog.contextvars import bind_contextvars

from media.ports import LegListener
from server.call import Call, CallIsOver, CallState
from server.doors.handshake import close
from server.doors.twilio.request import MEDIA_PATH, NotTwilio, verify
from server.protocol import ErrorCode, ErrorEvent, to_json
from server.services import Services
from server.tokens import MEDIA, TokenError
from telephony.carriers.twilio import signature
from telephony.carriers.twilio.carrier import NAME
from telephony.carriers.twilio.leg import StreamRefused, TwilioLeg, accept
from telephony.carriers.twilio.wire import Start
from telephony.errors import CarrierError
from telephony.ports import Carrier

log = structlog.get_logger(__name__)

TOKEN_LIFETIME_S = 60.0


def stream_url(call_id: str, services: Services, *, again: bool = False) -> str:
    """Where the carrier shall open the media stream of a call: good once. ``again``: the call had one before."""
    token = services.tokens.issue(call_id, MEDIA, services.clock.epoch(), TOKEN_LIFETIME_S, again=again)
    return signature.websocket_url(services.settings.public_url, MEDIA_PATH + token)


async def media(websocket: WebSocket, token: str, services: Services) -> None:
    """Carry the audio of a call until its stream is over."""
    try:
        verify(websocket, services, [])
        call = _call_of(token, services)
    except (NotTwilio, TokenError) as refusal:
        log.warning("twilio.media_refused", error=str(refusal))
        await websocket.close(1008, str(refusal)[:120])  # Before it is accepted: HTTP 403.
        return
    bind_contextvars(call_id=call.call_id)
    again = isinstance(call.leg, TwilioLeg)
    if not again:
        services.calls.connecting(call)
    await websocket.accept()
    socket = _Socket(websocket)
    try:
        start = await accept(socket, call.call_id)
    except StreamRefused as refusal:
        log.warning("twilio.media_refused", call_id=call.call_id, error=str(refusal))
        if not again:
            _tell_refusal(call, str(refusal))
        await socket.close(refusal.code, str(refusal)[:120])
        services.calls.forget(call)
        return
    try:
        leg, listener = _joined(call, socket, start, services)
    except CallIsOver:
        await socket.close(1008, "the call was given up before its media came")
        return
    await leg.run(listener)
    if socket.binary:
        await socket.close(1003, "a media stream has text frames only")
    else:
        await socket.close(1000, "the media stream is over")


def _joined(call: Call, socket: _Socket, start: Start, services: Services) -> tuple[TwilioLeg, LegListener]:
    """The call's leg, over this stream, and whom it tells. Raises ``CallIsOver``."""
    leg, listener = call.leg, call.listener
    if isinstance(leg, TwilioLeg):
        if leg.over or listener is None:
            raise CallIsOver
        leg.attach(socket, start)
        return leg, listener
    settings, carrier = services.settings, services.carriers[NAME]
    end_call = partial(_end, carrier, call.call_id) if carrier.capabilities.hangs_up else None
    leg = TwilioLeg(
        socket, start, lead_ms=settings.twilio_lead_ms, resume_s=settings.twilio_resume_s, end_call=end_call
    )
    return leg, services.calls.start(call, leg)


async def _end(carrier: Carrier, call_id: str) -> None:
    try:
        await carrier.hang_up(call_id)
    except CarrierError as error:
        # Closing its stream ends the call as well: what Twilio asks then is answered so.
        log.warning("twilio.not_hung_up", call_id=call_id, error=str(error))


def _call_of(token: str, services: Services) -> Call:
    # The state first: a token that comes too early, or for a call that has its stream, is not to be burnt.
    call_id = services.tokens.check(token, MEDIA)
    call = services.calls.get(call_id)
    if call is None:
        raise TokenError("the call of this token is over")
    begun = call.state in (CallState.LIVE, CallState.CONNECTING)
    resumes = begun and isinstance(call.leg, TwilioLeg) and not call.leg.over
    if call.state is not CallState.RINGING and not resumes:
        raise TokenError("this token was used already")
    claims = services.tokens.redeem(token, MEDIA, services.clock.epoch())
    if claims.get("again") is not resumes:
        raise TokenError("this call has its media stream already")
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
