"""What travels on the data channel of a browser call.

The page says JSON text with `action`; bare `ping` is a sign of life. It is told events of its call, with fewer fields
(``FIELDS``), and some that are the channel's own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Discriminator, Field, TypeAdapter, ValidationError

from server.protocol.base import Id, Lenient, Message
from server.protocol.errors import ErrorCode
from server.protocol.faults import faults_of
from server.protocol.tools import CallId, ToolResult

MAX_TYPED = 10_000
MAX_CONTEXT = 20_000


class PageAction(Lenient):
    """Something that the page asks for."""

    ack: Id | None = Field(
        default=None,
        description="Any text: what becomes of the action is then told by an `ack` that repeats it.",
    )


class PagePing(PageAction):
    """Asks whether the server is alive; answered by `pong`. Bare `ping`, each second, is a sign of life only."""

    action: Literal["ping"] = Field(description="Which action this is.")


class PageMute(PageAction):
    """The user does not want to be listened to; answered by `call.muted`."""

    action: Literal["mute"] = Field(description="Which action this is.")


class PageUnmute(PageAction):
    """He does again; answered by `call.unmuted`."""

    action: Literal["unmute"] = Field(description="Which action this is.")


class PageConfigure(PageAction):
    """Changes how the call sounds from now on: `voice`, `stt`, `language`. Other keys have no effect."""

    action: Literal["configure"] = Field(description="Which action this is.")


class PageInjectText(PageAction):
    """The user has written a message: it counts as if he had said it."""

    action: Literal["inject_text"] = Field(description="Which action this is.")
    text: Annotated[str, Field(min_length=1, max_length=MAX_TYPED)] = Field(description="What he wrote.")


class PageSetContext(PageAction):
    """Something that the language model is to know, under a name; null takes it away."""

    action: Literal["set_context"] = Field(description="Which action this is.")
    key: Annotated[str, Field(min_length=1, max_length=100)] = Field(description="The name.")
    value: Annotated[str, Field(max_length=MAX_CONTEXT)] | None = Field(default=None, description="The text.")


class PagePlayout(PageAction):
    """What the page knows of how it plays what it is sent, so that what is told as heard was heard. Not answered but for
    `ack`; may come before the call has begun."""

    action: Literal["playout"] = Field(description="Which action this is.")
    buffer_ms: Annotated[float, Field(ge=0, le=2000)] | None = Field(
        default=None,
        description="How long audio waits in the browser's jitter buffer, as it says itself.",
    )
    clears: bool = Field(
        default=False,
        description="It falls silent on `audio.clear`, so that an interrupted bot stops at once.",
    )


class PageToolAnswer(ToolResult, PageAction):
    """What a tool gave that the page runs, as `tool.started` asked."""

    action: Literal["tool_result"] = Field(description="Which action this is.")
    msg_id: CallId = Field(description="The batch, as in `tool.started`.")


AnyPageAction = (
    PagePing
    | PageMute
    | PageUnmute
    | PageConfigure
    | PageInjectText
    | PageSetContext
    | PagePlayout
    | PageToolAnswer
)
_ACTIONS: TypeAdapter[AnyPageAction] = TypeAdapter(Annotated[AnyPageAction, Discriminator("action")])


def parse_action(fields: dict[str, Any]) -> AnyPageAction:
    """Raises ``ValueError``, whose text says what is wrong."""
    try:
        return _ACTIONS.validate_python(fields)
    except ValidationError as error:
        first = faults_of(error)[0]
        if first["type"].startswith("union_tag"):
            known = ", ".join(get_args(action.model_fields["action"].annotation)[0] for action in ACTIONS)
            raise ValueError(f"action must be one of {known}") from None
        where = ".".join(map(str, first["loc"][1:]))
        raise ValueError(f"{where}: {first['msg']}") from None


# --- what a page is told ----------------------------------------------------------------------------------

COMMON = ("event", "call_id", "seq", "ts", "turn_id", "correlation_id")
"""What each event of the call carries, as far as the event has it."""
_MESSAGE = ("message_id",)

FIELDS: dict[str, tuple[str, ...]] = {
    "call.started": ("agent_id", "language", "direction", "transport"),
    "call.updated": ("language",),
    "call.muted": ("by",),
    "call.unmuted": (),
    "call.held": ("by",),
    "call.unheld": (),
    "call.ended": ("reason", "duration_seconds"),
    "session.ready": (),
    "session.idle_warning": ("remaining_seconds", "idle_timeout_seconds"),
    "speech.started": ("confidence", "timestamp", "segment_id"),
    "speech.ended": ("duration_ms", "timestamp", "segment_id"),
    "user.speaking": ("text", "confirmed_text"),
    "user.message": (*_MESSAGE, "text", "language"),
    "turn.pause": ("probability", "latency_ms"),
    "turn.end": (*_MESSAGE, "text", "latency_ms"),
    "turn.resumed": ("timestamp",),
    "turn.continued": ("timestamp",),
    "bot.speaking": (*_MESSAGE, "text"),
    "bot.word": (*_MESSAGE, "word", "word_index", "start_time", "end_time"),
    "bot.paused": (*_MESSAGE, "played_ms", "words_spoken"),
    "bot.resumed": (*_MESSAGE, "word_index"),
    "bot.finished": (*_MESSAGE, "duration_ms"),
    "bot.interrupted": (*_MESSAGE, "played_ms", "words_spoken", "reason"),
    "message.confirmed": (*_MESSAGE, "text"),
    "message.aborted": (*_MESSAGE, "reason"),
    "agent.state": ("state",),
    "audio.metrics": ("source", "energy_db", "rms", "peak", "is_speech", "vad_prob", "timestamp"),
    "llm.thinking": _MESSAGE,
    "llm.reasoning": (*_MESSAGE, "index", "text", "end"),
    "llm.tool_call": ("msg_id", "tool_calls"),
    "tool.started": ("msg_id", "tool_call_id", "name", "arguments"),
}
"""Which events of its call a page is told, and what of each beside ``COMMON``. A page belongs to the caller: it is told
what he can hear or see of the call anyway. Prompts, models, keys and the agent's own business are not among that.
``session.timeout`` is not here: for a page that is the end, and it has a form of its own."""


class ToPage(Message):
    """Server to page. A field without a value is left out."""

    model_config = ConfigDict(extra="forbid")


class PageConnected(ToPage):
    """First on each connection: what the page comes back with when this connection is lost."""

    event: Literal["session.connected"] = "session.connected"
    call_id: str = Field(description="The call.")
    agent_id: str = Field(description="The agent, as it spells itself.")
    resume_token: str = Field(description="For the next offer of the same call, once.")
    resume_seconds: float = Field(ge=0, description="How long a lost call is kept, seconds.")
    lead_ms: int = Field(
        ge=0,
        description="So far ahead audio comes to a page that says `clears`: its `jitterBufferTarget`.",
    )


class PageTimeout(ToPage):
    """The last message: the call is over, and the connection closes."""

    event: Literal["session.timeout"] = "session.timeout"
    call_id: str = Field(description="The call.")
    reason: str = Field(description="As in `call.ended`.")


class PagePong(ToPage):
    """Answers the action `ping`."""

    event: Literal["pong"] = "pong"
    timestamp: float = Field(description="The server's time, epoch seconds.")


class PageClear(ToPage):
    """What the page was sent and has not played yet is void: it plays nothing for so long. Only for a page that said
    `clears`."""

    event: Literal["audio.clear"] = "audio.clear"
    ms: int = Field(
        ge=1, description="How long from now, milliseconds. What is sent for after that comes later."
    )


class PageError(ToPage):
    """An action without `ack` had no effect."""

    event: Literal["error"] = "error"
    error: str = Field(description="Why and what to do, for a human.")
    code: ErrorCode = Field(description="Why, for a program.")
    action: str = Field(description="The action; empty where it could not be read.")


class PageToolResult(ToPage):
    """What a tool gave: one for each."""

    event: Literal["llm.tool_result"] = "llm.tool_result"
    call_id: str = Field(description="The call.")
    seq: int = Field(ge=1, description="Place among the events of the call.")
    ts: float = Field(description="When the event was made, epoch seconds.")
    turn_id: int = Field(ge=1, description="The user's turn that it belongs to, from 1.")
    correlation_id: str = Field(description="Id of that turn.")
    msg_id: str = Field(description="The batch, as in `llm.tool_call`.")
    tool_call_id: str = Field(description="The call of the tool.")
    name: str = Field(description="The tool.")
    result: Any = Field(
        default=None,
        description='Any JSON; null where it is large. `{"error": text}`: it failed.',
    )


OWN: tuple[type[ToPage], ...] = (PageConnected, PageTimeout, PagePong, PageClear, PageError, PageToolResult)
"""Of the channel itself; and ``Ack``."""
ACTIONS: tuple[type[PageAction], ...] = (
    PagePing,
    PageMute,
    PageUnmute,
    PageConfigure,
    PageInjectText,
    PageSetContext,
    PagePlayout,
    PageToolAnswer,
)
