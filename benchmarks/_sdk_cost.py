"""What the Python SDK takes for an event: from the text of the socket to the handler of the developer."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.protocol import golden

SDK = Path(__file__).resolve().parents[1] / "clients" / "python"
EVENTS = 5000
ROUNDS = 7
ENDS = ("call.ended", "call.recording", "llm.tool_call", "error")
"""Events that end the call, are answered, or are written to the log."""


@dataclass(frozen=True, slots=True)
class Cost:
    name: str
    us: list[float]
    """Microseconds an event, one figure for each round."""


def sdk_cost() -> list[Cost]:
    """The events are those of the golden log between the first and the end of the call, over and over."""
    if str(SDK) not in sys.path:
        sys.path.insert(0, str(SDK))
    wire = importlib.import_module("talkwire_agent.wire")
    frames = golden.load()
    middle = [frame for frame in frames[1:] if frame["event"] not in ENDS]
    texts = [_numbered(middle, 2 + EVENTS * i) for i in range(ROUNDS)]
    return [
        Cost("json.loads alone", _rounds(json.loads, texts[0])),
        Cost("a typed event", _rounds(lambda text: wire.parsed(wire.decoded(text)), texts[0])),
        Cost("its handler called, all told", asyncio.run(_through(frames[0], texts))),
    ]


def _numbered(middle: list[dict[str, Any]], first: int) -> list[str]:
    """The client throws away what it has, and tells of what is missing: each has the next place."""
    return [json.dumps({**middle[i % len(middle)], "seq": first + i}) for i in range(EVENTS)]


def _rounds(work: Callable[[str], object], texts: list[str]) -> list[float]:
    out = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for text in texts:
            work(text)
        out.append(1e6 * (time.perf_counter() - began) / EVENTS)
    return out


async def _through(started: dict[str, Any], rounds: list[list[str]]) -> list[float]:
    """Over a connection within the process, with a handler on each event."""
    package: Any = importlib.import_module("talkwire_agent")
    testing: Any = importlib.import_module("talkwire_agent.testing")
    client = package.Talkwire("key")
    agent = client.agent(started["agent_id"])
    seen = asyncio.Event()
    left = 0

    async def handle(event: Any, call: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            seen.set()

    out = []
    async with testing.ScriptedServer(client) as server:
        server.send(**started)
        await server.quiet()
        agent.on("*", handle)
        for texts in rounds:
            left = EVENTS
            seen.clear()
            began = time.perf_counter()
            for text in texts:
                server._end.peer._inbox.put_nowait(text)
            await seen.wait()
            out.append(1e6 * (time.perf_counter() - began) / EVENTS)
    return out
