"""What a person may do in a live call: say something in the bot's voice, tell the model something, take the conversation
over and give it back, hand the caller on, and end the call.

Each verb is carried out on the call, and journaled as an event of it (``server.protocol.supervision``). It knows nothing
of the request or the socket that it came by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final, Literal, assert_never

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.events import EndReason
from pipeline.session import Session
from server.agents import AgentRegistry
from server.call import Call
from server.calls import CallRegistry
from server.control import SAID_S, ControlRefused
from server.protocol import CallTransfer, ErrorCode
from server.transfers import Transfers

log = structlog.get_logger(__name__)

SOMEBODY: Final = "supervisor"
"""Who has not said who he is."""
MAX_TEXT: Final = 4000


class _Verb(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str | None = Field(default=None, max_length=100, description="Who asks, for the log and the agent.")


_Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class Say(_Verb):
    """Has a text spoken in the bot's voice, as soon as nobody speaks."""

    verb: Literal["say"]
    text: _Text
    interrupt: bool = Field(default=False, description="Cut off what the bot is saying, and what waits.")


class Whisper(_Verb):
    """Tells the model something, from its next answer on. The caller hears nothing of it."""

    verb: Literal["whisper"]
    text: _Text


class Takeover(_Verb):
    """Silences the bot, after what it is saying: from then on only ``say`` is heard."""

    verb: Literal["takeover"]
    interrupt: bool = Field(default=False, description="Cut off what the bot is saying.")


class Release(_Verb):
    """Lets the bot go on, which knows what was said."""

    verb: Literal["release"]


class Transfer(_Verb):
    """Joins the caller to somebody else, as ``call.transfer`` of an agent does."""

    verb: Literal["transfer"]
    to: Annotated[str, Field(min_length=1, max_length=200)]
    message: str = Field(default="", max_length=MAX_TEXT, description="Is said to the caller before.")
    announcement: str = Field(default="", max_length=MAX_TEXT, description="Is told to who picks up.")


class End(_Verb):
    """Ends the call, when all that is being said has been heard."""

    verb: Literal["end"]


AnyVerb = Annotated[Say | Whisper | Takeover | Release | Transfer | End, Field(discriminator="verb")]
_VERBS: Final[TypeAdapter[AnyVerb]] = TypeAdapter(AnyVerb)
NAMES: Final = ("say", "whisper", "takeover", "release", "transfer", "end")


class SupervisionRefused(Exception):
    """It is not done; ``str()`` says why and what to do."""

    def __init__(self, code: ErrorCode, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.key = key


def verb_of(given: object) -> AnyVerb:
    """A verb as it was sent. Raises ``SupervisionRefused``."""
    try:
        return _VERBS.validate_python(given, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part not in NAMES) or "verb"
        if first["type"].startswith("union_tag") or key == "verb":
            text = f'send {{"verb": ...}} with one of {", ".join(NAMES)}'
        elif first["type"] == "extra_forbidden":
            text = f"{key} is no part of this verb"
        elif first["type"] == "missing":
            text = f"{key} is missing"
        else:
            text = f"{key}: {first['msg'][:200]}"
        raise SupervisionRefused(ErrorCode.BAD_MESSAGE, text, key) from None


class Supervising:
    """Of all calls. ``tasks`` owns a task for each call that is about to be ended."""

    def __init__(
        self, calls: CallRegistry, agents: AgentRegistry, transfers: Transfers, tasks: asyncio.TaskGroup
    ) -> None:
        self._calls = calls
        self._agents = agents
        self._transfers = transfers
        self._tasks = tasks

    async def asked(self, call: Call, given: object) -> dict[str, Any]:
        """Carry out what came by a socket that is attached to a call, and say what became of it: ``type`` is ``verb``, or
        ``error`` with a ``code``."""
        verb = given.get("verb") if isinstance(given, dict) else None
        named = {"verb": verb} if verb in NAMES else {}
        try:
            return {"type": "verb", **named, **self.carry_out(call.call_id, verb_of(given))}
        except SupervisionRefused as refused:
            return {"type": "error", **named, "code": refused.code.value, "error": str(refused)}

    def carry_out(self, call_id: str, verb: AnyVerb, name: str = "") -> dict[str, Any]:
        """Do it. ``status`` of the answer: ``done``, or ``processing`` where it goes on after that. Raises
        ``SupervisionRefused``."""
        call = self._calls.get(call_id)
        session = call.session if call is not None else None
        if call is None or session is None or session.ended:
            text = f"call {call_id[:200]} does not go on: it is over, or was not answered yet"
            raise SupervisionRefused(ErrorCode.CALL_UNKNOWN, text)
        by = name or verb.by or SOMEBODY
        log.info("call.supervised", call_id=call.call_id, verb=verb.verb, by=by)
        match verb:
            case Say():
                return self._say(session, verb, by)
            case Whisper():
                _try(session, partial(session.supervised.whisper, verb.text, by))
            case Takeover():
                _try(session, partial(self._calls.pausing.take_over, call, by, interrupt=verb.interrupt))
            case Release():
                _try(session, partial(self._calls.pausing.release, call, by))
            case Transfer():
                return self._transfer(call, verb, by)
            case End():
                return self._end(call, session, by)
            case _:
                assert_never(verb)
        return {"status": "done"}

    @staticmethod
    def _say(session: Session, verb: Say, by: str) -> dict[str, Any]:
        said: list[tuple[str, int]] = []
        say = partial(session.supervised.say, verb.text, by, interrupt=verb.interrupt)
        _try(session, lambda: said.append(say()))
        ((message_id, place),) = said
        return {
            "status": "processing" if place else "done",
            "message_id": message_id,
            "queue_length": place,
        }

    def _transfer(self, call: Call, verb: Transfer, by: str) -> dict[str, Any]:
        agent = self._agents.get(call.slug)
        if agent is None:
            text = "the call's agent is offline, and would have to have the caller back: try again when it is here"
            raise SupervisionRefused(ErrorCode.TRANSFER_REFUSED, text)
        command = CallTransfer(
            event="call.transfer",
            call_id=call.call_id,
            to=verb.to,
            message=verb.message,
            announcement=verb.announcement,
        )
        try:
            self._transfers.begin(call, agent, command, partial(_say_before, by=by))
        except ControlRefused as refused:
            raise SupervisionRefused(refused.code, str(refused), refused.key) from None
        return {"status": "processing"}

    def _end(self, call: Call, session: Session, by: str) -> dict[str, Any]:
        if session.answering.ending:
            raise SupervisionRefused(ErrorCode.CALL_BUSY, "the call is about to end already")
        session.guarded(session.conclude)
        self._tasks.create_task(_ended(session, by), name=f"end {call.call_id}")
        return {"status": "processing"}


def _say_before(session: Session, text: str, by: str) -> None:
    """What is said before the caller is handed on is the person's own word, be the call taken over or not. Where too
    much waits to be said he is handed on without it."""

    def say() -> None:
        with suppress(ValueError):
            session.supervised.say(text, by, interrupt=False)

    session.guarded(say)


async def _ended(session: Session, by: str) -> None:
    """The caller hears the last word first."""
    if "agent" not in session.held_by:
        await session.said(SAID_S)
    session.end(EndReason.CLIENT_HANGUP, f"ended by {by}")


def _try(session: Session, act: Callable[[], Any]) -> None:
    """A bug of it is the call's. Raises ``SupervisionRefused`` for what the call does not take."""
    refused: list[ValueError] = []

    def attempt() -> None:
        try:
            act()
        except ValueError as error:
            refused.append(error)

    session.guarded(attempt)
    if refused:
        raise SupervisionRefused(ErrorCode.REQUEST_REFUSED, str(refused[0]))
    if session.ended:
        raise SupervisionRefused(ErrorCode.INTERNAL_ERROR, "it met a fault of the server, and the call ended")
