"""One connection to the server, from its handshake to its end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from talkwire_agent.base import Event
from talkwire_agent.errors import ConnectionLost, Refused, Unauthorized
from talkwire_agent.events import ErrorEvent, LineError
from talkwire_agent.pending import Pending
from talkwire_agent.transport import MAX_RECEIVED, Transport, encoded
from talkwire_agent.wire import decoded, parsed

log = logging.getLogger("talkwire_agent")

PROTOCOL = "talkwire/1"
HANDSHAKE_S = 10.0
PING_S = 30.0
DEAD_S = 45.0
"""Silence of the server after which the connection counts as broken."""
FLUSH_S = 2.0


class Question:
    """A command that is answered, and the ``ping`` behind it: what has not been answered when the ``pong``
    comes will not be."""

    def __init__(self, event: str, about: str | None) -> None:
        self.event = event
        self.about = about
        self.answer: Pending[None] = Pending()


class Connection:
    """``take`` is given each event, in order; it must not raise."""

    def __init__(self, transport: Transport, take: Callable[[Event], None]) -> None:
        self._transport = transport
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[str, object]] = deque()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._questions: deque[Question] = deque()
        self._barriers: list[Pending[None]] = []
        self._pings: deque[Callable[[], None]] = deque()
        self._heard_at = self._loop.time()
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.lost: ConnectionLost | None = None

    # --- beginning ----------------------------------------------------------------------------------------

    async def open(self, api_key: str, client: str, resume: dict[str, int]) -> Event:
        """Say who we are, and in ``resume`` the last ``seq`` of each call that we know; returns the server's
        ``connected``.

        Raises ``Unauthorized`` and ``ConnectionLost``.
        """
        who = {"api_key": api_key, "protocol": PROTOCOL, "client": client, "max_message_bytes": MAX_RECEIVED}
        frame = {"event": "connect", **who, "resume": resume}
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._transport.send(encoded(frame))
                while True:
                    answer = decoded(await self._transport.receive())
                    event = parsed(answer) if answer is not None else None
                    if isinstance(event, ErrorEvent):
                        raise _refusal(event)
                    if event is not None and event.event == "connected":
                        self._heard_at = self._loop.time()
                        return event
        except TimeoutError:
            await self._transport.close()
            raise ConnectionLost(f"the server did not answer within {HANDSHAKE_S:g} s") from None
        except (Unauthorized, ConnectionLost):
            await self._transport.close()
            raise

    # --- sending ------------------------------------------------------------------------------------------

    def send(self, text: str, owner: object = None) -> None:
        """Queue a message. ``owner``: whose it is, where it is to be sent on the next connection if it cannot
        be sent on this one."""
        self._outbox.append((text, owner))
        self._empty.clear()
        self._wake.set()

    def ask(self, text: str, answer: str, about: str | None = None) -> Pending[None]:
        """Send a command that is answered by the event ``answer``; ``about``: the call that it concerns. The
        result raises ``Refused`` or ``ConnectionLost``."""
        question = Question(answer, about)
        if self.lost is not None:
            question.answer.fail(self.lost)
            return question.answer
        self._questions.append(question)
        self.send(text)
        self.after(lambda: self._unanswered(question))
        return question.answer

    def barrier(self) -> Pending[None]:
        """Settles when the server has dealt with all that was sent before. Raises ``ConnectionLost``."""
        pending: Pending[None] = Pending()
        if self.lost is not None:
            pending.fail(self.lost)
            return pending
        self._barriers.append(pending)

        def passed() -> None:
            self._barriers.remove(pending)
            pending.settle(None)

        self.after(passed)
        return pending

    def after(self, then: Callable[[], None]) -> None:
        """Have ``then`` called when the server has dealt with all that was sent so far: it answers pings in
        their place among the commands."""
        self._pings.append(then)
        self.send('{"event":"ping"}')

    def _unanswered(self, question: Question) -> None:
        if question in self._questions:
            self._questions.remove(question)
            question.answer.fail(Refused(f"the server did not answer by {question.event}"))

    def unsent(self) -> list[tuple[str, object]]:
        """Messages that have an owner and were not sent."""
        return [(text, owner) for text, owner in self._outbox if owner is not None]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something as long as this connection lives."""
        assert self._tasks is not None, "the connection does not run"
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # --- life ---------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> ConnectionLost:
        """Read and write until the connection ends; returns why. ``ready`` is called once it is possible to
        send."""
        async with asyncio.TaskGroup() as self._tasks:
            self.spawn(self._write())
            self.spawn(self._stay_alive())
            ready()
            lost = self.lost = await self._read()
            for pending in [*(question.answer for question in self._questions), *self._barriers]:
                pending.fail(lost)
            for task in list(self._running):
                task.cancel()
        return lost

    async def _read(self) -> ConnectionLost:
        while True:
            try:
                text = await self._transport.receive()
            except ConnectionLost as lost:
                return lost
            self._heard_at = self._loop.time()
            frame = decoded(text)
            if frame is not None:
                self._read_one(frame)

    def _read_one(self, frame: dict[str, Any]) -> None:
        if frame["event"] == "ping":
            self.send('{"event":"pong"}')
        elif frame["event"] == "pong":
            if self._pings:
                self._pings.popleft()()
        else:
            event = parsed(frame)
            self._answer(event)
            self._take(event)

    def _answer(self, event: Event) -> None:
        """The server answers in the order of the commands: a refusal is that of the oldest one. What goes
        wrong on a call is an event of that call, with a ``seq``, and no answer."""
        if not self._questions:
            return
        question = self._questions[0]
        if event.event == question.event:
            self._questions.popleft().answer.settle(None)
        elif isinstance(event, ErrorEvent) and self._is_refusal(event):
            refused = Refused(event.error, event.code, event.key, event)
            self._questions.popleft().answer.fail(refused)
        elif isinstance(event, LineError) and question.event == "line.created":
            self._questions.popleft().answer.fail(Refused(event.error, event.code, None, event))

    def _is_refusal(self, event: ErrorEvent) -> bool:
        return event.seq is None and event.call_id in (None, self._questions[0].about)

    async def _write(self) -> None:
        while True:
            while self._outbox:
                try:
                    await self._transport.send(self._outbox[0][0])
                except ConnectionLost:
                    return  # The reader learns why, too.
                self._outbox.popleft()
            self._empty.set()
            self._wake.clear()
            await self._wake.wait()

    async def _stay_alive(self) -> None:
        while True:
            self.after(_nothing)
            for _ in range(2):
                await asyncio.sleep(PING_S / 2)
                if self._loop.time() - self._heard_at >= DEAD_S:
                    await self._transport.close(1011, "silent")
                    return

    async def close(self) -> None:
        """Send what waits, and end the connection."""
        try:
            async with asyncio.timeout(FLUSH_S):
                while self._outbox and self.lost is None:
                    await self._empty.wait()
        except TimeoutError:
            log.warning("closed with %d messages unsent", len(self._outbox))
        await self._transport.close(1000, "client_disconnect")


def _nothing() -> None:
    pass


def _refusal(event: ErrorEvent) -> Exception:
    if event.code == "UNAUTHORIZED":
        return Unauthorized(event.error)
    return ConnectionLost(event.error)
