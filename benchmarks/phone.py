"""How many phone calls one core carries, and how quickly and truly they are served meanwhile.

    python -m benchmarks.phone [--calls 1,5,20,40,50,60] [--seconds 30] [--vad silero] [--json FILE]

The server runs in a process of its own on one core; all of it is real but for its providers, which do no work
and take a known time. The load runs on another core: simulated callers who speak recorded utterances with
known edges, listen, and interrupt; and an agent on the real socket. Times are taken at the callers' ears and
at the agent's socket. Linux only. Nothing passes or fails here: the project's bars stand beside the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop

from benchmarks._callers import GATES_MS, Agent, Caller, Figures, at_share, figures, judge
from benchmarks._null_server import Options
from benchmarks._process import cpu_times, pss_mb, threads
from benchmarks._speech import Detector, utterances
from media.segmenter import VadParams
from pipeline.turns import TurnParams
from server.looplag import LoopLag
from telephony.carriers.twilio.simulator import (
    CallOptions,
    CallRejected,
    Clip,
    SimulatedCarrier,
    SimulatorError,
)

ROOT = Path(__file__).resolve().parents[1]
KEY = "tw_" + "0" * 32
START_TIMEOUT_S = 30.0
WARM_UP_S = 5.0
RAMP_S = 3.0
"""Over so long the calls of a run begin, that no two say the same at the same time."""
FEW = 5
"""With fewer calls than this a run lasts twice as long: percentiles need turns."""
MEMORY_CALLS = (5, 40)
BURST_CALLS = 100
BURST_CAPACITY = 40


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds for all runs."""

    voices: Sequence[Clip]
    detector: Detector
    seconds: float
    vad: str
    stt_ms: float
    tts_ms: float
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
    load_lag_ms: float
    """99th percentile of the load's own loop: the error of the measurement."""
    lag: dict[str, float]
    tasks_per_call: float
    threads: int
    pss_mb: float


# --- the server -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stats(self) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.url}/v1/stats", headers={"Authorization": f"Bearer {KEY}"})
            found: dict[str, Any] = answer.json()
            return found


@contextmanager
def running(plan: Plan, *, max_calls: int, recording: bool) -> Iterator[Server]:
    """A server on its core, until the context ends."""
    with tempfile.TemporaryDirectory(prefix="talkwire-phone-") as folder:
        options = Options(
            port=_free_port(),
            data_dir=folder,
            key=KEY,
            max_calls=max_calls,
            vad=plan.vad,
            recording=recording,
            stt_ms=plan.stt_ms,
            tts_ms=plan.tts_ms,
        )
        # A child is born on the core of its parent, with all the threads that it will ever start.
        os.sched_setaffinity(0, {plan.server_core})
        command = [sys.executable, "-m", "benchmarks._null_server", json.dumps(options)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(0, {plan.load_core})
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError("the server did not start; the reason stands above")
            yield Server(process.pid, options["port"])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# --- a run ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def conversing(
    plan: Plan, server: Server, calls: int
) -> AsyncIterator[tuple[list[Caller], float, asyncio.TaskGroup]]:
    """So many callers in conversation; gives them, and when the last of them will have called."""
    stop = asyncio.Event()
    async with (
        SimulatedCarrier(server.url) as carrier,
        Agent(server.url.replace("http", "ws", 1), KEY) as agent,
        asyncio.TaskGroup() as background,
    ):
        answering = background.create_task(agent.run())
        callers = [Caller(index, agent, plan.voices, plan.seed) for index in range(calls)]
        now = asyncio.get_running_loop().time()
        offsets = random.Random(plan.seed)
        async with asyncio.TaskGroup() as tasks:
            tickets = [
                tasks.create_task(caller.run(carrier, now + offsets.uniform(0, RAMP_S), stop))
                for caller in callers
            ]
            yield callers, now + RAMP_S, tasks
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


async def measure(plan: Plan, server: Server, calls: int, *, recording: bool) -> Run:
    loop = asyncio.get_running_loop()
    seconds = plan.seconds * (2 if calls < FEW else 1)
    idle = await server.stats()
    async with conversing(plan, server, calls) as (callers, called_s, _):
        await asyncio.sleep(called_s + WARM_UP_S - loop.time())
        gc.collect()
        gc.freeze()
        lag = LoopLag()
        before, begun_s = cpu_times(server.pid, plan.server_core), loop.time()
        await asyncio.sleep(seconds)
        after, ended_s = cpu_times(server.pid, plan.server_core), loop.time()
        lag.close()
        stats = await server.stats()
        memory, thread_count = pss_mb(server.pid), threads(server.pid)
        # What began in the window is heard to its end.
        await asyncio.sleep(2.0)
    silence_ms = max(TurnParams().turn_silence_ms, VadParams().speech_end_delay_ms + plan.stt_ms)
    spoken_to_s = ended_s - 4.0
    judge(callers, plan.detector)
    found = figures(callers, (begun_s, spoken_to_s), silence_ms, plan.tts_ms)
    wall = after.at - before.at
    used = after.process - before.process
    return Run(
        calls=calls,
        recording=recording,
        figures=found,
        seconds=seconds,
        server_cpu=100 * used / wall,
        others_cpu=100 * max(0.0, after.core_busy - before.core_busy - used) / wall,
        load_cpu=100 * (after.own - before.own) / wall,
        load_lag_ms=lag.summary()["p99_ms"],
        lag=stats["loop_lag"],
        tasks_per_call=(stats["tasks"] - idle["tasks"]) / calls,
        threads=thread_count,
        pss_mb=memory,
    )


def one_run(plan: Plan, calls: int, *, recording: bool) -> Run:
    with running(plan, max_calls=max(200, calls), recording=recording) as server:
        run = uvloop.run(measure(plan, server, calls, recording=recording))
    gc.unfreeze()
    found = run.figures
    p95 = at_share(found.response, 0.95)
    print(
        f"{calls:3d} calls{', recording' if recording else ''}: {len(found.response)} answers, p95 "
        f"{p95 or 0:.0f} ms, server {run.server_cpu:.0f} %, others on its core {run.others_cpu:.0f} %, "
        f"load {run.load_cpu:.0f} % (loop late {run.load_lag_ms:.0f} ms), faults {len(found.faults)}",
        file=sys.stderr,
    )
    for fault in found.faults[:3]:
        print(f"    {fault[:200]}", file=sys.stderr)
    return run


# --- a burst ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Burst:
    """Many calls in one second on a server that takes fewer."""

    answered: int
    busy: int
    failed: int
    webhook_ms: list[float]
    """From the webhook to its answer."""
    first_word_ms: list[float]
    """From the webhook to the first audible sample, of those that were answered."""


async def burst(plan: Plan, server: Server) -> Burst:
    loop = asyncio.get_running_loop()
    found = Burst(0, 0, 0, [], [])

    async def caller(carrier: SimulatedCarrier, index: int, at_s: float) -> None:
        await asyncio.sleep(at_s - loop.time())
        begun_s = loop.time()
        try:
            answer = await carrier.ring(f"+1777{index:07d}", next(iter(GATES_MS)))
            found.webhook_ms.append((loop.time() - begun_s) * 1000)
            plan_ = answer.plan()
            call = await carrier.open_stream(plan_, options=CallOptions(keep_audio=False))
            found.first_word_ms.append((await call.bot_speaking(timeout_s=10) - begun_s) * 1000)
            found.answered += 1
        except CallRejected:
            found.busy += 1
        except (SimulatorError, TimeoutError) as error:
            found.failed += 1
            print(f"burst: {error!r}", file=sys.stderr)

    url = server.url.replace("http", "ws", 1)
    async with (
        SimulatedCarrier(server.url) as carrier,
        Agent(url, KEY, greeting="hello and welcome to the line") as agent,
        asyncio.TaskGroup() as background,
    ):
        answering = background.create_task(agent.run())
        now = loop.time() + 0.1
        async with asyncio.TaskGroup() as tasks:
            for index in range(BURST_CALLS):
                tasks.create_task(caller(carrier, index, now + index / BURST_CALLS))
        await asyncio.sleep(1.0)
        answering.cancel()
    return found


# --- the table --------------------------------------------------------------------------------------------

Samples = Callable[[Figures], Sequence[float]]


def capacity(runs: Sequence[Run]) -> int:
    """The largest number of calls up to which all were served as one call is."""
    alone = at_share(runs[0].figures.response, 0.95) or 0.0
    most = 0
    for run in runs:
        p95 = at_share(run.figures.response, 0.95)
        found = run.figures
        if p95 is None or p95 >= 1.5 * alone or found.gaps or found.missed or found.faults:
            break
        most = run.calls
    return most


def table(runs: Sequence[Run], memory: Sequence[Run], bursts: Burst | None) -> list[str]:
    def two(samples: Samples) -> list[str]:
        return [_two(samples(run.figures)) for run in runs]

    rows: list[tuple[str, str, list[str]]] = [
        ("C1 response, p50 / p95 ms", "p95 < 1.5 x one call", two(lambda f: f.response)),
        ("gaps > 60 ms / missed / faults", "0 / 0 / 0", [_troubles(run.figures) for run in runs]),
        ("S2 own share of it, p50 / p95 ms", "p95 <= 60, <= 120 at capacity", two(lambda f: f.response_own)),
        ("- the detector's error about the end", "", two(lambda f: f.response_detector)),
        ("- without it", "", two(lambda f: f.response_rest)),
        ("- of that up to turn.end at the agent", "", two(lambda f: f.turn_end)),
        ("- of that from bot.reply to sound", "", two(lambda f: f.reply)),
        ("S1 onset to speech.started, p50 / p95 ms", "<= 110 / 200", two(lambda f: f.onset)),
        ("- the detector alone", "", two(lambda f: f.onset_detector)),
        ("- without the detector", "", two(lambda f: f.onset_rest)),
        ("S3 barge-in, gate 300 ms, p50 / p95 ms", "<= 330 / 400", two(lambda f: f.barge[300])),
        ("S3 barge-in, gate 200 ms, p50 / p95 ms", "<= 240 / 320", two(lambda f: f.barge[200])),
        ("- the detector's error about the onset", "", two(lambda f: f.barge_detector)),
        ("- beyond gate and detector", "", two(lambda f: f.barge_rest)),
        ("T1 bot.word against its sound, p50 / p95 ms", "<= 40 / 120", two(lambda f: f.word)),
        ("words told, never heard", "0", [str(run.figures.unheard_words) for run in runs]),
        ("T4 played_ms, error, p50 / p95 ms", "<= 40", two(lambda f: f.played)),
        ("T4 duration_ms, error, p50 / p95 ms", "<= 40", two(lambda f: f.duration)),
        (
            "loop late, p50 / p99 / max ms",
            "",
            [f"{r.lag['p50_ms']:.1f} / {r.lag['p99_ms']:.1f} / {r.lag['max_ms']:.0f}" for r in runs],
        ),
        ("server, % of a core", "", [f"{run.server_cpu:.0f}" for run in runs]),
        ("C5 % of a core per call", "does not grow", [f"{run.server_cpu / run.calls:.2f}" for run in runs]),
        ("C3 tasks per call", "<= 6", [f"{run.tasks_per_call:.1f}" for run in runs]),
        ("threads", "", [str(run.threads) for run in runs]),
        ("PSS, MB", "", [f"{run.pss_mb:.0f}" for run in runs]),
        ("others on the server's core, %", "(noise)", [f"{run.others_cpu:.0f}" for run in runs]),
        (
            "load: % of a core, loop late p99 ms",
            "(error)",
            [f"{run.load_cpu:.0f}, {run.load_lag_ms:.1f}" for run in runs],
        ),
        ("turns measured", "", [str(len(run.figures.response)) for run in runs]),
    ]
    head = ["", "bar", *(f"{run.calls} call{'s' if run.calls > 1 else ''}" for run in runs)]
    lines = [_line(head), _line(["---"] * len(head)), *(_line([name, bar, *v]) for name, bar, v in rows), ""]
    lines += ["| | bar | |", "|---|---|---|"]
    lines.append(_line(["C1 calls on one core", ">= 40 (50 with webrtcvad)", f"{capacity(runs)}"]))
    if len(memory) == 2:
        few, many = memory
        more = (many.pss_mb - few.pss_mb) / (many.calls - few.calls)
        found = f"{more:.2f} MB ({few.pss_mb:.0f} at {few.calls}, {many.pss_mb:.0f} at {many.calls})"
        lines.append(_line(["C2 memory per further call, recorder on", "<= 4 MB", found]))
        lines.append(_line(["server with the recorder, % of a core per call", "", _cpu_each(many)]))
    if bursts is not None:
        lines += _burst_rows(bursts)
    return lines


def _burst_rows(found: Burst) -> list[str]:
    seen = f"{found.answered} answered, {found.busy} busy, {found.failed} failed"
    name = f"C6 {BURST_CALLS} calls in 1 s, capacity {BURST_CAPACITY}"
    return [
        _line([name, "40 answered, 60 busy, none waits", seen]),
        _line(["- webhook answered, p50 / p95 / max ms", "", _three(found.webhook_ms)]),
        _line(
            ["- webhook to the greeting's first sound, p50 / p95 / max ms", "", _three(found.first_word_ms)]
        ),
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _two(samples: Sequence[float]) -> str:
    p50, p95 = at_share(samples, 0.5), at_share(samples, 0.95)
    return "-" if p50 is None or p95 is None else f"{p50:.0f} / {p95:.0f}"


def _three(samples: Sequence[float]) -> str:
    return f"{_two(samples)} / {max(samples):.0f}" if samples else "-"


def _troubles(found: Figures) -> str:
    lost = found.missed + found.not_interrupted + found.no_onset
    detail = f" ({found.not_interrupted} barge-ins, {found.no_onset} onsets)" if lost > found.missed else ""
    return f"{len(found.gaps)} / {lost}{detail} / {len(found.faults)}"


def _cpu_each(run: Run) -> str:
    return f"{run.server_cpu / run.calls:.2f} at {run.calls}"


def machine(plan: Plan) -> str:
    names = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    cpu = next(names, ":unknown").partition(":")[2].strip()
    return (
        f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}; "
        f"{plan.vad} VAD; STT {plan.stt_ms:.0f} ms, TTS {plan.tts_ms:.0f} ms; {plan.seconds:.0f} s a run; "
        f"{len(plan.voices)} utterances"
    )


# --- the command ------------------------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phone", description=__doc__.split("\n")[0])
    parser.add_argument("--calls", default="1,5,20,40,50,60", help="numbers of calls, one run each")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured time of a run")
    parser.add_argument("--vad", choices=("silero", "webrtc"), default="silero")
    parser.add_argument("--recording", action="store_true", help="record the calls of all runs")
    parser.add_argument("--no-memory", action="store_true", help="leave out the two runs about memory")
    parser.add_argument("--no-burst", action="store_true", help="leave out the burst")
    parser.add_argument("--stt-ms", type=float, default=120.0, help="delay of the recogniser")
    parser.add_argument("--tts-ms", type=float, default=80.0, help="delay of the voice's first audio")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speech", type=Path, help="folder of WAV files that the callers say")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    return parser.parse_args()


def _speech(given: Path | None) -> Path:
    named = given or os.environ.get("TALKWIRE_SPEECH_DIR")
    if named:
        return Path(named)
    beside = ROOT.parent / "shared" / "speech"
    return beside if beside.is_dir() else ROOT / "examples" / "clips"


def main() -> None:
    args = _arguments()
    numbers = sorted({int(number) for number in args.calls.split(",")})
    plan = Plan(
        voices=utterances(_speech(args.speech), args.vad),
        detector=Detector(args.vad),
        seconds=args.seconds,
        vad=args.vad,
        stt_ms=args.stt_ms,
        tts_ms=args.tts_ms,
        server_core=args.server_core,
        load_core=args.load_core,
        seed=args.seed,
    )
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for the server, one for the load")
    begun_s = time.monotonic()
    runs = [one_run(plan, calls, recording=args.recording) for calls in numbers]
    memory = [] if args.no_memory else [one_run(plan, calls, recording=True) for calls in MEMORY_CALLS]
    bursts = None
    if not args.no_burst:
        with running(plan, max_calls=BURST_CAPACITY, recording=False) as server:
            bursts = uvloop.run(burst(plan, server))
    print(machine(plan), "", *table(runs, memory, bursts), sep="\n")
    print(f"\n{time.monotonic() - begun_s:.0f} s in all", file=sys.stderr)
    if args.json is not None:
        found = {
            "machine": machine(plan),
            "capacity": capacity(runs),
            "runs": [asdict(run) for run in runs],
            "memory": [asdict(run) for run in memory],
            "burst": asdict(bursts) if bursts else None,
        }
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
