"""What keeping calls costs: processor time, lateness on the loop, and how soon an event is in the database.

``python -m benchmarks.journal [--calls 40] [--rate 10] [--seconds 10] [--postgres URL]`` has so many calls happen with
so many events a second each, through the journal and the book that the server has: in memory, in SQLite, in PostgreSQL
where it is named, and with a hundred readers who follow the log of one call each. Nothing else runs. Then a hundred
readers attach to the call log by real sockets, from another process: how much later they have an event than it was
made, and what they cost the server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _fanout
from pipeline.events import BotWord, Event, TurnRef, UserMessage, UserSpeaking
from server.call import Call
from server.store.writer import Writer
from tests.server.store.home import Home, home

BEAT_S = 0.005
READERS = 100


@dataclass(frozen=True, slots=True)
class Figures:
    what: str
    cpu: float
    """Share of a core."""
    append_us: Sequence[float]
    lag_ms: Sequence[float]
    late_ms: Sequence[float]
    events: int
    burst: float
    """Events a second where they come as fast as they are taken."""


def events(index: int) -> Event:
    turn = TurnRef(index // 20 + 1, "c0ffee")
    match index % 10:
        case 0:
            return UserMessage(turn, f"m{index}", "could you tell me how late it is, please", 0.93, (index,))
        case 1 | 2 | 3:
            return UserSpeaking(turn, "could you tell me how late", "could you tell me", 0.8)
        case _:
            return BotWord(turn, f"m{index // 20}", "evening", index % 20, 0.5, 0.9)


async def _beat(lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += BEAT_S
        await asyncio.sleep(due - loop.time())
        lags.append(max(0.0, loop.time() - due) * 1000)


async def _follow(made: Home, call_id: str) -> None:
    with made.book.reading(call_id, 0) as reader:
        while True:
            if not (await reader.read()).entries:  # type: ignore[union-attr]
                await reader.wait(60.0)


async def happen(calls: Sequence[Call], rate: float, seconds: float, took: list[float]) -> int:
    """In real time, each call at its own instants."""
    loop = asyncio.get_running_loop()
    began, count = loop.time(), 0
    step = 1.0 / (rate * len(calls))
    while (now := loop.time()) - began < seconds:
        while count * step <= now - began:
            at = time.perf_counter()
            calls[count % len(calls)].journal.append(events(count))
            took.append((time.perf_counter() - at) * 1e6)
            count += 1
        await asyncio.sleep(step)
    return count


async def measured(what: str, url: str, count: int, rate: float, seconds: float, readers: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(
                home(url.format(folder=folder), Path(folder), journal_skip=("none",))
            )
            calls = [made.begin(f"CA{what}{index}-{os.getpid()}") for index in range(count)]
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            lags: list[float] = []
            took: list[float] = []
            others = [tasks.create_task(_beat(lags))]
            others += [tasks.create_task(_follow(made, calls[n % count].call_id)) for n in range(readers)]
            await asyncio.sleep(0.2)
            writer: Writer | None = made.kept.writer
            if writer is not None:
                await made.flush()
                writer.figures.late_s.clear()
            lags.clear()
            used = time.process_time()
            happened = await happen(calls, rate, seconds, took)
            cpu = (time.process_time() - used) / seconds
            for task in others:
                task.cancel()
            late = [1000 * late_s for late_s in writer.figures.late_s] if writer is not None else []
            burst = await _burst(made, calls)
            for call in calls:
                made.end(call)
            await made.flush()
    return Figures(what, cpu, took, list(lags), late, happened, burst)


async def _burst(made: Home, calls: Sequence[Call], count: int = 10_000) -> float:
    began = time.perf_counter()
    for index in range(count):
        calls[index % len(calls)].journal.append(events(index))
        if not index % 500:
            await asyncio.sleep(0)
    await made.kept.flush()
    return count / (time.perf_counter() - began)


def at(samples: Sequence[float], share: float) -> str:
    ordered = sorted(samples)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))]:.3g}" if ordered else "-"


def machine() -> str:
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    load = os.getloadavg()[0]
    kind = model.group(1) if model else "an unknown kind"
    return f"{os.cpu_count()} cores of {kind}, load {load:.1f} at the beginning"


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--rate", type=float, default=10.0, help="events a second of each call")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--postgres", help="URL of a database of its own, where there is one")
    args = parser.parse_args()
    print(f"{machine()}\n\n{args.calls} calls, {args.rate:g} events a second each, {args.seconds:g} s\n")
    sqlite = "sqlite:///{folder}/calls.db"
    runs = [("memory", "memory", 0), ("SQLite", sqlite, 0), (f"SQLite, {READERS} readers", sqlite, READERS)]
    if args.postgres:
        runs.insert(2, ("PostgreSQL", args.postgres, 0))
    print("| kept in | core | append p50 / p99, us | loop lag p50 / p99, ms |", end="")
    print(" in the database after p50 / p99 / max, ms | burst, events/s |")
    print("|---|---|---|---|---|---|")
    for what, url, readers in runs:
        found = await measured(what, url, args.calls, args.rate, args.seconds, readers)
        print(
            f"| {what} | {found.cpu:.1%} | {at(found.append_us, 0.5)} / {at(found.append_us, 0.99)} "
            f"| {at(found.lag_ms, 0.5)} / {at(found.lag_ms, 0.99)} "
            f"| {at(found.late_ms, 0.5)} / {at(found.late_ms, 0.99)} / {at(found.late_ms, 1.0)} "
            f"| {found.burst:,.0f} |",
            flush=True,
        )
    await _fan_out(args.calls, args.rate, args.seconds)


async def _fan_out(calls: int, rate: float, seconds: float) -> None:
    print("\n| readers of the call log | core | an event is there after p50 / p99 / max, ms |", end="")
    print(" at the last of its readers p50 / p99, ms | told |\n|---|---|---|---|---|")
    for what, readers, spread in (
        ("none", 0, 1),
        (f"{READERS} over all calls", READERS, calls),
        (f"{READERS} on one call", READERS, 1),
    ):
        found = await _fanout.measured(what, calls, rate, seconds, readers, spread)
        print(
            f"| {what} | {found.cpu:.1%} "
            f"| {at(found.late_ms, 0.5)} / {at(found.late_ms, 0.99)} / {at(found.late_ms, 1.0)} "
            f"| {at(found.last_ms, 0.5)} / {at(found.last_ms, 0.99)} | {len(found.late_ms):,} |",
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(main())
