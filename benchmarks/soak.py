"""Calls that come and go for as long as one likes, and what of the server stays behind (bar R1).

    python -m benchmarks.soak [--calls 20] [--minutes 60] [--every 30] [--csv soak.csv]

`talkwire serve` as it is, with its engines behind HTTP as an endpoint of OpenAI's shape, recordings and SQLite. So many
callers at a time: each calls, speaks, hears answers, interrupts some, hangs up after some turns or breaks off, and calls
again a little later. What the server's tree has allocated, its tasks, sockets, files, threads and what it has on disk are
read all the time, and once more when all calls are over. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import uvloop
import websockets

from benchmarks._children import engines
from benchmarks._delays import Delays
from benchmarks._process import allocated_mb, threads
from benchmarks._real_server import KEY, ROOT, RealServer, real_server
from benchmarks._server import MODELS
from telephony.carriers.twilio.simulator import Clip, SimulatedCarrier, SimulatorError

CLIPS = ROOT / "examples" / "clips"
DELAYS = Delays("openai", stt_ms=200.0, llm_ms=300.0, tts_ms=150.0)
WARM_UP = 0.25
"""Of the time: until every kind of thing has happened some times, memory grows."""
FLAT = 0.02
IDLE_S = 200.0
"""After the last call: connections to engines stay open for 90 s, for the next one, and are looked at as often."""
TURNS = (1, 5)
PAUSE_S = (0.5, 6.0)
BROKEN = 0.1
"""Of the calls: their line breaks off."""
PLOT = (64, 12)


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one instant."""

    at_s: float
    calls: int
    finished: int
    """Calls that were made and are over."""
    memory_mb: float
    """Allocated by its tree."""
    rss_mb: float
    """Of its main process."""
    tasks: int
    sockets: int
    files: int
    threads: int
    disk_mb: float
    lag_p99_ms: float
    journal_queued: int


@dataclass(slots=True)
class Told:
    finished: int = 0
    failed: int = 0


def on_disk_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def sockets_of(pid: int) -> int:
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue  # Closed meanwhile.
    return found


async def sample(server: RealServer, begun_s: float, told: Told) -> Sample:
    stats, pid = await server.stats(), server.process.pid
    return Sample(
        at_s=round(time.monotonic() - begun_s, 1),
        calls=stats["calls"],
        finished=told.finished,
        memory_mb=round(await asyncio.to_thread(allocated_mb, pid), 2),
        rss_mb=round(server.rss_mb(), 2),
        tasks=stats["tasks"],
        sockets=sockets_of(pid),
        files=server.sockets(),
        threads=threads(pid),
        disk_mb=round(await asyncio.to_thread(on_disk_mb, server.log.parent), 2),
        lag_p99_ms=stats["loop_lag"]["p99_ms"],
        journal_queued=stats["journal"].get("queued", 0),
    )


# --- the far ends -----------------------------------------------------------------------------------------


@asynccontextmanager
async def agent(server: RealServer):  # type: ignore[no-untyped-def]
    """One that has the server answer all numbers, and reads what it is told."""
    async with websockets.connect(f"{server.ws}/client", compression=None, max_size=None) as socket:
        for frame in (
            {"event": "connect", "api_key": KEY, "protocol": "talkwire/1"},
            {
                "event": "agent.create",
                "agent_id": "soak",
                "greeting": "Hello, how can I help?",
                "llm": f"openai/{MODELS['llm']}",
                "prompt": "You are a test.",
                "recording": True,
            },
            {"event": "channel.add", "agent_id": "soak", "type": "phone", "ref": "*"},
        ):
            await socket.send(json.dumps(frame))
        while json.loads(await socket.recv())["event"] != "channel.added":
            pass
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read(socket))
            yield
            reading.cancel()


async def _read(socket: websockets.ClientConnection) -> None:
    async for _ in socket:
        pass


async def caller(
    carrier: SimulatedCarrier, index: int, clips: Sequence[Clip], until_s: float, told: Told
) -> None:
    """Call after call. ``until_s``: monotonic."""
    chance = random.Random(index)
    await asyncio.sleep(chance.uniform(0, 10))
    while time.monotonic() < until_s:
        call = None
        try:
            call = await carrier.place_call(f"+1555{index:03}{chance.randrange(10_000):04}", "+15550002222")
            await call.bot_quiet()
            for _ in range(chance.randint(*TURNS)):
                said = call.say(chance.choice(clips))
                await said.finished()
                await call.bot_speaking(after_s=said.voice_end_s, timeout_s=15)
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.uniform(0.5, 2.5))  # And into the answer.
                else:
                    await call.bot_quiet()
            told.finished += 1
        except (SimulatorError, TimeoutError) as error:
            told.failed += 1
            if told.failed <= 5:
                print(f"a call failed: {type(error).__name__}: {error}", file=sys.stderr)
        if call is not None and call.end is None:
            if chance.random() < BROKEN:
                call.drop()
            else:
                call.hang_up()
        await asyncio.sleep(chance.uniform(*PAUSE_S))


# --- the verdict ------------------------------------------------------------------------------------------


def plot(samples: Sequence[Sample]) -> list[str]:
    """Memory over time."""
    width, height = PLOT
    values = [one.memory_mb for one in samples]
    low, high = min(values), max(values)
    span = max(high - low, 0.02 * high)
    columns = [values[i * len(values) // width] for i in range(width)] if len(values) >= width else values
    rows = []
    for level in range(height - 1, -1, -1):
        floor = low + span * level / height
        marks = "".join("#" if value >= floor else " " for value in columns)
        label = f"{floor:7.1f}" if level in (0, height - 1) else " " * 7
        rows.append(f"{label} |{marks}")
    return [*rows, f"{'MB':>7} +{'-' * len(columns)} {samples[-1].at_s / 60:.0f} min"]


def verdict(samples: Sequence[Sample], idle: Sample, end: Sample, told: Told) -> list[str]:
    """What bar R1 asks for."""
    warm = [one for one in samples if one.at_s >= samples[-1].at_s * WARM_UP]
    third = max(1, len(warm) // 3)
    early, late = (statistics.median(one.memory_mb for one in part) for part in (warm[:third], warm[-third:]))
    growth = late / early - 1
    lines = [
        f"{told.finished} calls, {told.failed} of which failed beside these",
        f"memory after the warm-up: {early:.1f} MB at first, {late:.1f} MB at last: {growth:+.1%} "
        f"({'flat' if abs(growth) <= FLAT else 'NOT flat'} within {FLAT:.0%})",
    ]
    for name in ("calls", "tasks", "sockets"):
        before, after = getattr(idle, name), getattr(end, name)
        what = "none left" if after <= before else f"{after - before} LEFT"
        lines.append(f"{name}: {before} before the first call, {after} after the last: {what}")
    lines.append(
        f"files {idle.files} -> {end.files}, threads {idle.threads} -> {end.threads}, "
        f"memory {idle.memory_mb:.1f} -> {end.memory_mb:.1f} MB, disk {end.disk_mb:.1f} MB"
    )
    return lines


async def soak(server: RealServer, args: argparse.Namespace) -> None:
    clips = [Clip.from_wav(path) for path in sorted(CLIPS.glob("*.wav"))]
    told, begun_s, samples = Told(), time.monotonic(), []
    with args.csv.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in fields(Sample))
        async with agent(server), SimulatedCarrier(server.url) as carrier:
            idle = await sample(server, begun_s, told)
            until_s = begun_s + args.minutes * 60
            async with asyncio.TaskGroup() as tasks:
                for index in range(args.calls):
                    tasks.create_task(caller(carrier, index, clips, until_s, told))
                while time.monotonic() < until_s:
                    await asyncio.sleep(args.every)
                    samples.append(await sample(server, begun_s, told))
                    table.writerow(astuple(samples[-1]))
                    file.flush()
                    print(json.dumps(asdict(samples[-1])), file=sys.stderr, flush=True)
            await asyncio.sleep(IDLE_S)
            end = await sample(server, begun_s, told)
            table.writerow(astuple(end))
    print(*plot(samples), "", *verdict(samples, idle, end, told), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--calls", type=int, default=20, help="at a time (%(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two looks (%(default)s)")
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"), help="(%(default)s)")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="talkwire-soak-") as folder,
        engines(DELAYS, Path(folder) / "log") as asked,
    ):
        settings = {f"TALKWIRE_{stage.upper()}": "openai" for stage in MODELS}
        settings |= {f"TALKWIRE_{stage.upper()}_MODEL": model for stage, model in MODELS.items()}
        limits = {"TALKWIRE_MAX_CALLS": str(args.calls + 5), "TALKWIRE_LOG_LEVEL": "warning"}
        with real_server(OPENAI_BASE_URL=asked.base_url, **settings, **limits) as server:
            uvloop.run(soak(server, args))


if __name__ == "__main__":
    main()
