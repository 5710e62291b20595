"""One number of calls, and what was measured meanwhile."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import _history, _profile
from benchmarks._callers import Agent, Caller
from benchmarks._children import KEY, Engines, Server, engines, serving
from benchmarks._delays import Delays
from benchmarks._figures import Figures, at_share, figures, judge
from benchmarks._process import CpuTimes, cpu_times, pss_mb, threads
from benchmarks._server import MODELS, Options
from benchmarks._speech import Detector
from server.looplag import LoopLag
from telephony.carriers.twilio.simulator import Clip, SimulatedCarrier

WARM_UP_S = 5.0
RAMP_S = {"null": 3.0, "openai": 20.0}
"""Over so long the calls of a run begin, that no two say the same at the same time. The endpoint gives all callers
the same replies in the same order: that they do not interrupt together they begin in the course of a whole round."""
FEW = 5
"""With fewer calls than this a run lasts twice as long: percentiles need turns."""
LOOKS = 10
"""So often in a run the server is asked how many tasks it has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds for all runs."""

    voices: Sequence[Clip]
    detector: Detector
    seconds: float
    vad: str
    delays: Delays
    server_core: int
    load_core: int
    seed: int


@dataclass(slots=True)
class Run:
    """One number of calls."""

    calls: int
    recording: bool
    figures: Figures
    seconds: float
    server_cpu: float
    """Percent of one core."""
    others_cpu: float
    """What other processes and the host took of the server's core, percent: with more than a few the run is
    worth nothing."""
    load_cpu: float
    """The callers' and the agent's."""
    engines_cpu: float
    load_core_cpu: float
    """All that went on there, others' work too."""
    load_lag_ms: float
    """99th percentile of the load's own loop: the error of the measurement."""
    engines_late_ms: float
    """99th percentile of the engines' lateness against their delays: an error, too."""
    lag: dict[str, float]
    tasks_per_call: float
    """At most."""
    threads: int
    pss_mb: float


@dataclass(slots=True)
class _Seen:
    """What is there when the conversations are over."""

    callers: list[Caller]
    window: tuple[float, float]
    server: tuple[CpuTimes, CpuTimes]
    load: tuple[CpuTimes, CpuTimes]
    lag: dict[str, float]
    load_lag_ms: float
    tasks: float
    threads: int
    pss_mb: float


@contextmanager
def running(plan: Plan, *, max_calls: int, recording: bool) -> Iterator[tuple[Server, Engines | None]]:
    """A server, and its engines where they are processes of their own, until the context ends."""
    options = Options(
        port=0,
        data_dir="",
        key=KEY,
        max_calls=max_calls,
        vad=plan.vad,
        recording=recording,
        stt_ms=plan.delays.stt_ms,
        tts_ms=plan.delays.tts_ms,
        base_url=None,
    )
    cores = {"core": plan.server_core, "load_core": plan.load_core}
    if plan.delays.kind == "null":
        with serving(options, **cores) as server:
            yield server, None
        return
    with (
        tempfile.TemporaryDirectory(prefix="talkwire-engines-") as folder,
        engines(plan.delays, Path(folder) / "log") as asked,
        serving(options | {"base_url": asked.base_url}, **cores) as server,
    ):
        yield server, asked


@asynccontextmanager
async def conversing(
    plan: Plan, server: Server, calls: int
) -> AsyncIterator[tuple[list[Caller], float, asyncio.TaskGroup]]:
    """So many callers in conversation; gives them, and when the last of them will have called."""
    stop = asyncio.Event()
    llm = f"openai/{MODELS['llm']}" if plan.delays.kind == "openai" else None
    async with (
        SimulatedCarrier(server.url) as carrier,
        Agent(server.url.replace("http", "ws", 1), KEY, llm=llm) as agent,
        asyncio.TaskGroup() as background,
    ):
        answering = background.create_task(agent.run())
        callers = [Caller(index, agent, plan.voices, plan.seed) for index in range(calls)]
        now, ramp_s = asyncio.get_running_loop().time() + 0.5, RAMP_S[plan.delays.kind]
        offsets = random.Random(plan.seed)
        async with asyncio.TaskGroup() as tasks:
            tickets = [
                tasks.create_task(caller.run(carrier, now + offsets.uniform(0, ramp_s), stop))
                for caller in callers
            ]
            yield callers, now + ramp_s, tasks
            stop.set()
            for ticket in tickets:
                ticket.cancel()
        for error in agent.errors:
            print(f"the server told the agent: {error}", file=sys.stderr)
        # The calls hang up while their events are still read: a silent agent would be closed as too slow.
        await _hang_up(callers)
        answering.cancel()


async def _hang_up(callers: Sequence[Caller]) -> None:
    for caller in callers:
        if caller.call is not None and caller.call.end is None:
            caller.call.hang_up()
            await caller.call.ended()


async def _measure(plan: Plan, server: Server, asked: Engines | None, calls: int) -> _Seen:
    loop = asyncio.get_running_loop()
    seconds = plan.seconds * (2 if calls < FEW else 1)

    def times() -> tuple[CpuTimes, CpuTimes]:
        load_pid = asked.pid if asked is not None else None
        return cpu_times(server.pid, plan.server_core), cpu_times(load_pid, plan.load_core)

    async with conversing(plan, server, calls) as (callers, called_s, _):
        idle = await server.stats()  # with its agent, and without a call
        await asyncio.sleep(called_s + WARM_UP_S - loop.time())
        gc.collect()
        gc.freeze()
        lag = LoopLag()
        before, begun_s = times(), loop.time()
        looks = []
        for look in range(LOOKS):
            await asyncio.sleep(begun_s + seconds * (look + 1) / LOOKS - loop.time())
            looks.append(await server.stats())
        after, ended_s = times(), loop.time()
        lag.close()
        memory, thread_count = pss_mb(server.pid), threads(server.pid)
        # What began in the window is heard to its end.
        await asyncio.sleep(2.0)
    return _Seen(
        callers=callers,
        window=(begun_s, ended_s - 4.0),
        server=(before[0], after[0]),
        load=(before[1], after[1]),
        lag=looks[-1]["loop_lag"],
        load_lag_ms=lag.summary()["p99_ms"],
        tasks=(max(look["tasks"] for look in looks) - idle["tasks"]) / calls,
        threads=thread_count,
        pss_mb=memory,
    )


def one_run(plan: Plan, calls: int, *, recording: bool) -> Run:
    with running(plan, max_calls=max(200, calls), recording=recording) as (server, asked):
        seen = uvloop.run(_measure(plan, server, asked, calls))
        requests = asked.requests() if asked is not None else []
    gc.unfreeze()
    run = _told(plan, calls, recording, seen, requests)
    _print(run)
    return run


def _told(plan: Plan, calls: int, recording: bool, seen: _Seen, requests: Sequence[dict[str, Any]]) -> Run:
    judge(seen.callers, plan.detector)
    found = figures(seen.callers, seen.window, plan.delays)
    if plan.delays.kind == "openai":
        _history.compare(seen.callers, seen.window, requests, found)
    server, load = seen.server, seen.load
    wall = server[1].at - server[0].at
    used = server[1].process - server[0].process
    return Run(
        calls=calls,
        recording=recording,
        figures=found,
        seconds=wall,
        server_cpu=100 * used / wall,
        others_cpu=100 * max(0.0, server[1].core_busy - server[0].core_busy - used) / wall,
        load_cpu=100 * (load[1].own - load[0].own) / wall,
        engines_cpu=100 * (load[1].process - load[0].process) / wall,
        load_core_cpu=100 * (load[1].core_busy - load[0].core_busy) / wall,
        load_lag_ms=seen.load_lag_ms,
        engines_late_ms=_engines_late_ms(requests, plan.delays),
        lag=seen.lag,
        tasks_per_call=seen.tasks,
        threads=seen.threads,
        pss_mb=seen.pss_mb,
    )


def _engines_late_ms(requests: Sequence[dict[str, Any]], delays: Delays) -> float:
    late = [
        (request["first_piece_s"] - request["complete_s"]) * 1000 - getattr(delays, f"{request['route']}_ms")
        for request in requests
        if request["route"] in ("stt", "llm", "tts") and request["status"] == 200 and request["first_piece_s"]
    ]
    return at_share(late, 0.99) or 0.0


def _print(run: Run) -> None:
    found = run.figures
    print(
        f"{run.calls:3d} calls{', recording' if run.recording else ''}: {len(found.response)} answers, p95 "
        f"{at_share(found.response, 0.95) or 0:.0f} ms, server {run.server_cpu:.0f} %, others on its core "
        f"{run.others_cpu:.0f} %, load {run.load_cpu:.0f} + {run.engines_cpu:.0f} % (loop late "
        f"{run.load_lag_ms:.0f} ms, engines late {run.engines_late_ms:.0f} ms), faults {len(found.faults)}",
        file=sys.stderr,
        flush=True,
    )
    for fault in found.faults[:3]:
        print(f"    {fault[:300]}", file=sys.stderr)


# --- a profile --------------------------------------------------------------------------------------------


def profile(plan: Plan, calls: int, seconds: float, file: Path) -> list[str]:
    """What the server does while so many callers converse, as a table; the stacks are written to ``file``. Raises
    ``NoProfiler``."""
    _profile.profiler()

    async def sample(server: Server) -> str:
        async with conversing(plan, server, calls) as (_, called_s, _):
            await asyncio.sleep(called_s + WARM_UP_S - asyncio.get_running_loop().time())
            before = cpu_times(server.pid, plan.server_core)
            await _profile.record(server.pid, seconds, file)
            after = cpu_times(server.pid, plan.server_core)
        used = 100 * (after.process - before.process) / (after.at - before.at)
        return f"{calls} calls took {used:.0f} % of the core."

    with running(plan, max_calls=max(200, calls), recording=False) as (server, _):
        taken = uvloop.run(sample(server))
    return [taken, *_profile.table(file)]
