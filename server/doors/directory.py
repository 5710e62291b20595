"""``/api/sdk``: who is here, which numbers and voices there are; for command lines and pages of other makers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.errors import ProviderError
from server.agents import Agent, slug
from server.doors.browser import CORS, Refused
from server.doors.guard import PRIVATE
from server.preview import Previews, TooBusy
from server.services import Services
from server.voices import catalogue
from telephony.errors import CarrierError
from telephony.numbers import ANY, normalise
from telephony.ports import TellsBalance

log = structlog.get_logger(__name__)

ORG: Final = "local"
"""There is one owner of a server."""
KICKED: Final = "displaced: an operator has removed this agent"
_WORD = re.compile(r"[^\x00-\x1f]{1,200}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}", re.ASCII)


class Directory:
    """What is told of agents, numbers and voices."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._previews = Previews(services.voices)

    async def agents(self, request: Request) -> Response:
        """``GET /api/sdk/agents``; lines with ``include_lines=1``."""
        registry = self._services.agents
        lines = tuple(registry.lines())
        told = [_agent(agent) for agent in registry.online()]
        if request.query_params.get("include_lines") == "1":
            told += [_agent(line) for line in lines]
        numbers = {ref: agent.slug for agent in registry.online() for ref in _numbers(agent)}
        numbers |= {line.number: line.slug for line in lines}
        answer = {
            "success": True,
            "agents": told,
            "total": len(told),
            "phone_map": numbers,
            "dev_overrides": registry.overrides() or None,
        }
        return JSONResponse(answer, headers=PRIVATE)

    async def displace(self, request: Request) -> Response:
        """``DELETE /api/sdk/agents/{slug}``: its process loses it for good. Raises ``Refused``."""
        key = slug(request.path_params["agent_id"])
        gone = self._services.agents.remove(key)
        if gone is None:
            raise Refused(404, f"Agent '{key[:200]}' is not online")
        log.warning("agent.removed", agent=gone.agent_id)
        gone.owner.displace(gone.agent_id, KICKED)
        return JSONResponse({"success": True, "displaced": 1, "org_id": ORG}, headers=PRIVATE)

    async def phone_numbers(self, request: Request) -> Response:
        """``GET /api/sdk/phone-numbers``: the operator's, as the carriers have them."""
        services = self._services
        phones: list[dict[str, Any]] = []
        problem = ""
        for carrier in services.carriers.values():
            try:
                for own in await carrier.numbers():
                    used = services.agents.answering(own.number) is not None
                    phones.append({"number": own.number, "name": own.name, "sid": own.sid, "isSdk": used})
            except CarrierError as error:
                problem = str(error)
        told: dict[str, Any] = {"success": bool(phones) or not problem, "phones": phones}
        return JSONResponse({**told, "error": problem} if problem and not phones else told, headers=PRIVATE)

    async def voices(self, request: Request) -> Response:
        """``GET /api/sdk/voices``: for everybody."""
        params = request.query_params
        offer = self._services.defaults.tts
        found = catalogue(offer, params.get("provider") or None, params.get("language") or None)
        return JSONResponse({"success": True, "total": len(found), "voices": found}, headers=CORS)

    async def preview(self, request: Request) -> Response:
        """``GET /api/sdk/voice-preview``: a sentence, as MP3. Raises ``Refused``."""
        params = request.query_params
        language = params.get("lang") or self._services.defaults.language
        voice = params.get("voice") or None
        if not _LANGUAGE.fullmatch(language) or (voice is not None and not _WORD.fullmatch(voice)):
            raise Refused(400, "lang must be a language such as en-us, and voice the id of a voice")
        try:
            made = await self._previews.mp3(params.get("provider") or None, voice, language)
        except TooBusy:
            raise Refused(503, "too many previews are being made: try again soon", 2.0) from None
        except LookupError as error:
            raise Refused(404, str(error)) from None
        except TimeoutError:
            raise Refused(504, "the voice took too long") from None
        except ProviderError as error:
            raise Refused(502 if error.retryable else 400, error.cause) from None
        return Response(made, media_type="audio/mpeg", headers=PRIVATE)

    async def balance(self, request: Request) -> Response:
        """``GET /api/sdk/twilio-balance``: what is left on the account."""
        carrier: object = self._services.carriers.get("twilio")
        if not isinstance(carrier, TellsBalance):
            return JSONResponse({"success": False, "error": "there is no Twilio here"}, headers=PRIVATE)
        try:
            balance, currency = await carrier.balance()
        except CarrierError as error:
            return JSONResponse({"success": False, "error": str(error)}, headers=PRIVATE)
        return JSONResponse({"success": True, "balance": balance, "currency": currency}, headers=PRIVATE)


def _agent(agent: Agent) -> dict[str, Any]:
    channels: dict[str, dict[str, Any]] = {}
    for channel in agent.channels.values():
        kind = channels.setdefault(channel.type, {"count": 0, "refs": []})
        kind["count"] += 1
        if channel.ref:
            kind["refs"].append(channel.ref)
    return {
        "slug": agent.slug,
        "org_id": ORG,
        "phones": list(_numbers(agent)),
        "channels": channels,
        "active": True,
    }


def _numbers(agent: Agent) -> Iterable[str]:
    return [normalise(c.ref) for c in agent.channels.values() if c.type == "phone" and c.ref != ANY]
