"""Events that no server sends: what this process knows of its connection, its calls and its handlers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from talkwire_agent.base import CallEvent, Event
from talkwire_agent.events import ErrorEvent


class Disconnected(Event):
    """The connection is gone. Calls go on for a while, and come back with the connection."""

    event: Literal["disconnected"] = "disconnected"
    reason: str
    """What the server, or the network, gave as the reason."""
    close_code: int | None = None
    """The code of the close frame."""
    retry_in_s: float | None = None
    """When it is tried again, seconds; None: it is not."""


class CallResumed(CallEvent):
    """A call that this process knows goes on after the connection was lost; what it missed follows. Where it
    does not know the call, for it was started anew meanwhile, ``call.started`` comes instead."""

    event: Literal["call.resumed"] = "call.resumed"


class HandlerFailed(ErrorEvent):
    """A handler raised. Handlers of ``error`` get it; what they raise themselves is only logged."""

    exception: Any = Field(default=None, exclude=True)
    """What was raised."""
    failed_event: Any = Field(default=None, exclude=True)
    """The event that was being handled."""


LOCAL: dict[str, type[Event]] = {"disconnected": Disconnected, "call.resumed": CallResumed}
