"""The client: one connection to a server, and the agents on it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import signal
import sys
from collections.abc import Coroutine
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Unpack

from talkwire_agent.agent import Agent
from talkwire_agent.base import Event
from talkwire_agent.beginnings import RingingCall
from talkwire_agent.call import Call
from talkwire_agent.config import AgentConfig, LineSettings
from talkwire_agent.connection import Connection
from talkwire_agent.dispatch import Dispatcher, Lanes, settled
from talkwire_agent.errors import ConnectionLost, Displaced, Refused
from talkwire_agent.events import AgentDisplaced, ErrorEvent, LineError, ServerWarning
from talkwire_agent.feed import Feed, Feeds
from talkwire_agent.handlers import Handlers, Registered
from talkwire_agent.line import Line
from talkwire_agent.local import Disconnected, HandlerFailed
from talkwire_agent.names import LINE, slug
from talkwire_agent.routing import Router
from talkwire_agent.settings import address, api_key
from talkwire_agent.transport import Dial, dial, encoded

log = logging.getLogger("talkwire_agent")

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
JITTER = 0.25
HANDLERS_S = 5.0
"""How long handlers that still run may take when the client is closed."""
FOR_NOW = ("AGENT_CONFLICT", "SERVER_AT_CAPACITY")
"""Codes of refusals after which an agent is asked for again."""
LINE_TAKEN = "LINE_CONFLICT"
LINE_AGAIN_S, LINE_ATTEMPTS = 5.0, 12
"""A line that somebody else has is asked for so often: a dead holder loses it within 45 s."""
DISPLACED = 4001
LOST_CALL_S = 5.0
"""How long after its registration an agent waits for its calls to be announced again."""


def retry_s(attempt: int, chance: float) -> float:
    """Time to wait before the ``attempt``-th try in a row, from 0, seconds: doubled each time, up to 30 s, a
    quarter more or less. ``chance`` is from 0 to 1."""
    doubled = FIRST_RETRY_S * 2.0 ** min(attempt, 16)
    return min(LONGEST_RETRY_S, doubled) * (1 - JITTER + 2 * JITTER * chance)


class Talkwire(Handlers):
    """A client of a Talkwire server.

    ``api_key``: else ``TALKWIRE_API_KEY``, or the first of ``TALKWIRE_API_KEYS``; for a server on this machine
    also the one in the file ``api-key`` of ``TALKWIRE_DATA_DIR`` (``./data``). ``url``: the server, else
    ``TALKWIRE_URL``, else ``ws://127.0.0.1:8080``. Events of all calls are heard on it, and those of the
    connection: ``connected``, ``disconnected``, ``error``.

    Run it by ``run()``; in a program of its own event loop by ``await serve()``, or as ``async with``.
    """

    def __init__(self, api_key: str | None = None, url: str | None = None) -> None:
        super().__init__()
        self.agents: dict[str, Agent] = {}
        """By id, as they were made."""
        self.lines: dict[str, Line] = {}
        """By number, as they were made."""
        self.dial: Dial = dial
        """Makes connections; the test kit has its own."""
        self.feeds = Feeds()
        self._dev_callers: list[str] = []
        self._api_key = api_key
        self._url = url
        self._connection: Connection | None = None
        self._generation = 0
        self._until: asyncio.Timeout | None = None
        self._finished: asyncio.Event | None = None
        self._closing = False
        self._failure: Exception | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._handler_tasks: set[asyncio.Task[None]] = set()
        self._lanes = Lanes()
        self._dispatcher = Dispatcher(self.spawn, self._handler_failed)
        self._router = Router(self)
        self._entered: asyncio.TaskGroup | None = None

    # --- agents -------------------------------------------------------------------------------------------

    def agent(self, agent_id: str, **config: Unpack[AgentConfig]) -> Agent:
        """Make an agent; it is registered as soon as there is a connection.

        Raises ``ValueError`` for an id that is taken in this client, ``TooLarge`` for a configuration that no
        server takes.
        """
        if self.find(agent_id) is not None:
            raise ValueError(f"this client has an agent {agent_id!r} already")
        agent = Agent(self, agent_id, config)
        if not agent.slug:
            raise ValueError(f"{agent_id!r} is no name of an agent: it has no letter and no digit")
        self.agents[agent_id] = agent
        if self._connection is not None:
            self._connection.spawn(self._register(agent, self._connection, self._generation))
        return agent

    def line(self, number: str, **config: Unpack[LineSettings]) -> Line:
        """Answer a phone number by code, without a language model: as one types it, or a ``sip:`` address. Calls of it
        are heard on the line, and handed over with ``Call.route``.

        A caller is left in silence for the first 2.5 s, for an extension that he may dial: ``extension_window_ms``.
        ``await line.ready()`` raises ``Refused`` where the server does not take it. Raises ``ValueError`` for a number
        that has a line in this client.
        """
        line = Line(self, number, config)
        if line.number in self.lines:
            raise ValueError(f"this client has a line {line.number!r} already")
        self.lines[line.number] = line
        if self._connection is not None:
            self._connection.spawn(self._register(line, self._connection, self._generation))
        return line

    @property
    def everyone(self) -> tuple[Agent, ...]:
        """Agents, and lines."""
        return (*self.agents.values(), *self.lines.values())

    def find(self, agent_id: str) -> Agent | None:
        """An agent by any spelling of its id that the server takes for the same, or a line by its own."""
        if agent_id.startswith(LINE):
            return self.lines.get(agent_id.removeprefix(LINE))
        if (agent := self.agents.get(agent_id)) is not None:
            return agent
        wanted = slug(agent_id)
        return next((agent for agent in self.agents.values() if agent.slug == wanted), None)

    def stream(self, events: tuple[str, ...] | None = None) -> Feed:
        """Events of all calls of all agents; as ``Agent.stream``."""
        return self.feeds.open(events)

    @property
    def calls(self) -> dict[str, Call]:
        """Live calls of all agents and lines, by id."""
        return {call_id: call for agent in self.everyone for call_id, call in agent.calls.items()}

    def dev_callers(self, *numbers: str) -> None:
        """Beside production: calls of these numbers come to the agents of this client whose id begins with
        ``dev-``, where they answer the number that was called; all others to whom it belongs. Without
        numbers: none does any more."""
        self._dev_callers = list(numbers)
        if self._connection is not None:
            self._tell_dev_callers(self._connection)

    def _tell_dev_callers(self, connection: Connection) -> None:
        connection.send(encoded({"event": "dev.config", "callers": self._dev_callers}))

    @property
    def generation(self) -> int:
        """Which connection this is, from 1."""
        return self._generation

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def ready(self) -> None:
        """Until all agents and lines are registered and their channels open. Raises ``Refused``."""
        for agent in self.everyone:
            await agent.ready()

    # --- life ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM. Where the program has set up no logging, what happens is logged to
        the standard error."""
        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(self._run())

    async def _run(self) -> None:
        if sys.platform != "win32":
            for signum in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(signum, self.stop)
        await self.serve()

    async def serve(self) -> None:
        """Connect, and connect again whenever the connection is lost, until ``close``.

        Raises ``MissingKey``, ``Unauthorized``, ``Displaced``, and ``Refused`` where the server takes none of
        the agents.
        """
        if self._tasks is not None:
            raise RuntimeError("this client is running already")
        place = address(self._url)
        key = self._api_key or api_key(place)
        self._closing, self._failure = False, None
        finished = self._finished = asyncio.Event()
        for agent in self.everyone:
            agent.reset()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    await self._connect_until_closed(place, key)
                finally:
                    for agent in self.everyone:
                        agent.close()
                    self.feeds.close()
                await settled(self._handler_tasks, HANDLERS_S)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] if len(group.exceptions) == 1 else group from None
        finally:
            self._tasks = self._finished = None
            finished.set()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Close, from a place where one cannot wait."""
        self._closing = True
        if self._connection is not None and self._tasks is not None:
            self._tasks.create_task(self._connection.close())
        elif self._until is not None:
            self._until.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """End the connection; what was sent still goes out. Calls go on without the agent for as long as the
        server lets them."""
        self.stop()
        if self._finished is not None:
            await self._finished.wait()

    async def __aenter__(self) -> Talkwire:
        self._entered = asyncio.TaskGroup()
        await self._entered.__aenter__()
        self._entered.create_task(self.serve())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._entered = self._entered, None
        assert group is not None
        self.stop()
        try:
            await group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] if len(failed.exceptions) == 1 else failed from None

    # --- the connection -----------------------------------------------------------------------------------

    async def _connect_until_closed(self, place: str, key: str) -> None:
        try:
            async with asyncio.timeout(None) as self._until:
                attempt = 0
                while not self._closing:
                    try:
                        connection = Connection(await self.dial(place), self._take)
                        cursors = self._router.cursors()
                        self._take(await connection.open(key, _client(), cursors))
                    except ConnectionLost as lost:
                        reason = lost
                    else:
                        attempt = 0
                        reason = await self._live(connection)
                    wait_s = retry_s(attempt, random.random())
                    attempt += 1
                    self._told_lost(reason, wait_s)
                    if not self._closing:
                        await asyncio.sleep(wait_s)
        except TimeoutError:
            if not self._closing:
                raise
        finally:
            self._until = None

    async def _live(self, connection: Connection) -> ConnectionLost:
        self._generation += 1
        self._connection = connection
        if self._closing:
            self.stop()
        try:
            return await connection.run(lambda: self._register_all(connection))
        finally:
            self._connection = None
            unsent = connection.unsent()
            for agent in self.everyone:
                agent.away([text for text, owner in unsent if owner is agent])

    def _told_lost(self, lost: ConnectionLost, wait_s: float) -> None:
        if lost.close_code == DISPLACED:
            self._failure = self._failure or Displaced(str(lost))
            self._closing = True
        again = None if self._closing else wait_s
        if again is not None:
            log.warning("%s; again in %.1f s", lost, again)
        event = Disconnected(reason=str(lost), close_code=lost.close_code, retry_in_s=again)
        self.fire(event, None, ())

    def _register_all(self, connection: Connection) -> None:
        if self._dev_callers:
            self._tell_dev_callers(connection)
        for agent in self.everyone:
            connection.spawn(self._register(agent, connection, self._generation))

    async def _register(self, agent: Agent, connection: Connection, generation: int) -> None:
        for attempt in itertools.count(1):
            try:
                await agent.create(connection)
                break
            except ConnectionLost:
                return
            except Refused as refused:
                wait_s = _again_s(refused, attempt)
                if wait_s is None:
                    self._agent_refused(agent, refused)
                    return
                await asyncio.sleep(wait_s + random.random())
        agent.created(connection, generation)
        log.info("%s is registered", agent.id)
        await agent.open_channels(connection)
        await self._router.catch_up(agent, connection, generation, LOST_CALL_S)

    def _agent_refused(self, agent: Agent, refused: Refused) -> None:
        agent.refused(refused)
        self._forget(agent)
        log.error("%s is refused: %s", agent.id, refused)
        if not self.everyone:
            self._failure = refused
            self.stop()

    # --- events -------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        try:
            self._log(event)
            self._router.route(event)
            if isinstance(event, AgentDisplaced):
                self._displaced(self.find(event.agent_id), event.reason)
            elif isinstance(event, LineError) and event.code == LINE_TAKEN:
                line = self.lines.get(event.number)
                if line is not None and line.registered:
                    self._displaced(line, event.error)
        except Exception:
            # The conversation of others must not end for it.
            log.exception("%s could not be dealt with", event.event)

    def _displaced(self, agent: Agent | None, reason: str) -> None:
        if agent is not None:
            self._forget(agent)
            agent.refused(Displaced(reason))
            agent.close()

    def _forget(self, agent: Agent) -> None:
        if isinstance(agent, Line):
            self.lines.pop(agent.number, None)
        else:
            self.agents.pop(agent.id, None)

    def _log(self, event: Event) -> None:
        if isinstance(event, ErrorEvent):
            log.warning("%s %s: %s", _whose(event), event.code, event.error)
        elif isinstance(event, ServerWarning):
            log.warning("%s %s: %s", _whose(event), event.code, event.warning)
        elif isinstance(event, AgentDisplaced):
            log.error("%s is displaced: %s", event.agent_id, event.reason)
        elif isinstance(event, LineError):
            log.warning("line %s %s: %s", event.number, event.code, event.error)

    def fire(self, event: Event, call: Call | RingingCall | None, places: tuple[Handlers, ...]) -> None:
        """Call the handlers of an event, on these places and on the client."""
        lanes = call.lanes if call is not None else self._lanes

        def then() -> None:
            if call is not None:
                call.handled(event)

        self._dispatcher.fire(event, call, lanes, (*places, self), then)

    def _handler_failed(self, error: Exception, registered: Registered, event: Event, call: Any) -> None:
        if not isinstance(event, HandlerFailed):
            self.failed(f"handler {registered.name} of {event.event}", error, event, call)

    def failed(self, what: str, error: Exception, event: Event, call: Call | RingingCall | None) -> None:
        """Tell the handlers of ``error`` that code of the agent raised."""
        failed = HandlerFailed(
            error=f"{what} failed: {type(error).__name__}: {error}",
            code="HANDLER_FAILED",
            call_id=call.id if call is not None else None,
            agent_id=call.agent.id if call is not None else None,
            exception=error,
            failed_event=event,
        )
        places: tuple[Handlers, ...] = (call.agent,) if call is not None else ()
        self.fire(failed, call, (call, *places) if isinstance(call, Call) else places)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run code of the agent. None: the client is closed, and it is not run."""
        if self._tasks is None:
            work.close()
            return None
        task = self._tasks.create_task(work)
        self._handler_tasks.add(task)
        task.add_done_callback(self._handler_tasks.discard)
        return task


def _again_s(refused: Refused, attempt: int) -> float | None:
    """When to ask once more to be registered, after so many refusals; None: not again."""
    if refused.code in FOR_NOW and isinstance(refused.event, ErrorEvent):
        return refused.event.retry_after_s or FIRST_RETRY_S
    # An earlier connection of ours may only just be found dead.
    return LINE_AGAIN_S if refused.code == LINE_TAKEN and attempt < LINE_ATTEMPTS else None


def _whose(event: ErrorEvent | ServerWarning) -> str:
    if event.agent_id is None and event.call_id is None:
        return "server"
    return f"call {event.call_id}" if event.agent_id is None else event.agent_id


def _client() -> str:
    try:
        return f"talkwire-agent/{version('talkwire-agent')}"
    except PackageNotFoundError:
        return "talkwire-agent"
