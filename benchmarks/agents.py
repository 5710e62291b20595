"""Bar R8, and what events cost: how old they are when an agent has them, with a thousand idle agents beside it, and
with one that never reads.

``python -m benchmarks.agents`` starts `talkwire serve` and some calls whose agent asked for audio metrics every 20 ms,
about a hundred events a second each. An event's age is the agent's clock at its arrival minus the event's ``ts``; both
are one machine's, and ``ts`` is the loop's time, a millisecond fine. Calls are unharmed where a caller who listens to
a long text hears no gap. Last, the Python SDK's own cost for each event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import uvloop
import websockets

from benchmarks._figures import at_share
from benchmarks._real_server import KEY, RealServer, real_server
from benchmarks._sdk_cost import Cost, sdk_cost
from telephony.carriers.twilio.simulator import SimulatedCall, SimulatedCarrier

TEXT = "This is a sentence of some length, and there are many more of its kind to come after it. " * 12
METRICS = {"analysis": {"send_audio_metrics": True, "audio_metrics_interval_ms": 20}}
GAP_MS = 60.0
OPENING = 50
"""Sockets that are opened at the same time."""
FILES = 1024
"""Open files that the server's process may have at first: what a shell gives it."""
DEAF_CALLS = 20
DEAF_S = 90.0


@dataclass
class Ear:
    """A client of the agent socket that notes how old each event is."""

    socket: websockets.ClientConnection
    ages_ms: list[float] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    async def send(self, event: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"event": event, **fields}))

    async def read(self) -> None:
        try:
            async for text in self.socket:
                now = time.time()
                told = json.loads(text)
                if "ts" in told:
                    self.ages_ms.append(1000 * (now - told["ts"]))
                elif told["event"] == "ping":
                    await self.send("pong")
        except websockets.ConnectionClosed:
            pass
        self.closed = (self.socket.close_code or 0, self.socket.close_reason or "")


@asynccontextmanager
async def ear(server: RealServer, agent_id: str, ref: str | None = None, **config: Any) -> AsyncIterator[Ear]:
    async with websockets.connect(f"{server.ws}/client", compression=None, max_queue=None) as sock:
        made = Ear(sock)
        await made.send("connect", api_key=KEY, protocol="talkwire/1")
        await made.send("agent.create", agent_id=agent_id, **config)
        if ref is not None:
            await made.send("channel.add", agent_id=agent_id, type="phone", ref=ref)
        await made.send("pong", ack="registered")
        while json.loads(await sock.recv())["event"] != "ack":
            pass
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(made.read())
            try:
                yield made
            finally:
                await sock.close()
                await reader


@dataclass(frozen=True, slots=True)
class Phase:
    """What was seen in so many seconds."""

    name: str
    events_per_s: float
    ages_ms: list[float]
    cpu_percent: float
    rss_mb: float
    files: int
    loop_late: dict[str, float]
    gaps: int

    def row(self) -> str:
        ages = [at_share(self.ages_ms, share) or 0.0 for share in (0.5, 0.95, 0.99)]
        told = " / ".join(f"{age:.1f}" for age in (*ages, max(self.ages_ms)))
        late = f"{self.loop_late['p99_ms']:g} / {self.loop_late['max_ms']:g}"
        cells = (
            self.name,
            f"{self.events_per_s:.0f}",
            told,
            late,
            f"{self.cpu_percent:.0f}",
            f"{self.rss_mb:.0f}",
        )
        return f"| {' | '.join(cells)} | {self.files} | {self.gaps} |"


async def measured(name: str, server: RealServer, ears: Ear, caller: SimulatedCall, seconds: float) -> Phase:
    """One phase. The loop's lateness is the server's own figure, of its last minute."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1.0)
    ears.ages_ms.clear()
    since, cpu_s = loop.time(), server.cpu_s()
    await asyncio.sleep(seconds)
    took_s, ages = loop.time() - since, list(ears.ages_ms)
    stats = await server.stats()
    return Phase(
        name,
        len(ages) / took_s,
        ages,
        100 * (server.cpu_s() - cpu_s) / took_s,
        server.rss_mb(),
        server.sockets(),
        stats["loop_lag"],
        gaps(caller, since),
    )


def gaps(caller: SimulatedCall, since_s: float) -> int:
    """Holes that could be heard, from an instant on."""
    holes = caller.playback.underruns()
    return sum(hole.duration_ms > GAP_MS and hole.in_speech and hole.at_s >= since_s for hole in holes)


async def idle(server: RealServer, stack: AsyncExitStack, number: int) -> float:
    """Open so many more sockets, each with an agent that nobody calls; returns the seconds that took."""
    began = time.perf_counter()
    for first in range(0, number, OPENING):
        async with asyncio.TaskGroup() as tasks:
            opened = [
                tasks.create_task(stack.enter_async_context(_held(server, f"idle-{first + i}")))
                for i in range(min(OPENING, number - first))
            ]
        assert all(task.done() for task in opened)
    return time.perf_counter() - began


@asynccontextmanager
async def _held(server: RealServer, agent_id: str) -> AsyncIterator[None]:
    """A context whose task ends with it, whoever leaves it."""
    opened, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with ear(server, agent_id):
            opened.set()
            await leave.wait()

    holding = asyncio.get_running_loop().create_task(hold())
    await opened.wait()
    try:
        yield
    finally:
        leave.set()
        await holding


# --- one that never reads ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deaf:
    """An agent that does not read what it is told of its calls."""

    closed_after_s: float | None
    """None: it never was."""
    code: int
    reason: str
    rss_mb: float
    """The server's memory at the most."""
    before_mb: float


async def deaf(server: RealServer, carrier: SimulatedCarrier) -> Deaf:
    """Its window is small, and it has many calls with many events, or it would take minutes to be behind."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", server.port))
    before_mb = peak_mb = server.rss_mb()
    async with websockets.connect(
        f"{server.ws}/client", sock=sock, compression=None, ping_interval=None, max_queue=1
    ) as ws:
        made = Ear(ws)
        await made.send("connect", api_key=KEY, protocol="talkwire/1")
        await made.send("agent.create", agent_id="deaf", config=METRICS)
        await made.send("channel.add", agent_id="deaf", type="phone", ref="+15550000099")
        await asyncio.sleep(1.0)
        since = loop.time()
        calls = [await carrier.place_call(f"+1555111{i:04d}", "+15550000099") for i in range(DEAF_CALLS)]
        closed_after_s = None
        while closed_after_s is None and loop.time() - since < DEAF_S:
            await asyncio.sleep(0.25)
            peak_mb = max(peak_mb, server.rss_mb())
            if "agent.slow_consumer" in server.log.read_text(errors="replace"):
                closed_after_s = loop.time() - since
        await made.read()
        for call in calls:
            call.hang_up()
    code, reason = made.closed or (0, "")
    return Deaf(closed_after_s, code, reason, peak_mb, before_mb)


# --- the run ----------------------------------------------------------------------------------------------


async def run(server: RealServer, options: argparse.Namespace) -> list[str]:
    phases: list[Phase] = []
    async with AsyncExitStack() as stack:
        carrier = await stack.enter_async_context(SimulatedCarrier(server.url))
        told = await stack.enter_async_context(ear(server, "told", "+15550000001", config=METRICS))
        await stack.enter_async_context(ear(server, "speaker", "+15550000002", greeting=TEXT))
        for i in range(options.calls):
            await carrier.place_call(f"+1555000{i:04d}", "+15550000001")

        async def phase(name: str) -> None:
            listener = await carrier.place_call("+15557770000", "+15550000002")
            await listener.bot_speaking()
            phases.append(await measured(name, server, told, listener, options.seconds))
            print(phases[-1].row(), flush=True)
            listener.hang_up()

        await phase("alone")
        before_mb, before_files = server.rss_mb(), server.sockets()
        async with AsyncExitStack() as crowd:
            took_s = await idle(server, crowd, options.idle)
            await phase(f"{options.idle} idle agents")
            each_kb = 1000 * (server.rss_mb() - before_mb) / options.idle
            opened = server.sockets() - before_files
        listener = await carrier.place_call("+15557770000", "+15550000002")
        await listener.bot_speaking()
        async with asyncio.TaskGroup() as tasks:
            quiet = tasks.create_task(deaf(server, carrier))
            phases.append(
                await measured(
                    f"one with {DEAF_CALLS} calls never reads", server, told, listener, options.seconds
                )
            )
        lost = quiet.result()
    return [
        *_phases(phases),
        "",
        f"{options.idle} idle agents: opened in {took_s:.1f} s, {opened} files more, {each_kb:.0f} kB each.",
        _deaf(lost),
    ]


def _phases(phases: list[Phase]) -> list[str]:
    return [
        "| | events/s | age at the agent, p50 / p95 / p99 / max ms | loop late, p99 / max ms | % of a core | RSS MB "
        "| open files | gaps heard |",
        "|---|---|---|---|---|---|---|---|",
        *(phase.row() for phase in phases),
    ]


def _deaf(lost: Deaf) -> str:
    if lost.closed_after_s is None:
        return f"The one that never reads was not closed within {DEAF_S:g} s."
    return (
        f"The one that never reads: closed by the server after {lost.closed_after_s:.1f} s; when it read again it found "
        f"{lost.code} {lost.reason!r}. The server's memory went from {lost.before_mb:.0f} to {lost.rss_mb:.0f} MB."
    )


def _costs(costs: list[Cost]) -> list[str]:
    lines = ["| the Python SDK, microseconds an event | median | worst |", "|---|---|---|"]
    return [*lines, *(f"| {cost.name} | {median(cost.us):.1f} | {max(cost.us):.1f} |" for cost in costs)]


async def main(options: argparse.Namespace) -> list[str]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    with real_server(TALKWIRE_MAX_CALLS="100", TALKWIRE_LOG_LEVEL="warning") as server:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
        return await run(server, options)


def told(lines: list[str]) -> None:
    print(f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}\n")
    print("\n".join([*lines, "", *_costs(sdk_cost())]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Agents: events, idle ones, and one that never reads")
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15.0)
    told(uvloop.run(main(parser.parse_args())))
