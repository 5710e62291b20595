"""What the user says, and when it is the user's turn."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from server.protocol.base import Share, TurnEvent


class TurnReason(StrEnum):
    """On what evidence a turn signal rests: what moved it most from where silence alone would have put it."""

    SILENCE = "silence"
    TRANSCRIPT = "transcript"
    MODEL = "model"
    PROVIDER = "provider"
    FORCED = "forced"


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
    language: str | None = Field(default=None, description="Language that was recognised, BCP-47.")
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
