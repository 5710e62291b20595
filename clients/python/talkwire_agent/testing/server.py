"""A server in this process that knows no sound: it registers agents, and its calls are scripted."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from types import TracebackType
from typing import Any

from talkwire_agent.base import Event
from talkwire_agent.client import Talkwire
from talkwire_agent.errors import ConnectionLost
from talkwire_agent.local import HandlerFailed
from talkwire_agent.names import LINE, slug
from talkwire_agent.testing.call import ScriptedCall
from talkwire_agent.testing.link import End, linked
from talkwire_agent.testing.model import PATIENCE_S, Frame
from talkwire_agent.transport import Transport


def _key(agent_id: str) -> str:
    return agent_id if agent_id.startswith(LINE) else slug(agent_id)


ANSWERS = {
    "agent.configure": ("agent.configured", ("agent_id",)),
    "channel.add": ("channel.added", ("agent_id", "type", "ref")),
    "channel.configure": ("channel.configured", ("agent_id", "ref")),
    "channel.remove": ("channel.removed", ("agent_id", "ref")),
    "session.configure": ("session.configured", ("session_id",)),
}
PAUSES = ("session.pause", "session.resume")
QUIET = 50
"""Turns of the event loop without a message after which nothing more is to be expected."""


class ScriptedServer:
    """Serves one client as long as the context lasts; ``ready``: it begins when all agents are registered.

    The client needs no address and no key. ``commands`` are all messages that it sent, but for pings. What
    handlers raised stands in ``failures``; if anything is left there at the end, the first is raised.
    """

    def __init__(self, client: Talkwire, *, ready: bool = True) -> None:
        self.client = client
        self.commands: list[Frame] = []
        self.calls: dict[str, ScriptedCall] = {}
        self.failures: list[Exception] = []
        self.connections = 0
        """Connections that were made."""
        self.paused: set[str] = set()
        """What the agent has paused: ids of calls, callers' numbers, agents."""
        self.accepts = True
        """False: there is no server at the address."""
        self.resumes = True
        """False: it is an older server, that does not read ``connect.resume``."""
        self._resume: dict[str, int] = {}
        self._ready = ready
        self._refusals: deque[Frame] = deque()
        self._agents: dict[str, Frame] = {}
        self._end: End | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._news = asyncio.Event()
        self._activity = 0

    # --- the test's side ----------------------------------------------------------------------------------

    def call(
        self,
        agent_id: str | None = None,
        *,
        from_: str = "+15550001111",
        to: str = "+15550002222",
        plays: bool = True,
        greeting: str | None = None,
        **facts: Any,
    ) -> ScriptedCall:
        """Somebody calls an agent, or a line by ``line:`` and its number; the only one, where none is named. ``facts``
        are further fields of ``call.started``, such as the ``extension`` that was dialled: with
        ``direction="outbound"`` and ``transfer_of`` it is the human of a transfer. ``greeting``: what the agent says
        first, in place of its own."""
        key = _key(agent_id) if agent_id is not None else next(iter(self._agents))
        config = dict(self._agents[key])
        if greeting is not None:
            config["greeting"] = greeting
        if key.startswith(LINE):
            facts = {"owner": "line", **facts}
        call_id = f"CA{len(self.calls) + 1}"
        told = {"from": from_, "to": to, "direction": "inbound", "transport": "phone", **facts}
        started = {"agent_id": config["agent_id"], "call_id": call_id, **told}
        call = self.calls[call_id] = ScriptedCall(started, config, self._tell, plays)
        call.find = lambda agent_id: self._agents.get(slug(agent_id))
        call.emit("call.started", **told)
        call.opens()
        return call

    async def bridged(self, count: int = 1, *, plays: bool = True) -> ScriptedCall:
        """The ``count``-th agent that was called by ``Agent.bridge``: it is there, and does what the test says."""
        frame = await self.command("call.bridge", count)
        call_id, theirs = f"CA{len(self.calls) + 1}", f"bridged-{count}"
        place = {"ack": frame["ack"], "command": frame["event"], "agent_id": frame["agent_id"]}
        self.send("ack", **place, status="processing", extras={"call_id": call_id, "bridged_with": theirs})
        sides = {"direction": "outbound", "transport": "bridge", "bridged_with": theirs}
        if "metadata" in frame:
            sides["metadata"] = frame["metadata"]
        return self.call(
            frame["agent_id"],
            from_=frame["agent_id"],
            to=frame["target"],
            plays=plays,
            greeting=frame.get("greeting"),
            **sides,
        )

    def refuse(self, code: str, text: str = "refused by the test", **fields: Any) -> None:
        """Answer the next registration, or change of one, by an ``error``; may be said several times."""
        self._refusals.append({"event": "error", "error": text, "code": code, **fields})

    def send(self, event: str, **fields: Any) -> None:
        """Send a message as it is."""
        if self._end is not None:
            self._end.peer._inbox.put_nowait(json.dumps({"event": event, **fields}))
            self._activity += 1

    def drop(self, reason: str = "the network broke", code: int | None = None) -> None:
        """Break the connection. What happens on calls is kept until the agent is back."""
        if self._end is not None:
            end, self._end = self._end, None
            self._agents.clear()
            end.cut(ConnectionLost(reason, code))

    async def command(self, event: str, count: int = 1) -> Frame:
        """The ``count``-th command of this name. Raises ``TimeoutError``."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [frame for frame in self.commands if frame["event"] == event]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]

    async def quiet(self) -> None:
        """Until the agent has done all that it does without being told more."""
        left, seen = QUIET, self._activity
        while left:
            await asyncio.sleep(0)
            left = left - 1 if seen == self._activity else QUIET
            seen = self._activity

    # --- life ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> ScriptedServer:
        self._dialled, self._key = self.client.dial, self.client._api_key
        self.client.dial, self.client._api_key = self._dial, self._key or "scripted"
        self.client.on("error", self._failed)
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        await self.client.__aenter__()
        if self._ready:
            await self.client.ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = self._tasks
        assert tasks is not None
        try:
            await self.client.__aexit__(kind, error, trace)
        finally:
            self.client.dial, self.client._api_key = self._dialled, self._key
            self.client.off("error", self._failed)
            self.drop()
            await tasks.__aexit__(None, None, None)
        if self.failures and error is None:
            raise self.failures[0]

    def _failed(self, event: Event) -> None:
        if isinstance(event, HandlerFailed):
            self.failures.append(event.exception)

    async def _dial(self, address: str) -> Transport:
        if not self.accepts:
            raise ConnectionLost(f"no connection to {address}: nobody listens")
        assert self._tasks is not None
        ours, theirs = linked()
        self.connections += 1
        self._tasks.create_task(self._serve(ours))
        return theirs

    async def _serve(self, end: End) -> None:
        try:
            while True:
                self._activity += 1
                self._obey(end, json.loads(await end.receive()))
        except ConnectionLost:
            if self._end is end:
                self._end = None
                self._agents.clear()

    # --- the client's side --------------------------------------------------------------------------------

    def _obey(self, end: End, frame: Frame) -> None:
        event = frame["event"]
        if event == "ping":
            self.send("pong", timestamp=0.0)
            return
        self.commands.append(frame)
        self._news.set()
        if event == "connect":
            self._end = end
            self._resume = frame.get("resume") or {}
            self.send("connected", protocol="talkwire/1", version="scripted")
        elif self._refusals and (event == "agent.create" or event in ANSWERS or event in PAUSES):
            self.send(**{"agent_id": frame.get("agent_id"), **self._refusals.popleft()})
        elif event == "agent.create":
            self._create(frame)
        elif event == "line.create":
            self._create({**frame, **(frame.get("config") or {}), "agent_id": LINE + frame["number"]})
        elif event == "line.destroy":
            self._agents.pop(LINE + frame["number"], None)
            self.send("line.destroyed", number=frame["number"])
        elif event in ANSWERS:
            answer, fields = ANSWERS[event]
            self._configure(frame)
            self.send(answer, **{field: frame[field] for field in fields})
        elif event in PAUSES:
            self._pause(frame)
        elif event.startswith("history."):
            self._question(frame)
        elif (call := self.calls.get(frame.get("call_id", ""))) is not None:
            self._acknowledge(frame, call.obey(frame))

    def _acknowledge(self, frame: Frame, fault: str | None) -> None:
        if "ack" in frame:
            place = {"ack": frame["ack"], "command": frame["event"], "call_id": frame["call_id"]}
            more = {"status": "success"} if fault is None else {"status": "error", "message": fault}
            self.send("ack", **place, **more)

    def _pause(self, frame: Frame) -> None:
        target = {key: frame[key] for key in ("agent_id", "session_id", "contact") if key in frame}
        if (session_id := frame.get("session_id")) is not None:
            call = self.calls.get(session_id)
            if call is None or call.ended:
                text = f"agent {frame['agent_id']!r} has no live call {session_id!r}"
                self.send("error", error=text, code="SESSION_UNKNOWN", call_id=session_id, **target)
                return
        where = frame.get("session_id") or frame.get("contact") or slug(frame["agent_id"])
        if frame["event"] == "session.pause":
            self.paused.add(where)
        elif "session_id" in frame or "contact" in frame:
            self.paused.discard(where)
        else:
            self.paused.clear()
        self.send(f"{frame['event']}d", **target)

    def _question(self, frame: Frame) -> None:
        call = self.calls.get(frame["call_id"])
        if call is None or call.ended:
            place = {"call_id": frame["call_id"], "request_id": frame["request_id"]}
            self.send("history.updated", **place, count=0, error="the call is over")
        else:
            self.send(**call.take_question(frame))

    def _configure(self, frame: Frame) -> None:
        """As on a server, what changes the agent does not change its running calls."""
        keys = {key: value for key, value in frame.items() if key not in ("event", "agent_id", "session_id")}
        if frame["event"] == "agent.configure":
            self._agents[slug(frame["agent_id"])] |= keys
        elif frame["event"] == "session.configure" and (call := self.calls.get(frame["session_id"])):
            call.config |= keys

    def _create(self, frame: Frame) -> None:
        key = _key(frame["agent_id"])
        self._agents[key] = frame
        if key.startswith(LINE):
            self.send("line.created", number=frame["number"])
        else:
            self.send("agent.created", agent_id=frame["agent_id"])
        calls = [call for call in self.calls.values() if _key(call.agent_id) == key]
        if self.resumes:
            self._tell_resumed(frame["agent_id"], calls)
        for call in calls:
            self._give_back(call)

    def _tell_resumed(self, agent_id: str, calls: list[ScriptedCall]) -> None:
        back = [call for call in calls if not call.ended or call.undelivered]
        told = [{"call_id": call.id, "last_seq": len(call.journal), "live": not call.ended} for call in back]
        gone = [call_id for call_id in self._resume if call_id not in self.calls]
        self.send("agent.resumed", agent_id=agent_id, calls=told, gone=gone)

    def _give_back(self, call: ScriptedCall) -> None:
        missed, call.undelivered = call.undelivered, []
        if self.resumes and call.id in self._resume:
            missed = call.journal[self._resume[call.id] :]
        elif call.ended and not missed:
            return
        elif not missed or missed[0]["seq"] != 1:
            started = call.journal[0]
            self.send(**{**started, "metadata": {**(started.get("metadata") or {}), "resumed": True}})
        for event in missed:
            self.send(**event)

    def _tell(self, call: ScriptedCall, frame: Frame) -> None:
        if self._end is not None and _key(call.agent_id) in self._agents:
            self.send(**frame)
        else:
            call.undelivered.append(frame)
