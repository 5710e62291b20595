"""What the server's language model does. The caller may hear it later, in part, or never."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from server.protocol.base import CallEvent, TurnEvent
from server.protocol.errors import ErrorCode


class LlmBefore(CallEvent):
    """An answer of the language model is about to be made. Change what it is to know (variables, contexts, the
    history), then send `llm.ready`: it waits for that, as long as `preparing` says.

    Sent as soon as the turn looks over, so that it may go on: then (`turn.continued`) this is sent again for the
    same turn, and wants an `llm.ready` of its own. Turn 0 comes once, between `call.started` and the greeting.
    Not sent while the agent is away; nor, where `preparing` is not set, any more to an agent that has not said
    `llm.ready` in three turns in a row.
    """

    event: Literal["llm.before"] = "llm.before"
    turn: int = Field(ge=0, description="The turn; 0: the greeting. `llm.ready` repeats it.")


class LlmPreparingTimeout(CallEvent):
    """The agent did not say `llm.ready` in time: the answer is made without waiting any longer. Sent only where
    the agent has set `preparing`.
    """

    event: Literal["llm.preparing_timeout"] = "llm.preparing_timeout"
    turn: int = Field(ge=0, description="As in `llm.before`.")
    waited_ms: int = Field(ge=0, description="How long it was waited for, milliseconds.")
    budget_ms: int = Field(ge=0, description="How long it may be waited for, milliseconds.")


class LlmThinking(TurnEvent):
    """The language model is asked for a message. There may be several in one turn: before it is over, for it
    may go on, and after each batch of tools.
    """

    event: Literal["llm.thinking"] = "llm.thinking"
    message_id: str = Field(description="The message that it is to give; it may stay unspoken.")
    provider: str = Field(description="The engine that is asked first.")
    model: str | None = Field(default=None, description="Its model, where that is known.")


class LlmReasoning(TurnEvent):
    """More of what the model thinks and does not say, where its engine tells it."""

    event: Literal["llm.reasoning"] = "llm.reasoning"
    message_id: str = Field(description="The message that it thinks about.")
    index: int = Field(ge=0, description="Place among the pieces for this message, from 0.")
    text: str = Field(description="The next piece; empty at the end.")
    end: bool = Field(description="True: it has thought enough.")


class Usage(BaseModel):
    """What an answer cost, as far as the engine tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: int | None = Field(default=None, description="Tokens of what the model was told.")
    output_tokens: int | None = Field(default=None, description="Tokens of what it gave.")


class LlmResponse(TurnEvent):
    """The model has given all of a message. That is its own pace: what the caller hears of it is told by
    `bot.speaking` and the events behind it.
    """

    event: Literal["llm.response"] = "llm.response"
    message_id: str = Field(description="The message.")
    text: str = Field(description="All of it; empty where it only asks for tools.")
    finish_reason: str = Field(description="The engine's word, for example `stop` or `tool_calls`.")
    usage: Usage = Field(description="What it cost.")
    provider: str = Field(description="The engine that gave it.")
    model: str | None = Field(default=None, description="The model, by the engine's own word.")


class LlmError(TurnEvent):
    """No language model could answer: neither the engine nor those that take its place. Each of their faults
    is an `error` of its own.
    """

    event: Literal["llm.error"] = "llm.error"
    error: str = Field(description="What is wrong, for a human.")
    code: ErrorCode = Field(description="The same for a program: see the table of codes.")


class LlmNoResponse(TurnEvent):
    """The server says nothing more in this turn, and nothing is wrong."""

    event: Literal["llm.no_response"] = "llm.no_response"
    message_id: str | None = Field(default=None, description="The message that is empty, where there is one.")
    reason: Literal["empty", "no_followup", "paused", "ending"] = Field(
        description="`empty`: the model gave no text; `no_followup`: its tools wanted no answer; `paused`: see "
        "`session.pause`; `ending`: `session.timeout` was sent."
    )
