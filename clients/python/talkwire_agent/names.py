"""How agents and events are called."""

from __future__ import annotations

import re
from difflib import get_close_matches

from talkwire_agent.base import Event
from talkwire_agent.events import EVENTS
from talkwire_agent.local import LOCAL

LINE = "line:"
"""What the ``agent_id`` of a line begins with; its number follows."""
ANY = "*"
"""In place of an event's name: all events, also those that this package does not know."""

ALIASES = {"bot.confirmed": "message.confirmed", "call.preparing": "llm.before", "tool.call": "llm.tool_call"}
"""Names that stand for an event beside its own. Camel case is understood for all."""


def slug(agent_id: str) -> str:
    """The form in which agent ids are compared: the server's rule."""
    text = re.sub(r"[\s_]+", "-", agent_id.strip().lower())
    return re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9-]", "", text)).strip("-")


def event_name(event: str | type[Event]) -> str:
    """The name on the wire of an event: by its class, its name, or another name of it.

    Raises ``ValueError`` for an event that there is none of.
    """
    if isinstance(event, type):
        event = str(event.model_fields["event"].default)
    snake = re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"_{found[1].lower()}", event)
    name = ALIASES.get(event, snake)
    if name == ANY or name in EVENTS or name in LOCAL:
        return name
    close = get_close_matches(name, [*EVENTS, *LOCAL, *ALIASES], n=3, cutoff=0.6)
    advice = f"did you mean {' or '.join(close)}?" if close else "see EVENTS in talkwire_agent.events"
    raise ValueError(f"no event is called {event!r}: {advice}")
