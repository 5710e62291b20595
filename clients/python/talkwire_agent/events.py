"""All that a server says, as classes. Made by ``generate.py``; do not edit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from talkwire_agent.base import CallEvent, Event, Part, TurnEvent
from talkwire_agent.recorded import RecordedEvent

ErrorCode = Literal[
    "UNAUTHORIZED",
    "BAD_MESSAGE",
    "UNKNOWN_EVENT",
    "REGISTRATION_ERROR",
    "PROVIDER_KEY_REQUIRED",
    "AGENT_CONFLICT",
    "AGENT_UNKNOWN",
    "SERVER_AT_CAPACITY",
    "PHONE_IN_USE",
    "CHANNEL_UNSUPPORTED",
    "CHANNEL_UNKNOWN",
    "CALL_UNKNOWN",
    "CALL_NOT_RINGING",
    "CALL_BUSY",
    "FORWARD_REFUSED",
    "ROUTE_REFUSED",
    "LINE_CONFLICT",
    "LINE_CONFIG_ERROR",
    "LINE_UNKNOWN",
    "TRANSFER_REFUSED",
    "MESSAGE_UNKNOWN",
    "CANCEL_REFUSED",
    "REPLY_REJECTED",
    "RESULT_UNKNOWN",
    "SESSION_UNKNOWN",
    "MEDIA_REFUSED",
    "DIAL_REFUSED",
    "BRIDGE_REFUSED",
    "CALLER_ID_REFUSED",
    "DIAL_QUEUE_FULL",
    "CARRIER_ERROR",
    "CARRIER_UNSUPPORTED",
    "PROVIDER_ERROR",
    "STT_BUSY",
    "TTS_BUSY",
    "LLM_BUSY",
    "PROVIDER_TIMEOUT",
    "PROVIDER_UNAVAILABLE",
    "NOT_RECORDED",
    "SKILL_UNKNOWN",
    "REQUEST_REFUSED",
    "INTERNAL_ERROR",
]
"""``error.code``."""
WarningCode = Literal[
    "UNKNOWN_KEYS",
    "LANGUAGE_UNSUPPORTED",
    "PROVIDER_SUBSTITUTED",
    "LLM_NOT_CONFIGURED",
    "PROVIDER_PROBLEM",
    "UNKNOWN_VARIABLE",
    "PROMPT_TOO_LONG",
    "SKILL_UNKNOWN",
    "TOOL_RESULT_UNKNOWN",
    "NOT_ON_A_LINE",
    "RECORDING_FAILED",
    "EVENTS_LOST",
    "CURSOR_UNKNOWN",
]
"""``server.warning.code``."""
TurnReason = Literal[
    "silence",
    "transcript",
    "model",
    "provider",
    "forced",
    "typed",
]
"""On what evidence a turn signal rests: what moved it most from where silence alone would have put it;
`typed`: the user has written it.
"""
ToolErrorCode = Literal[
    "timeout",
    "bad_arguments",
    "unknown_tool",
    "agent_gone",
    "error",
]
"""Why a tool gave no result."""
MessageAbortedReason = Literal[
    "early",
    "new_turn",
    "cancelled",
    "call_ended",
    "duplicate_greeting",
]
CallRouteFailedReason = Literal[
    "offline",
    "unknown",
    "no_phone_config",
    "capacity",
    "swap_failed",
]
CallTransferFailedReason = Literal[
    "busy",
    "no_answer",
    "failed",
    "canceled",
    "declined",
    "machine",
]
EndReason = Literal[
    "hangup",
    "timeout",
    "idle_timeout",
    "max_duration",
    "no_answer",
    "busy",
    "failed",
    "client_hangup",
    "routed",
    "chat_completed",
    "chat_error",
]
"""Why a call ended."""


class ResumedCall(Part):
    """A call that the agent is given back."""

    call_id: str
    """The call."""
    last_seq: int
    """The last event that there is of it."""
    live: bool
    """False: it ended meanwhile, and its last events follow."""


class AskedFunction(Part):
    """What a call of a tool names."""

    name: str
    """The tool."""
    arguments: str
    """What it was given: an object, as JSON text."""


class AskedTool(Part):
    """A call of a tool as it stands in a history, in the shape that models' endpoints take it."""

    id: str
    """The call; its result names it."""
    type: Literal["function"] | str
    """Always this."""
    function: AskedFunction
    """Which tool, and what it was given."""


class HistoryMessage(Part):
    """One utterance, as it was understood or heard; or a tool that was asked for, or its result."""

    role: Literal["system", "user", "assistant", "tool"] | str
    """Who said it."""
    content: str
    """What was said; of the bot only what the caller heard. Of a tool: its result, as the model is told it.
    """
    tool_calls: tuple[AskedTool, ...] | None = None
    """What the `assistant` asks for; each has a `tool` message behind it."""
    tool_call_id: str | None = None
    """Of a `tool` message: whose result it is."""


class LineUtterance(Part):
    """Something that was said before the call was handed over."""

    who: Literal["caller", "line", "agent"] | str
    """Who said it: `agent` is one that had the call."""
    text: str
    """What; of line and agent what the caller heard."""
    at: int
    """When its sound began, milliseconds from the beginning of the call."""


class TurnLatency(Part):
    """What `turn.metrics` tells of times."""

    vad_ms: int | None = None
    """From the end of the user's voice to `speech.ended`: until it was clear that it was the end,
    milliseconds.
    """
    endpointing_ms: int | None = None
    """From the end of the user's voice to `turn.end`, milliseconds."""
    stt_ms: int | None = None
    """From the end of the user's voice to the last text of the turn, milliseconds."""
    llm_first_token_ms: int | None = None
    """From the request for this message to the first of its text, milliseconds; absent where the agent
    process answers.
    """
    agent_ms: int | None = None
    """Where the agent process answers: from the turn signal (`eager.turn`) to the first text of the answer,
    milliseconds.
    """
    tts_first_byte_ms: int | None = None
    """From the request for the first sentence to the first of its sound, milliseconds."""
    transport_ms: int | None = None
    """From the first audio that is handed to the line to the ear, as far as the line tells, milliseconds."""
    total_ms: int | None = None
    """From the end of the user's voice to the first sound of the answer in the ear, milliseconds. More than
    the parts together where the agent got ready, tools ran, or the first sentence came slowly.
    """


class Usage(Part):
    """What an answer cost, as far as the engine tells."""

    input_tokens: int | None = None
    """Tokens of what the model was told."""
    output_tokens: int | None = None
    """Tokens of what it gave."""


class ToolCall(Part):
    """One call of a tool."""

    id: str
    """The call; its result names it."""
    name: str
    """The tool."""
    arguments: str
    """What it is given: an object, as JSON text."""


class Connected(Event):
    """The API key was accepted: agents may be created."""

    event: Literal["connected"] = "connected"
    protocol: str
    """The protocol that the server speaks."""
    version: str | None = None
    """Version of the server."""


class AgentCreated(Event):
    """The agent is registered. Channels may be added now."""

    event: Literal["agent.created"] = "agent.created"
    agent_id: str
    """The agent, as spelled in `agent.create`."""


class AgentResumed(Event):
    """The agent is given calls back, for a client that gave `resume` in `connect`. Comes after
    `agent.created`, and before the events that were missed; once more where a call comes back later, for
    its earlier connection is only then found dead.
    """

    event: Literal["agent.resumed"] = "agent.resumed"
    agent_id: str
    """The agent, as spelled in `agent.create`."""
    calls: tuple[ResumedCall, ...]
    """The calls that it is given back. One that `resume` did not name is announced by `call.started`."""
    gone: tuple[str, ...]
    """Calls named in `resume` that the server does not know (any more): nothing more comes of them."""


class AgentConfigured(Event):
    """The changed keys hold for calls from now on."""

    event: Literal["agent.configured"] = "agent.configured"
    agent_id: str
    """The agent, as spelled in `agent.configure`."""


class SessionConfigured(Event):
    """The changed keys hold for this call from now on."""

    event: Literal["session.configured"] = "session.configured"
    session_id: str
    """The call."""


class AgentDisplaced(Event):
    """The agent now belongs to another connection, or was deleted. Do not create it again by yourself.

    Other agents of the connection stay. With its last one the socket closes with 4001.
    """

    event: Literal["agent.displaced"] = "agent.displaced"
    agent_id: str
    """The agent."""
    reason: str
    """What happened, in words."""


class ChannelAdded(Event):
    """Calls of this channel reach the agent from now on."""

    event: Literal["channel.added"] = "channel.added"
    agent_id: str
    """The agent."""
    type: str
    """Kind of channel."""
    ref: str | None = None
    """As it was typed; absent for a channel without one."""


class ChannelConfigured(Event):
    """The changed overrides hold for calls of this channel from now on."""

    event: Literal["channel.configured"] = "channel.configured"
    agent_id: str
    """The agent."""
    ref: str
    """The channel, as in the command."""


class ChannelRemoved(Event):
    """No further call of this channel reaches the agent."""

    event: Literal["channel.removed"] = "channel.removed"
    agent_id: str
    """The agent."""
    ref: str
    """The channel, as in the command."""


class LineCreated(Event):
    """Calls to the number reach this connection from now on."""

    event: Literal["line.created"] = "line.created"
    number: str
    """As in the command."""


class LineError(Event):
    """A line could not be made, or was lost to another connection."""

    event: Literal["line.error"] = "line.error"
    number: str
    """As in the command."""
    code: Literal["LINE_CONFLICT", "LINE_CONFIG_ERROR"] | str
    """`LINE_CONFLICT`: another live connection, or an agent, answers the number. `LINE_CONFIG_ERROR`: the
    number or a key of the configuration is wrong, or asks for what is not to be had.
    """
    error: str
    """What is wrong and what to do about it, for a human."""


class LineDestroyed(Event):
    """No further call to the number reaches this connection as a line."""

    event: Literal["line.destroyed"] = "line.destroyed"
    number: str
    """As in the command."""


class ServerPing(Event):
    """The server asks whether the client is alive. Answer with `pong`."""

    event: Literal["ping"] = "ping"


class ServerPong(Event):
    """Answers the client's `ping`."""

    event: Literal["pong"] = "pong"
    timestamp: float
    """The server's time, epoch seconds."""


class ErrorEvent(Event):
    """Something that the client asked for failed, or an engine failed in one of its calls.

    With a `seq` it is an event of that call, and the call goes on.
    """

    event: Literal["error"] = "error"
    agent_id: str | None = None
    """The agent, exactly as the client spelled it."""
    call_id: str | None = None
    """The call, where it concerns one."""
    session_id: str | None = None
    """The same as `call_id`."""
    seq: int | None = None
    """Place among the events of the call; absent where it is none of them."""
    ts: float | None = None
    """When the event was made, epoch seconds."""
    turn_id: int | None = None
    """The user's turn, where it concerns one."""
    correlation_id: str | None = None
    """Id of that turn."""
    error: str
    """What is wrong and what to do about it, for a human."""
    code: ErrorCode | str
    """The same for a program: see the table of codes."""
    key: str | None = None
    """Path of the field at fault, for example `vad.threshold`."""
    phone: str | None = None
    """For `PHONE_IN_USE`: the number, as it was typed."""
    retry_after_s: float | None = None
    """For `AGENT_CONFLICT`, `SERVER_AT_CAPACITY` and `DIAL_QUEUE_FULL`: when to try again, seconds."""
    used: int | None = None
    """For `SERVER_AT_CAPACITY`: agents online."""
    limit: int | None = None
    """For `SERVER_AT_CAPACITY`: how many may be."""
    holder_alive: bool | None = None
    """For `AGENT_CONFLICT`: whether the owner was heard from in the last 45 s."""
    provider: str | None = None
    """The engine that failed."""
    stage: str | None = None
    """What it does: `stt`, `tts`, `llm` or `vad`."""
    retryable: bool | None = None
    """Whether the same may work when tried again."""
    fallback: str | None = None
    """The engine that takes its place, perhaps the same once more; absent: what it was to do is not done."""


class ServerWarning(Event):
    """A command was carried out, or a call begun, but not in all that was asked. Sent once for each."""

    event: Literal["server.warning"] = "server.warning"
    agent_id: str | None = None
    """The agent, exactly as the client spelled it."""
    call_id: str | None = None
    """The call, where it concerns one."""
    session_id: str | None = None
    """The same as `call_id`."""
    seq: int | None = None
    """Place among the events of the call; absent where it is none of them."""
    ts: float | None = None
    """When the event was made, epoch seconds."""
    turn_id: int | None = None
    """The user's turn, where it concerns one."""
    correlation_id: str | None = None
    """Id of that turn."""
    warning: str
    """What has no effect or was replaced, and what to do, for a human."""
    code: WarningCode | str
    """The same for a program: see the table of codes."""
    keys: tuple[str, ...] | None = None
    """Paths of the keys it is about, for example `config.speaker_filter`, or other names as the code says."""


class Ack(Event):
    """What became of a command that carried `ack`: sent once for each, behind all else that answers it.

    It belongs to the connection: it has no `seq` and is not repeated after a reconnect.
    """

    event: Literal["ack"] = "ack"
    ack: str
    """As in the command."""
    command: str
    """The `event` of the command; of an unknown one the first 60 characters."""
    status: Literal["success", "error", "processing", "pending"] | str
    """`success`: it is done. `processing`: it has begun, and events tell of its end. `pending`: it will
    begin when what comes before it is over. `error`: it had no effect.
    """
    agent_id: str | None = None
    """The agent, as in the command."""
    call_id: str | None = None
    """The call, where the command named one."""
    session_id: str | None = None
    """The same as `call_id`."""
    code: ErrorCode | str | None = None
    """With `error`: why, for a program."""
    message: str | None = None
    """With `error`: why and what to do, for a human."""
    extras: dict[str, Any] | None = None
    """More about it. Of a message: `message_id`, and `queue_length`, the messages that are to be heard,
    itself included. Of an error: what the `error` event says besides its text, and for `REPLY_REJECTED` the
    `reason`.
    """


class SessionPaused(Event):
    """Answers `session.pause`: the server's language model is silent in these calls."""

    event: Literal["session.paused"] = "session.paused"
    agent_id: str
    """The agent, as spelled in the command."""
    session_id: str | None = None
    """The call, where it is one."""
    contact: str | None = None
    """Whose calls, as spelled in the command."""


class SessionResumed(Event):
    """Answers `session.resume`. A call stays paused while another level still holds for it."""

    event: Literal["session.resumed"] = "session.resumed"
    agent_id: str
    """The agent, as spelled in the command."""
    session_id: str | None = None
    """The call, where it is one."""
    contact: str | None = None
    """Whose calls, as spelled in the command."""


class HistoryData(Event):
    """Answers `history.get`."""

    event: Literal["history.data"] = "history.data"
    agent_id: str | None = None
    """The agent that has the call."""
    call_id: str
    """The call, as in the command."""
    request_id: str
    """As in the command."""
    messages: tuple[HistoryMessage, ...]
    """What was said and heard so far, with tools; without the prompt."""
    error: str | None = None
    """Why there is none."""


class HistoryUpdated(Event):
    """Answers the other commands of `history`."""

    event: Literal["history.updated"] = "history.updated"
    agent_id: str | None = None
    """The agent that has the call."""
    call_id: str
    """The call, as in the command."""
    request_id: str
    """As in the command."""
    count: int
    """Messages of the history now, without the prompt."""
    error: str | None = None
    """Why nothing was changed."""


class CallRinging(CallEvent):
    """A call came in on a phone channel with `ringing`, and is not answered yet: say `call.accept` or
    `call.reject`. Where nothing is said, it is answered after 5 s (`TALKWIRE_RINGING_S`). First event of
    such a call.

    A caller who gives up meanwhile is told by `call.ended` (`hangup`), without `call.started`.
    """

    event: Literal["call.ringing"] = "call.ringing"
    from_: str = Field(alias="from")
    """As in `call.started`."""
    to: str
    """As in `call.started`."""
    direction: Literal["inbound"] | str
    """Who called: the other side."""
    metadata: dict[str, Any] | None = None
    """As in `call.started`."""


class CallRejected(CallEvent):
    """The call was not answered, for the agent said `call.reject`. `call.ended` (`client_hangup`) follows."""

    event: Literal["call.rejected"] = "call.rejected"
    reason: Literal["rejected", "busy"] | str
    """As in the command."""


class CallDialing(CallEvent):
    """The carrier has taken a call of `call.dial`: the other side does not ring yet. First event of such a
    call.

    `call.started` follows when somebody picks up, or `call.ended` when nobody does: `no_answer`, `busy`,
    `failed`, or `client_hangup` where it was given up by the agent.
    """

    event: Literal["call.dialing"] = "call.dialing"
    from_: str = Field(alias="from")
    """The number that is shown to the other side."""
    to: str
    """Who is called, as in the command."""
    direction: Literal["outbound"] | str
    """Who called: the agent."""
    metadata: dict[str, Any] | None = None
    """As in the command."""
    dial_id: str
    """As in the `ack` of the command."""


class CallStarted(CallEvent):
    """A call was answered and its audio flows. First event of a call that neither rang for its agent nor
    was dialled.

    Of a line it comes when the caller has had the time to dial an extension. An agent that a call is handed
    over to is told of it as of a new one, with `routed_from`; the `seq` of the call goes on.

    Sent once more to an agent that connects again while the call goes on.
    """

    event: Literal["call.started"] = "call.started"
    from_: str = Field(alias="from")
    """The caller's number; `webrtc` for a browser; the id of an agent that called."""
    to: str
    """The number that was called; for a browser the agent's id, so for a bridge."""
    direction: Literal["inbound", "outbound"] | str
    """Who called: `inbound` is the other side."""
    transport: Literal["phone", "webrtc", "bridge"] | str
    """How the audio travels; `bridge`: to another agent, in memory."""
    metadata: dict[str, Any] | None = None
    """What the channel knows of the call besides; values as they came."""
    language: str | None = None
    """Language of the call, BCP-47 base tag."""
    owner: Literal["agent", "line"] | str | None = None
    """`line`: a line has the call. `agent`: it was handed over to an agent."""
    extension: str | None = None
    """Of a line, and of a call that comes from one: what the caller dialled within its
    `extension_window_ms`, or the user of the SIP address that he called. Absent: nothing.
    """
    routed_from: str | None = None
    """Who handed the call over: `line:<number>`, or `agent:<slug>`."""
    line_transcript: tuple[LineUtterance, ...] | None = None
    """Of a call that was handed over: what was said until then, oldest first."""
    context: dict[str, str] | None = None
    """Of a call that was handed over: what `set_context` and `call.route` have said, by their names."""
    bridged_with: str | None = None
    """Where the other side is an agent of this server (`bridge`): the id of its own call."""
    transfer_of: str | None = None
    """Where the other side is the human of a `call.transfer` with `consult`: the caller's call."""


class CallAnsweredBy(CallEvent):
    """What has picked up a call of `call.dial`, where that was to be found out (`machine_detection`), or
    where the first words are those of a voicemail or of a robot that screens calls. It may come twice, from
    both sources.
    """

    event: Literal["call.answered_by"] = "call.answered_by"
    answered_by: Literal["human", "machine", "fax", "screening", "unknown"] | str
    """`machine`: a voicemail; `screening`: a robot that asks who calls, before somebody may pick up."""
    known_from: Literal["carrier", "transcript"] | str
    """How that is known: from the carrier's detection, or from what was said."""
    detail: str | None = None
    """The carrier's own word (`machine_end_beep`), or the words that gave it away."""


class SessionCreated(CallEvent):
    """Follows `call.started`. Tells this connection of the caller's audio from every other one."""

    event: Literal["session.created"] = "session.created"
    interaction_id: str
    """Unique among all connections of all calls."""


class SessionReady(CallEvent):
    """The engines of the call are warm, or did not get so within 5 s, and the caller is listened to. Once
    in a call; not in one that ends before.
    """

    event: Literal["session.ready"] = "session.ready"


class AgentState(CallEvent):
    """Whose move it is; told on each change, right behind what changed it. The first is `idle`, right
    behind `session.created`.
    """

    event: Literal["agent.state"] = "agent.state"
    state: Literal["idle", "listening", "thinking", "speaking"] | str
    """`listening`: the user speaks, or pauses within a turn, also over a bot that has paused; `thinking`:
    an answer is owed or being made; `speaking`: the bot is heard; `idle`: none of these, and while the call
    is on hold.
    """


class TurnStarted(TurnEvent):
    """A turn of the user begins. Once, before all other events that carry its `turn_id`.

    Speech over the bot, or of a user who is not listened to, may be announced with the coming turn and turn
    out to be nothing: the next words then belong to that turn all the same.
    """

    event: Literal["turn.started"] = "turn.started"
    index: int
    """Counts the turns of this call, from 1."""


class SpeechStarted(TurnEvent):
    """The user began to speak: there is voice, nothing is understood yet.

    Over the bot `turn_id` is the turn that the speech will belong to if it cuts the bot off; the
    `segment_ids` of `user.message` say to which turn it did belong.
    """

    event: Literal["speech.started"] = "speech.started"
    confidence: float
    """How sure it is that this is voice, 0 to 1."""
    timestamp: float
    """The onset, back-dated to the first voiced sample, epoch seconds."""
    segment_id: int
    """The stretch of speech; its end carries the same."""


class SpeechEnded(TurnEvent):
    """The user fell silent. Each `speech.started` has exactly one."""

    event: Literal["speech.ended"] = "speech.ended"
    duration_ms: int
    """Onset to end of voice, without the silence that was waited out, milliseconds."""
    timestamp: float
    """The end of voice, epoch seconds."""
    segment_id: int
    """The stretch of speech."""


class UserSpeaking(TurnEvent):
    """An interim transcript of the turn. Each replaces the one before."""

    event: Literal["user.speaking"] = "user.speaking"
    text: str
    """All of the turn so far, the interim part last."""
    confidence: float
    """How sure the recogniser is, 0 to 1."""
    confirmed_text: str
    """The part of it that will not change any more."""


class UserMessage(TurnEvent):
    """The recogniser is done with what was said so far. Repeated with the same `message_id` when the turn
    grows or the text gets better.
    """

    event: Literal["user.message"] = "user.message"
    text: str
    """All of the turn so far."""
    message_id: str
    """What a reply names in `in_reply_to`."""
    confidence: float
    """How sure the recogniser is, 0 to 1."""
    language: str | None = None
    """Language that was recognised, BCP-47, where the recogniser tells it."""
    lag_ms: int | None = None
    """From the end of the voice that was understood last to this event, milliseconds; absent where that
    voice goes on.
    """
    segment_ids: tuple[int, ...]
    """The stretches of speech it was understood from."""


class EagerTurn(TurnEvent):
    """The user has probably finished: work on an answer may begin, and is void on `turn.continued`."""

    event: Literal["eager.turn"] = "eager.turn"
    message_id: str
    """What a reply names in `in_reply_to`."""
    text: str
    """All of the turn."""
    probability: float
    """How likely the turn is over, 0 to 1."""
    latency_ms: int
    """End of voice to this event, milliseconds."""
    reason: TurnReason | str
    """The evidence: `silence` by itself; `transcript`: the words; `model`: how it sounded; `provider`: the
    recogniser said so; `forced`: it was waited for in vain, or the call was muted.
    """


class TurnPause(TurnEvent):
    """The user has paused, and has probably not finished. Once for each silence, where no turn signal went
    out before; `turn.resumed`, `eager.turn` or `turn.end` follows.
    """

    event: Literal["turn.pause"] = "turn.pause"
    probability: float
    """How likely the turn is over all the same, 0 to 1."""
    latency_ms: int
    """End of voice to this event, milliseconds."""


class TurnResumed(TurnEvent):
    """The user went on after a `turn.pause`. No turn signal had gone out: nothing is void."""

    event: Literal["turn.resumed"] = "turn.resumed"
    timestamp: float
    """When that was sure, epoch seconds."""


class TurnEnd(TurnEvent):
    """The user has finished. This is the moment to reply."""

    event: Literal["turn.end"] = "turn.end"
    message_id: str
    """What a reply names in `in_reply_to`."""
    text: str
    """All of the turn."""
    probability: float
    """How likely the turn is over, 0 to 1."""
    latency_ms: int
    """End of voice to this event, milliseconds."""
    reason: TurnReason | str
    """The evidence: `silence` by itself; `transcript`: the words; `model`: how it sounded; `provider`: the
    recogniser said so; `forced`: it was waited for in vain, or the call was muted.
    """
    source: Literal["bot"] | str | None = None
    """`bot`: the user is an agent that was called with `call.bridge`; else absent."""


class TurnContinued(TurnEvent):
    """The user went on after a turn signal: what was prepared as an answer is discarded."""

    event: Literal["turn.continued"] = "turn.continued"
    timestamp: float
    """When the user went on, epoch seconds."""


class LlmBefore(CallEvent):
    """An answer of the language model is about to be made. Change what it is to know (variables, contexts,
    the history), then send `llm.ready`: it waits for that, as long as `preparing` says.

    Sent as soon as the turn looks over, so that it may go on: then (`turn.continued`) this is sent again
    for the same turn, and wants an `llm.ready` of its own. Turn 0 comes once, between `call.started` and
    the greeting. Not sent while the agent is away; nor, where `preparing` is not set, any more to an agent
    that has not said `llm.ready` in three turns in a row.
    """

    event: Literal["llm.before"] = "llm.before"
    turn: int
    """The turn; 0: the greeting. `llm.ready` repeats it."""


class LlmPreparingTimeout(CallEvent):
    """The agent did not say `llm.ready` in time: the answer is made without waiting any longer. Sent only
    where the agent has set `preparing`.
    """

    event: Literal["llm.preparing_timeout"] = "llm.preparing_timeout"
    turn: int
    """As in `llm.before`."""
    waited_ms: int
    """How long it was waited for, milliseconds."""
    budget_ms: int
    """How long it may be waited for, milliseconds."""


class TurnCompleted(TurnEvent):
    """A turn is over, its answer too. Once for each `turn.started`: when the last answer has come to its
    end and the server makes no more of it; else when the user has the word in a later turn, or the call
    ends.

    What an agent says later, unasked, still carries the `turn_id`; so does a tool that ends later.
    """

    event: Literal["turn.completed"] = "turn.completed"
    messages_spoken: int
    """Answers of which the history keeps something."""
    interrupted: bool
    """The last answer that was heard was cut off."""
    aborted: bool
    """Nothing was answered, or none of it was kept."""
    duration_ms: int
    """From `turn.started` to this event, milliseconds."""
    latency: TurnLatency | None = None
    """How long its answer took, also where `turn.metrics` is not told; absent: none was heard."""


class TurnMetrics(TurnEvent):
    """How long the answer to a turn took. Once for an answered turn, right behind the `bot.speaking` of its
    first answer; a word that the answer takes a while is none. Where the turn went on (`turn.continued`)
    that answer was void, and the one that it gets then is told of, too.

    The parts overlap, since work begins before the turn is over: their sum is not the total. What is not
    known is left out.
    """

    event: Literal["turn.metrics"] = "turn.metrics"
    vad_ms: int | None = None
    """From the end of the user's voice to `speech.ended`: until it was clear that it was the end,
    milliseconds.
    """
    endpointing_ms: int | None = None
    """From the end of the user's voice to `turn.end`, milliseconds."""
    stt_ms: int | None = None
    """From the end of the user's voice to the last text of the turn, milliseconds."""
    llm_first_token_ms: int | None = None
    """From the request for this message to the first of its text, milliseconds; absent where the agent
    process answers.
    """
    agent_ms: int | None = None
    """Where the agent process answers: from the turn signal (`eager.turn`) to the first text of the answer,
    milliseconds.
    """
    tts_first_byte_ms: int | None = None
    """From the request for the first sentence to the first of its sound, milliseconds."""
    transport_ms: int | None = None
    """From the first audio that is handed to the line to the ear, as far as the line tells, milliseconds."""
    total_ms: int | None = None
    """From the end of the user's voice to the first sound of the answer in the ear, milliseconds. More than
    the parts together where the agent got ready, tools ran, or the first sentence came slowly.
    """
    message_id: str
    """The answer."""
    input_tokens: int | None = None
    """Tokens that the model was told, where it had given all of it by then."""
    output_tokens: int | None = None
    """Tokens that it gave."""
    slowest: Literal["endpointing", "stt", "llm", "agent", "tts", "transport"] | str | None = None
    """The largest of the parts."""


class LlmThinking(TurnEvent):
    """The language model is asked for a message. There may be several in one turn: before it is over, for
    it may go on, and after each batch of tools.
    """

    event: Literal["llm.thinking"] = "llm.thinking"
    message_id: str
    """The message that it is to give; it may stay unspoken."""
    provider: str
    """The engine that is asked first."""
    model: str | None = None
    """Its model, where that is known."""


class LlmReasoning(TurnEvent):
    """More of what the model thinks and does not say, where its engine tells it."""

    event: Literal["llm.reasoning"] = "llm.reasoning"
    message_id: str
    """The message that it thinks about."""
    index: int
    """Place among the pieces for this message, from 0."""
    text: str
    """The next piece; empty at the end."""
    end: bool
    """True: it has thought enough."""


class LlmResponse(TurnEvent):
    """The model has given all of a message. That is its own pace: what the caller hears of it is told by
    `bot.speaking` and the events behind it.
    """

    event: Literal["llm.response"] = "llm.response"
    message_id: str
    """The message."""
    text: str
    """All of it; empty where it only asks for tools."""
    finish_reason: str
    """The engine's word, for example `stop` or `tool_calls`."""
    usage: Usage
    """What it cost."""
    provider: str
    """The engine that gave it."""
    model: str | None = None
    """The model, by the engine's own word."""


class LlmError(TurnEvent):
    """No language model could answer: neither the engine nor those that take its place. Each of their
    faults is an `error` of its own.
    """

    event: Literal["llm.error"] = "llm.error"
    error: str
    """What is wrong, for a human."""
    code: ErrorCode | str
    """The same for a program: see the table of codes."""


class LlmNoResponse(TurnEvent):
    """The server says nothing more in this turn, and nothing is wrong."""

    event: Literal["llm.no_response"] = "llm.no_response"
    message_id: str | None = None
    """The message that is empty, where there is one."""
    reason: Literal["empty", "no_followup", "paused", "ending"] | str
    """`empty`: the model gave no text; `no_followup`: its tools wanted no answer; `paused`: see
    `session.pause`; `ending`: `session.timeout` was sent.
    """


class LlmToolCall(TurnEvent):
    """The language model wants tools to be run: answer with one `llm.tool_result` for all of them, or with
    several. Comes only when the turn is over, so that what it asks for is not taken back.

    A batch that has no answer when the agent connects again is sent once more, with the same `msg_id`.
    """

    event: Literal["llm.tool_call"] = "llm.tool_call"
    msg_id: str
    """The batch, unique among calls; `llm.tool_result` repeats it."""
    tool_calls: tuple[ToolCall, ...]
    """What is wanted."""


class ToolStarted(TurnEvent):
    """A tool runs, or would if it could. Followed by exactly one `tool.completed` or `tool.failed`."""

    event: Literal["tool.started"] = "tool.started"
    msg_id: str
    """The batch."""
    tool_call_id: str
    """The call of the tool."""
    name: str
    """The tool, as the model named it."""
    kind: Literal["client", "page", "system"] | str
    """Who runs it: `client` is the agent process, `page` the page of a browser call, `system` the server."""
    arguments: dict[str, Any]
    """What it is given; empty where that could not be read."""


class ToolCompleted(TurnEvent):
    """A tool gave its result."""

    event: Literal["tool.completed"] = "tool.completed"
    msg_id: str
    """The batch."""
    tool_call_id: str
    """The call of the tool."""
    name: str
    """The tool."""
    kind: Literal["client", "page", "system"] | str
    """Who ran it."""
    result: Any | None = None
    """What it gave, any JSON; absent: null."""
    duration_ms: int
    """From its start, milliseconds."""


class ToolFailed(TurnEvent):
    """A tool gave no result. The model is told why, and answers with that.

    A result that comes after a timeout is still made known to the model, and is not told here.
    """

    event: Literal["tool.failed"] = "tool.failed"
    msg_id: str
    """The batch."""
    tool_call_id: str
    """The call of the tool."""
    name: str
    """The tool, as the model named it."""
    kind: Literal["client", "page", "system"] | str
    """Who was to run it."""
    error: str
    """Why, in words; the model is told the same."""
    code: ToolErrorCode | str
    """`timeout`; `bad_arguments`: not an object of JSON; `unknown_tool`: no tool has that name;
    `agent_gone`: the agent did not come back; `error`: the tool's own word, or the end of the call.
    """
    duration_ms: int
    """From its start, milliseconds."""


class SkillLoaded(CallEvent):
    """The language model has the instructions and the tools of a skill, from its next generation on. Those
    that are loaded from the start are not told.
    """

    event: Literal["skill.loaded"] = "skill.loaded"
    skill: str
    """Its name."""
    by: Literal["model", "manual"] | str
    """Who did it: the model, or the agent."""


class SkillUnloaded(CallEvent):
    """The language model has them no more: it was unloaded, or the call was given other skills."""

    event: Literal["skill.unloaded"] = "skill.unloaded"
    skill: str
    """Its name."""
    by: Literal["model", "manual"] | str
    """Who did it: the model, or the agent."""


class TtsStarted(CallEvent):
    """The voice begins to make a message. This is its own pace, ahead of what is heard."""

    event: Literal["tts.started"] = "tts.started"
    message_id: str
    """The message."""


class TtsStopped(CallEvent):
    """The voice has made all of a message, or what is left of it is not wanted any more. Each `tts.started`
    has exactly one.
    """

    event: Literal["tts.stopped"] = "tts.stopped"
    message_id: str
    """The message."""
    characters: int
    """Of text that it was given for this message, made or not."""


class BotSpeaking(CallEvent):
    """The first sound of a message is heard. Comes before all else that is told of its being heard."""

    event: Literal["bot.speaking"] = "bot.speaking"
    message_id: str
    """The message: the client's own id, or the server's for a greeting."""
    text: str
    """All of it; empty for a streamed message."""


class BotWord(CallEvent):
    """A word begins to be heard."""

    event: Literal["bot.word"] = "bot.word"
    message_id: str
    """The message."""
    word: str
    """The word, with its punctuation."""
    word_index: int
    """Place in the message, from 0."""
    start_time: float | None = None
    """Its beginning, seconds from the first sound of the message."""
    end_time: float | None = None
    """Its end, seconds from the first sound of the message."""


class BotOutput(CallEvent):
    """A part of what the bot says, as `events.bot_output` wants it.

    `sentence`: once when its voice is asked for it (`spoken` false), and once when it was heard to its end
    (`spoken` true); where it was cut off with the part that was heard, if any. One that is never heard has
    no second event. What is said at once counts as one: that may be the first clause of a long sentence.
    `word`: once when it begins to be heard, behind its `bot.word`.
    """

    event: Literal["bot.output"] = "bot.output"
    message_id: str
    """The message."""
    segment_id: int
    """Place in the message, from 0; both events of a sentence have the same."""
    text: str
    """The sentence or the word."""
    spoken: bool
    """True: it was heard; false: it is going to be said."""
    aggregated_by: Literal["sentence", "word"] | str
    """What it is."""


class BotPaused(CallEvent):
    """The bot fell silent within a message, and may go on with it: the user spoke over it, and that may be
    an interruption or only an "mhm"; or the call was put on hold. `bot.resumed` or `bot.interrupted`
    follows.
    """

    event: Literal["bot.paused"] = "bot.paused"
    message_id: str
    """The message."""
    played_ms: int
    """Audio of it that was heard so far, milliseconds."""
    words_spoken: int
    """Words of it that began to be heard."""
    reason: Literal["user_spoke", "held"] | str
    """`user_spoke`: over the bot; `held`: the call is on hold."""


class BotResumed(CallEvent):
    """The bot goes on with a paused message. A word that was cut in the middle is said from its beginning;
    its `bot.word` is not repeated.
    """

    event: Literal["bot.resumed"] = "bot.resumed"
    message_id: str
    """The message."""
    word_index: int
    """The word that is heard next, from 0."""


class BotFinished(CallEvent):
    """The message was heard to its end."""

    event: Literal["bot.finished"] = "bot.finished"
    message_id: str
    """The message."""
    duration_ms: int
    """Audio that was heard, milliseconds."""
    text: str | None = None
    """What the caller heard, where its `bot.speaking` had another text, or none. Absent: that was it."""
    corrects: int | None = None
    """The `seq` of that `bot.speaking`, where there is a `text`."""


class BotInterrupted(CallEvent):
    """The message was cut off, or never began to be heard. It has no `bot.finished`."""

    event: Literal["bot.interrupted"] = "bot.interrupted"
    message_id: str
    """The message."""
    played_ms: int
    """Audio that was heard, milliseconds; 0: it never began."""
    words_spoken: int
    """Words that began to be heard."""
    last_word: str | None = None
    """The last of them."""
    reason: Literal["early", "user_spoke", "cancelled"] | str
    """`early`: the user spoke before 2000 ms were heard; `user_spoke`: later; `cancelled`: by the agent, or
    the call ended.
    """


class BargeIn(CallEvent):
    """The user's voice has cut off what the bot was saying. Right behind the `bot.interrupted`."""

    event: Literal["barge_in"] = "barge_in"
    cancelled_message_id: str
    """The message that was cut off."""


class MessageConfirmed(CallEvent):
    """What was heard of a message entered the history. Once for a message, after its end."""

    event: Literal["message.confirmed"] = "message.confirmed"
    message_id: str
    """The message."""
    text: str
    """What the caller heard of it."""
    finished: bool
    """True: it was heard to its end (`bot.finished`); false: it was cut off."""
    corrects: int | None = None
    """The `seq` of its `bot.speaking`, where that had another text, or none. Absent: it was heard as it was
    told.
    """


class MessageAborted(CallEvent):
    """Nothing of a message entered the history: it was not heard, or cut off early."""

    event: Literal["message.aborted"] = "message.aborted"
    message_id: str
    """The message."""
    reason: MessageAbortedReason | str
    """`early`: cut off before 2000 ms were heard; `new_turn`: the user went on before it was heard;
    `cancelled`: by the agent; `call_ended`: the call was over first; `duplicate_greeting`: the agent was
    told of the call once more, and greeted as it had done.
    """
    corrects: int | None = None
    """The `seq` of its `bot.speaking`, where it had begun: what that told is not kept."""


class ReplyRejected(CallEvent):
    """A reply was not accepted and is not spoken. No other event of the message follows."""

    event: Literal["reply.rejected"] = "reply.rejected"
    message_id: str
    """The message."""
    in_reply_to: str
    """What the reply named."""
    expected_reply_to: str
    """What it would have had to name; empty where nothing fits."""
    reason: str
    """`message_obsolete`: the user has gone on; `call_ended`: the call is ending; `taken_over`: a person
    has the conversation, until `handoff.released`; others in words.
    """


class CallUpdated(CallEvent):
    """`session.configure` has changed the language of the call. Comes before `session.configured`."""

    event: Literal["call.updated"] = "call.updated"
    language: str
    """Language of the conversation from here on, without a region."""


class HistorySnapshot(CallEvent):
    """The history as it stands, where `events.history_snapshot` asks for it: after a turn, after each
    message of the bot and after each command, where that has changed it.
    """

    event: Literal["history.snapshot"] = "history.snapshot"
    count: int
    """Messages of the history."""
    messages: tuple[HistoryMessage, ...]
    """The last 50 of them, or fewer where they are long (100000 characters together), oldest first; of the
    bot what the caller heard.
    """


class CallMuted(CallEvent):
    """The user is not listened to any more: no turn begins, nothing is interrupted, and what he says is
    kept for `call.unmuted`. What he had said before is the end of his turn.
    """

    event: Literal["call.muted"] = "call.muted"
    by: Literal["agent", "user"] | str
    """Who muted: `user` is the caller himself, on the page of a browser call."""


class CallUnmuted(CallEvent):
    """The user is listened to again."""

    event: Literal["call.unmuted"] = "call.unmuted"
    muted_transcript: str
    """What was understood of him meanwhile; empty: nothing."""


class CallHeld(CallEvent):
    """The call is on hold: neither side hears the other. A message that was being spoken is paused.

    So it is, too, while the audio connection of a call is lost and may come back, and while its carrier
    presses keys, forwards or transfers it.
    """

    event: Literal["call.held"] = "call.held"
    by: Literal["agent", "network"] | str
    """`network`: the caller's connection is lost, or used by the carrier; the agent need not do anything."""


class CallUnheld(CallEvent):
    """The conversation goes on, and with it a message that was paused."""

    event: Literal["call.unheld"] = "call.unheld"


class CallDtmfReceived(CallEvent):
    """The other side pressed a key. It interrupts nothing, is no speech, and sets the idle time back; on
    hold and while muted it is told as well.
    """

    event: Literal["call.dtmf_received"] = "call.dtmf_received"
    digit: str
    """The key: one of `0-9 * # A-D`."""
    digits: str
    """All keys of the call so far, this one last; the last 1000."""


class CallDtmfSent(CallEvent):
    """The keys of `call.dtmf` were pressed, and both sides hear each other again. Once for each command."""

    event: Literal["call.dtmf_sent"] = "call.dtmf_sent"
    digits: str
    """As in the command."""


class CallForwarded(CallEvent):
    """The other side of `call.forward` has picked up, and the caller speaks with it. `call.ended`
    (`hangup`) follows when one of them hangs up.
    """

    event: Literal["call.forwarded"] = "call.forwarded"
    to: str
    """As in the command."""


class CallForwardFailed(CallEvent):
    """Nobody took the call over. The caller comes back to the agent: `call.unheld` follows, in the same
    call.
    """

    event: Literal["call.forward_failed"] = "call.forward_failed"
    to: str
    """As in the command."""
    reason: Literal["busy", "no_answer", "failed", "canceled"] | str
    """Why. `failed`: the number could not be reached."""
    detail: str | None = None
    """Why, in words, as far as the carrier tells."""


class CallRouted(CallEvent):
    """Another agent goes on with the call, which `call.route` has asked for. `call.ended` (`routed`)
    follows for whoever had it; the caller notices nothing.
    """

    event: Literal["call.routed"] = "call.routed"
    agent: str
    """Who has it now."""


class CallRouteFailed(CallEvent):
    """The call was not handed over: it stays where it is, and goes on as if nothing had been asked."""

    event: Literal["call.route_failed"] = "call.route_failed"
    agent: str
    """As in the command."""
    reason: CallRouteFailedReason | str
    """`offline`: its process is not connected. `unknown`: this server has never seen it. `no_phone_config`:
    it asks for engines that are not to be had, and the operator wants no others. `capacity`: the call was
    handed over too often. `swap_failed`: it could not be done now; `detail` says why.
    """
    detail: str | None = None
    """Why, in words."""


class CallTransferring(CallEvent):
    """The caller waits in a conference, with music, and the human of `call.transfer` is being called.
    `call.held` (`network`) came before.
    """

    event: Literal["call.transferring"] = "call.transferring"
    to: str
    """As in the command."""


class CallTransferred(CallEvent):
    """The human of `call.transfer` and the caller hear one another. `call.ended` (`hangup`) follows when
    one of them hangs up.
    """

    event: Literal["call.transferred"] = "call.transferred"
    to: str
    """As in the command."""


class CallTransferFailed(CallEvent):
    """The human was not joined to the caller, who comes back to the agent: `call.unheld` follows, in the
    same call.
    """

    event: Literal["call.transfer_failed"] = "call.transfer_failed"
    to: str
    """As in the command."""
    reason: CallTransferFailedReason | str
    """Why. `failed`: the number could not be reached, or the carrier refused; `declined`: he picked up and
    hung up again before he was joined; `canceled`: by the agent.
    """
    detail: str | None = None
    """Why, in words, as far as the carrier tells."""


class SupervisorSaid(CallEvent):
    """A person beside the bot has something spoken to the caller. What is heard of it is told as of any
    message, and the server's language model knows of it; an agent that asks a model itself tells it.
    """

    event: Literal["supervisor.said"] = "supervisor.said"
    text: str
    """What is to be spoken."""
    by: str
    """Who, in the words of his request."""
    message_id: str
    """Of the message: `bot.speaking` and the rest of its events have it."""


class SupervisorWhispered(CallEvent):
    """A person beside the bot has told it something that the caller does not hear. The server's language
    model knows it from its next answer on; an agent that asks a model itself tells it.
    """

    event: Literal["supervisor.whispered"] = "supervisor.whispered"
    text: str
    """What the model is to know."""
    by: str
    """Who, in the words of his request."""


class HandoffRequested(CallEvent):
    """A person takes the conversation over. From here on neither the server's language model nor the agent
    begins to say anything: what waited is cancelled, and what the agent still sends is `reply.rejected`
    (`taken_over`), or where it answers nothing `bot.interrupted` (`cancelled`). All other events go on.
    """

    event: Literal["handoff.requested"] = "handoff.requested"
    by: str
    """Who, in the words of his request."""


class HandoffActive(CallEvent):
    """The person has the conversation: what the caller was hearing of the bot is over. Follows
    `handoff.requested`; told again, by itself, to an agent that the call is handed over to meanwhile.
    """

    event: Literal["handoff.active"] = "handoff.active"
    by: str
    """Who, in the words of his request."""


class HandoffReleased(CallEvent):
    """The bot has the conversation again. Where the caller waits for an answer, the server's language model
    gives it.
    """

    event: Literal["handoff.released"] = "handoff.released"
    by: str
    """Who, in the words of his request."""


class UserMuteStarted(CallEvent):
    """The user is not listened to from here on. Several reasons may hold at a time; each has its
    `user.mute_stopped`, before `call.ended`.
    """

    event: Literal["user.mute_started"] = "user.mute_started"
    reason: Literal["muted", "held", "bot_speaking"] | str
    """`muted`: by `call.mute`; `held`: the call is on hold; `bot_speaking`: the bot is heard, and
    `mute_while_speaking` is set.
    """


class UserMuteStopped(CallEvent):
    """A reason not to listen to the user is over. Where none is left, he is listened to again."""

    event: Literal["user.mute_stopped"] = "user.mute_stopped"
    reason: Literal["muted", "held", "bot_speaking"] | str
    """`muted`: by `call.mute`; `held`: the call is on hold; `bot_speaking`: the bot is heard, and
    `mute_while_speaking` is set.
    """


class AudioMetrics(CallEvent):
    """The level of one side's audio, at the interval that was asked for; only with `send_audio_metrics`."""

    event: Literal["audio.metrics"] = "audio.metrics"
    source: Literal["user", "bot"] | str
    """Whose audio."""
    energy_db: float
    """Energy, decibels below full scale, -60 to 0."""
    rms: float
    """Root mean square, as a share of full scale, 0 to 1."""
    peak: float
    """Largest sample, as a share of full scale, 0 to 1."""
    is_speech: bool
    """Whether it is taken for speech."""
    vad_prob: float | None = None
    """Probability of voice, 0 to 1; the user's only."""
    timestamp: float
    """The end of the audio measured, epoch seconds."""


class SessionIdleWarning(CallEvent):
    """The caller has said nothing for long: twice before `session.timeout`, at `idle_warning_seconds`
    before `idle_timeout_seconds` of silence, and when it is reached; then `idle_grace_seconds` follow.

    What the bot says, a running tool, an answer in the making, mute and hold stop this time; speech and
    keys of the caller, and `session.reset_idle`, set it back. Not sent for warnings that are switched off
    with 0.
    """

    event: Literal["session.idle_warning"] = "session.idle_warning"
    remaining_seconds: float
    """Until the idle timeout, as far as nobody says anything; 0: it is reached."""
    idle_timeout_seconds: float
    """As in `session_limits`."""


class SessionTimeout(CallEvent):
    """A limit of the call is reached: it ends, whatever comes. What the agent says in answer, within 1 s,
    or had said before, is heard first, for at most `farewell_seconds`; then `call.ended` comes with the
    same reason.
    """

    event: Literal["session.timeout"] = "session.timeout"
    reason: Literal["max_duration", "idle_timeout"] | str
    """`idle_timeout`: the caller said nothing for too long; `max_duration`: the call is too long."""
    farewell_seconds: float
    """The longest time until the call ends, seconds."""


class RecordingStarted(CallEvent):
    """What user and bot say is kept from here on: in a call that is recorded, with its beginning; else
    after `recording.start`.
    """

    event: Literal["recording.started"] = "recording.started"
    at_ms: int
    """Place in the recording, milliseconds. A recording begins with the call: before this it is silent."""
    format: Literal["wav", "opus"] | str
    """As in `call.recording`."""
    channels: Literal["stereo", "mono", "user", "bot"] | str
    """As in `call.recording`."""
    consent: Literal["spoken", "tone"] | str | None = None
    """How the caller is told: words, which are a message of their own, or a tone. Absent: he is not."""


class RecordingAnnounced(CallEvent):
    """The caller has heard to its end that he is recorded. It does not come where he hangs up before, or
    where the agent cancels the message.
    """

    event: Literal["recording.announced"] = "recording.announced"
    at_ms: int
    """Place in the recording, milliseconds."""
    by: Literal["spoken", "tone"] | str
    """How he was told."""
    text: str | None = None
    """The words, where there were any."""


class RecordingPaused(CallEvent):
    """Nothing that is said is kept from here on: in the recording it is silence. All else goes on, the
    transcript, too.
    """

    event: Literal["recording.paused"] = "recording.paused"
    at_ms: int
    """Place in the recording, milliseconds."""


class RecordingResumed(CallEvent):
    """What is said is kept again."""

    event: Literal["recording.resumed"] = "recording.resumed"
    at_ms: int
    """Place in the recording, milliseconds."""


class CallEnded(CallEvent):
    """The call is over. Nothing but its `call.recording` follows.

    With the reason `routed` it is over for whoever had it, and goes on with another agent: see
    `call.routed`.
    """

    event: Literal["call.ended"] = "call.ended"
    reason: EndReason | str
    """Why, for a program."""
    detail: str | None = None
    """Why, in words."""
    duration_seconds: float
    """From `started_at` to `ended_at`, seconds."""
    started_at: float
    """When it was answered, epoch seconds."""
    ended_at: float
    """When it ended, epoch seconds."""
    messages: tuple[HistoryMessage, ...]
    """The history of the call as the language model is given it, with its tools; where there is none, the
    transcript.
    """
    transcript: tuple[HistoryMessage, ...]
    """What user and bot said, in order; of a call that was handed over since then."""
    direction: Literal["inbound", "outbound"] | str
    """As in `call.started`."""
    from_: str = Field(alias="from")
    """As in `call.started`."""
    to: str
    """As in `call.started`."""


class CallRecording(RecordedEvent):
    """The recording of an ended call, where there is one.

    Follows `call.ended`, which does not wait for it. For a client that did not announce `talkwire/1` in
    `connect` it comes just before, since such clients drop what comes after; there `call.ended` waits for a
    second at most. Of a call whose server was killed it stands in the log behind the end that the next one
    has told.
    """

    event: Literal["call.recording"] = "call.recording"
    audio: str | None = None
    """The file, base64. Absent where it is larger than the operator lets messages be
    (`TALKWIRE_RECORDING_INLINE_BYTES`) or than the client takes (`max_message_bytes` of `connect`), and
    where the event is told once more, later: fetch `url`.
    """
    url: str | None = None
    """Where the file can be fetched (`GET`, with byte ranges), for as long as the operator allows. Whoever
    has it needs no key.
    """
    duration_ms: int
    """Length, milliseconds."""
    format: Literal["wav", "opus"] | str
    """Kind of file: 16-bit WAV, or Opus in Ogg."""
    sample_rate: int
    """Samples a second; 8000 for a phone call."""
    channels: Literal["stereo", "mono", "user", "bot"] | str
    """`stereo`: the user left, the bot right. `mono`: both in one channel. `user`, `bot`: one side."""
    started_at: float | None = None
    """When its first sample was, epoch seconds: what an event tells with the `ts` t is heard at t -
    `started_at` in it.
    """


EVENTS: dict[str, type[Event]] = {
    "connected": Connected,
    "agent.created": AgentCreated,
    "agent.resumed": AgentResumed,
    "agent.configured": AgentConfigured,
    "session.configured": SessionConfigured,
    "agent.displaced": AgentDisplaced,
    "channel.added": ChannelAdded,
    "channel.configured": ChannelConfigured,
    "channel.removed": ChannelRemoved,
    "line.created": LineCreated,
    "line.error": LineError,
    "line.destroyed": LineDestroyed,
    "ping": ServerPing,
    "pong": ServerPong,
    "error": ErrorEvent,
    "server.warning": ServerWarning,
    "ack": Ack,
    "session.paused": SessionPaused,
    "session.resumed": SessionResumed,
    "history.data": HistoryData,
    "history.updated": HistoryUpdated,
    "call.ringing": CallRinging,
    "call.rejected": CallRejected,
    "call.dialing": CallDialing,
    "call.started": CallStarted,
    "call.answered_by": CallAnsweredBy,
    "session.created": SessionCreated,
    "session.ready": SessionReady,
    "agent.state": AgentState,
    "turn.started": TurnStarted,
    "speech.started": SpeechStarted,
    "speech.ended": SpeechEnded,
    "user.speaking": UserSpeaking,
    "user.message": UserMessage,
    "eager.turn": EagerTurn,
    "turn.pause": TurnPause,
    "turn.resumed": TurnResumed,
    "turn.end": TurnEnd,
    "turn.continued": TurnContinued,
    "llm.before": LlmBefore,
    "llm.preparing_timeout": LlmPreparingTimeout,
    "turn.completed": TurnCompleted,
    "turn.metrics": TurnMetrics,
    "llm.thinking": LlmThinking,
    "llm.reasoning": LlmReasoning,
    "llm.response": LlmResponse,
    "llm.error": LlmError,
    "llm.no_response": LlmNoResponse,
    "llm.tool_call": LlmToolCall,
    "tool.started": ToolStarted,
    "tool.completed": ToolCompleted,
    "tool.failed": ToolFailed,
    "skill.loaded": SkillLoaded,
    "skill.unloaded": SkillUnloaded,
    "tts.started": TtsStarted,
    "tts.stopped": TtsStopped,
    "bot.speaking": BotSpeaking,
    "bot.word": BotWord,
    "bot.output": BotOutput,
    "bot.paused": BotPaused,
    "bot.resumed": BotResumed,
    "bot.finished": BotFinished,
    "bot.interrupted": BotInterrupted,
    "barge_in": BargeIn,
    "message.confirmed": MessageConfirmed,
    "message.aborted": MessageAborted,
    "reply.rejected": ReplyRejected,
    "call.updated": CallUpdated,
    "history.snapshot": HistorySnapshot,
    "call.muted": CallMuted,
    "call.unmuted": CallUnmuted,
    "call.held": CallHeld,
    "call.unheld": CallUnheld,
    "call.dtmf_received": CallDtmfReceived,
    "call.dtmf_sent": CallDtmfSent,
    "call.forwarded": CallForwarded,
    "call.forward_failed": CallForwardFailed,
    "call.routed": CallRouted,
    "call.route_failed": CallRouteFailed,
    "call.transferring": CallTransferring,
    "call.transferred": CallTransferred,
    "call.transfer_failed": CallTransferFailed,
    "supervisor.said": SupervisorSaid,
    "supervisor.whispered": SupervisorWhispered,
    "handoff.requested": HandoffRequested,
    "handoff.active": HandoffActive,
    "handoff.released": HandoffReleased,
    "user.mute_started": UserMuteStarted,
    "user.mute_stopped": UserMuteStopped,
    "audio.metrics": AudioMetrics,
    "session.idle_warning": SessionIdleWarning,
    "session.timeout": SessionTimeout,
    "recording.started": RecordingStarted,
    "recording.announced": RecordingAnnounced,
    "recording.paused": RecordingPaused,
    "recording.resumed": RecordingResumed,
    "call.ended": CallEnded,
    "call.recording": CallRecording,
}
"""By the name on the wire, in the order of the protocol's page."""
