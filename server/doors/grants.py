"""Who may read which call log: a stream token says so itself; whoever may see calls at all may read all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import HTTPConnection, Request

from server.doors.browser import AUDIENCES, STREAM, Refused
from server.doors.guard import Guard, same_origin
from server.services import Services
from server.summary import CallSummary, PastSummary
from server.tokens import TokenError

OBSERVE: Final = "observe"
SUPERVISE: Final = "supervise"
MAX_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may read. ``agents`` None: those of all."""

    agents: frozenset[str] | None = None
    call_id: str | None = None
    """Only this call."""
    supervise: bool = True
    until: float | None = None
    """Epoch seconds; None: as long as he likes."""
    name: str = ""
    """Who he is, as it was sealed into his token (``metadata.name``); empty: nobody said."""

    def allows_agent(self, slug: str) -> bool:
        return self.call_id is None and (self.agents is None or slug in self.agents)

    def allows_call(self, call: CallSummary | PastSummary) -> bool:
        """A token for agents is good for calls that one of them has, or had last."""
        mine = self.agents is None or call.slug in self.agents
        return mine and self.call_id in (None, call.call_id)


def granted(connection: HTTPConnection, services: Services, guard: Guard) -> Grant:
    """``?token=``, or ``Authorization: Bearer``, with an API key or a stream token; else as for all doors to calls.
    Raises ``Refused``: 401, or 403 for a token whose scope is another."""
    given = connection.query_params.get("token") or _bearer(connection)
    if given is None:
        if isinstance(connection, Request):
            guard.check(connection)
        elif not (same_origin(connection) and guard.allows(connection)):
            raise Refused(401, "give ?token= or Authorization: Bearer with an API key or a stream token")
        return Grant()
    if services.keys.check(given):
        return Grant()
    try:
        claims = services.tokens.claims(given, AUDIENCES[STREAM])
    except TokenError as error:
        raise Refused(401, f"neither an API key nor a stream token: {error}") from None
    return _grant(claims)


def _grant(claims: Mapping[str, Any]) -> Grant:
    scope = claims.get("scope", OBSERVE)
    if scope not in (OBSERVE, SUPERVISE):
        raise Refused(403, f"the token is for {scope}: ask for one with scope=observe or scope=supervise")
    agents = frozenset(str(agent) for agent in claims.get("agents") or ())
    name = (claims.get("metadata") or {}).get("name")
    who = name[:MAX_NAME] if isinstance(name, str) else ""
    return Grant(agents, claims.get("call_id"), scope == SUPERVISE, float(claims["exp"]), who)


def _bearer(connection: HTTPConnection) -> str | None:
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    return given.strip() or None if scheme.lower() == "bearer" else None
