"""What all messages share, and the checks whose failure is told in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from server.protocol.spelling import respelled

VERSION = "1"
PROTOCOL = f"talkwire/{VERSION}"
"""What a client announces in ``connect.protocol``, and what the server answers in ``connected.protocol``."""


@dataclass(frozen=True)
class Allowed:
    """Whatever is wrong with the value: the error says that it must be ``what``."""

    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self.wrap(handler(source))

    def wrap(self, schema: CoreSchema) -> CoreSchema:
        return core_schema.custom_error_schema(
            schema, custom_error_type="not_allowed", custom_error_message=f"must be {self.what}"
        )


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included. For ``int``, 100.0 counts as whole: some clients'
    arithmetic makes it so.
    """

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounds = f"from {self.low:g} to {self.high:g}"
        if source is int:
            inner = core_schema.int_schema(ge=int(self.low), le=int(self.high), strict=True)
            whole = core_schema.no_info_before_validator_function(_whole, inner)
            return Allowed(f"a whole number {bounds}").wrap(whole)
        number = core_schema.float_schema(ge=self.low, le=self.high, strict=True, allow_inf_nan=False)
        return Allowed(f"a number {bounds}").wrap(number)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Id = Annotated[str, Field(min_length=1, max_length=200), Allowed("text of 1 to 200 characters")]
"""An id that a client sends: any text, within reason."""
Share = Annotated[float, Field(ge=0, le=1)]


class Message(BaseModel):
    """One message of the wire. Its docstring says when it is sent, its fields what they mean."""

    model_config = ConfigDict(
        frozen=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    event: str = Field(description="The name of the message.")


class Lenient(BaseModel):
    """What clients send. Unknown keys are kept, for clients have keys that this server does not know."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # The values of unknown keys stay out of logs and tracebacks: there may be credentials among them.
        for name, value in super().__repr_args__():
            if name in type(self).model_fields:
                yield name, value


class Part(Lenient):
    """An object within a command. Its keys may be spelled in the way of other languages (`minWords`)."""

    @model_validator(mode="before")
    @classmethod
    def _in_our_spelling(cls, value: Any) -> Any:
        return respelled(value, _keys_of(cls)) if isinstance(value, dict) else value


@cache
def _keys_of(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in model.model_fields.items())


class Command(Lenient, Message):
    """Client to server."""

    ack: Id | None = Field(
        default=None,
        description="Any text: what becomes of the command is then told by an `ack` that repeats it.",
    )


class Event(Message):
    """Server to client. A field without a value is left out."""

    model_config = ConfigDict(extra="forbid")


class CallEvent(Event):
    """A fact of one call. All of them pass the journal of the call, which numbers them."""

    agent_id: str = Field(description="The agent that has the call.")
    call_id: str = Field(description="The call. On the phone it is the carrier's own id.")
    session_id: str = Field(description="The same as `call_id`.")
    seq: int = Field(ge=1, description="Place among the events of this call, from 1, without gaps.")
    ts: float = Field(description="When the event was made, epoch seconds.")
    turn_id: int | None = Field(
        default=None,
        ge=1,
        description="The user's turn it belongs to, from 1; absent outside of a turn.",
    )
    correlation_id: str | None = Field(
        default=None, description="Id of that turn: the same on each of its events, unique among calls."
    )


class AnswerEvent(Event):
    """What a command is told in return, or a fault. Where it concerns a call that goes on, it is an event of
    that call as well, and then has its place in the journal.
    """

    agent_id: str | None = Field(default=None, description="The agent, exactly as the client spelled it.")
    call_id: str | None = Field(default=None, description="The call, where it concerns one.")
    session_id: str | None = Field(default=None, description="The same as `call_id`.")
    seq: int | None = Field(
        default=None, ge=1, description="Place among the events of the call; absent where it is none of them."
    )
    ts: float | None = Field(default=None, description="When the event was made, epoch seconds.")
    turn_id: int | None = Field(default=None, ge=1, description="The user's turn, where it concerns one.")
    correlation_id: str | None = Field(default=None, description="Id of that turn.")


class TurnEvent(CallEvent):
    """A fact of a user's turn."""

    turn_id: int = Field(ge=1, description="The user's turn that it belongs to, from 1.")
    correlation_id: str = Field(
        description="Id of that turn: the same on each of its events, unique among calls."
    )
