"""What the server says about the connection and its registrations, and what went wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from server.protocol.base import PROTOCOL, AnswerEvent, Event
from server.protocol.errors import ErrorCode, WarningCode


class Connected(Event):
    """The API key was accepted: agents may be created."""

    event: Literal["connected"] = "connected"
    protocol: str = Field(default=PROTOCOL, description="The protocol that the server speaks.")
    version: str | None = Field(default=None, description="Version of the server.")


class ServerPing(Event):
    """The server asks whether the client is alive. Answer with `pong`."""

    event: Literal["ping"] = "ping"


class ServerPong(Event):
    """Answers the client's `ping`."""

    event: Literal["pong"] = "pong"
    timestamp: float = Field(description="The server's time, epoch seconds.")


class AgentCreated(Event):
    """The agent is registered. Channels may be added now."""

    event: Literal["agent.created"] = "agent.created"
    agent_id: str = Field(description="The agent, as spelled in `agent.create`.")


class ResumedCall(BaseModel):
    """A call that the agent is given back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    call_id: str = Field(description="The call.")
    last_seq: int = Field(ge=0, description="The last event that there is of it.")
    live: bool = Field(description="False: it ended meanwhile, and its last events follow.")


class AgentResumed(Event):
    """The agent is given calls back, for a client that gave `resume` in `connect`. Comes after `agent.created`, and
    before the events that were missed; once more where a call comes back later, for its earlier connection is
    only then found dead.
    """

    event: Literal["agent.resumed"] = "agent.resumed"
    agent_id: str = Field(description="The agent, as spelled in `agent.create`.")
    calls: tuple[ResumedCall, ...] = Field(
        description="The calls that it is given back. One that `resume` did not name is announced by "
        "`call.started`."
    )
    gone: tuple[str, ...] = Field(
        description="Calls named in `resume` that the server does not know (any more): nothing more comes of them."
    )


class AgentConfigured(Event):
    """The changed keys hold for calls from now on."""

    event: Literal["agent.configured"] = "agent.configured"
    agent_id: str = Field(description="The agent, as spelled in `agent.configure`.")


class SessionConfigured(Event):
    """The changed keys hold for this call from now on."""

    event: Literal["session.configured"] = "session.configured"
    session_id: str = Field(description="The call.")


class AgentDisplaced(Event):
    """The agent now belongs to another connection, or was deleted. Do not create it again by yourself.

    Other agents of the connection stay. With its last one the socket closes with 4001.
    """

    event: Literal["agent.displaced"] = "agent.displaced"
    agent_id: str = Field(description="The agent.")
    reason: str = Field(description="What happened, in words.")


class ChannelAdded(Event):
    """Calls of this channel reach the agent from now on."""

    event: Literal["channel.added"] = "channel.added"
    agent_id: str = Field(description="The agent.")
    type: str = Field(description="Kind of channel.")
    ref: str | None = Field(default=None, description="As it was typed; absent for a channel without one.")


class ChannelConfigured(Event):
    """The changed overrides hold for calls of this channel from now on."""

    event: Literal["channel.configured"] = "channel.configured"
    agent_id: str = Field(description="The agent.")
    ref: str = Field(description="The channel, as in the command.")


class ChannelRemoved(Event):
    """No further call of this channel reaches the agent."""

    event: Literal["channel.removed"] = "channel.removed"
    agent_id: str = Field(description="The agent.")
    ref: str = Field(description="The channel, as in the command.")


class LineCreated(Event):
    """Calls to the number reach this connection from now on."""

    event: Literal["line.created"] = "line.created"
    number: str = Field(description="As in the command.")


class LineError(Event):
    """A line could not be made, or was lost to another connection."""

    event: Literal["line.error"] = "line.error"
    number: str = Field(description="As in the command.")
    code: Literal["LINE_CONFLICT", "LINE_CONFIG_ERROR"] = Field(
        description="`LINE_CONFLICT`: another live connection, or an agent, answers the number. `LINE_CONFIG_ERROR`: the "
        "number or a key of the configuration is wrong, or asks for what is not to be had."
    )
    error: str = Field(description="What is wrong and what to do about it, for a human.")


class LineDestroyed(Event):
    """No further call to the number reaches this connection as a line."""

    event: Literal["line.destroyed"] = "line.destroyed"
    number: str = Field(description="As in the command.")


class ErrorEvent(AnswerEvent):
    """Something that the client asked for failed, or an engine failed in one of its calls.

    With a `seq` it is an event of that call, and the call goes on.
    """

    event: Literal["error"] = "error"
    error: str = Field(description="What is wrong and what to do about it, for a human.")
    code: ErrorCode = Field(description="The same for a program: see the table of codes.")
    key: str | None = Field(
        default=None, description="Path of the field at fault, for example `vad.threshold`."
    )
    phone: str | None = Field(default=None, description="For `PHONE_IN_USE`: the number, as it was typed.")
    retry_after_s: float | None = Field(
        default=None,
        ge=0,
        description="For `AGENT_CONFLICT`, `SERVER_AT_CAPACITY` and `DIAL_QUEUE_FULL`: when to try again, seconds.",
    )
    used: int | None = Field(default=None, ge=0, description="For `SERVER_AT_CAPACITY`: agents online.")
    limit: int | None = Field(default=None, ge=0, description="For `SERVER_AT_CAPACITY`: how many may be.")
    holder_alive: bool | None = Field(
        default=None, description="For `AGENT_CONFLICT`: whether the owner was heard from in the last 45 s."
    )
    provider: str | None = Field(default=None, description="The engine that failed.")
    stage: str | None = Field(default=None, description="What it does: `stt`, `tts`, `llm` or `vad`.")
    retryable: bool | None = Field(default=None, description="Whether the same may work when tried again.")
    fallback: str | None = Field(
        default=None,
        description="The engine that takes its place, perhaps the same once more; absent: what it was to do "
        "is not done.",
    )


class ServerWarning(AnswerEvent):
    """A command was carried out, or a call begun, but not in all that was asked. Sent once for each."""

    event: Literal["server.warning"] = "server.warning"
    warning: str = Field(description="What has no effect or was replaced, and what to do, for a human.")
    code: WarningCode = Field(description="The same for a program: see the table of codes.")
    keys: tuple[str, ...] | None = Field(
        default=None,
        description="Paths of the keys it is about, for example `config.speaker_filter`, or other names as the "
        "code says.",
    )
