"""A real server on a loopback port, an agent on a real socket, and a caller on the simulated carrier."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websockets

from server.app import create_app
from server.compose import services as composed
from server.serve import listener
from server.services import Services
from server.settings import Settings
from server.sockets import bind
from telephony.carriers.twilio.simulator import SimulatedCarrier

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "examples" / "clips"
KEY = "tw_" + "0" * 32
TIMEOUT_S = 20.0

Frame = dict[str, Any]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def descendants(pid: int) -> list[int]:
    """Processes below one, as /proc tells."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@dataclass
class Running:
    """A server in this process."""

    settings: Settings
    services: Services

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.settings.port}"

    def carrier(self, auth_token: str | None = None) -> SimulatedCarrier:
        return SimulatedCarrier(self.url, auth_token=auth_token)


@asynccontextmanager
async def running(data_dir: Path, **settings: Any) -> AsyncIterator[Running]:
    """Serve until the context ends. Without a recogniser unless ``stt`` says otherwise."""
    # A machine that is busy with other tests is no reason to refuse calls.
    usual: dict[str, Any] = {"twilio_unsigned": "loopback", "api_keys": (KEY,), "max_lag_ms": 0.0}
    values = {"stt": ("none",), **usual, **settings}
    made = Settings(port=free_port(), data_dir=data_dir, **values)
    sock = bind(made)
    async with composed(made) as services, asyncio.TaskGroup() as tasks:
        server = listener(create_app(services))
        serving = tasks.create_task(server.serve(sockets=[sock]))
        while not server.started:
            assert not serving.done(), "the server did not start"
            await asyncio.sleep(0.01)
        try:
            yield Running(made, services)
        finally:
            server.should_exit = True
            await serving


def _ready(before: Frame) -> Frame:
    return {"event": "llm.ready", "call_id": before["call_id"], "turn": before["turn"]}


@dataclass
class Agent:
    """A client of the agent socket that keeps all it is told. ``on`` reacts to events by name; as any client it
    says at once that it is ready."""

    socket: websockets.ClientConnection
    frames: list[Frame] = field(default_factory=list)
    on: dict[str, Callable[[Frame], Frame | None]] = field(default_factory=lambda: {"llm.before": _ready})
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    closed: tuple[int, str] | None = None

    async def send(self, event: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"event": event, **fields}))

    async def read(self) -> None:
        """Read until the socket closes."""
        try:
            async for text in self.socket:
                frame = json.loads(text)
                self.frames.append(frame)
                self._news.set()
                react = self.on.get(frame["event"])
                answer = react(frame) if react else None
                if answer is not None:
                    await self.socket.send(json.dumps(answer))
        except websockets.ConnectionClosed:
            pass
        self.closed = (self.socket.close_code or 0, self.socket.close_reason or "")
        self._news.set()

    async def wait(self, event: str, count: int = 1, **fields: Any) -> Frame:
        """The ``count``-th event of this name whose fields are these."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                found = [f for f in self.frames if f["event"] == event and fields.items() <= f.items()]
                if len(found) >= count:
                    return found[count - 1]
                assert self.closed is None, f"closed {self.closed} while waiting for {event}: {self.names()}"
                self._news.clear()
                await self._news.wait()

    async def news(self) -> None:
        """Until something more has come."""
        self._news.clear()
        await self._news.wait()

    async def wait_closed(self) -> tuple[int, str]:
        async with asyncio.timeout(TIMEOUT_S):
            while self.closed is None:
                self._news.clear()
                await self._news.wait()
        return self.closed

    def of(self, event: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["event"] == event]

    def names(self) -> list[str]:
        return [frame["event"] for frame in self.frames]


@asynccontextmanager
async def connected(
    url: str, key: str = KEY, headers: dict[str, str] | None = None, **connect: Any
) -> AsyncIterator[Agent]:
    """An agent socket whose key was accepted. ``headers``: of its upgrade."""
    async with websockets.connect(f"{url}/client", compression=None, additional_headers=headers) as sock:
        agent = Agent(sock)
        await agent.send("connect", api_key=key, **{"protocol": "talkwire/1", **connect})
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(agent.read())
            try:
                await agent.wait("connected")
                yield agent
            finally:
                await sock.close()
                await reader


@asynccontextmanager
async def registered(
    url: str, agent_id: str = "tester", ref: str = "*", **config: Any
) -> AsyncIterator[Agent]:
    """An agent that answers ``ref``."""
    async with connected(url) as agent:
        await agent.send("agent.create", agent_id=agent_id, **config)
        await agent.wait("agent.created")
        await agent.send("channel.add", agent_id=agent_id, type="phone", ref=ref)
        await agent.wait("channel.added")
        yield agent


def reply(text: str) -> Callable[[Frame], Frame]:
    """Answer each turn with the same text."""

    def react(turn: Frame) -> Frame:
        return {
            "event": "bot.reply",
            "call_id": turn["call_id"],
            "message_id": f"reply_{turn['seq']}",
            "text": text,
            "in_reply_to": turn["message_id"],
        }

    return react


def in_order(frames: list[Frame]) -> None:
    """What holds for the events of every call: numbering, pairing, and what comes first and last."""
    calls: dict[str, list[Frame]] = {}
    for frame in frames:
        if "seq" in frame:
            calls.setdefault(frame["call_id"], []).append(frame)
    for call_id, events in calls.items():
        assert [e["seq"] for e in events] == list(range(1, len(events) + 1)), call_id
        assert [e["ts"] for e in events] == sorted(e["ts"] for e in events)
        assert all(e["session_id"] == call_id and e["agent_id"] for e in events)
        names = [e["event"] for e in events]
        never_placed = ("error", "call.ended") if call_id.startswith(("dial-", "bridge-")) else ()
        assert names[0] in ("call.started", "call.ringing", "call.dialing", *never_placed)
        if "call.ended" in names:
            assert set(names[names.index("call.ended") + 1 :]) <= {"call.recording"}
            assert names.count("speech.started") == names.count("speech.ended")
            spoken = {e["message_id"] for e in events if e["event"] == "bot.speaking"}
            ends = [e["message_id"] for e in events if e["event"] in ("bot.finished", "bot.interrupted")]
            assert len(ends) == len(set(ends))
            assert spoken <= set(ends)
