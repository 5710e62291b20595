"""What all events share. The events themselves are in ``events``, which is made from the server's schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """An object of the wire. What a newer server adds to it is kept: read it as an attribute, or in
    ``model_extra``."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Event(Part):
    """Something that the server says."""

    event: str
    """Its name on the wire."""

    def frame(self) -> dict[str, Any]:
        """The event as it was on the wire, fields without a value left out."""
        return self.model_dump(by_alias=True, exclude_none=True, warnings=False)


class CallEvent(Event):
    """A fact of one call."""

    agent_id: str
    """The agent that has the call."""
    call_id: str
    """The call."""
    session_id: str
    """The same as ``call_id``."""
    seq: int
    """Place among the events of this call, from 1, without gaps."""
    ts: float
    """When the event was made, epoch seconds."""
    turn_id: int | None = None
    """The user's turn it belongs to, from 1; None outside of a turn."""
    correlation_id: str | None = None
    """Id of that turn: the same on each of its events, unique among calls."""


class TurnEvent(CallEvent):
    """A fact of a user's turn."""

    turn_id: int
    """The user's turn that it belongs to, from 1."""
    correlation_id: str
    """Id of that turn: the same on each of its events, unique among calls."""


class UnknownEvent(Event):
    """An event that this version of the package does not know; its fields are attributes."""
