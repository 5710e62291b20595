"""What the page of a browser call says on its data channel.

JSON text with `action`; bare `ping` is a sign of life. What it is told is events of its call, with fewer fields.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, TypeAdapter, ValidationError

from server.protocol.base import Id, Lenient
from server.protocol.faults import faults_of

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


AnyPageAction = PagePing | PageMute | PageUnmute | PageConfigure | PageInjectText | PageSetContext
_ACTIONS: TypeAdapter[AnyPageAction] = TypeAdapter(Annotated[AnyPageAction, Discriminator("action")])


def parse_action(fields: dict[str, Any]) -> AnyPageAction:
    """Raises ``ValueError``, whose text says what is wrong."""
    try:
        return _ACTIONS.validate_python(fields)
    except ValidationError as error:
        first = faults_of(error)[0]
        if first["type"].startswith("union_tag"):
            known = "ping, mute, unmute, configure, inject_text, set_context"
            raise ValueError(f"action must be one of {known}") from None
        where = ".".join(map(str, first["loc"][1:]))
        raise ValueError(f"{where}: {first['msg']}") from None
