"""The rules of a conversation: its limits, who is listened to, and who answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.protocol.base import CallEvent, Event

MuteReason = Literal["muted", "held", "bot_speaking"]
_REASON = (
    "`muted`: by `call.mute`; `held`: the call is on hold; `bot_speaking`: the bot is heard, and "
    "`mute_while_speaking` is set."
)


class SessionCreated(CallEvent):
    """Follows `call.started`. Tells this connection of the caller's audio from every other one."""

    event: Literal["session.created"] = "session.created"
    interaction_id: str = Field(description="Unique among all connections of all calls.")


class SessionReady(CallEvent):
    """The engines of the call are warm, or did not get so within 5 s, and the caller is listened to. Once in a call;
    not in one that ends before."""

    event: Literal["session.ready"] = "session.ready"


class SessionIdleWarning(CallEvent):
    """The caller has said nothing for long: twice before `session.timeout`, at `idle_warning_seconds` before
    `idle_timeout_seconds` of silence, and when it is reached; then `idle_grace_seconds` follow.

    What the bot says, a running tool, an answer in the making, mute and hold stop this time; speech and keys of the
    caller, and `session.reset_idle`, set it back. Not sent for warnings that are switched off with 0.
    """

    event: Literal["session.idle_warning"] = "session.idle_warning"
    remaining_seconds: float = Field(
        ge=0, description="Until the idle timeout, as far as nobody says anything; 0: it is reached."
    )
    idle_timeout_seconds: float = Field(ge=0, description="As in `session_limits`.")


class SessionTimeout(CallEvent):
    """A limit of the call is reached: it ends, whatever comes. What the agent says in answer, within 1 s, or had
    said before, is heard first, for at most `farewell_seconds`; then `call.ended` comes with the same reason."""

    event: Literal["session.timeout"] = "session.timeout"
    reason: Literal["max_duration", "idle_timeout"] = Field(
        description="`idle_timeout`: the caller said nothing for too long; `max_duration`: the call is too long."
    )
    farewell_seconds: float = Field(ge=0, description="The longest time until the call ends, seconds.")


class UserMuteStarted(CallEvent):
    """The user is not listened to from here on. Several reasons may hold at a time; each has its
    `user.mute_stopped`, before `call.ended`."""

    event: Literal["user.mute_started"] = "user.mute_started"
    reason: MuteReason = Field(description=_REASON)


class UserMuteStopped(CallEvent):
    """A reason not to listen to the user is over. Where none is left, he is listened to again."""

    event: Literal["user.mute_stopped"] = "user.mute_stopped"
    reason: MuteReason = Field(description=_REASON)


class SessionPaused(Event):
    """Answers `session.pause`: the server's language model is silent in these calls."""

    event: Literal["session.paused"] = "session.paused"
    agent_id: str = Field(description="The agent, as spelled in the command.")
    session_id: str | None = Field(default=None, description="The call, where it is one.")
    contact: str | None = Field(default=None, description="Whose calls, as spelled in the command.")


class SessionResumed(Event):
    """Answers `session.resume`. A call stays paused while another level still holds for it."""

    event: Literal["session.resumed"] = "session.resumed"
    agent_id: str = Field(description="The agent, as spelled in the command.")
    session_id: str | None = Field(default=None, description="The call, where it is one.")
    contact: str | None = Field(default=None, description="Whose calls, as spelled in the command.")
