"""Commands about one call that are answered, by an event with their ``request_id`` or by an ``ack``."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from talkwire_agent.errors import ConnectionLost, Refused, RequestTimeout
from talkwire_agent.pending import Pending

log = logging.getLogger("talkwire_agent")

By = Literal["request_id", "ack"]
ANSWER_S = 10.0
"""How long an answer is waited for while there is a connection, seconds."""


class Asker(Protocol):
    """The call, as far as it is needed here."""

    @property
    def id(self) -> str:
        """Of the call."""

    @property
    def live(self) -> bool:
        """It is not over."""

    @property
    def sends_on(self) -> int | None:
        """The number of the connection that what is sent goes out on; None: it waits for the next one."""

    def send(self, event: str, **fields: Any) -> None:
        """Raises ``TooLarge``."""


@dataclass(eq=False)
class Request:
    """One that has no answer yet."""

    id: str
    event: str
    fields: dict[str, Any]
    again: bool
    """To do it twice is the same as to do it once."""
    sent_on: int | None
    """The number of that connection; None: it waits for one."""
    answer: Pending[Any] = field(default_factory=Pending)
    timer: asyncio.TimerHandle | None = None


class Requests:
    """Those of one call."""

    def __init__(self, call: Asker) -> None:
        self._call = call
        self._open: dict[str, Request] = {}
        self._numbers = itertools.count(1)

    def ask(self, event: str, *, again: bool, by: By = "request_id", **fields: Any) -> Pending[Any]:
        """Ask now, or when the connection is back. ``again``: the question may be repeated where a connection
        went before the answer came. ``by``: what the answer is known by.

        Awaiting it raises ``Refused``, ``RequestTimeout`` and ``ConnectionLost``. Raises ``TooLarge``.
        """
        number = f"rq_{next(self._numbers)}_{secrets.token_hex(3)}"
        request = Request(number, event, {by: number, **fields}, again, self._call.sends_on)
        if not self._call.live:
            request.answer.fail(Refused("the call is over"))
            return request.answer
        self._call.send(event, **request.fields)
        self._open[number] = request
        if request.sent_on is not None:
            self._start(request)
        return request.answer

    def answered(self, request_id: object, result: Any, error: str | None = None, code: str = "") -> None:
        """The server has answered; ``error``: that it will not, and why."""
        request = self._open.pop(str(request_id), None)
        if request is None:
            return
        self._stop(request)
        if error is None:
            request.answer.settle(result)
        else:
            log.warning("call %s: %s is refused: %s", self._call.id, request.event, error)
            request.answer.fail(Refused(error, code))

    def disconnected(self) -> None:
        """An answer that was on its way is lost. Whoever must not be asked twice is not asked again."""
        for request in list(self._open.values()):
            self._stop(request)
            if request.sent_on is not None and not request.again:
                del self._open[request.id]
                text = f"the connection went before {request.event} was answered: it may be done, or not"
                request.answer.fail(ConnectionLost(text))

    def repeat(self, generation: int) -> None:
        """The call goes on, on the connection of this number."""
        for request in self._open.values():
            if request.sent_on == generation:
                continue
            if request.sent_on is not None:
                self._call.send(request.event, **request.fields)
            request.sent_on = generation
            self._start(request)

    def close(self, error: Exception) -> None:
        """No answer will come."""
        for request in self._open.values():
            self._stop(request)
            request.answer.fail(error)
        self._open.clear()

    def _start(self, request: Request) -> None:
        self._stop(request)
        loop = asyncio.get_running_loop()
        request.timer = loop.call_later(ANSWER_S, self._late, request)

    def _stop(self, request: Request) -> None:
        if request.timer is not None:
            request.timer.cancel()
            request.timer = None

    def _late(self, request: Request) -> None:
        if self._open.pop(request.id, None) is not None:
            text = f"{request.event} was not answered within {ANSWER_S:g} s"
            log.warning("call %s: %s", self._call.id, text)
            request.answer.fail(RequestTimeout(text))
