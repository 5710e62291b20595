"""What a reader of the call log asks for: from where on, and which entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from server.doors.browser import Refused
from server.doors.call_query import number
from server.doors.grants import Grant
from server.envelopes import TYPES, Wanted

MAX_TYPES: Final = 32
MAX_SEQ: Final = 1 << 53
LATER: Final = frozenset({"memory.ops", "custom"})
"""Types that other servers of this protocol tell."""


def wanted_of(params: Mapping[str, str], grant: Grant) -> Wanted:
    """``types`` and ``durable``. Raises ``Refused``."""
    durable = params.get("durable", "0")
    if durable not in ("0", "1"):
        raise Refused(400, "durable must be 1 (without ephemeral entries) or 0")
    given = params.get("types")
    types = frozenset(name.strip() for name in given.split(",") if name.strip()) if given else None
    if types is not None:
        if len(types) > MAX_TYPES:
            raise Refused(400, f"types names more than {MAX_TYPES}")
        if unknown := sorted(types - TYPES - LATER):
            raise Refused(400, f"types names {unknown[0][:50]!r}; there are: {', '.join(sorted(TYPES))}")
    return Wanted(types or None, durable == "1", grant.agents)


def after_of(params: Mapping[str, str]) -> int:
    """Raises ``Refused``."""
    return number(params, "after", 0, 0, MAX_SEQ)
