"""Events for pages that show conversations: the few that they need, with their data in the spelling of JavaScript.

Pure. The names are those of the agents' SDKs (``llm.toolCall``); of nested objects the keys are as on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import orjson

from server.envelopes import slug_of
from server.ring import Entry

PING: Final = b":ping\n\n"
PING_S: Final = 30.0
END: Final = "call.ended"
NAMES: Final[Mapping[str, str]] = {
    "call.started": "call.started",
    "bot.speaking": "bot.speaking",
    "bot.word": "bot.word",
    "message.confirmed": "message.confirmed",
    "user.speaking": "user.speaking",
    "user.message": "user.message",
    "llm.tool_call": "llm.toolCall",
    END: END,
}
"""What is told, by the names of the wire's events."""
LEFT_OUT: Final = frozenset(
    {"event", "agent_id", "call_id", "session_id", "seq", "ts", "correlation_id", "messages", "transcript"}
)
RENAMED: Final = {"duration_seconds": "duration"}

Narrated = tuple[str, bytes]


@lru_cache(maxsize=512)
def narrated(entry: Entry) -> Narrated | None:
    """The name and the data (JSON) that tell an event; None: it is not told."""
    name = NAMES.get(entry.event)
    if name is None:
        return None
    event = orjson.loads(entry.data)
    told = {"callId": entry.call_id, "agent": slug_of(event)}
    told |= {_camel(key): value for key, value in event.items() if key not in LEFT_OUT}
    return name, orjson.dumps(told)


def is_end(entry: Entry) -> bool:
    """The call itself is over, and not only for an agent that has handed it over."""
    return entry.event == END and orjson.loads(entry.data)["reason"] != "routed"


def _upper(found: re.Match[str]) -> str:
    return found[1].upper()


def _camel(key: str) -> str:
    return RENAMED.get(key) or re.sub(r"_([a-z0-9])", _upper, key)
