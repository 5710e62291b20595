"""``DELETE /v1/callers/{number}``: what is kept of one caller goes."""

from __future__ import annotations

from dataclasses import replace

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from server.doors.browser import Refused
from server.doors.guard import PRIVATE
from server.forgetting import forget
from server.services import Services
from telephony.numbers import normalise

log = structlog.get_logger(__name__)

MAX_CALLER = 300


async def forget_caller(request: Request, services: Services) -> Response:
    """Answers how much it was. Raises ``Refused``, ``StoreUnavailable``."""
    caller = request.path_params["caller"]
    if not normalise(caller) or len(caller) > MAX_CALLER:
        raise Refused(
            400, "name the caller as `from` of his calls has it, for example /v1/callers/+15550001111"
        )
    # What is on its way would come after it was deleted.
    await services.kept.flush()
    gone, call_ids = await forget(caller, services.kept.calls, services.calls.recordings)
    services.calls.owners.drop(call_ids)
    services.book.forget(call_ids)
    live = sum(normalise(call.facts.contact) == normalise(caller) for call in services.book.live())
    # Not whose: that is what is to be forgotten.
    log.info(
        "caller.forgotten", calls=gone.calls, events=gone.events, recordings=gone.recordings, bytes=gone.bytes
    )
    told = replace(gone, live=live).as_json(caller)
    return Response(orjson.dumps(told), media_type="application/json", headers=PRIVATE)
