"""Messages of the server to events."""

from __future__ import annotations

import json
import logging
from typing import Any

from pydantic import ValidationError

from talkwire_agent.base import Event, UnknownEvent
from talkwire_agent.events import EVENTS

log = logging.getLogger("talkwire_agent")


def decoded(text: str | bytes) -> dict[str, Any] | None:
    """One message; None where it is none."""
    try:
        frame = json.loads(text)
    except ValueError:
        frame = None
    if isinstance(frame, dict) and isinstance(frame.get("event"), str):
        return frame
    log.warning("the server sent what is no message: %.80r", text)
    return None


def parsed(frame: dict[str, Any]) -> Event:
    """The event. One of a newer server whose fields are others than here is given as it came: better than
    nothing, and a conversation must not stop for it."""
    known = EVENTS.get(frame["event"])
    if known is None:
        return UnknownEvent.model_validate(frame)
    try:
        return known.model_validate(frame)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        places = ", ".join(".".join(map(str, fault["loc"])) for fault in faults)
        log.warning("%s is not as this package knows it: %s", frame["event"], places)
        return known.model_construct(**frame)
