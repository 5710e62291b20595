"""``POST /webrtc/offer``: a browser's call, from its offer to its end."""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from structlog.contextvars import bind_contextvars

from media.rtc.gathering import Gathering, NoSocket
from media.rtc.sdp import MAX_SDP, OfferRefused, checked
from server.agents import merged
from server.browser_call import BrowserCall, Visit
from server.calls import AtCapacity
from server.doors.body import json_object
from server.doors.browser import (
    AUDIENCES,
    CORS,
    RESUME_AUDIENCE,
    WEBRTC,
    Refused,
    at_home,
    caller,
    metadata_of,
    refusal,
)
from server.doors.page_actions import PageActions
from server.ice import stun_servers
from server.openings import Openings
from server.page_config import PageConfigError, filtered, joined
from server.resolve import resolve
from server.services import Services
from server.strangers import TooMany
from server.tokens import TokenError
from server.wire import CallFacts

log = structlog.get_logger(__name__)

MAX_BODY: Final = MAX_SDP + (32 << 10)
RESUME_LIFETIME_S: Final = 24 * 3600.0
"""A call does not last longer; that it goes on is looked at when one comes back."""

BUSY_S: Final = 5.0

Page = dict[str, BrowserCall]


class BrowserCalls:
    """The browser calls of this process, by call id."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._live: Page = {}
        settings = services.settings
        self._openings = Openings(settings.webrtc_opening_ms)
        # For our side STUN is enough: who needs a relay is the browser, and it reaches us through its own.
        self._gathering = Gathering(
            settings.webrtc_ports, settings.webrtc_address, stun_servers(settings.ice_servers)
        )
        if settings.webrtc_ports is not None:
            first, last = settings.webrtc_ports
            if last - first + 1 < settings.max_calls:
                log.warning("webrtc.few_ports", ports=last - first + 1, max_calls=settings.max_calls)

    async def offer(self, request: Request) -> Response:
        try:
            told = await self._answered(await json_object(request, MAX_BODY), request)
        except Refused as refused:
            log.info("webrtc.refused", status=refused.status, error=str(refused))
            return refusal(refused)
        return JSONResponse(told, headers=CORS)

    async def _answered(self, body: dict[str, Any], request: Request) -> dict[str, Any]:
        offer, resume = body.get("sdp"), body.get("resume")
        if body.get("type") != "offer" or not isinstance(offer, str):
            raise Refused(400, 'send {"sdp": ..., "type": "offer", "token": ...}')
        try:
            checked(offer)
        except OfferRefused as refused:
            raise Refused(400, str(refused)) from None
        if resume is not None:
            return await self._resumed(resume, offer, _last_seq(body))
        # The token last: whatever is wrong with the rest must not cost it.
        wanted, metadata = _wanted(body), _page_metadata(body)
        claims = await self._redeemed(body.get("token"))
        visit = self._visit(claims, request)
        return await self._connect(self._begun(wanted, metadata, claims, visit), offer)

    async def _redeemed(self, token: object) -> dict[str, Any]:
        if not isinstance(token, str) or not token:
            raise Refused(401, "token is missing: get one from /webrtc/token")
        try:
            claims = dict(
                self._services.tokens.redeem(token, AUDIENCES[WEBRTC], self._services.clock.epoch())
            )
        except TokenError as error:
            raise Refused(401, str(error)) from None
        if not await self._services.cluster.spend(claims):
            raise Refused(401, "the token was used already: ask for another one")
        return claims

    def _visit(self, claims: dict[str, Any], request: Request) -> Visit:
        """Who asks for a call, and of whom. Raises ``Refused`` where he may not now."""
        origin, slug = request.headers.get("origin"), str(claims["sub"])
        if claims.get("origin", origin) != origin:
            raise Refused(403, "this token was given to a page of another origin")
        if "origin" not in claims or at_home(request, self._services):
            return Visit(None, slug)
        address = caller(request, self._services)
        try:
            self._services.strangers.place(self._live.values(), address, slug)
        except TooMany as many:
            raise Refused(429, str(many), many.retry_after_s) from None
        return Visit(address, slug)

    # --- a new call ---------------------------------------------------------------------------------------

    def _begun(
        self,
        wanted: dict[str, Any],
        metadata: dict[str, Any],
        claims: dict[str, Any],
        visit: Visit,
    ) -> BrowserCall:
        services = self._services
        agent = services.agents.get(visit.agent)
        if agent is None:
            raise Refused(404, f"Agent '{visit.agent}' is not online")
        channel = agent.channels.get(WEBRTC)
        layers = [wanted, *([channel.configuration] if channel is not None else []), agent.configuration]
        call_id = str(uuid.uuid4())
        sealed = claims.get("metadata", {})
        known = joined(metadata, sealed)
        facts = CallFacts(
            call_id, agent.agent_id, "webrtc", agent.agent_id, transport="webrtc", metadata=known
        )
        config = resolve(layers, services.defaults)
        if sealed:
            # The agent knows more of this caller than of others: it may have another greeting for him.
            opening_ms = self._openings.wait_ms(agent.slug)
            config = replace(config, session=replace(config.session, opening_ms=opening_ms))
        try:
            call = services.calls.ring(facts, agent, config)
        except AtCapacity:
            raise Refused(
                503, "the server takes no more calls at the moment: try again in a few seconds", BUSY_S
            ) from None
        services.calls.connecting(call)
        resume_token = partial(self._resume_token, call_id)
        openings = self._openings if sealed else None
        return BrowserCall(services, call, PageActions(services), resume_token, visit, openings)

    async def _connect(self, browser: BrowserCall, offer: str) -> dict[str, Any]:
        call_id = browser.call.call_id
        bind_contextvars(call_id=call_id)
        self._live[call_id] = browser
        try:
            answer = await self._answer(browser, offer)
        except BaseException:
            del self._live[call_id]
            self._services.calls.forget(browser.call)
            raise
        self._services.tasks.create_task(self._carry(browser), name=f"browser {call_id}")
        return {"type": "answer", "sdp": answer, "call_id": call_id}

    async def _answer(self, browser: BrowserCall, offer: str, cursor: int | None = None) -> str:
        try:
            return await browser.answer(offer, self._gathering, cursor)
        except OfferRefused as refused:
            raise Refused(400, str(refused)) from None
        except NoSocket as error:
            log.warning("webrtc.no_socket", call_id=browser.call.call_id, error=str(error))
            raise Refused(503, str(error), BUSY_S) from None

    async def _carry(self, browser: BrowserCall) -> None:
        try:
            await browser.run()
        finally:
            del self._live[browser.call.call_id]

    # --- the same call once more --------------------------------------------------------------------------

    def _resume_token(self, call_id: str) -> str:
        now = self._services.clock.epoch()
        return self._services.tokens.issue(call_id, RESUME_AUDIENCE, now, RESUME_LIFETIME_S)

    async def _resumed(self, token: object, offer: str, last_seq: int | None) -> dict[str, Any]:
        if not isinstance(token, str) or not token:
            raise Refused(401, "resume must be the resume_token of session.connected")
        try:
            call_id = self._services.tokens.check(token, RESUME_AUDIENCE)
        except TokenError as error:
            raise Refused(401, str(error)) from None
        bind_contextvars(call_id=call_id)
        browser = self._live.get(call_id)
        if browser is None or browser.leg.over:
            raise Refused(410, "the call is over: begin another one")
        if not browser.way_back.takes(token):
            raise Refused(409, "somebody has come back to the call with this token already")
        answer = await self._answer(browser, offer, last_seq)
        browser.way_back.came(token)
        return {"type": "answer", "sdp": answer, "call_id": browser.call.call_id}


def _wanted(body: dict[str, Any]) -> dict[str, Any]:
    """What the page may say of how the call sounds, as a layer of its configuration."""
    config = body.get("config") or {}
    if not isinstance(config, dict):
        raise Refused(400, "config must be an object")
    try:
        wanted, refused = filtered(config)
    except PageConfigError as error:
        raise Refused(400, str(error)) from None
    if refused:
        log.warning("webrtc.config_refused", keys=refused[:20])
    return merged({}, wanted)


def _last_seq(body: dict[str, Any]) -> int | None:
    """Of the last event that a page which comes back has."""
    given = body.get("last_seq")
    if given is not None and (not isinstance(given, int) or given < 0):
        raise Refused(400, "last_seq must be the seq of an event")
    return given


def _page_metadata(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("metadata")
    return {} if given is None else metadata_of(orjson.dumps(given))
