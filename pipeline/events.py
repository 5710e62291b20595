"""What happened in a conversation, as frozen values. The wire has its own words for these
(``server.protocol``); ``server.wire`` joins the two.

Times named ``at`` are seconds of the session's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from media.levels import Level
from pipeline.endpointing.evidence import TurnReason
from pipeline.ports import ChatMessage, ToolCall


class EndReason(StrEnum):
    """Why a call ended; the words are the wire's."""

    HANGUP = "hangup"
    CLIENT_HANGUP = "client_hangup"
    MAX_DURATION = "max_duration"
    IDLE_TIMEOUT = "idle_timeout"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    ROUTED = "routed"
    """The call goes on, with another owner."""


InterruptReason = Literal["early", "user_spoke", "cancelled"]
AbortReason = Literal["early", "new_turn", "cancelled", "call_ended", "duplicate_greeting"]
PauseReason = Literal["user_spoke", "held"]
NoResponseReason = Literal["empty", "no_followup", "paused", "ending"]
"""Why the model says nothing: it gave nothing, or its tools wanted no answer; somebody has paused it; a limit of the
call is reached."""
RejectReason = Literal["rejected", "busy"]
ForwardFailure = Literal["busy", "no_answer", "failed", "canceled"]
RouteFailure = Literal["offline", "unknown", "no_phone_config", "capacity", "swap_failed"]
TransferFailure = Literal["busy", "no_answer", "failed", "canceled", "declined", "machine"]
Answerer = Literal["human", "machine", "fax", "screening", "unknown"]
"""``screening``: a robot that asks who calls, before somebody may pick up."""
LimitReason = Literal["idle_timeout", "max_duration"]
MuteReason = Literal["muted", "held", "bot_speaking"]
"""Why the user is not listened to: by command, for the call is on hold, for the bot is heard."""
MutedBy = Literal["agent", "user"]
HeldBy = Literal["agent", "network"]
"""``network``: the caller's connection is lost, and may come back; or his carrier does something else with it."""
ToolKind = Literal["client", "page", "system"]
"""Who runs it: the agent's process, or the server itself."""
SkillBy = Literal["model", "manual"]
"""Who loads a skill: the model, or the agent."""
LatencyPart = Literal["endpointing", "stt", "llm", "agent", "tts", "transport"]
Activity = Literal["idle", "listening", "thinking", "speaking"]
RecordingFormat = Literal["wav", "opus"]
RecordingChannels = Literal["stereo", "mono", "user", "bot"]
ConsentBy = Literal["spoken", "tone"]
"""How a caller is told that he is recorded."""
ToolErrorCode = Literal["timeout", "bad_arguments", "unknown_tool", "agent_gone", "error"]


@dataclass(frozen=True, slots=True)
class TurnRef:
    """The turn that an event belongs to."""

    turn_id: int
    correlation_id: str


# --- the user ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    turn: TurnRef
    segment_id: int
    confidence: float
    at: float
    """The onset, back-dated to the first voiced sample."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    turn: TurnRef
    segment_id: int
    duration_ms: int
    """Onset to the end of voice, without the silence that was waited out."""
    at: float


@dataclass(frozen=True, slots=True)
class UserSpeaking:
    turn: TurnRef
    text: str
    """All of the turn so far, the interim part last."""
    confirmed_text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class UserMessage:
    turn: TurnRef
    message_id: str
    text: str
    """All of the turn so far."""
    confidence: float
    segment_ids: tuple[int, ...]
    language: str | None = None
    """BCP-47, where the recogniser tells it."""
    lag_ms: int | None = None
    """From the end of the voice that was understood last to this event; None while it is heard."""


@dataclass(frozen=True, slots=True)
class EagerTurn:
    turn: TurnRef
    message_id: str
    text: str
    probability: float
    latency_ms: int
    """End of voice to this event."""
    reason: TurnReason


@dataclass(frozen=True, slots=True)
class TurnEnd:
    turn: TurnRef
    message_id: str
    text: str
    probability: float
    latency_ms: int
    reason: TurnReason


@dataclass(frozen=True, slots=True)
class TurnPause:
    """The user has paused, and has probably not finished."""

    turn: TurnRef
    probability: float
    """How likely the turn is over all the same."""
    latency_ms: int


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """The user went on after a pause. No signal had gone out, so nothing is void."""

    turn: TurnRef
    at: float


@dataclass(frozen=True, slots=True)
class TurnContinued:
    turn: TurnRef
    at: float


# --- the bot ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BotSpeaking:
    turn: TurnRef | None
    message_id: str
    text: str
    """Empty for a streamed message: its words follow as they are heard."""
    sent_at: float | None = None
    """When its first audio went to the leg."""
    heard_at: float | None = None
    """When its first sample came to the ear, as far as the play-out knows the way."""


@dataclass(frozen=True, slots=True)
class BotWord:
    turn: TurnRef | None
    message_id: str
    word: str
    word_index: int
    start_s: float
    """From the first sample of the message."""
    end_s: float


@dataclass(frozen=True, slots=True)
class BotPaused:
    """The bot has fallen silent in the middle of a message, and may go on with it."""

    turn: TurnRef | None
    message_id: str
    played_ms: int
    words_spoken: int
    reason: PauseReason


@dataclass(frozen=True, slots=True)
class BotResumed:
    """The bot goes on with the message that it had paused."""

    turn: TurnRef | None
    message_id: str
    word_index: int
    """The word that is heard next. One that was cut in the middle is said from its beginning, and told once."""


@dataclass(frozen=True, slots=True)
class BotFinished:
    turn: TurnRef | None
    message_id: str
    duration_ms: int
    text: str = ""
    """What the caller heard: all of it, also of one that was streamed."""


@dataclass(frozen=True, slots=True)
class BotInterrupted:
    turn: TurnRef | None
    message_id: str
    played_ms: int
    words_spoken: int
    last_word: str | None
    reason: InterruptReason


@dataclass(frozen=True, slots=True)
class MessageConfirmed:
    turn: TurnRef | None
    message_id: str
    text: str
    """What the caller heard of it."""
    finished: bool = False
    """To its end."""


@dataclass(frozen=True, slots=True)
class MessageAborted:
    turn: TurnRef | None
    message_id: str
    reason: AbortReason


@dataclass(frozen=True, slots=True)
class ReplyRejected:
    turn: TurnRef | None
    message_id: str
    in_reply_to: str
    expected_reply_to: str
    reason: str


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The user's voice has cut off what the bot was saying."""

    turn: TurnRef | None
    cancelled_message_id: str


@dataclass(frozen=True, slots=True)
class TtsStarted:
    """The voice begins to make the first sentence of a message."""

    turn: TurnRef | None
    message_id: str


@dataclass(frozen=True, slots=True)
class TtsStopped:
    """The voice has made all of a message, or what is left of it is not wanted any more."""

    turn: TurnRef | None
    message_id: str
    characters: int = 0
    """Of text that it was given for this message."""


@dataclass(frozen=True, slots=True)
class BotOutput:
    """A part of what the bot says: that it is going to be said, or that it was heard."""

    turn: TurnRef | None
    message_id: str
    segment_id: int
    """Place of the part in its message, from 0."""
    text: str
    spoken: bool
    aggregated_by: Literal["sentence", "word"]


# --- what follows from the others -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """Before all other events of a turn."""

    turn: TurnRef
    index: int
    """Counts the turns of the call, from 1."""


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """What the answer to a turn took. The parts overlap: work begins before the turn is over."""

    turn: TurnRef
    message_id: str
    endpointing_ms: int | None
    stt_ms: int | None
    llm_first_token_ms: int | None
    agent_ms: int | None
    tts_first_byte_ms: int | None
    transport_ms: int | None
    total_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    slowest: LatencyPart | None
    vad_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """A turn has been answered, or will not be. Once for each that was started."""

    turn: TurnRef
    messages_spoken: int
    """Answers of which something was heard and kept."""
    interrupted: bool
    aborted: bool
    duration_ms: int
    latency: TurnMetrics | None = None
    """What its answer took; None: nothing was heard of one."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """Whose move it is, as it looks from outside."""

    state: Activity


@dataclass(frozen=True, slots=True)
class HistorySnapshot:
    """What the language model knows of the conversation."""

    messages: tuple[ChatMessage, ...]
    """The latest."""
    count: int
    """Of all."""


# --- the language model -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LlmAsked:
    """The model is asked for a message, of which there may be several in a turn, and any of which may stay
    unsaid."""

    turn: TurnRef
    message_id: str
    provider: str
    model: str | None = None
    """None: it is not known."""


@dataclass(frozen=True, slots=True)
class LlmBefore:
    """An answer waits for the agent, which may change what the model is told."""

    turn: TurnRef | None
    """None: it is the greeting that waits."""


@dataclass(frozen=True, slots=True)
class PreparingTimeout:
    """The agent was not ready in time: the answer is made without waiting any longer."""

    turn: TurnRef | None
    waited_ms: int
    budget_ms: int


@dataclass(frozen=True, slots=True)
class LlmReasoned:
    """More of what the model thinks, and does not say."""

    turn: TurnRef
    message_id: str
    index: int
    """From 0."""
    text: str
    end: bool
    """It has thought enough; the text is empty."""


@dataclass(frozen=True, slots=True)
class LlmAnswered:
    """The model has given all of a message, at its own pace."""

    turn: TurnRef
    message_id: str
    text: str
    finish_reason: str
    input_tokens: int | None
    output_tokens: int | None
    provider: str
    model: str | None = None
    """By the provider's own word."""


@dataclass(frozen=True, slots=True)
class LlmFailed:
    """No model could answer."""

    turn: TurnRef
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class NoResponse:
    """Nothing more is said in this turn, on purpose."""

    turn: TurnRef
    message_id: str
    """Empty: of no message."""
    reason: NoResponseReason


@dataclass(frozen=True, slots=True)
class ToolCallsRequested:
    """The agent is to run tools, and to give a result of each to ``msg_id``."""

    turn: TurnRef
    msg_id: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """Followed by exactly one ``ToolCompleted`` or ``ToolFailed``."""

    turn: TurnRef
    msg_id: str
    tool_call_id: str
    name: str
    kind: ToolKind
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCompleted:
    turn: TurnRef
    msg_id: str
    tool_call_id: str
    name: str
    kind: ToolKind
    result: Any
    """JSON."""
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ToolFailed:
    turn: TurnRef
    msg_id: str
    tool_call_id: str
    name: str
    kind: ToolKind
    code: ToolErrorCode
    error: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class SkillLoaded:
    """The language model has the instructions and the tools of a skill, from its next generation on."""

    turn: TurnRef | None
    skill: str
    by: SkillBy


@dataclass(frozen=True, slots=True)
class SkillUnloaded:
    """It has them no more."""

    turn: TurnRef | None
    skill: str
    by: SkillBy


# --- the call ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallRinging:
    """A call came in, and waits for its agent to take it or not."""


@dataclass(frozen=True, slots=True)
class CallRejected:
    """The agent did not take it; ``CallEnded`` follows."""

    reason: RejectReason


@dataclass(frozen=True, slots=True)
class CallDialing:
    """The carrier was asked to call somebody."""

    dial_id: str


@dataclass(frozen=True, slots=True)
class CallAnsweredBy:
    """Who, or what, has picked up a call that was dialled."""

    answered_by: Answerer
    known_from: Literal["carrier", "transcript"]
    """Who says so: the carrier's detection, or what was understood."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CarrierFault:
    """The phone network did not do what it was asked to."""

    code: str
    text: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class CallStarted:
    language: str
    said: tuple[Said, ...] = ()
    """What was said before, where the call comes from another owner."""


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """Behind ``CallStarted``: this is one connection of its media, under an id of its own."""

    interaction_id: str


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The engines are warm, or not for lack of trying, and the user is listened to."""


@dataclass(frozen=True, slots=True)
class SessionIdleWarning:
    """The user has said nothing for long."""

    remaining_s: float
    """Until the idle timeout."""
    idle_timeout_s: float


@dataclass(frozen=True, slots=True)
class SessionTimeout:
    """A limit is reached: the call ends, as soon as what is said in answer was heard."""

    reason: LimitReason
    farewell_s: float
    """At the latest after so long."""


@dataclass(frozen=True, slots=True)
class UserMuteStarted:
    """The user is not listened to from here on, for this reason; there may be several at a time."""

    reason: MuteReason


@dataclass(frozen=True, slots=True)
class UserMuteStopped:
    """This reason is over."""

    reason: MuteReason


@dataclass(frozen=True, slots=True)
class LanguageChanged:
    """The conversation is held in another language from here on."""

    language: str


@dataclass(frozen=True, slots=True)
class CallMuted:
    """The user is not listened to: what he says is understood, and kept for the end of it."""

    by: MutedBy = "agent"


@dataclass(frozen=True, slots=True)
class CallUnmuted:
    muted_transcript: str
    """What was understood meanwhile."""


@dataclass(frozen=True, slots=True)
class CallHeld:
    """Neither side hears the other."""

    by: HeldBy = "agent"


@dataclass(frozen=True, slots=True)
class CallUnheld:
    """The conversation goes on."""


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """The other side pressed a key."""

    digit: str
    digits: str
    """All of them so far."""


@dataclass(frozen=True, slots=True)
class DigitsSent:
    """Keys were pressed for the other side, and the conversation goes on."""

    digits: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The caller speaks with somebody else."""

    to: str


@dataclass(frozen=True, slots=True)
class ForwardFailed:
    """Nobody took the call over: the caller comes back."""

    to: str
    reason: ForwardFailure
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Routed:
    """Another owner takes the call; the end of it follows, for the one that has it now."""

    agent: str


@dataclass(frozen=True, slots=True)
class RouteFailed:
    """The call stays with the owner that it has."""

    agent: str
    reason: RouteFailure
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Transferring:
    """The caller waits, and somebody is called to be joined to him."""

    to: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """He is."""

    to: str


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """He is not: the caller comes back."""

    to: str
    reason: TransferFailure
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SupervisorSaid:
    """A person beside the bot has something spoken; what is heard of it is told as of any message."""

    text: str
    by: str
    message_id: str


@dataclass(frozen=True, slots=True)
class SupervisorWhispered:
    """He has told the model something, which nobody hears."""

    text: str
    by: str


@dataclass(frozen=True, slots=True)
class HandoffRequested:
    """He wants the conversation: from here on neither model nor agent begins to say anything."""

    by: str


@dataclass(frozen=True, slots=True)
class HandoffActive:
    """He has it: what the bot was saying is over."""

    by: str


@dataclass(frozen=True, slots=True)
class HandoffReleased:
    """The bot has it again."""

    by: str


@dataclass(frozen=True, slots=True)
class Utterance:
    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Said:
    """Something that was said before the call was handed over."""

    role: Literal["user", "assistant"]
    content: str
    at_ms: int
    """From the beginning of the call to that of its sound."""
    owner: str
    """By its key, who had the call."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    reason: EndReason
    detail: str
    at: float
    duration_s: float
    transcript: tuple[Utterance, ...]
    messages: tuple[ChatMessage, ...] = ()
    """The history of the call's own model, with its tools; empty: it had none."""


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """What is said is kept from here on."""

    at_ms: int
    """Place in the recording. Its first sample is the caller's first of the call."""
    format: RecordingFormat
    channels: RecordingChannels
    consent: ConsentBy | None
    """How the caller is going to be told; None: he is not."""


@dataclass(frozen=True, slots=True)
class RecordingAnnounced:
    """The caller has heard to its end that he is recorded."""

    at_ms: int
    consent: ConsentBy
    text: str


@dataclass(frozen=True, slots=True)
class RecordingPaused:
    at_ms: int


@dataclass(frozen=True, slots=True)
class RecordingResumed:
    at_ms: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """The recording of the call is complete."""

    duration_ms: int
    sample_rate_hz: int
    format: RecordingFormat
    channels: RecordingChannels
    at: float
    """When its first sample was."""
    url: str | None = None
    """Where it can be fetched."""


@dataclass(frozen=True, slots=True)
class AudioMetrics:
    source: Literal["user", "bot"]
    level: Level
    is_speech: bool
    vad_probability: float | None
    at: float


WarnedCode = Literal["UNKNOWN_VARIABLE", "PROMPT_TOO_LONG", "SKILL_UNKNOWN", "RECORDING_FAILED"]


@dataclass(frozen=True, slots=True)
class Warned:
    """What an agent asked for cannot be done in full; the call goes on."""

    turn: TurnRef | None
    code: WarnedCode
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineFault:
    """An engine failed; the call goes on."""

    turn: TurnRef | None
    code: str
    text: str
    provider: str
    stage: str
    retryable: bool
    fallback: str | None = None
    """The engine that takes its place, itself perhaps; None: what it was to do is not done."""


RuleEvent = (
    SessionCreated | SessionReady | SessionIdleWarning | SessionTimeout | UserMuteStarted | UserMuteStopped
)
"""About the rules of a conversation."""

RecordingEvent = RecordingStarted | RecordingAnnounced | RecordingPaused | RecordingResumed | Recorded
"""About the recording of a call."""

ControlEvent = (
    DigitReceived
    | DigitsSent
    | Forwarded
    | ForwardFailed
    | Routed
    | RouteFailed
    | Transferring
    | Transferred
    | TransferFailed
)
"""About keys, what a carrier does with a call, and who has it."""

SupervisionEvent = SupervisorSaid | SupervisorWhispered | HandoffRequested | HandoffActive | HandoffReleased
"""About a person beside the bot."""

Event = (
    SpeechStarted
    | SpeechEnded
    | UserSpeaking
    | UserMessage
    | EagerTurn
    | TurnEnd
    | TurnPause
    | TurnResumed
    | TurnContinued
    | BotSpeaking
    | BotWord
    | BotPaused
    | BotResumed
    | BotFinished
    | BotInterrupted
    | MessageConfirmed
    | MessageAborted
    | ReplyRejected
    | BargeIn
    | TtsStarted
    | TtsStopped
    | BotOutput
    | TurnStarted
    | TurnCompleted
    | TurnMetrics
    | AgentState
    | HistorySnapshot
    | LlmAsked
    | LlmBefore
    | PreparingTimeout
    | LlmReasoned
    | LlmAnswered
    | LlmFailed
    | NoResponse
    | ToolCallsRequested
    | ToolStarted
    | ToolCompleted
    | ToolFailed
    | SkillLoaded
    | SkillUnloaded
    | CallRinging
    | CallRejected
    | CallDialing
    | CallAnsweredBy
    | CarrierFault
    | CallStarted
    | RuleEvent
    | LanguageChanged
    | CallMuted
    | CallUnmuted
    | CallHeld
    | DigitReceived
    | DigitsSent
    | Forwarded
    | ForwardFailed
    | Routed
    | RouteFailed
    | Transferring
    | Transferred
    | TransferFailed
    | SupervisionEvent
    | CallUnheld
    | CallEnded
    | RecordingEvent
    | AudioMetrics
    | EngineFault
    | Warned
)
