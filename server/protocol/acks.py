"""What becomes of a command, and how that is told to a client that asked for it with ``ack``.

A door carries a command out, gets an ``Outcome`` of it and makes an ``Ack`` of the two. It does not matter
what kind of connection the command came by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from server.protocol.base import Command, Event
from server.protocol.errors import ErrorCode, ProtocolError
from server.protocol.replies import ErrorEvent

AckStatus = Literal["success", "error", "processing", "pending"]


class Ack(Event):
    """What became of a command that carried `ack`: sent once for each, behind all else that answers it.

    It belongs to the connection: it has no `seq` and is not repeated after a reconnect.
    """

    event: Literal["ack"] = "ack"
    ack: str = Field(description="As in the command.")
    command: str = Field(description="The `event` of the command; of an unknown one the first 60 characters.")
    status: AckStatus = Field(
        description="`success`: it is done. `processing`: it has begun, and events tell of its end. "
        "`pending`: it will begin when what comes before it is over. `error`: it had no effect."
    )
    agent_id: str | None = Field(default=None, description="The agent, as in the command.")
    call_id: str | None = Field(default=None, description="The call, where the command named one.")
    session_id: str | None = Field(default=None, description="The same as `call_id`.")
    code: ErrorCode | None = Field(default=None, description="With `error`: why, for a program.")
    message: str | None = Field(default=None, description="With `error`: why and what to do, for a human.")
    extras: dict[str, Any] | None = Field(
        default=None,
        description="More about it. Of a message: `message_id`, and `queue_length`, the messages that are to be "
        "heard, itself included. Of an error: what the `error` event says besides its text, and for "
        "`REPLY_REJECTED` the `reason`.",
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    status: AckStatus = "success"
    code: ErrorCode | None = None
    message: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)


DONE = Outcome()


def failed(code: ErrorCode, message: str, **extras: Any) -> Outcome:
    """It had no effect."""
    return Outcome("error", code, message, extras)


def outcome_of(error: ErrorEvent) -> Outcome:
    """It was refused, which this event tells."""
    told = error.model_dump(exclude_none=True, exclude=_NO_EXTRAS)
    return failed(error.code, error.error, **told)


_NO_EXTRAS = {"event", "error", "code", "agent_id", "call_id", "session_id"}


def ack_of(command: Command, outcome: Outcome) -> Ack | None:
    """What a command is told of its outcome; None where it did not ask."""
    if command.ack is None:
        return None
    call_id = getattr(command, "call_id", None) or getattr(command, "session_id", None)
    return _ack(command.ack, command.event, outcome, getattr(command, "agent_id", None), call_id)


def ack_of_action(ack: str | None, action: str, outcome: Outcome, agent_id: str, call_id: str) -> Ack | None:
    """The same for an action of a page, which concerns its own call."""
    return None if ack is None else _ack(ack, action, outcome, agent_id, call_id)


def ack_of_refused(error: ProtocolError) -> Ack | None:
    """The same for a message that was refused before it could be carried out."""
    if error.ack is None:
        return None
    extras = {} if error.key is None else {"key": error.key}
    outcome = failed(error.code, error.message, **extras)
    return _ack(error.ack, error.command, outcome, error.agent_id, error.call_id)


def _ack(ack: str, command: str, outcome: Outcome, agent_id: str | None, call_id: str | None) -> Ack:
    return Ack(
        ack=ack,
        command=command,
        status=outcome.status,
        agent_id=agent_id,
        call_id=call_id,
        session_id=call_id,
        code=outcome.code,
        message=outcome.message or None,
        extras=dict(outcome.extras) or None,
    )
