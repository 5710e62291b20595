"""Who may do something with one live call: whoever may see all calls, and the holder of a stream token that is for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import HTTPConnection

from server.call import Call
from server.doors.browser import AUDIENCES, STREAM, Refused
from server.doors.guard import Guard
from server.services import Services
from server.tokens import TokenError

OBSERVE: Final = ("observe", "supervise")
SUPERVISE: Final = ("supervise",)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who was let in."""

    name: str = ""
    """As it was sealed into his token (``metadata.name``); empty: nobody said."""


def _token(connection: HTTPConnection) -> str | None:
    given = connection.query_params.get("token")
    if given is not None:
        return given
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def live_call(
    connection: HTTPConnection, call_id: str, services: Services, guard: Guard, scopes: tuple[str, ...]
) -> tuple[Call, Visitor]:
    """The call, for somebody whose token has one of these scopes, or who needs none. Raises ``Refused``. A call that a
    token is not for looks like one that does not exist."""
    claims: dict[str, Any] | None = None
    token = _token(connection)
    if token is None:
        guard.check(connection)
    elif not services.keys.check(token):
        claims = _claims(token, services, scopes)
    call = services.calls.get(call_id)
    if call is None or (claims is not None and not _fits(claims, call)):
        raise Refused(404, f"there is no live call {call_id[:200]} here: it is over, or never was")
    name = (claims or {}).get("metadata", {}).get("name")
    return call, Visitor(name[:100] if isinstance(name, str) else "")


def _claims(token: str, services: Services, scopes: tuple[str, ...]) -> dict[str, Any]:
    try:
        claims = services.tokens.read(token, AUDIENCES[STREAM])
    except TokenError as error:
        raise Refused(401, f"{error}: send an API key, or a token of /stream/token") from None
    if claims.get("scope", "observe") not in scopes:
        raise Refused(403, f"the token's scope is not enough: ask for one with scope={scopes[-1]}")
    return dict(claims)


def _fits(claims: dict[str, Any], call: Call) -> bool:
    return call.slug in claims.get("agents", ()) and claims.get("call_id") in (None, call.call_id)
