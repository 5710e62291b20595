"""Which calls a request wants to see, and where in their list it goes on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from server.agents import key_asked
from server.book import Summary
from server.doors.browser import Refused
from server.past import CallQuery, Place
from server.summary import PastSummary

MAX_LISTED: Final = 1000
MAX_TEXT: Final = 300
BEHIND_LIVE: Final = (1e15, "")


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the list is wanted."""

    query: CallQuery
    state: Literal["live", "ended"] | None
    limit: int
    before: Place | None
    """Only what stands behind it: calls that are over."""

    @property
    def live(self) -> bool:
        return self.state != "ended" and self.before is None

    def wants(self, call: Summary) -> bool:
        """A call that changes. One that was live and is not wanted as such any more is told of nevertheless."""
        return self.query.wants(call) and (self.state != "ended" or call.state == "ended")


def asked(params: Mapping[str, str]) -> Asked:
    """Raises ``Refused``."""
    state: Literal["live", "ended"] | None
    match params.get("state"):
        case None | "live" | "ended" as state:
            pass
        case _:
            raise Refused(400, "state must be live or ended")
    named = params.get("agent_id")
    query = CallQuery(
        key_asked(named) if named else None,
        _text(params, "from"),
        _text(params, "to"),
        _text(params, "reason"),
        _seconds(params, "since"),
        _seconds(params, "until"),
    )
    limit = number(params, "limit", 100, 1, MAX_LISTED)
    return Asked(query, state, limit, _place(params.get("cursor")))


def cursor(after: PastSummary | None) -> str:
    """Where the list goes on behind a call that is over; None: behind those that are live."""
    place = after.place if after is not None else BEHIND_LIVE
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode("ascii").rstrip("=")


def _place(given: str | None) -> Place | None:
    if not given:
        return None
    try:
        match orjson.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))):
            case [float(ended_at), str(call_id)]:
                return ended_at, call_id
    except (binascii.Error, ValueError):
        pass
    raise Refused(400, "cursor must be what `next` of the page before was")


def _text(params: Mapping[str, str], name: str) -> str | None:
    given = params.get(name)
    if given is not None and len(given) > MAX_TEXT:
        raise Refused(400, f"{name} must be of at most {MAX_TEXT} characters")
    # A plus sign that was not escaped is a blank in a query: no number begins with one.
    return ("+" + given[1:] if given.startswith(" ") else given) if given else None


def _seconds(params: Mapping[str, str], name: str) -> float | None:
    given = params.get(name)
    if given is None:
        return None
    try:
        value = float(given) if given.isascii() and len(given) <= 30 else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise Refused(400, f"{name} must be epoch seconds, such as 1767225600")
    return value


def number(params: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query. Raises ``Refused``."""
    given = params.get(name)
    return default if given is None else whole(name, given, least, most)


def whole(name: str, given: str, least: int, most: int) -> int:
    """Raises ``Refused``."""
    try:
        value = int(given) if given.isascii() and len(given) <= 20 else -1
    except ValueError:
        value = -1
    if not least <= value <= most:
        raise Refused(400, f"{name} must be a whole number from {least} to {most}")
    return value
