"""What a client may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from server.protocol.base import Allowed, Command, Id, Range
from server.protocol.configuration import (
    Configuration,
    Greeting,
    LanguageTag,
    LineSettings,
    MediaSettings,
    Prompt,
    Stt,
    VarName,
    VarValue,
    Voice,
)
from server.protocol.history import Known
from server.protocol.skills import SkillName
from server.protocol.tools import Results

RejectReason = Literal["busy", "rejected"]
ChannelType = Literal["phone", "webrtc", "chat", "whatsapp", "mic"]
Spoken = Annotated[str, Field(max_length=100_000), Allowed("text of at most 100000 characters")]
Cursors = Annotated[
    dict[Id, Annotated[int, Field(ge=0)]],
    Field(max_length=1000),
    Allowed("an object of at most 1000 call ids, each with the seq of its last event, a whole number from 0"),
]
MAX_CONTEXT = 20_000


def _of_bounded_size(value: Any) -> Any:
    if len(value if isinstance(value, str) else orjson.dumps(value)) > MAX_CONTEXT:
        raise ValueError(f"a value must have at most {MAX_CONTEXT} characters, as text or as JSON")
    return value


ContextValue = Annotated[Any, AfterValidator(_of_bounded_size)]
ContextKey = Annotated[str, Field(min_length=1, max_length=100), Allowed("names of 1 to 100 characters")]
Callers = Annotated[tuple[Id, ...], Field(max_length=1000, strict=False)]
Origins = Annotated[tuple[Id, ...], Field(max_length=100, strict=False)]


Announced = Annotated[str, Field(max_length=500), Allowed("text of at most 500 characters")]


# --- the connection ---------------------------------------------------------------------------------------


class Connect(Command):
    """The first message of a connection; answered by `connected`.

    With a wrong key the answer is `error` with `UNAUTHORIZED`, and the socket closes.
    """

    event: Literal["connect"] = "connect"
    api_key: Annotated[SecretStr, Field(max_length=512), Allowed("text of at most 512 characters")] = Field(
        description="One of the server's API keys."
    )
    protocol: Id | None = Field(
        default=None,
        description="The protocol that the client speaks: `talkwire/1`. Absent for clients of older servers.",
    )
    client: Id | None = Field(
        default=None,
        description="Name and version of the client, for the log, for example `demo/1.0`.",
    )
    resume: Cursors | None = Field(
        default=None,
        description="For a client that connects again, with `protocol`: the calls that it knows, by id, each with "
        "the `seq` of the last event that it has; empty: it knows none. See [Connecting again](#connecting-again).",
    )
    max_message_bytes: Annotated[int, Range(64 << 10, 64 << 20)] | None = Field(
        default=None,
        description="The largest message that the client takes, for `call.recording` with its `audio`. Absent, with "
        "`protocol`: 1 MiB, which many WebSocket libraries take at most; without `protocol`: any.",
    )


class ClientPing(Command):
    """Asks whether the server is alive; answered by `pong`. Send one every 30 s."""

    event: Literal["ping"] = "ping"


class ClientPong(Command):
    """Answers the server's `ping`."""

    event: Literal["pong"] = "pong"


# --- agents and channels ----------------------------------------------------------------------------------


class AgentCommand(Command):
    """Concerns one agent of this connection."""

    agent_id: Id = Field(
        description="The agent, as its developer spells it. Ids that differ only in case, spaces, "
        "underscores and punctuation are the same agent."
    )


class AgentCreate(Configuration, AgentCommand):
    """Registers an agent on this connection; answered by `agent.created`.

    Sent again for an agent of the same connection it replaces the configuration. Refused with
    `AGENT_CONFLICT` while another live connection owns the agent.
    """

    event: Literal["agent.create"] = "agent.create"
    allowed_origins: Origins | None = Field(
        default=None, description="Origins of the pages that may call the agent. Kept; phone calls have none."
    )


class AgentConfigure(Configuration, AgentCommand):
    """Changes the keys that it holds; answered by `agent.configured`. Calls in progress keep theirs."""

    event: Literal["agent.configure"] = "agent.configure"


class ChannelAdd(Configuration, AgentCommand):
    """Opens a way by which calls reach the agent; answered by `channel.added`.

    The configuration keys in it override those of the agent for calls that come this way.
    """

    event: Literal["channel.add"] = "channel.add"
    type: ChannelType = Field(
        description="Kind of channel. This server has `phone` and `webrtc`, which has no `ref`: it holds what is "
        "otherwise for callers in browsers."
    )
    ref: Id | None = Field(
        default=None,
        description="For `phone`, required: the number as typed, for example `+1 (555) 000-2222`, a `sip:` "
        "address, or `*` for all numbers that nobody else answers.",
    )
    ringing: bool | None = Field(
        default=None,
        description="For `phone`. True: a call is told with `call.ringing` first, and answered when the agent says "
        "`call.accept`, or after 5 s.",
    )

    @model_validator(mode="after")
    def _phone_has_ref(self) -> ChannelAdd:
        if self.type == "phone" and self.ref is None:
            raise ValueError("ref is required for a phone channel: the number, or * for any")
        return self


class ChannelConfigure(Configuration, AgentCommand):
    """Changes overrides of one channel; answered by `channel.configured`. Calls in progress keep theirs."""

    event: Literal["channel.configure"] = "channel.configure"
    ref: Id = Field(description="The channel, as it was added; for a channel without a `ref` its type.")
    ringing: bool | None = Field(default=None, description="As in `channel.add`.")


class ChannelRemove(AgentCommand):
    """Closes a channel; answered by `channel.removed`. Calls in progress go on."""

    event: Literal["channel.remove"] = "channel.remove"
    ref: Id = Field(description="The channel, as it was added; for a channel without a `ref` its type.")
    type: ChannelType | None = Field(default=None, description="Its kind, where one `ref` has several.")


class DevConfig(Command):
    """Says whose calls go to the developers' agents of this connection: those whose id begins with `dev-`.

    Such an agent may add a number that another agent answers. Of the calls to it the agent gets those of these
    callers, the owner all others. A number that nobody else has it answers for everybody. Sent again it replaces the
    callers; they are forgotten with the connection.
    """

    event: Literal["dev.config"] = "dev.config"
    callers: Callers = Field(
        description="Numbers of callers, as `+15550001111`, or `sip:` addresses; at most 1000."
    )


# --- a call -----------------------------------------------------------------------------------------------


class LineCommand(Command):
    """Concerns a line: a number that code answers, and no language model."""

    number: Id = Field(description="A number such as `+15550002222`, or a `sip:` address.")


class LineCreate(LineCommand):
    """Answers a number by code, call for call; answered by `line.created`, or by `line.error`.

    Events of its calls carry the `agent_id` `line:<number>`, as the number stands here. Sent again on the same
    connection it replaces the configuration, for calls to come. The line ends with the connection; its calls wait for it
    as those of an agent do, until it is created again. A number is answered by a line or by agents, not by both; a
    developer's agent gives way. A `sip:` address without a user answers all users of that host that have no line of
    their own.
    """

    event: Literal["line.create"] = "line.create"
    config: LineSettings | None = Field(default=None, description="How its calls are held.")


class LineDestroy(LineCommand):
    """Ends a line; answered by `line.destroyed`. Calls in progress go on."""

    event: Literal["line.destroy"] = "line.destroy"


class CallCommand(Command):
    """Concerns one call. For a call that is over it has no effect."""

    call_id: Id = Field(description="The call.")


class SessionConfigure(Configuration, Command):
    """Changes the keys that it holds for one call, from now on; answered by `session.configured`.

    The engines (`stt`, `voice`, `llm`), `language`, `prompt`, `vars`, `timezone`, `preparing`, `tools`, `skills`,
    `interruption`, `turn_detection`, `away`, `session_limits`, `mute_while_speaking` and the audio metrics of
    `analysis` take effect at once: a sentence that is being spoken and speech that is being heard are finished as
    they were begun. The other keys belong to the beginning of a call, and have no effect any more; `greeting` has
    while it is waited for: a browser's call whose token carries metadata waits up to 600 ms for this command, and
    goes on with the first one.
    """

    event: Literal["session.configure"] = "session.configure"
    session_id: Id = Field(description="The call.")
    agent_id: Id | None = Field(default=None, description="Accepted; the call knows its agent.")

    @field_validator("greeting", mode="wrap")
    @classmethod
    def _or_none(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """Clients send theirs along late, when it has no effect, in shapes of their own: that is no error."""
        try:
            return read(value)
        except ValidationError:
            return None


class BotReply(CallCommand):
    """Speaks a text.

    The message ends in exactly one of `bot.finished` and `bot.interrupted`, or, where it is not accepted, in
    `reply.rejected`.
    """

    event: Literal["bot.reply"] = "bot.reply"
    message_id: Id = Field(description="The client's id for the message; all events about it carry the same.")
    text: Spoken = Field(description="What to say.")
    in_reply_to: str = Field(
        default="",
        max_length=200,
        description="Message id of the user's turn that it answers: if that turn has gone on meanwhile, the "
        "reply is rejected. Empty: it is spoken in any case.",
    )
    add_to_history: bool = Field(
        default=False,
        description="True: the server's language model learns what the caller heard of it. The transcript of "
        "the call has it in any case.",
    )
    interruptible: bool = Field(
        default=True, description="False: the user's voice and words do not silence this message."
    )


class BotReplyStreamStart(CallCommand):
    """Begins a message whose text comes in pieces. `in_reply_to` is checked now, as for `bot.reply`."""

    event: Literal["bot.reply.stream"] = "bot.reply.stream"
    action: Literal["start"] = Field(default="start", description="Which step of the stream this is.")
    message_id: Id = Field(description="The client's id for the message.")
    in_reply_to: str = Field(
        default="", max_length=200, description="As for `bot.reply`. Empty: it is spoken in any case."
    )
    interruptible: bool = Field(default=True, description="As for `bot.reply`.")


class BotReplyStreamChunk(CallCommand):
    """Adds to the text of a streamed message. Speaking begins with the first complete sentence."""

    event: Literal["bot.reply.stream"] = "bot.reply.stream"
    action: Literal["chunk"] = Field(default="chunk", description="Which step of the stream this is.")
    message_id: Id = Field(description="The message.")
    token: Spoken = Field(description="The next piece of text, verbatim: it may end within a word.")


class BotReplyStreamEnd(CallCommand):
    """Says that the text of a streamed message is complete. Without any text nothing is spoken."""

    event: Literal["bot.reply.stream"] = "bot.reply.stream"
    action: Literal["end"] = Field(default="end", description="Which step of the stream this is.")
    message_id: Id = Field(description="The message.")


class BotCancel(CallCommand):
    """Stops a message, spoken or waiting; it ends in `bot.interrupted` with the reason `cancelled`. What a person beside
    the bot says is not the agent's to stop: `error` with `CANCEL_REFUSED`."""

    event: Literal["bot.cancel"] = "bot.cancel"
    message_id: Id | None = Field(default=None, description="The message; absent: the one being spoken.")


class BotClear(CallCommand):
    """Stops the message being spoken and all that wait; each ends in `bot.interrupted`. What a person beside the bot says
    goes on (`kept` in the extras of the `ack`); where there is nothing else, `error` with `CANCEL_REFUSED`."""

    event: Literal["bot.clear"] = "bot.clear"


class LlmToolResult(CallCommand):
    """Gives what tools gave: all of a batch of `llm.tool_call`, or some of it. The model answers when each has a
    result. Of two results for one call the first counts; one that comes after its timeout is made known to the
    model, and is not answered any more.
    """

    event: Literal["llm.tool_result"] = "llm.tool_result"
    msg_id: Id = Field(description="The batch.")
    results: Results = Field(description="One for each call that has ended; at most 128.")


class LlmReady(CallCommand):
    """Answers `llm.before`: what the language model is to know is there. Each `llm.before` has one."""

    event: Literal["llm.ready"] = "llm.ready"
    agent_id: Id | None = Field(default=None, description="Accepted; the call knows its agent.")
    turn: Annotated[int, Range(0, 1_000_000_000)] | None = Field(
        default=None, description="As in `llm.before`. Absent: whatever is waited for goes on."
    )


class SkillLoad(CallCommand):
    """Gives the language model a skill, from its next generation on; followed by `skill.loaded`. Without effect
    where it is loaded already; of one that does not exist a `server.warning` tells.
    """

    event: Literal["skill.load"] = "skill.load"
    skill: SkillName = Field(description="Its name.")


class SkillUnload(CallCommand):
    """Takes a skill from it, whatever loaded that; followed by `skill.unloaded`. Otherwise as `skill.load`."""

    event: Literal["skill.unload"] = "skill.unload"
    skill: SkillName = Field(description="Its name.")


class HistoryCommand(Command):
    """Concerns what the server's language model knows of one call.

    It is answered in any case, by `history.data` or `history.updated` with the same `request_id`. What keeps it
    from being done stands in the answer's `error`: the call is over, is not this connection's, or has no language
    model in this server (which keeps nobody from reading what was said).
    """

    call_id: Id = Field(description="The call.")
    request_id: Id = Field(description="The client's id for the request: the answer repeats it.")


class HistoryGet(HistoryCommand):
    """Asks for the history; answered by `history.data`. Of a call without a language model in the server it is what
    was said; of one that is over it is `messages` of its `call.ended`, for as long as the operator keeps calls."""

    event: Literal["history.get"] = "history.get"


class HistoryAdd(HistoryCommand):
    """Adds messages to the end of the history; answered by `history.updated`."""

    event: Literal["history.add"] = "history.add"
    messages: Known = Field(description="What is added. A history has at most 10000 messages.")


class HistorySet(HistoryCommand):
    """Replaces the history; answered by `history.updated`. The prompt stays."""

    event: Literal["history.set"] = "history.set"
    messages: Known = Field(description="The history from now on; at most 10000 messages.")


class HistoryClear(HistoryCommand):
    """Forgets the history; answered by `history.updated`. The prompt stays."""

    event: Literal["history.clear"] = "history.clear"


class HistorySetVars(HistoryCommand):
    """Sets variables for the prompt of this call, beside those that were set before; answered by
    `history.updated`. They win over those of the configuration.
    """

    event: Literal["history.set_vars"] = "history.set_vars"
    vars: dict[VarName, VarValue | None] = Field(
        description="Name to text; null takes one back. A call has at most 200."
    )


class HistoryAddContext(HistoryCommand):
    """Adds a text behind the prompt of this call, and behind those that were added before; answered by
    `history.updated`.
    """

    event: Literal["history.add_context"] = "history.add_context"
    text: Spoken = Field(description="What the language model is to know besides, word for word.")


class HistorySetInstructions(HistoryCommand):
    """Replaces the prompt of this call; answered by `history.updated`. It holds until another one is set, also by
    `session.configure`.
    """

    event: Literal["history.set_instructions"] = "history.set_instructions"
    prompt: Prompt = Field(description="The prompt, with variables as in the configuration.")


class CallMute(CallCommand):
    """Stops listening to the user; answered by `call.muted`. Without effect where that is so already."""

    event: Literal["call.mute"] = "call.mute"


class CallUnmute(CallCommand):
    """Listens to the user again; answered by `call.unmuted`."""

    event: Literal["call.unmute"] = "call.unmute"


class CallHold(CallCommand):
    """Puts the call on hold; answered by `call.held`. The caller hears music, or what the operator has chosen."""

    event: Literal["call.hold"] = "call.hold"


class CallUnhold(CallCommand):
    """Takes the call off hold; answered by `call.unheld`."""

    event: Literal["call.unhold"] = "call.unhold"


class CallDtmf(CallCommand):
    """Presses keys for the other side, as for a menu; followed by `call.dtmf_sent`. What is being said is paused for
    it, and goes on behind it. Where the carrier cannot: `error` with `CARRIER_UNSUPPORTED`.
    """

    event: Literal["call.dtmf"] = "call.dtmf"
    digits: Annotated[
        str,
        Field(min_length=1, max_length=32, pattern=r"^[0-9A-D*#wW]{1,32}$"),
        Allowed("1 to 32 of 0-9 A-D * # w W"),
    ] = Field(
        description="1 to 32 of `0-9 A-D * #`; `w` waits half a second, `W` a whole one.",
    )


class CallForward(CallCommand):
    """Joins the caller to somebody else, when he has heard what is being said (10 s at most); followed by
    `call.forwarded`, or by `call.forward_failed` and `call.unheld`. Where the carrier cannot: `error` with
    `CARRIER_UNSUPPORTED`.
    """

    event: Literal["call.forward"] = "call.forward"
    to: Id = Field(description="A number as `+15550002222`, or a `sip:` address.")
    message: str = Field(
        default="",
        max_length=500,
        description="Is said before, to the caller; see `announce`. Empty: nothing.",
    )
    announce: bool = Field(
        default=False,
        description="`message` is told to who picks up, by a voice of the carrier's, before the two are joined.",
    )


class CallRoute(CallCommand):
    """Hands the call over to another agent, when the caller has heard what is being said (10 s at most); followed by
    `call.routed` and `call.ended` (`routed`), or by `call.route_failed`. The caller is not connected anew: audio path,
    recording and limits go on, and the agent is told `call.started` with `routed_from`. From a line or from an agent.
    """

    event: Literal["call.route"] = "call.route"
    agent: Id = Field(description="The agent that shall go on.")
    language: LanguageTag | None = Field(
        default=None, description="Language of the conversation from then on; default: the agent's."
    )
    voice: Voice | None = Field(default=None, description="As in the configuration; default: the agent's.")
    stt: Stt | None = Field(default=None, description="As in the configuration; default: the agent's.")
    greeting: Greeting | None = Field(
        default=None, description="What is said at once, in place of the agent's `greeting`; empty: nothing."
    )
    prompt_vars: Annotated[dict[VarName, VarValue], Field(max_length=200)] | None = Field(
        default=None, description="Variables for the agent's prompt and greeting, beside its `vars`."
    )
    context: Annotated[dict[ContextKey, ContextValue], Field(max_length=100)] | None = Field(
        default=None, description="As so many `set_context`."
    )
    history: bool = Field(
        default=True,
        description="False: the agent's language model does not know what was said so far. `call.started` tells it in "
        "any case.",
    )


class SetContext(CallCommand):
    """Something that whoever has the call is to know, under a name: the language model is told it beside its prompt. It
    goes with a call that is handed over. What there is of the name is replaced."""

    event: Literal["set_context"] = "set_context"
    key: ContextKey = Field(description="The name.")
    value: ContextValue = Field(
        default=None,
        description="A text, or any other value, which is known as JSON; at most 20000 characters. null takes it away.",
    )


class CallTransfer(CallCommand):
    """Hands the caller to a human in a conference: the caller waits there with music, the human is called and joined to
    him. Followed by `call.transferring`, then by `call.transferred`, or by `call.transfer_failed` and `call.unheld`:
    the caller is back, in the same call. Where the carrier cannot: `error` with `CARRIER_UNSUPPORTED`.

    With `consult` the agent speaks with the human first, in a call of its own whose `call.started` has `transfer_of`;
    `call.transfer_complete` then joins him to the caller.
    """

    event: Literal["call.transfer"] = "call.transfer"
    to: Id = Field(description="The human: a number as `+15550002222`, or a `sip:` address.")
    from_: Id | None = Field(
        default=None,
        alias="from",
        description="The number that is shown to him: one of the operator's. Absent: the one that the caller called, or "
        "was called from.",
    )
    message: Announced = Field(default="", description="Is said to the caller before. Empty: nothing.")
    announcement: Announced = Field(
        default="",
        description="Is told to who picks up, by a voice of the carrier's, before he is joined; not with `consult`. "
        "Empty: nothing.",
    )
    consult: bool = Field(default=False, description="The agent speaks with who picks up before.")
    greeting: Greeting | None = Field(
        default=None,
        description="With `consult`: what is said at pickup, in place of the agent's `greeting`.",
    )
    config: Configuration | None = Field(
        default=None, description="With `consult`: overrides of the agent's configuration for that call."
    )
    machine_detection: Literal["start"] | None = Field(
        default=None,
        description="Have the carrier find out who picks up. A voicemail is hung up on, and counts as nobody. Carriers "
        "bill it, and it takes seconds; with `consult` it tells `call.answered_by` only.",
    )
    ring_timeout_seconds: Annotated[float, Range(5, 600)] | None = Field(
        default=None, description="How long it may ring; 25 where nothing is said."
    )


class CallTransferComplete(CallCommand):
    """Joins the human, with whom the agent speaks for a `call.transfer` with `consult`, to the caller; followed by
    `call.transferred`. The call with the human ends for the agent (`hangup`)."""

    event: Literal["call.transfer_complete"] = "call.transfer_complete"
    call_id: Id = Field(description="The caller's call.")


class CallTransferCancel(CallCommand):
    """Gives a transfer up, as long as the human is not joined to the caller; followed by `call.transfer_failed`
    (`canceled`) and `call.unheld`. The human is hung up on."""

    event: Literal["call.transfer_cancel"] = "call.transfer_cancel"
    call_id: Id = Field(description="The caller's call.")


class ScreeningCommand(AgentCommand):
    """Says what shall become of a call that rings."""

    call_id: Id = Field(description="The call, as in `call.ringing`.")


class CallAccept(ScreeningCommand):
    """Answers a call that rings; followed by `call.started` when its audio flows. Without effect on one that is
    answered already, or over.
    """

    event: Literal["call.accept"] = "call.accept"


class CallReject(ScreeningCommand):
    """Refuses a call that rings, unanswered and unbilled; followed by `call.rejected` and `call.ended`. Without effect
    on one that is answered already, or over.
    """

    event: Literal["call.reject"] = "call.reject"
    reason: RejectReason = Field(
        default="busy",
        description="What the caller hears: the busy tone, or `rejected`: that he is not connected.",
    )


class CallDial(AgentCommand):
    """Has the carrier call somebody; followed by `call.dialing`, then by `call.started` when somebody picks up.

    Where that does not come to be, by `call.ended`: `no_answer`, `busy`, `failed` (an `error` before it says why), or
    `client_hangup` after a `call.hangup`. A dial that the carrier has not taken yet has an id of its own, `dial_id` of
    the `ack`: what happens to it until then carries that as its `call_id`, and `call.hangup` takes it, too.
    Dials wait for their turn where the carrier's account allows only so many a second.
    """

    event: Literal["call.dial"] = "call.dial"
    to: Id = Field(description="Whom to call: a number such as `+15550002222`, or a `sip:` address.")
    from_: Id | None = Field(
        default=None,
        alias="from",
        description="The number that is shown: one of the operator's. Absent: the agent's own, where it has one "
        "phone channel with a number.",
    )
    greeting: Greeting | None = Field(
        default=None, description="What is said at pickup, in place of the agent's `greeting`."
    )
    metadata: dict[str, Any] | None = Field(
        default=None, description="Comes back in `call.dialing` and `call.started`."
    )
    config: Configuration | None = Field(
        default=None, description="Overrides of the agent's configuration for this call."
    )
    detect_turn_end: bool | None = Field(
        default=None,
        description='True: the greeting waits until the other side has finished its first turn ("Hello?"), or for 5 s.',
    )
    machine_detection: Literal["start", "end"] | None = Field(
        default=None,
        description="Have the carrier find out who picks up, which `call.answered_by` tells: as soon as it knows, or, "
        "for a voicemail, when its greeting is over. Carriers bill it.",
    )
    on_machine: Literal["continue", "hangup"] | None = Field(
        default=None, description="`hangup`: end the call when a machine has answered. Default: `continue`."
    )
    ring_timeout_seconds: Annotated[float, Range(5, 600)] | None = Field(
        default=None, description="How long it may ring; 30 where nothing is said."
    )


class CallBridge(AgentCommand):
    """Calls another agent of this server, whose voice and ears are joined to this agent's in memory, at 16 kHz; followed
    by `call.started` (`outbound`). The other agent is told of an `inbound` call like any other. Each has its own id,
    events, limits and recording; when one ends the other does (`hangup`).

    Where that cannot be: `error`, and `call.ended` (`failed`) under an id that no event has named before.
    """

    event: Literal["call.bridge"] = "call.bridge"
    target: Id = Field(
        description="The agent that is called, by its `agent_id`. It must be online, and another one."
    )
    greeting: Greeting | None = Field(
        default=None,
        description="What the calling agent says first, in place of its `greeting`. The other one greets as ever.",
    )
    config: Configuration | None = Field(
        default=None, description="Overrides of the calling agent's configuration for its side of the call."
    )
    media: MediaSettings | None = Field(
        default=None, description="As in the configuration, for its side of the call."
    )
    metadata: dict[str, Any] | None = Field(
        default=None, description="Comes back in the `call.started` of both."
    )
    detect_turn_end: bool = Field(
        default=True,
        description="The greeting of the calling agent waits until the other one has finished its first turn, or for "
        "5 s.",
    )


class CallHangup(CallCommand):
    """Ends the call at once; what was still to be spoken is dropped. Followed by `call.ended`. A call that is being
    dialled, or rings, is given up."""

    event: Literal["call.hangup"] = "call.hangup"
    reason: str | None = Field(
        default=None, max_length=500, description="Why, in the client's words; becomes `call.ended.detail`."
    )


class RecordingStart(CallCommand):
    """Records the call from now on, as `recording` says how; followed by `recording.started`. Without effect where it
    is recorded already."""

    event: Literal["recording.start"] = "recording.start"


class RecordingPause(CallCommand):
    """Keeps nothing of what is said from now on, as while a card number is told; followed by `recording.paused`.
    Without effect where that is so already. Of a call that is not recorded an `ack` tells."""

    event: Literal["recording.pause"] = "recording.pause"


class RecordingResume(CallCommand):
    """Keeps what is said again; followed by `recording.resumed`. Otherwise as `recording.pause`."""

    event: Literal["recording.resume"] = "recording.resume"


class SessionResetIdle(CallCommand):
    """Says that the caller is not idle: the idle time of `session_limits` begins anew. For signs of life that the
    server does not see itself, as a click on a page is. Without effect once `session.timeout` was sent."""

    event: Literal["session.reset_idle"] = "session.reset_idle"


class PauseCommand(Command):
    """Concerns an agent's calls: one of them, those with a contact, both, or without either all."""

    agent_id: Id = Field(description="The agent, which must be one of this connection.")
    session_id: Id | None = Field(
        default=None,
        description="One call. Where it is not live the answer is `error` with `SESSION_UNKNOWN`.",
    )
    contact: Id | None = Field(
        default=None, description="The other side's number: its calls, those to come as well."
    )


class SessionPause(PauseCommand):
    """Silences the server's language model, for somebody else takes over; answered by `session.paused`. Without
    `session_id` and `contact`: in all calls of the agent, those to come as well.

    What is being spoken is finished, what waits is dropped. Transcripts and turns go on, each turn with
    `llm.no_response` (`paused`) instead of an answer; `bot.reply` is spoken as ever. A call that begins paused has no
    greeting. Held by the server until `session.resume`, also while the agent connects anew.
    """

    event: Literal["session.pause"] = "session.pause"


class SessionResume(PauseCommand):
    """Lets the language model answer again, from the next turn on; answered by `session.resumed`. Takes the level
    back that it names; without `session_id` and `contact` all levels of the agent."""

    event: Literal["session.resume"] = "session.resume"


COMMANDS: tuple[type[Command], ...] = (
    Connect,
    AgentCreate,
    AgentConfigure,
    ChannelAdd,
    ChannelConfigure,
    ChannelRemove,
    LineCreate,
    LineDestroy,
    DevConfig,
    ClientPing,
    ClientPong,
    SessionConfigure,
    BotReply,
    BotReplyStreamStart,
    BotReplyStreamChunk,
    BotReplyStreamEnd,
    BotCancel,
    BotClear,
    LlmToolResult,
    LlmReady,
    SkillLoad,
    SkillUnload,
    HistoryGet,
    HistoryAdd,
    HistorySet,
    HistoryClear,
    HistorySetVars,
    HistoryAddContext,
    HistorySetInstructions,
    CallMute,
    CallUnmute,
    CallHold,
    CallUnhold,
    CallDtmf,
    CallForward,
    CallRoute,
    SetContext,
    CallTransfer,
    CallTransferComplete,
    CallTransferCancel,
    CallAccept,
    CallReject,
    CallDial,
    CallBridge,
    CallHangup,
    RecordingStart,
    RecordingPause,
    RecordingResume,
    SessionResetIdle,
    SessionPause,
    SessionResume,
)
"""All commands, in the order of the written page."""

Configuring = AgentCreate | AgentConfigure | ChannelAdd | ChannelConfigure | SessionConfigure
"""Commands that carry configuration keys."""

AnyCallCommand = (
    BotReply
    | BotReplyStreamStart
    | BotReplyStreamChunk
    | BotReplyStreamEnd
    | BotCancel
    | BotClear
    | LlmToolResult
    | LlmReady
    | SkillLoad
    | SkillUnload
    | CallMute
    | CallUnmute
    | CallHold
    | CallUnhold
    | CallDtmf
    | CallForward
    | CallRoute
    | SetContext
    | CallTransfer
    | CallTransferComplete
    | CallTransferCancel
    | CallHangup
    | RecordingStart
    | RecordingPause
    | RecordingResume
    | SessionResetIdle
)
"""Commands about a call."""

AnyHistoryCommand = (
    HistoryGet
    | HistoryAdd
    | HistorySet
    | HistoryClear
    | HistorySetVars
    | HistoryAddContext
    | HistorySetInstructions
)
"""Commands about what the language model of a call knows; each has one answer."""

AnyCommand = (
    Connect
    | Configuring
    | ChannelRemove
    | LineCreate
    | LineDestroy
    | SessionPause
    | SessionResume
    | DevConfig
    | CallAccept
    | CallReject
    | CallDial
    | CallBridge
    | ClientPing
    | ClientPong
    | AnyCallCommand
    | AnyHistoryCommand
)
"""All commands, as a type for a total ``match``."""
