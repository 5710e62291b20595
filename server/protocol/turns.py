"""What the user says, and when it is the user's turn."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from server.protocol.base import Share, TurnEvent


class TurnReason(StrEnum):
    """On what evidence a turn signal rests: what moved it most from where silence alone would have put it; `typed`: the
    user has written it."""

    SILENCE = "silence"
    TRANSCRIPT = "transcript"
    MODEL = "model"
    PROVIDER = "provider"
    FORCED = "forced"
    TYPED = "typed"


class TurnStarted(TurnEvent):
    """A turn of the user begins. Once, before all other events that carry its `turn_id`.

    Speech over the bot, or of a user who is not listened to, may be announced with the coming turn and turn out to
    be nothing: the next words then belong to that turn all the same.
    """

    event: Literal["turn.started"] = "turn.started"
    index: int = Field(ge=1, description="Counts the turns of this call, from 1.")


class SpeechStarted(TurnEvent):
    """The user began to speak: there is voice, nothing is understood yet.

    Over the bot `turn_id` is the turn that the speech will belong to if it cuts the bot off; the
    `segment_ids` of `user.message` say to which turn it did belong.
    """

    event: Literal["speech.started"] = "speech.started"
    confidence: Share = Field(description="How sure it is that this is voice, 0 to 1.")
    timestamp: float = Field(description="The onset, back-dated to the first voiced sample, epoch seconds.")
    segment_id: int = Field(ge=0, description="The stretch of speech; its end carries the same.")


class SpeechEnded(TurnEvent):
    """The user fell silent. Each `speech.started` has exactly one."""

    event: Literal["speech.ended"] = "speech.ended"
    duration_ms: int = Field(
        ge=0, description="Onset to end of voice, without the silence that was waited out, milliseconds."
    )
    timestamp: float = Field(description="The end of voice, epoch seconds.")
    segment_id: int = Field(ge=0, description="The stretch of speech.")


class UserSpeaking(TurnEvent):
    """An interim transcript of the turn. Each replaces the one before."""

    event: Literal["user.speaking"] = "user.speaking"
    text: str = Field(description="All of the turn so far, the interim part last.")
    confidence: Share = Field(description="How sure the recogniser is, 0 to 1.")
    confirmed_text: str = Field(description="The part of it that will not change any more.")


class UserMessage(TurnEvent):
    """The recogniser is done with what was said so far. Repeated with the same `message_id` when the turn
    grows or the text gets better.
    """

    event: Literal["user.message"] = "user.message"
    text: str = Field(description="All of the turn so far.")
    message_id: str = Field(description="What a reply names in `in_reply_to`.")
    confidence: Share = Field(description="How sure the recogniser is, 0 to 1.")
    language: str | None = Field(
        default=None, description="Language that was recognised, BCP-47, where the recogniser tells it."
    )
    lag_ms: int | None = Field(
        default=None,
        ge=0,
        description="From the end of the voice that was understood last to this event, milliseconds; absent "
        "where that voice goes on.",
    )
    segment_ids: tuple[int, ...] = Field(description="The stretches of speech it was understood from.")


class EagerTurn(TurnEvent):
    """The user has probably finished: work on an answer may begin, and is void on `turn.continued`."""

    event: Literal["eager.turn"] = "eager.turn"
    message_id: str = Field(description="What a reply names in `in_reply_to`.")
    text: str = Field(description="All of the turn.")
    probability: Share = Field(description="How likely the turn is over, 0 to 1.")
    latency_ms: int = Field(ge=0, description="End of voice to this event, milliseconds.")
    reason: TurnReason = Field(
        description="The evidence: `silence` by itself; `transcript`: the words; `model`: how it sounded; "
        "`provider`: the recogniser said so; `forced`: it was waited for in vain, or the call was muted."
    )


class TurnEnd(TurnEvent):
    """The user has finished. This is the moment to reply."""

    event: Literal["turn.end"] = "turn.end"
    message_id: str = Field(description="What a reply names in `in_reply_to`.")
    text: str = Field(description="All of the turn.")
    probability: Share = Field(description="How likely the turn is over, 0 to 1.")
    latency_ms: int = Field(ge=0, description="End of voice to this event, milliseconds.")
    reason: TurnReason = Field(
        description="The evidence: `silence` by itself; `transcript`: the words; `model`: how it sounded; "
        "`provider`: the recogniser said so; `forced`: it was waited for in vain, or the call was muted."
    )
    source: Literal["bot"] | None = Field(
        default=None,
        description="`bot`: the user is an agent that was called with `call.bridge`; else absent.",
    )


class TurnPause(TurnEvent):
    """The user has paused, and has probably not finished. Once for each silence, where no turn signal went
    out before; `turn.resumed`, `eager.turn` or `turn.end` follows.
    """

    event: Literal["turn.pause"] = "turn.pause"
    probability: Share = Field(description="How likely the turn is over all the same, 0 to 1.")
    latency_ms: int = Field(ge=0, description="End of voice to this event, milliseconds.")


class TurnResumed(TurnEvent):
    """The user went on after a `turn.pause`. No turn signal had gone out: nothing is void."""

    event: Literal["turn.resumed"] = "turn.resumed"
    timestamp: float = Field(description="When that was sure, epoch seconds.")


class TurnContinued(TurnEvent):
    """The user went on after a turn signal: what was prepared as an answer is discarded."""

    event: Literal["turn.continued"] = "turn.continued"
    timestamp: float = Field(description="When the user went on, epoch seconds.")


class LatencyParts(BaseModel):
    """What the answer to a turn took, part by part. What is not known is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vad_ms: int | None = Field(
        default=None,
        ge=0,
        description="From the end of the user's voice to `speech.ended`: until it was clear that it was the end, "
        "milliseconds.",
    )
    endpointing_ms: int | None = Field(
        default=None, ge=0, description="From the end of the user's voice to `turn.end`, milliseconds."
    )
    stt_ms: int | None = Field(
        default=None,
        ge=0,
        description="From the end of the user's voice to the last text of the turn, milliseconds.",
    )
    llm_first_token_ms: int | None = Field(
        default=None,
        ge=0,
        description="From the request for this message to the first of its text, milliseconds; absent where the "
        "agent process answers.",
    )
    agent_ms: int | None = Field(
        default=None,
        ge=0,
        description="Where the agent process answers: from the turn signal (`eager.turn`) to the first text of "
        "the answer, milliseconds.",
    )
    tts_first_byte_ms: int | None = Field(
        default=None,
        ge=0,
        description="From the request for the first sentence to the first of its sound, milliseconds.",
    )
    transport_ms: int | None = Field(
        default=None,
        ge=0,
        description="From the first audio that is handed to the line to the ear, as far as the line tells, "
        "milliseconds.",
    )
    total_ms: int | None = Field(
        default=None,
        ge=0,
        description="From the end of the user's voice to the first sound of the answer in the ear, milliseconds. More "
        "than the parts together where the agent got ready, tools ran, or the first sentence came slowly.",
    )


class TurnLatency(LatencyParts):
    """What `turn.metrics` tells of times."""


class TurnCompleted(TurnEvent):
    """A turn is over, its answer too. Once for each `turn.started`: when the last answer has come to its end and
    the server makes no more of it; else when the user has the word in a later turn, or the call ends.

    What an agent says later, unasked, still carries the `turn_id`; so does a tool that ends later.
    """

    event: Literal["turn.completed"] = "turn.completed"
    messages_spoken: int = Field(ge=0, description="Answers of which the history keeps something.")
    interrupted: bool = Field(description="The last answer that was heard was cut off.")
    aborted: bool = Field(description="Nothing was answered, or none of it was kept.")
    duration_ms: int = Field(ge=0, description="From `turn.started` to this event, milliseconds.")
    latency: TurnLatency | None = Field(
        default=None,
        description="How long its answer took, also where `turn.metrics` is not told; absent: none was heard.",
    )


LatencyPart = Literal["endpointing", "stt", "llm", "agent", "tts", "transport"]


class TurnMetrics(LatencyParts, TurnEvent):
    """How long the answer to a turn took. Once for an answered turn, right behind the `bot.speaking` of its first
    answer; a word that the answer takes a while is none. Where the turn went on (`turn.continued`) that answer was void,
    and the one that it gets then is told of, too.

    The parts overlap, since work begins before the turn is over: their sum is not the total. What is not known
    is left out.
    """

    event: Literal["turn.metrics"] = "turn.metrics"
    message_id: str = Field(description="The answer.")
    input_tokens: int | None = Field(
        default=None,
        ge=0,
        description="Tokens that the model was told, where it had given all of it by then.",
    )
    output_tokens: int | None = Field(default=None, ge=0, description="Tokens that it gave.")
    slowest: LatencyPart | None = Field(default=None, description="The largest of the parts.")
