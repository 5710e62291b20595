"""A person beside the bot (`POST /v1/calls/{call_id}/supervise`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.protocol.base import CallEvent

_BY = "Who, in the words of his request."


class SupervisorSaid(CallEvent):
    """A person beside the bot has something spoken to the caller. What is heard of it is told as of any message, and
    the server's language model knows of it; an agent that asks a model itself tells it."""

    event: Literal["supervisor.said"] = "supervisor.said"
    text: str = Field(description="What is to be spoken.")
    by: str = Field(description=_BY)
    message_id: str = Field(description="Of the message: `bot.speaking` and the rest of its events have it.")


class SupervisorWhispered(CallEvent):
    """A person beside the bot has told it something that the caller does not hear. The server's language model knows it
    from its next answer on; an agent that asks a model itself tells it."""

    event: Literal["supervisor.whispered"] = "supervisor.whispered"
    text: str = Field(description="What the model is to know.")
    by: str = Field(description=_BY)


class HandoffRequested(CallEvent):
    """A person takes the conversation over. From here on neither the server's language model nor the agent begins to say
    anything: what waited is cancelled, and what the agent still sends is `reply.rejected` (`taken_over`), or where it
    answers nothing `bot.interrupted` (`cancelled`). All other events go on."""

    event: Literal["handoff.requested"] = "handoff.requested"
    by: str = Field(description=_BY)


class HandoffActive(CallEvent):
    """The person has the conversation: what the caller was hearing of the bot is over. Follows `handoff.requested`; told
    again, by itself, to an agent that the call is handed over to meanwhile."""

    event: Literal["handoff.active"] = "handoff.active"
    by: str = Field(description=_BY)


class HandoffReleased(CallEvent):
    """The bot has the conversation again. Where the caller waits for an answer, the server's language model gives it."""

    event: Literal["handoff.released"] = "handoff.released"
    by: str = Field(description=_BY)
