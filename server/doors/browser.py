"""What browsers ask for before a call: tokens, ICE servers, who is there.

Closed by default. A token is given to the holder of an API key, who may seal metadata into it; to a page whose
origin the agent allows; and by the open-door rule to a page of this machine.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from server.agents import Agent, key_asked, slug
from server.auth import is_loopback
from server.ice import Ice, Turn, servers
from server.origins import allowed
from server.page_config import MAX_METADATA
from server.services import Services
from server.strangers import TooMany
from server.tokens import TokenError

WEBRTC: Final = "webrtc"
CHAT: Final = "chat"
STREAM: Final = "stream"
AUDIENCES: Final = {WEBRTC: "browser-call", CHAT: "browser-chat", STREAM: "browser-stream"}
RESUME_AUDIENCE: Final = "browser-call-resume"
LIFETIME_S: Final = {WEBRTC: 60.0, CHAT: 60.0, STREAM: 3600.0}
SCOPES: Final = ("observe", "participate", "supervise")
MAX_AGENTS: Final = 50
CORS: Final = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store", "Vary": "Origin"}
PREFLIGHT: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "600",
}
_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}", re.ASCII)


class Refused(Exception):
    """A request is not served; ``str()`` says what to do."""

    def __init__(self, status: int, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after_s = retry_after_s


def refusal(refused: Refused) -> Response:
    wait_s = refused.retry_after_s
    headers = {} if wait_s is None else {"Retry-After": str(math.ceil(wait_s))}
    return JSONResponse({"detail": str(refused)}, refused.status, {**CORS, **headers})


def preflight() -> Response:
    return Response(status_code=204, headers=PREFLIGHT)


# --- who asks ---------------------------------------------------------------------------------------------


def bearer(request: HTTPConnection, services: Services) -> bool:
    """Whether the request has an API key. Raises ``Refused`` for one that is wrong."""
    header = request.headers.get("authorization")
    if header is None:
        return False
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not services.keys.check(key.strip()):
        raise Refused(401, "the API key is wrong: send Authorization: Bearer <API key>")
    return True


def at_home(request: HTTPConnection, services: Services) -> bool:
    """By the open-door rule: the request comes from this machine, and so does the page that it is for."""
    origin = request.headers.get("origin")
    of_this_machine = origin is None or is_loopback(urlsplit(origin).hostname or "")
    return of_this_machine and services.open_door(request.headers)


def caller(request: HTTPConnection, services: Services) -> str:
    """The address that a request came from."""
    peer = request.client.host if request.client is not None else None
    return services.proxies.caller(peer, request.headers.getlist("x-forwarded-for"))


def _agents(request: Request, services: Services, *, several: bool, key: bool) -> list[Agent]:
    """The agents that are asked for; without a key only those that allow the page. Raises ``Refused``."""
    named = request.query_params.get("agent_id", "")
    names = [name.strip() for name in (named.split(",") if several else [named]) if name.strip()]
    if not names or len(names) > MAX_AGENTS:
        raise Refused(400, f"agent_id is missing, or names more than {MAX_AGENTS} agents")
    found = [(name, services.agents.get(key_asked(name) if several else slug(name))) for name in names]
    if not key and not at_home(request, services):
        origin = request.headers.get("origin")
        if origin is None:
            raise Refused(401, "send Authorization: Bearer <API key>, from your own server")
        if not all(agent is not None and allowed(origin, agent.allowed_origins) for _, agent in found):
            raise Refused(
                403, f"origin {origin[:200]} is not among allowed_origins of the agent, or it is not online"
            )
    for name, agent in found:
        if agent is None:
            raise Refused(404, f"Agent '{name[:200]}' is not online")
    return [agent for _, agent in found if agent is not None]


# --- tokens -----------------------------------------------------------------------------------------------


def token(request: Request, kind: str, services: Services) -> Response:
    """``GET /webrtc/token``, ``/chat/token``, ``/stream/token``."""
    try:
        if kind == WEBRTC and not services.settings.webrtc:
            raise Refused(404, "browser calls are switched off on this server (TALKWIRE_WEBRTC)")
        key = bearer(request, services)
        agents = _agents(request, services, several=kind == STREAM, key=key)
        sealed = _sealed(request, kind, key=key)
        origin = request.headers.get("origin")
        if origin is not None and not key:
            sealed["origin"] = origin
            if not at_home(request, services):
                services.strangers.token(caller(request, services), origin, services.clock.epoch())
    except Refused as refused:
        return refusal(refused)
    except TooMany as many:
        return refusal(Refused(429, str(many), many.retry_after_s))
    made = issued(kind, agents, services, **sealed)
    told = {"token": made, "server": services.settings.public_url, "expires_in": int(LIFETIME_S[kind])}
    return JSONResponse(told, headers=CORS)


def issued(kind: str, agents: Sequence[Agent], services: Services, **sealed: Any) -> str:
    """A token for these agents."""
    sealed["agents"] = [agent.slug for agent in agents]
    now = services.clock.epoch()
    return services.tokens.issue(agents[0].slug, AUDIENCES[kind], now, LIFETIME_S[kind], **sealed)


def _sealed(request: Request, kind: str, *, key: bool) -> dict[str, Any]:
    query = request.query_params
    sealed: dict[str, Any] = {}
    metadata, scope, call_id = query.get("metadata"), query.get("scope"), query.get("call_id")
    if not key and (metadata or scope not in (None, SCOPES[1]) or call_id or kind == STREAM):
        raise Refused(
            403, "metadata, scope, call_id and stream tokens need an API key: ask from your own server"
        )
    if metadata:
        sealed["metadata"] = metadata_of(metadata)
    if scope is not None:
        if scope not in SCOPES:
            raise Refused(400, f"scope must be one of {', '.join(SCOPES)}")
        sealed["scope"] = scope
    if call_id is not None:
        if not _CALL_ID.fullmatch(call_id):
            raise Refused(400, "call_id is no id of a call")
        sealed["call_id"] = call_id
    return sealed


def metadata_of(text: str | bytes) -> dict[str, Any]:
    """JSON of metadata, read. Raises ``Refused``."""
    if len(text) > MAX_METADATA:
        raise Refused(400, f"metadata is longer than {MAX_METADATA} bytes")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "metadata must be a JSON object")
    return found


# --- ICE servers ------------------------------------------------------------------------------------------


def ice_servers(request: Request, services: Services) -> Response:
    """``GET /webrtc/ice-servers``. STUN for everybody; TURN, which costs, for whoever could have a token."""
    try:
        relay = bearer(request, services) or _trusted(request, services)
    except Refused as refused:
        return refusal(refused)
    told = [ice.as_json() for ice in ice_of(services, relay=relay)]
    return JSONResponse({"iceServers": told}, headers=CORS)


def ice_of(services: Services, *, relay: bool) -> list[Ice]:
    """The ICE servers of the settings, with credentials of their own."""
    settings = services.settings
    secret, password = settings.turn_secret, settings.turn_password
    turn = Turn(
        secret.get_secret_value() if secret is not None else None,
        settings.turn_username,
        password.get_secret_value() if password is not None else None,
    )
    return servers(settings.ice_servers, turn, services.clock.epoch(), secrets.token_hex(4), relay=relay)


def _trusted(request: Request, services: Services) -> bool:
    given = request.query_params.get("token")
    if given is not None:
        try:
            services.tokens.check(given, AUDIENCES[WEBRTC])
        except TokenError:
            return False
        return True
    origin = request.headers.get("origin")
    if at_home(request, services):
        return True
    agents = services.agents.online()
    return origin is not None and any(allowed(origin, agent.allowed_origins) for agent in agents)


# --- who is there -----------------------------------------------------------------------------------------


def agent_info(agent_id: str, services: Services) -> Response:
    """``GET /api/sdk/agent-info/{id}``: by which ways an agent can be reached. It tells nothing that a caller could not
    find out."""
    agent = services.agents.get(slug(agent_id))
    if agent is None:
        return refusal(Refused(404, f"Agent '{agent_id[:200]}' is not online"))
    numbers = [
        channel.ref for channel in agent.channels.values() if channel.type == "phone" and channel.ref != "*"
    ]
    channels: list[dict[str, Any]] = []
    if services.settings.webrtc:
        channels.append({"type": "webrtc"})
    if numbers:
        channels.append({"type": "phone", "numbers": numbers, "phone": numbers[0]})
    return JSONResponse({"agent": agent.agent_id, "channels": channels}, headers=CORS)
