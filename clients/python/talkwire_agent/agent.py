"""An agent: what answers calls."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from talkwire_agent.beginnings import Beginnings
from talkwire_agent.call import Call
from talkwire_agent.config import AgentConfig, ChannelConfig, Config
from talkwire_agent.connection import Connection
from talkwire_agent.errors import ConnectionLost, Refused, TooLarge
from talkwire_agent.feed import Feed, Feeds
from talkwire_agent.handlers import Handlers
from talkwire_agent.names import slug
from talkwire_agent.pending import Pending
from talkwire_agent.skills import Activation, Skill
from talkwire_agent.tools import Tool, Toolbox, names_in
from talkwire_agent.transport import encoded

if TYPE_CHECKING:
    from talkwire_agent.client import Talkwire

log = logging.getLogger("talkwire_agent")

WAITING = 10_000
"""Commands that are kept while the connection is away; of more the oldest are lost."""
ENDED_CALLS = 100
"""Calls that are remembered, for what comes after their end."""


@dataclass(eq=False)
class Channel:
    """A way by which calls reach an agent."""

    type: str
    ref: str
    config: dict[str, Any]
    added: Pending[None] = field(default_factory=Pending)


class Agent(Handlers, Toolbox):
    """Made by ``Talkwire.agent``. Events of its calls are heard on it; so are its ``error`` and
    ``server.warning``."""

    def __init__(self, client: Talkwire, agent_id: str, config: AgentConfig) -> None:
        Handlers.__init__(self)
        Toolbox.__init__(self, Call)
        self.id = agent_id
        self.slug = slug(agent_id)
        self.config: dict[str, Any] = dict(config)
        """How it is registered: as it was made, with what ``configure`` has changed."""
        self.calls: dict[str, Call] = {}
        """Live calls, by id."""
        self.generation = 0
        self.client = client
        self._channels: dict[str, Channel] = {}
        self._registered: Pending[None] = Pending()
        self._connection: Connection | None = None
        self._waiting: deque[str] = deque(maxlen=WAITING)
        self._ended: OrderedDict[str, Call] = OrderedDict()
        self._feeds = Feeds()
        self._skills: dict[str, Skill] = {}
        self.beginnings = Beginnings(self)
        encoded(self._created())

    def __repr__(self) -> str:
        return f"<Agent {self.id!r}{'' if self.registered else ', not registered'}>"

    @property
    def registered(self) -> bool:
        """The server knows it, on the connection that there is now."""
        return self._connection is not None

    async def ready(self) -> None:
        """Until it is registered and its channels are open. Raises ``Refused`` where the server does not take
        it, or one of them."""
        await self._registered
        for channel in list(self._channels.values()):
            await channel.added

    # --- configuration ------------------------------------------------------------------------------------

    def phone(self, ref: str, **overrides: Unpack[ChannelConfig]) -> Pending[None]:
        """Answer a phone number: as one types it, a ``sip:`` address, or ``*`` for all that nobody else
        answers. ``overrides`` hold for calls of this number. With ``ringing=True`` they are told by
        ``call.ringing``, with a ``RingingCall``, before they are answered.

        Awaiting it raises ``Refused``, for example with the code ``PHONE_IN_USE``.
        """
        channel = Channel("phone", ref, dict(overrides))
        encoded(self._added(channel))
        self._channels[ref] = channel
        if self._connection is not None:
            self._connection.spawn(self._open(self._connection, channel))
        return channel.added

    def configure_phone(self, ref: str, **changed: Unpack[ChannelConfig]) -> Pending[None]:
        """Change overrides of a number, for future calls. Raises ``KeyError`` for one that was not added."""
        channel = self._channels[ref]
        channel.config.update(changed)
        return self._ask_if_there("channel.configure", "channel.configured", ref=ref, **changed)

    def remove_phone(self, ref: str) -> Pending[None]:
        """Answer this number no longer; calls go on. Raises ``KeyError`` for one that was not added."""
        del self._channels[ref]
        return self._ask_if_there("channel.remove", "channel.removed", ref=ref, type="phone")

    def configure(self, **changed: Unpack[Config]) -> Pending[None]:
        """Change keys of the agent, for future calls. Awaiting it raises ``Refused`` where the server does
        not take them."""
        self.config.update(cast(dict[str, Any], changed))
        keys = {key: value for key, value in self._created().items() if key in changed}
        encoded(self._created())
        return self._ask_if_there("agent.configure", "agent.configured", **keys)

    def _ask_if_there(self, event: str, answer: str, **fields: Any) -> Pending[None]:
        """What is not registered now will be, with the changes."""
        if self._connection is None:
            return self._registered
        return self.ask({"event": event, "agent_id": self.id, **fields}, answer)

    def _created(self) -> dict[str, Any]:
        frame = {"event": "agent.create", "agent_id": self.id, **self.config}
        for key, places in (("tools", self._tools), ("skills", self._skills)):
            if places:
                frame[key] = [*(self.config.get(key) or ()), *(one.declaration() for one in places.values())]
        return frame

    def _added(self, channel: Channel) -> dict[str, Any]:
        place = {"agent_id": self.id, "type": channel.type, "ref": channel.ref}
        return {"event": "channel.add", **place, **channel.config}

    # --- tools and skills ---------------------------------------------------------------------------------

    def skill(
        self,
        name: str,
        description: str,
        *,
        instructions: str | None = None,
        activation: Activation = "model",
    ) -> Skill:
        """Declare a skill: instructions and tools that the server's language model has while it is active.

        ``description``: when it is needed, for the model, which makes it active by itself (``model``). Else the
        agent does, by ``Call.load_skill`` (``manual``), or it is so from the start (``always``). Raises
        ``ValueError`` for a name that is taken.
        """
        if name in self._skills:
            raise ValueError(f"there is a skill {name!r} already")
        self._skills[name] = Skill(self, Call, name, description, instructions, activation)
        try:
            self.skills_changed()
        except TooLarge:
            del self._skills[name]
            raise
        return self._skills[name]

    @property
    def skills(self) -> dict[str, Skill]:
        """By name, as they were declared."""
        return dict(self._skills)

    def skills_from_the_start(self) -> set[str]:
        """Those that are active in each call; the server does not tell of them."""
        declared = self._created().get("skills") or ()
        return {skill["name"] for skill in declared if skill.get("activation") == "always"}

    def find_tool(self, name: str) -> Tool | None:
        """What is run for a name: a tool of the agent, or of any of its skills."""
        return next((box.tools[name] for box in self._toolboxes() if name in box.tools), None)

    def is_answered_by_handlers(self, name: str) -> bool:
        """Nothing was declared as a function here; or this one stands in ``tools``, or in those of a skill, as
        it is on the wire."""
        if not any(box.tools for box in self._toolboxes()):
            return True
        places = (self.config, *(channel.config for channel in self._channels.values()))
        return any(name in names_in(place) for place in places)

    def _toolboxes(self) -> tuple[Toolbox, ...]:
        return (self, *self._skills.values())

    def check_tool_name(self, name: str) -> None:
        """Raises ``ValueError`` for one that is taken: results come by their names."""
        if self.find_tool(name) is not None:
            raise ValueError(f"there is a tool {name!r} already")

    _check_name = check_tool_name

    def _tools_changed(self) -> None:
        self._declared_again("tools")

    def skills_changed(self) -> None:
        """There is one more, or one of them has a tool more. Raises ``TooLarge``."""
        self._declared_again("skills")

    def _declared_again(self, key: str) -> None:
        frame = self._created()
        encoded(frame)
        self._ask_if_there("agent.configure", "agent.configured", **{key: frame[key]})

    # --- calls to others ----------------------------------------------------------------------------------

    def dial(
        self,
        to: str,
        *,
        from_: str | None = None,
        greeting: str | None = None,
        metadata: dict[str, Any] | None = None,
        config: Config | None = None,
        detect_turn_end: bool | None = None,
        machine_detection: Literal["start", "end"] | None = None,
        on_machine: Literal["continue", "hangup"] | None = None,
        ring_timeout_seconds: float | None = None,
    ) -> Pending[Call]:
        """Call somebody. Awaiting it gives the call when somebody has picked up::

            try:
                call = await agent.dial("+15550001111", greeting="Hello, this is the shop.")
            except DialFailed as failed:
                print(failed.reason)  # no_answer, busy, failed

        ``from_``: the number that is shown; needed where the agent has not exactly one phone number. ``config``: keys of
        the agent that are otherwise for this call. ``detect_turn_end``: the other side speaks first.
        ``machine_detection``: find out who picks up, which ``call.answered_by`` tells.

        Awaiting it raises ``DialFailed``, ``Refused`` where it was not even tried, and ``ConnectionLost``.
        """
        fields = {
            "to": to,
            "from": from_,
            "greeting": greeting,
            "metadata": metadata,
            "config": config,
            "detect_turn_end": detect_turn_end,
            "machine_detection": machine_detection,
            "on_machine": on_machine,
            "ring_timeout_seconds": ring_timeout_seconds,
        }
        return self.beginnings.ask(
            "call.dial", {key: value for key, value in fields.items() if value is not None}
        )

    def bridge(
        self,
        target: str,
        *,
        greeting: str | None = None,
        config: Config | None = None,
        recording: bool | None = None,
        metadata: dict[str, Any] | None = None,
        detect_turn_end: bool | None = None,
    ) -> Pending[Call]:
        """Call another agent of the same server. Awaiting it gives this agent's side of the call::

            call = await agent.bridge("shop", greeting="Hello, I would like to order something.")

        The other agent has an inbound call as any other; ``call.bridged_with`` is its id. ``config``: keys of this agent
        that are otherwise for its side, ``recording`` whether that is recorded. ``detect_turn_end=False``: the greeting
        does not wait for that of the other agent.

        Awaiting it raises ``Refused``, for example where the other agent is not online, and ``ConnectionLost``.
        """
        fields = {
            "target": target,
            "greeting": greeting,
            "config": config,
            "media": None if recording is None else {"recording": recording},
            "metadata": metadata,
            "detect_turn_end": detect_turn_end,
        }
        return self.beginnings.ask("call.bridge", {k: v for k, v in fields.items() if v is not None})

    # --- people -------------------------------------------------------------------------------------------

    def pause(self, *, session_id: str | None = None, contact: str | None = None) -> Pending[None]:
        """Have the server's language model be silent: on one call, on those of one caller's number, or on all
        of this agent. It is still listened, and what the agent says is spoken. Awaiting it raises
        ``Refused``, and ``ConnectionLost`` while the connection is away."""
        return self._people("session.pause", "session.paused", session_id, contact)

    def resume(self, *, session_id: str | None = None, contact: str | None = None) -> Pending[None]:
        """Have the model answer again, where the same was paused; without a target, whatever was."""
        return self._people("session.resume", "session.resumed", session_id, contact)

    def _people(self, event: str, answer: str, session_id: str | None, contact: str | None) -> Pending[None]:
        if session_id is not None and contact is not None:
            raise ValueError("pause and resume take a session_id or a contact, not both")
        given = {"session_id": session_id, "contact": contact}
        target = {key: value for key, value in given.items() if value is not None}
        return self.ask({"event": event, "agent_id": self.id, **target}, answer)

    # --- listening ----------------------------------------------------------------------------------------

    def stream(self, events: tuple[str, ...] | None = None) -> Feed:
        """Events of all calls of this agent, as an async iterator, or as the response to a page that asks for
        server-sent events::

            async for event in agent.stream(("call.started", "bot.word")):
                ...

            Route("/events", lambda request: agent.stream())

        Without names: what a page needs that shows conversations (``feed.SUBTITLES``). ``*``: all. Each
        stream has its own events, from here on; a reader that is too slow loses the oldest.
        """
        return self._feeds.open(events)

    @property
    def feeds(self) -> Feeds:
        return self._feeds

    # --- commands -----------------------------------------------------------------------------------------

    def send(self, frame: dict[str, Any]) -> None:
        """Send a command as it is, now or when the agent is registered. Raises ``TooLarge``."""
        text = encoded(frame)
        if self._connection is not None:
            self._connection.send(text, self)
            return
        if len(self._waiting) == WAITING:
            log.warning("%s: too many commands wait for the connection, the oldest is lost", self.id)
        self._waiting.append(text)

    def ask(self, frame: dict[str, Any], answer: str) -> Pending[None]:
        """Send a command that is answered by the event ``answer``. Awaiting it raises ``Refused``, or
        ``ConnectionLost`` where the connection is away. Raises ``TooLarge``."""
        text = encoded(frame)
        if self._connection is not None:
            return self._connection.ask(text, answer, frame.get("session_id"))
        pending: Pending[None] = Pending()
        pending.fail(ConnectionLost(f"{self.id} is not registered now"))
        return pending

    def when_dealt_with(self, then: Callable[[], None]) -> None:
        """Have ``then`` called when the server has dealt with all that was sent so far; never, where the
        connection is lost before."""
        if self._connection is not None:
            self._connection.after(then)

    # --- registration -------------------------------------------------------------------------------------

    async def create(self, connection: Connection) -> None:
        """Ask to be registered. Raises ``Refused`` and ``ConnectionLost``."""
        await connection.ask(encoded(self._created()), "agent.created")

    def created(self, connection: Connection, generation: int) -> None:
        """The server knows the agent: what waited can be sent."""
        self._connection = connection
        self.generation = generation
        while self._waiting:
            connection.send(self._waiting.popleft(), self)
        self._registered.settle(None)

    async def open_channels(self, connection: Connection) -> None:
        """Add all channels. One that is refused is told by its own ``Pending``."""
        channels = list(self._channels.values())
        asked = [connection.ask(encoded(self._added(channel)), "channel.added") for channel in channels]
        for channel, answer in zip(channels, asked, strict=True):
            await self._opened(channel, answer)

    async def _open(self, connection: Connection, channel: Channel) -> None:
        await self._opened(channel, connection.ask(encoded(self._added(channel)), "channel.added"))

    async def _opened(self, channel: Channel, answer: Pending[None]) -> None:
        try:
            await answer
        except Refused as refused:
            log.error("%s does not answer %s: %s", self.id, channel.ref, refused)
            channel.added.fail(refused)
        except ConnectionLost:
            pass  # It is added again on the next connection.
        else:
            log.info("%s answers %s", self.id, channel.ref)
            channel.added.settle(None)

    def refused(self, error: Exception) -> None:
        """It will not be registered."""
        self._registered.fail(error)

    def away(self, unsent: list[str]) -> None:
        """The connection is gone; what it could not send waits for the next one."""
        self._connection = None
        if self._registered.done:
            self._registered = Pending()
        self._waiting.extend(unsent)
        self.beginnings.away(ConnectionLost(f"{self.id} is not registered now"))
        for call in self.calls.values():
            call.disconnected()

    def reset(self) -> None:
        """Forget what belongs to an earlier run of the client."""
        self._drop_calls()
        self._waiting.clear()
        self._ended.clear()
        self._registered = Pending()
        for channel in self._channels.values():
            channel.added = Pending()

    def close(self) -> None:
        """Nothing more is heard of it."""
        self._drop_calls()
        self._feeds.close()

    def _drop_calls(self) -> None:
        self.beginnings.close()
        for call in self.calls.values():
            call.close()
        self.calls.clear()
        self._connection = None

    # --- calls --------------------------------------------------------------------------------------------

    def call(self, call_id: str) -> Call | None:
        """A call, live or ended not long ago."""
        return self.calls.get(call_id) or self._ended.get(call_id)

    @property
    def known_calls(self) -> tuple[Call, ...]:
        """Those that ended not long ago, then the live ones."""
        return (*self._ended.values(), *self.calls.values())

    def over(self, call: Call) -> None:
        """A call has ended."""
        if self.calls.pop(call.id, None) is not None:
            self._ended[call.id] = call
            while len(self._ended) > ENDED_CALLS:
                self._ended.popitem(last=False)
