"""How many phone calls one core carries, and how quickly and truly they are served meanwhile.

    python -m benchmarks.phone [--engines null] [--calls 1,5,20,40,50,60] [--seconds 30] [--vad silero]
    python -m benchmarks.phone --engines openai [--calls 1,5,10,20,30,40,50] [--profile 40]

The server runs in a process of its own on one core; all of it is real but for its engines, which do no work
and take a known time: within the server, or behind HTTP as an endpoint of OpenAI's shape. The load runs on
another core: the endpoint, simulated callers who speak recorded utterances with known edges, listen, and
interrupt; and an agent on the real socket. Times are taken at the callers' ears and at the agent's socket.
Linux only. Nothing passes or fails here: the project's bars stand beside the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks._burst import BURST_CAPACITY, burst
from benchmarks._children import ROOT
from benchmarks._delays import Delays
from benchmarks._profile import NoProfiler
from benchmarks._run import Plan, one_run, profile, running
from benchmarks._speech import Detector, utterances
from benchmarks._table import capacity, machine, table

MEMORY_CALLS = (5, 40)
CALLS = {"null": "1,5,20,40,50,60", "openai": "1,5,10,20,30,40,50"}
DELAYS = {
    "null": Delays("null", stt_ms=120.0, llm_ms=0.0, tts_ms=80.0),
    "openai": Delays("openai", stt_ms=200.0, llm_ms=300.0, tts_ms=150.0),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phone", description=__doc__.split("\n")[0])
    parser.add_argument("--engines", choices=tuple(DELAYS), default="null", help="(%(default)s)")
    parser.add_argument(
        "--calls", help=f"numbers of calls, one run each ({CALLS['null']}; {CALLS['openai']})"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="measured time of a run")
    parser.add_argument("--vad", choices=("silero", "webrtc"), default="silero")
    parser.add_argument("--recording", action="store_true", help="record the calls of all runs")
    parser.add_argument("--no-memory", action="store_true", help="leave out the two runs about memory")
    parser.add_argument(
        "--no-burst", action="store_true", help="leave out the burst, which only null engines have"
    )
    parser.add_argument("--stt-ms", type=float, help="delay of the recogniser (120; 200)")
    parser.add_argument("--llm-ms", type=float, help="delay of the language model's first token (none; 300)")
    parser.add_argument("--tts-ms", type=float, help="delay of the voice's first audio (80; 150)")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speech", type=Path, help="folder of WAV files that the callers say")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    parser.add_argument(
        "--profile", type=int, metavar="CALLS", help="only: what the core does at so many calls"
    )
    parser.add_argument("--profile-file", type=Path, default=Path("phone.stacks"), help="(%(default)s)")
    return parser.parse_args()


def _speech(given: Path | None) -> Path:
    named = given or os.environ.get("TALKWIRE_SPEECH_DIR")
    if named:
        return Path(named)
    beside = ROOT.parent / "shared" / "speech"
    return beside if beside.is_dir() else ROOT / "examples" / "clips"


def _delays(args: argparse.Namespace) -> Delays:
    usual = DELAYS[args.engines]
    given = {name: getattr(args, name) for name in ("stt_ms", "llm_ms", "tts_ms")}
    return replace(usual, **{name: value for name, value in given.items() if value is not None})


def _plan(args: argparse.Namespace) -> Plan:
    return Plan(
        voices=utterances(_speech(args.speech), args.vad),
        detector=Detector(args.vad),
        seconds=args.seconds,
        vad=args.vad,
        delays=_delays(args),
        server_core=args.server_core,
        load_core=args.load_core,
        seed=args.seed,
    )


def main() -> None:
    args = _arguments()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for the server, one for the load")
    plan = _plan(args)
    if args.profile is not None:
        try:
            lines = profile(plan, args.profile, args.seconds, args.profile_file)
        except NoProfiler as error:
            sys.exit(str(error))
        print(machine(plan), "", *lines, sep="\n")
        return
    begun_s = time.monotonic()
    numbers = sorted({int(number) for number in (args.calls or CALLS[args.engines]).split(",")})
    runs = [one_run(plan, calls, recording=args.recording) for calls in numbers]
    memory = [] if args.no_memory else [one_run(plan, calls, recording=True) for calls in MEMORY_CALLS]
    bursts = None
    if not args.no_burst and args.engines == "null":
        with running(plan, max_calls=BURST_CAPACITY, recording=False) as (server, _):
            bursts = uvloop.run(burst(server))
    print(machine(plan), "", *table(plan, runs, memory, bursts), sep="\n")
    print(f"\n{time.monotonic() - begun_s:.0f} s in all", file=sys.stderr)
    if args.json is not None:
        found: dict[str, Any] = {
            "machine": machine(plan),
            "capacity": capacity(runs),
            "runs": [asdict(run) for run in runs],
            "memory": [asdict(run) for run in memory],
            "burst": asdict(bursts) if bursts else None,
        }
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
