"""A call and its audio."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from server.protocol.base import CallEvent, Share
from server.protocol.tools import AskedTool

Direction = Literal["inbound", "outbound"]
Transport = Literal["phone", "webrtc", "bridge"]
RejectReason = Literal["rejected", "busy"]
RouteFailure = Literal["offline", "unknown", "no_phone_config", "capacity", "swap_failed"]
Answerer = Literal["human", "machine", "fax", "screening", "unknown"]


class EndReason(StrEnum):
    """Why a call ended."""

    HANGUP = "hangup"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    MAX_DURATION = "max_duration"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    CLIENT_HANGUP = "client_hangup"
    ROUTED = "routed"
    CHAT_COMPLETED = "chat_completed"
    CHAT_ERROR = "chat_error"


class HistoryMessage(BaseModel):
    """One utterance, as it was understood or heard; or a tool that was asked for, or its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant", "tool"] = Field(description="Who said it.")
    content: str = Field(
        description="What was said; of the bot only what the caller heard. Of a tool: its result, as the model "
        "is told it."
    )
    tool_calls: tuple[AskedTool, ...] | None = Field(
        default=None, description="What the `assistant` asks for; each has a `tool` message behind it."
    )
    tool_call_id: str | None = Field(default=None, description="Of a `tool` message: whose result it is.")


class LineUtterance(BaseModel):
    """Something that was said before the call was handed over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: Literal["caller", "line", "agent"] = Field(
        description="Who said it: `agent` is one that had the call."
    )
    text: str = Field(description="What; of line and agent what the caller heard.")
    at: int = Field(ge=0, description="When its sound began, milliseconds from the beginning of the call.")


class CallRinging(CallEvent):
    """A call came in on a phone channel with `ringing`, and is not answered yet: say `call.accept` or `call.reject`.
    Where nothing is said, it is answered after 5 s (`TALKWIRE_RINGING_S`). First event of such a call.

    A caller who gives up meanwhile is told by `call.ended` (`hangup`), without `call.started`.
    """

    event: Literal["call.ringing"] = "call.ringing"
    from_: str = Field(alias="from", description="As in `call.started`.")
    to: str = Field(description="As in `call.started`.")
    direction: Literal["inbound"] = Field(default="inbound", description="Who called: the other side.")
    metadata: dict[str, Any] | None = Field(default=None, description="As in `call.started`.")


class CallRejected(CallEvent):
    """The call was not answered, for the agent said `call.reject`. `call.ended` (`client_hangup`) follows."""

    event: Literal["call.rejected"] = "call.rejected"
    reason: RejectReason = Field(description="As in the command.")


class CallDialing(CallEvent):
    """The carrier has taken a call of `call.dial`: the other side does not ring yet. First event of such a call.

    `call.started` follows when somebody picks up, or `call.ended` when nobody does: `no_answer`, `busy`, `failed`,
    or `client_hangup` where it was given up by the agent.
    """

    event: Literal["call.dialing"] = "call.dialing"
    from_: str = Field(alias="from", description="The number that is shown to the other side.")
    to: str = Field(description="Who is called, as in the command.")
    direction: Literal["outbound"] = Field(default="outbound", description="Who called: the agent.")
    metadata: dict[str, Any] | None = Field(default=None, description="As in the command.")
    dial_id: str = Field(description="As in the `ack` of the command.")


class CallAnsweredBy(CallEvent):
    """What has picked up a call of `call.dial`, where that was to be found out (`machine_detection`), or where the
    first words are those of a voicemail or of a robot that screens calls. It may come twice, from both sources.
    """

    event: Literal["call.answered_by"] = "call.answered_by"
    answered_by: Answerer = Field(
        description="`machine`: a voicemail; `screening`: a robot that asks who calls, before somebody may pick up."
    )
    known_from: Literal["carrier", "transcript"] = Field(
        description="How that is known: from the carrier's detection, or from what was said."
    )
    detail: str | None = Field(
        default=None,
        description="The carrier's own word (`machine_end_beep`), or the words that gave it away.",
    )


class CallStarted(CallEvent):
    """A call was answered and its audio flows. First event of a call that neither rang for its agent nor was dialled.

    Of a line it comes when the caller has had the time to dial an extension. An agent that a call is handed over to is
    told of it as of a new one, with `routed_from`; the `seq` of the call goes on.

    Sent once more to an agent that connects again while the call goes on.
    """

    event: Literal["call.started"] = "call.started"
    from_: str = Field(
        alias="from",
        description="The caller's number; `webrtc` for a browser; the id of an agent that called.",
    )
    to: str = Field(description="The number that was called; for a browser the agent's id, so for a bridge.")
    direction: Direction = Field(description="Who called: `inbound` is the other side.")
    transport: Transport = Field(description="How the audio travels; `bridge`: to another agent, in memory.")
    metadata: dict[str, Any] | None = Field(
        default=None, description="What the channel knows of the call besides; values as they came."
    )
    language: str | None = Field(default=None, description="Language of the call, BCP-47 base tag.")
    owner: Literal["agent", "line"] | None = Field(
        default=None, description="`line`: a line has the call. `agent`: it was handed over to an agent."
    )
    extension: str | None = Field(
        default=None,
        description="Of a line, and of a call that comes from one: what the caller dialled within its "
        "`extension_window_ms`, or the user of the SIP address that he called. Absent: nothing.",
    )
    routed_from: str | None = Field(
        default=None, description="Who handed the call over: `line:<number>`, or `agent:<slug>`."
    )
    line_transcript: tuple[LineUtterance, ...] | None = Field(
        default=None, description="Of a call that was handed over: what was said until then, oldest first."
    )
    context: dict[str, str] | None = Field(
        default=None,
        description="Of a call that was handed over: what `set_context` and `call.route` have said, by their names.",
    )
    bridged_with: str | None = Field(
        default=None,
        description="Where the other side is an agent of this server (`bridge`): the id of its own call.",
    )
    transfer_of: str | None = Field(
        default=None,
        description="Where the other side is the human of a `call.transfer` with `consult`: the caller's call.",
    )


class CallUpdated(CallEvent):
    """`session.configure` has changed the language of the call. Comes before `session.configured`."""

    event: Literal["call.updated"] = "call.updated"
    language: str = Field(description="Language of the conversation from here on, without a region.")


class AgentState(CallEvent):
    """Whose move it is; told on each change, right behind what changed it. The first is `idle`, right behind
    `session.created`.
    """

    event: Literal["agent.state"] = "agent.state"
    state: Literal["idle", "listening", "thinking", "speaking"] = Field(
        description="`listening`: the user speaks, or pauses within a turn, also over a bot that has paused; "
        "`thinking`: an answer is owed or being made; `speaking`: the bot is heard; `idle`: none of these, and "
        "while the call is on hold."
    )


class HistorySnapshot(CallEvent):
    """The history as it stands, where `events.history_snapshot` asks for it: after a turn, after each message of
    the bot and after each command, where that has changed it.
    """

    event: Literal["history.snapshot"] = "history.snapshot"
    count: int = Field(ge=0, description="Messages of the history.")
    messages: tuple[HistoryMessage, ...] = Field(
        description="The last 50 of them, or fewer where they are long (100000 characters together), oldest first; "
        "of the bot what the caller heard."
    )


class CallMuted(CallEvent):
    """The user is not listened to any more: no turn begins, nothing is interrupted, and what he says is kept
    for `call.unmuted`. What he had said before is the end of his turn."""

    event: Literal["call.muted"] = "call.muted"
    by: Literal["agent", "user"] = Field(
        default="agent", description="Who muted: `user` is the caller himself, on the page of a browser call."
    )


class CallUnmuted(CallEvent):
    """The user is listened to again."""

    event: Literal["call.unmuted"] = "call.unmuted"
    muted_transcript: str = Field(description="What was understood of him meanwhile; empty: nothing.")


class CallHeld(CallEvent):
    """The call is on hold: neither side hears the other. A message that was being spoken is paused.

    So it is, too, while the audio connection of a call is lost and may come back, and while its carrier presses keys,
    forwards or transfers it.
    """

    event: Literal["call.held"] = "call.held"
    by: Literal["agent", "network"] = Field(
        default="agent",
        description="`network`: the caller's connection is lost, or used by the carrier; the agent need not do "
        "anything.",
    )


class CallUnheld(CallEvent):
    """The conversation goes on, and with it a message that was paused."""

    event: Literal["call.unheld"] = "call.unheld"


class CallDtmfReceived(CallEvent):
    """The other side pressed a key. It interrupts nothing, is no speech, and sets the idle time back; on hold and while
    muted it is told as well."""

    event: Literal["call.dtmf_received"] = "call.dtmf_received"
    digit: str = Field(description="The key: one of `0-9 * # A-D`.")
    digits: str = Field(description="All keys of the call so far, this one last; the last 1000.")


class CallDtmfSent(CallEvent):
    """The keys of `call.dtmf` were pressed, and both sides hear each other again. Once for each command."""

    event: Literal["call.dtmf_sent"] = "call.dtmf_sent"
    digits: str = Field(description="As in the command.")


class CallForwarded(CallEvent):
    """The other side of `call.forward` has picked up, and the caller speaks with it. `call.ended` (`hangup`) follows
    when one of them hangs up."""

    event: Literal["call.forwarded"] = "call.forwarded"
    to: str = Field(description="As in the command.")


class CallForwardFailed(CallEvent):
    """Nobody took the call over. The caller comes back to the agent: `call.unheld` follows, in the same call."""

    event: Literal["call.forward_failed"] = "call.forward_failed"
    to: str = Field(description="As in the command.")
    reason: Literal["busy", "no_answer", "failed", "canceled"] = Field(
        description="Why. `failed`: the number could not be reached."
    )
    detail: str | None = Field(default=None, description="Why, in words, as far as the carrier tells.")


class CallRouted(CallEvent):
    """Another agent goes on with the call, which `call.route` has asked for. `call.ended` (`routed`) follows for whoever
    had it; the caller notices nothing."""

    event: Literal["call.routed"] = "call.routed"
    agent: str = Field(description="Who has it now.")


class CallRouteFailed(CallEvent):
    """The call was not handed over: it stays where it is, and goes on as if nothing had been asked."""

    event: Literal["call.route_failed"] = "call.route_failed"
    agent: str = Field(description="As in the command.")
    reason: RouteFailure = Field(
        description="`offline`: its process is not connected. `unknown`: this server has never seen it. "
        "`no_phone_config`: it asks for engines that are not to be had, and the operator wants no others. `capacity`: "
        "the call was handed over too often. `swap_failed`: it could not be done now; `detail` says why."
    )
    detail: str | None = Field(default=None, description="Why, in words.")


class CallTransferring(CallEvent):
    """The caller waits in a conference, with music, and the human of `call.transfer` is being called. `call.held`
    (`network`) came before."""

    event: Literal["call.transferring"] = "call.transferring"
    to: str = Field(description="As in the command.")


class CallTransferred(CallEvent):
    """The human of `call.transfer` and the caller hear one another. `call.ended` (`hangup`) follows when one of them
    hangs up."""

    event: Literal["call.transferred"] = "call.transferred"
    to: str = Field(description="As in the command.")


class CallTransferFailed(CallEvent):
    """The human was not joined to the caller, who comes back to the agent: `call.unheld` follows, in the same call."""

    event: Literal["call.transfer_failed"] = "call.transfer_failed"
    to: str = Field(description="As in the command.")
    reason: Literal["busy", "no_answer", "failed", "canceled", "declined", "machine"] = Field(
        description="Why. `failed`: the number could not be reached, or the carrier refused; `declined`: he picked up "
        "and hung up again before he was joined; `canceled`: by the agent."
    )
    detail: str | None = Field(default=None, description="Why, in words, as far as the carrier tells.")


class CallEnded(CallEvent):
    """The call is over. Nothing but its `call.recording` follows.

    With the reason `routed` it is over for whoever had it, and goes on with another agent: see `call.routed`.
    """

    event: Literal["call.ended"] = "call.ended"
    reason: EndReason = Field(description="Why, for a program.")
    detail: str | None = Field(default=None, description="Why, in words.")
    duration_seconds: float = Field(ge=0, description="From `started_at` to `ended_at`, seconds.")
    started_at: float = Field(description="When it was answered, epoch seconds.")
    ended_at: float = Field(description="When it ended, epoch seconds.")
    messages: tuple[HistoryMessage, ...] = Field(
        description="The history of the call as the language model is given it, with its tools; where there is "
        "none, the transcript."
    )
    transcript: tuple[HistoryMessage, ...] = Field(
        description="What user and bot said, in order; of a call that was handed over since then."
    )
    direction: Direction = Field(description="As in `call.started`.")
    from_: str = Field(alias="from", description="As in `call.started`.")
    to: str = Field(description="As in `call.started`.")


class AudioMetrics(CallEvent):
    """The level of one side's audio, at the interval that was asked for; only with `send_audio_metrics`."""

    event: Literal["audio.metrics"] = "audio.metrics"
    source: Literal["user", "bot"] = Field(description="Whose audio.")
    energy_db: float = Field(ge=-60, le=0, description="Energy, decibels below full scale, -60 to 0.")
    rms: Share = Field(description="Root mean square, as a share of full scale, 0 to 1.")
    peak: Share = Field(description="Largest sample, as a share of full scale, 0 to 1.")
    is_speech: bool = Field(description="Whether it is taken for speech.")
    vad_prob: Share | None = Field(default=None, description="Probability of voice, 0 to 1; the user's only.")
    timestamp: float = Field(description="The end of the audio measured, epoch seconds.")
