"""What can go wrong on the wire, as codes that a program may branch on. A code never changes its meaning."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Code(StrEnum):
    """A word of the wire together with what it means, so that the written page is made from it.

    ``ErrorCode("BAD_MESSAGE")`` gives the member, as with any enum.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Code:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class ErrorCode(Code):
    """``error.code``."""

    UNAUTHORIZED = (
        "UNAUTHORIZED",
        "The API key is wrong, or something was sent before `connect`. The socket closes with 1008.",
    )
    BAD_MESSAGE = (
        "BAD_MESSAGE",
        "The message is not JSON, not an object, binary, or a field of it is missing or of the wrong type. "
        "It had no effect; the socket stays.",
    )
    UNKNOWN_EVENT = (
        "UNKNOWN_EVENT",
        "No command has this `event`. It had no effect; the socket stays.",
    )
    REGISTRATION_ERROR = (
        "REGISTRATION_ERROR",
        "A configuration key of an agent or a channel has a wrong type or lies out of range. "
        "`key` names it, the text says what is allowed. Nothing of the message was applied.",
    )
    PROVIDER_KEY_REQUIRED = (
        "PROVIDER_KEY_REQUIRED",
        "A provider, model or voice is asked for that this server does not have, and the operator wants no other "
        "in its place (`TALKWIRE_STRICT_PROVIDERS`). `key` names where, the text says which setting would make it "
        "available. Nothing of the message was applied.",
    )
    AGENT_CONFLICT = (
        "AGENT_CONFLICT",
        "Another live connection owns this agent id. Try again after `retry_after_s`.",
    )
    AGENT_UNKNOWN = (
        "AGENT_UNKNOWN",
        "The command names an agent that this connection has not created.",
    )
    SERVER_AT_CAPACITY = (
        "SERVER_AT_CAPACITY",
        "As many agents are online as the server allows: `limit`. Try again after `retry_after_s`.",
    )
    PHONE_IN_USE = (
        "PHONE_IN_USE",
        "Another agent answers this number. `phone` repeats it as it was typed.",
    )
    CHANNEL_UNSUPPORTED = (
        "CHANNEL_UNSUPPORTED",
        "This server has no channel of this type.",
    )
    CHANNEL_UNKNOWN = (
        "CHANNEL_UNKNOWN",
        "The agent has no channel with this `ref`.",
    )
    CALL_UNKNOWN = (
        "CALL_UNKNOWN",
        "Only in an `ack`: the call is over, or is not this connection's. Without `ack` nothing is said of it.",
    )
    CALL_NOT_RINGING = (
        "CALL_NOT_RINGING",
        "Only in an `ack`: the call is answered already, or over. Without `ack` nothing is said of it.",
    )
    CALL_BUSY = (
        "CALL_BUSY",
        "The call is being forwarded or transferred already, or as many keys wait to be pressed as the server allows. "
        "Wait for their event.",
    )
    FORWARD_REFUSED = (
        "FORWARD_REFUSED",
        "A call cannot be forwarded there: `key` names what is wrong with the command.",
    )
    ROUTE_REFUSED = (
        "ROUTE_REFUSED",
        "Only in an `ack`: the call cannot be handed over; `extras.reason` says why, as in `call.route_failed`.",
    )
    LINE_CONFLICT = (
        "LINE_CONFLICT",
        "Only in an `ack`: as `line.error` with this code.",
    )
    LINE_CONFIG_ERROR = (
        "LINE_CONFIG_ERROR",
        "Only in an `ack`: as `line.error` with this code.",
    )
    LINE_UNKNOWN = (
        "LINE_UNKNOWN",
        "The command names a line that this connection has not created.",
    )
    TRANSFER_REFUSED = (
        "TRANSFER_REFUSED",
        "A call cannot be transferred there: `key` names what is wrong with the command. Of `call.transfer_complete` and "
        "`call.transfer_cancel` only in an `ack`: there is no transfer that this could be done to (any more).",
    )
    MESSAGE_UNKNOWN = (
        "MESSAGE_UNKNOWN",
        "Only in an `ack`: no such message is being spoken or waits.",
    )
    CANCEL_REFUSED = (
        "CANCEL_REFUSED",
        "`bot.cancel` or `bot.clear` would stop nothing but what a person beside the bot says (`supervisor.said`): that "
        "is not the agent's to stop. It had no effect; `extras.kept` of the `ack` has the messages.",
    )
    REPLY_REJECTED = (
        "REPLY_REJECTED",
        "Only in an `ack`: the message is not spoken; `extras.reason` says why, as in `reply.rejected`.",
    )
    RESULT_UNKNOWN = (
        "RESULT_UNKNOWN",
        "Only in an `ack`: no tool was asked for by any of these ids.",
    )
    SESSION_UNKNOWN = (
        "SESSION_UNKNOWN",
        "The agent has no live call with this `session_id`.",
    )
    MEDIA_REFUSED = (
        "MEDIA_REFUSED",
        "The carrier's audio connection of a call was refused: the call could not begin.",
    )
    DIAL_REFUSED = (
        "DIAL_REFUSED",
        "A call that cannot be placed; `key` names what is wrong with it. `call.ended` follows under the id of the dial.",
    )
    BRIDGE_REFUSED = (
        "BRIDGE_REFUSED",
        "An agent that cannot be called: `key` names what is wrong with the command. `call.ended` follows.",
    )
    CALLER_ID_REFUSED = (
        "CALLER_ID_REFUSED",
        "`from` of a dial is missing, or is no number of the operator's at a carrier of his.",
    )
    DIAL_QUEUE_FULL = (
        "DIAL_QUEUE_FULL",
        "As many dials wait for their turn as the server allows. Try again after `retry_after_s`.",
    )
    CARRIER_ERROR = (
        "CARRIER_ERROR",
        "The phone network refused what it was asked for, or gave no answer; `retryable` says whether trying again may "
        "help.",
    )
    CARRIER_UNSUPPORTED = (
        "CARRIER_UNSUPPORTED",
        "The phone network of this call, or those of this server, cannot do that at all.",
    )
    PROVIDER_ERROR = (
        "PROVIDER_ERROR",
        "An engine failed on a stretch of speech, an answer or a message of this call; `fallback` names what "
        "takes its place. The call goes on.",
    )
    STT_BUSY = (
        "STT_BUSY",
        "All recognisers stayed taken for too long; what the user said meanwhile is lost. The call goes on.",
    )
    TTS_BUSY = (
        "TTS_BUSY",
        "All synthesisers stayed taken for too long; the message is not spoken. The call goes on.",
    )
    LLM_BUSY = (
        "LLM_BUSY",
        "The language model refuses more requests for now. The call goes on.",
    )
    PROVIDER_TIMEOUT = (
        "PROVIDER_TIMEOUT",
        "An engine gave nothing within the deadline of its stage. `fallback` names what takes its place. The "
        "call goes on.",
    )
    PROVIDER_UNAVAILABLE = (
        "PROVIDER_UNAVAILABLE",
        "An engine cannot be used as it is configured (not installed, its key refused), and trying again will "
        "not help.",
    )
    NOT_RECORDED = (
        "NOT_RECORDED",
        "Only in an `ack`: the call is not recorded, so that there is nothing to pause. `recording.start` begins it.",
    )
    SKILL_UNKNOWN = (
        "SKILL_UNKNOWN",
        "The call has no skill of this name. Only ever in an `ack`, beside the warning.",
    )
    REQUEST_REFUSED = (
        "REQUEST_REFUSED",
        "A command of `history` could not be carried out; its answer says why in `error`. Only ever in an `ack`.",
    )
    INTERNAL_ERROR = (
        "INTERNAL_ERROR",
        "A fault of the server itself. Its log has the details.",
    )


class WarningCode(Code):
    """``server.warning.code``."""

    UNKNOWN_KEYS = (
        "UNKNOWN_KEYS",
        "The message has keys that this server does not know. They are kept and have no effect.",
    )
    LANGUAGE_UNSUPPORTED = (
        "LANGUAGE_UNSUPPORTED",
        "An engine does not know the language that was asked for: choose another engine or language.",
    )
    PROVIDER_SUBSTITUTED = (
        "PROVIDER_SUBSTITUTED",
        "The engine, model or voice that was asked for is not to be had; the configured one takes its place. The "
        "text says what would make it available.",
    )
    LLM_NOT_CONFIGURED = (
        "LLM_NOT_CONFIGURED",
        "The agent asks for `llm`, and the server has no language model for it: nobody answers but the agent process.",
    )
    PROVIDER_PROBLEM = (
        "PROVIDER_PROBLEM",
        "The engine that this would use could not be reached, or refused its key, when it was last asked.",
    )
    UNKNOWN_VARIABLE = (
        "UNKNOWN_VARIABLE",
        "The prompt or the greeting of a call names variables that nobody has set; they are left empty. `keys` "
        "names them. Sent once for each in a call.",
    )
    PROMPT_TOO_LONG = (
        "PROMPT_TOO_LONG",
        "With its variables filled in the prompt of a call is longer than this server takes: it is cut.",
    )
    SKILL_UNKNOWN = (
        "SKILL_UNKNOWN",
        "The call has no skill of this name: the text lists those that it has. The command had no effect.",
    )
    TOOL_RESULT_UNKNOWN = (
        "TOOL_RESULT_UNKNOWN",
        "No tool of this call was asked for by these ids: the result has no effect.",
    )
    NOT_ON_A_LINE = (
        "NOT_ON_A_LINE",
        "What a configuration asks for is not for the calls of a line: it has no effect. `keys` names it.",
    )
    RECORDING_FAILED = (
        "RECORDING_FAILED",
        "The recording of a call ends here, or misses a part: the disk is full, or does not take it. The text says "
        "why. The call goes on. Sent once for a call.",
    )
    EVENTS_LOST = (
        "EVENTS_LOST",
        "The agent was away for so long that the first of the events that it missed are no longer kept.",
    )
    CURSOR_UNKNOWN = (
        "CURSOR_UNKNOWN",
        "`resume` names a `seq` that this call has not reached: the call is announced as one that was not named.",
    )


class CloseCode(IntEnum):
    """Why the server closes the agent socket (RFC 6455, section 7.4)."""

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> CloseCode:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    RESTART = (1012, "The server stops or restarts. Connect again.")
    POLICY = (1008, "Wrong API key, or no `connect` within 10 s.")
    TOO_BIG = (1009, "A message was larger than 1 MiB.")
    INTERNAL = (1011, "A fault of the server itself.")
    SLOW_CONSUMER = (
        1013,
        "Reason `slow_consumer`: the client did not read its events fast enough. Connect again.",
    )
    DISPLACED = (
        4001,
        "The last agent of the connection was taken over by another one or deleted. Do not connect again by "
        "yourself.",
    )


class ProtocolError(Exception):
    """A message of the client that cannot be understood. The client's fault, and told to it.

    ``agent_id`` is the client's own spelling: clients match errors of registration by it.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        agent_id: str | None = None,
        call_id: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.agent_id = agent_id
        self.call_id = call_id
        self.key = key
        """Path of the first field at fault, for example ``config.vad.threshold``."""
        self.ack: str | None = None
        """By which the client wants to be told what becomes of the message, where it could be read."""
        self.command = ""
        """The name of the command, as the client spelled it."""
        self.request_id: str | None = None
        """Of a command that is answered by its id, whatever is wrong with it."""
        self.number: str | None = None
        """Of a command about a line, which has an answer of its own, too."""
