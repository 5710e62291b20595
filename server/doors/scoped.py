"""Who may do something with one live call."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from server.call import Call
from server.doors.browser import Refused
from server.doors.grants import SUPERVISE, Grant, granted
from server.doors.guard import Guard
from server.services import Services


def live_call(
    connection: HTTPConnection, call_id: str, services: Services, guard: Guard, *, supervise: bool = False
) -> tuple[Call, Grant]:
    """The call, for whoever may see it, or with ``supervise`` act in it. Raises ``Refused``. A call that a token is not
    for looks like one that does not exist."""
    grant = granted(connection, services, guard)
    if supervise and not grant.supervise:
        raise Refused(403, f"the token is to observe: ask for one with scope={SUPERVISE}")
    call = services.calls.get(call_id)
    mine = call is not None and (grant.agents is None or call.slug in grant.agents)
    if call is None or not mine or grant.call_id not in (None, call_id):
        raise Refused(404, f"there is no live call {call_id[:200]} here: it is over, or never was")
    return call, grant
