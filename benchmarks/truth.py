"""Whether a call tells the truth about what its caller hears: T1 to T4 and S5 of the project's bars.

    python -m benchmarks.truth [--carrier twilio|audiosocket] [--calls 60] [--seed 1] [--base-ms 40] [--jitter-ms 8]
        [--stall-every-s 30]

The real session, turn machine, queue, playhead and alignment hold random calls on virtual time: the bot answers as an
agent or by itself, whole and streamed, says holding lines, is interrupted at random instants and cancelled. At the
other end of a network that delays, scatters and stalls, ``benchmarks._far_end`` knows of each sample when it was
audible. The voices are the project's espeak and flite, whose word times are given to the session in every second call
and hidden from it in the others. ``--carrier audiosocket``: the calls come from a PBX, through the real leg; nothing
confirms what was played there, so that the playhead is an estimate. For S5 the loop itself is held up, in real time,
under the real Twilio leg.

Nothing passes or fails here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import uvloop

from benchmarks._far_end import Network
from benchmarks._known_voice import Studio
from benchmarks._stalled_loop import stalled
from benchmarks._told_calls import hold, plans
from benchmarks._told_figures import AUDIBLE_GAP_MS, YOUNG_MS, Figures, add
from benchmarks.alignment import HELD, TUNED

SENTENCES = [line for line in (TUNED + HELD).splitlines() if len(line.split()) >= 4]
S5_CALLS = 8

Column = tuple[str, Figures]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__.split("\n")[0])
    net = Network()
    parser.add_argument("--carrier", choices=("twilio", "audiosocket"), default="twilio")
    parser.add_argument("--calls", type=int, default=60, help="of each network (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base-ms", type=float, default=net.base_ms, help="delay each way (%(default)s)")
    parser.add_argument("--jitter-ms", type=float, default=net.jitter_ms, help="median of more (%(default)s)")
    parser.add_argument(
        "--stall-every-s", type=float, default=net.stall_every_s, help="of one direction (%(default)s)"
    )
    parser.add_argument("--way-ms", type=int, default=0, help="TALKWIRE_AUDIOSOCKET_WAY_MS (%(default)s)")
    parser.add_argument("--slow", type=float, default=0.0, help="share of voices slower than speech")
    parser.add_argument("--stall-ms", type=float, default=150.0, help="of the loop (%(default)s)")
    parser.add_argument(
        "--stall-seconds", type=float, default=30.0, help="of that run; 0: none (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    return parser.parse_args()


def _networks(args: argparse.Namespace) -> list[tuple[str, Network]]:
    rough = Network(base_ms=args.base_ms, jitter_ms=args.jitter_ms, stall_every_s=args.stall_every_s)
    even = replace(rough, stall_every_s=0.0, marks_lost=0.0, marks_repeated=0.0)
    none = replace(even, base_ms=0.0, jitter_ms=0.0)
    if args.carrier == "audiosocket":
        local = replace(even, base_ms=0.5, jitter_ms=0.5)
        return [("no delay", none), ("local", local), ("delay", even)]
    return [("no delay", none), ("delay", even), ("delay, stalls", rough)]


def _measure(args: argparse.Namespace, studio: Studio) -> list[Column]:
    columns = []
    for name, network in _networks(args):
        given, aligned = Figures(), Figures()
        for plan in plans(
            args.calls,
            args.seed,
            studio,
            SENTENCES,
            network,
            slow=args.slow,
            pbx=args.carrier == "audiosocket",
            way_ms=args.way_ms,
        ):
            add(given if plan.word_times else aligned, hold(plan, studio))
        columns += [(f"{name}: word times", given), (f"{name}: none", aligned)]
    return columns


# --- the table --------------------------------------------------------------------------------------------


def _off(samples: Sequence[float]) -> str:
    return "{:.0f} / {:.0f}".format(*np.percentile(np.abs(samples), (50, 95))) if samples else "-"


def _spread(samples: Sequence[float]) -> str:
    return "{:.0f} / {:.0f} / {:.0f}".format(*np.percentile(samples, (5, 50, 95))) if samples else "-"


def _within_one(samples: Sequence[int]) -> str:
    return f"{100 * np.mean(np.abs(samples) <= 1):.1f} % of {len(samples)}" if samples else "-"


def _too_many(samples: Sequence[int]) -> str:
    return f"{sum(more > 0 for more in samples)} of {len(samples)}"


def table(columns: Sequence[Column]) -> list[str]:
    found = [figures for _, figures in columns]
    rows = [
        ("T1, T2 `bot.word` from its sound, p50 / p95 ms", "<= 40 / 120; 200", [_off(f.word) for f in found]),
        ("- early (-) or late, p5 / p50 / p95 ms", "", [_spread(f.word) for f in found]),
        ("- words; told, never heard", "-; 0", [f"{len(f.word)}; {f.words_unheard}" for f in found]),
        ("T3 history within one word, cut by the user", ">= 95 %", [_within_one(f.kept) for f in found]),
        ("- cut by its agent", ">= 95 %", [_within_one(f.kept_cancelled) for f in found]),
        ("- with a word of which nothing was played", "0", [_too_many(f.cuts) for f in found]),
        ("- words too many, p5 / p50 / p95", "", [_spread(f.cuts) for f in found]),
        ("- cut before 2 s, in the history all the same", "0", [str(f.early_kept) for f in found]),
        ("T4 `played_ms`, p50 / p95 ms", "<= 40", [_off(f.played) for f in found]),
        ("- less (-) or more than was heard, p5 / p50 / p95 ms", "", [_spread(f.played) for f in found]),
        ("T4 `duration_ms`, p50 / p95 ms", "<= 40", [_off(f.duration) for f in found]),
        ("committed texts that are no beginning of the message", "0", [str(f.no_prefix) for f in found]),
        ("messages / calls", "", [f"{f.messages} / {f.calls}" for f in found]),
        (
            f"holes of more than {AUDIBLE_GAP_MS:.0f} ms within messages (network, slow voices)",
            "",
            [str(sum(gap > AUDIBLE_GAP_MS for gap in f.gaps)) for f in found],
        ),
        ("samples of unknown origin", "0", [str(f.unplaced) for f in found]),
    ]
    head = ["", "bar", *(name for name, _ in columns)]
    lines = [head, ["---"] * len(head), *([what, bar, *values] for what, bar, values in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _stalls(args: argparse.Namespace, studio: Studio) -> tuple[list[str], list[float]]:
    """S5: the loop stands still; what of it is heard?"""
    texts = [" ".join(SENTENCES[i : i + 5]) for i in range(0, 60, 5)]
    network = _networks(args)[1][1]
    run = uvloop.run(
        stalled(
            studio,
            texts,
            calls=S5_CALLS,
            seconds=args.stall_seconds,
            stall_ms=args.stall_ms,
            network=network,
            seed=args.seed,
        )
    )
    found = Figures()
    for call in run.calls:
        add(found, call)
    gaps = found.gaps
    line = (
        f"S5: {len(run.instants)} stalls of the loop of {args.stall_ms:.0f} ms under {len(run.calls)} calls that speak, "
        f"real Twilio leg, lead 300 ms, delay {args.base_ms:.0f} + {args.jitter_ms:.0f} ms: "
        f"{sum(gap > AUDIBLE_GAP_MS for gap in gaps)} gaps of more than {AUDIBLE_GAP_MS:.0f} ms (bar: 0; "
        f"{found.gaps_young} of them before {YOUNG_MS} ms of a message had come), "
        f"{len(gaps)} of any length, the longest {max(gaps, default=0.0):.0f} ms; "
        f"`bot.word` off by {_off(found.word)} ms (p50 / p95)."
    )
    return [line], gaps


def main() -> None:
    args = _arguments()
    begun_s = time.monotonic()
    with Studio() as studio:
        columns = _measure(args, studio)
        voices = ", ".join(" ".join(voice) for voice in studio.voices)
        # S5 is asked of a carrier that bridges it.
        bridged = args.stall_seconds and args.carrier == "twilio"
        stalls, gaps = _stalls(args, studio) if bridged else ([], [])
    print(
        f"{args.calls} calls a network, seed {args.seed}; each way {args.base_ms:.0f} ms and a log-normal "
        f"{args.jitter_ms:.0f} ms more; stalls of 200 to 800 ms each {args.stall_every_s:.0f} s; voices {voices}.",
        "",
        *table(columns),
        "",
        *stalls,
        f"\n{time.monotonic() - begun_s:.0f} s in all",
        sep="\n",
    )
    if args.json is not None:
        found = {"columns": {name: asdict(figures) for name, figures in columns}, "stall_gaps_ms": gaps}
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
