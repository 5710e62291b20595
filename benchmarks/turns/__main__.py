"""The command. What it measures stands in the package's docstring."""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

import benchmarks.turns as package
from benchmarks.turns.conditions import CLEAN, NOISY, ULAW, degrade
from benchmarks.turns.hearing import Ears, Heard, Model, Recogniser, numbered
from benchmarks.turns.plot import Curve, frontier, svg
from benchmarks.turns.samples import SPEECH, Turn, turns
from benchmarks.turns.score import (
    BUDGETS,
    LATENCIES_MS,
    OURS,
    OURS_MODEL,
    OURS_TEXT,
    SILENCE_ONLY,
    Policy,
    Sweep,
    at_budget,
    at_latency,
    held_out,
    ratio_interval,
    sweep,
)
from pipeline.endpointing.local import Local
from pipeline.endpointing.silence import Silence
from pipeline.endpointing.tune import Pause

SETS = (
    ("sentences", True, "a turn ends where the recording does, and where a pause follows a complete clause"),
    (
        "whole",
        False,
        "a turn ends only where the recording does: whoever reads on has paused within his turn",
    ),
)
DEFAULT_MS = 500


def hear(found: Sequence[Turn], condition: str, ears: Ears, seed: int) -> list[Heard]:
    heard: list[Heard] = []
    for recording, group in groupby(found, key=lambda turn: turn.recording):
        others = [turn for turn in found if turn.recording != recording and turn.end_ms > 1500]
        heard += ears.hear(
            [
                (turn, *degrade(turn, condition, others, seed + zlib.crc32(turn.name.encode())))
                for turn in group
            ]
        )
    return heard


def by_recording(heard: Sequence[Heard], recognised: bool) -> list[list[Pause]]:
    return [
        numbered(list(group), recognised) for _, group in groupby(heard, key=lambda one: one.turn.recording)
    ]


def number(value: float, form: str = ".0f") -> str:
    return format(value, form) if np.isfinite(value) else "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def row(policy: Policy, swept: Sweep, silence: Sweep, seed: int) -> list[str]:
    cells = [policy.name]
    for budget in BUDGETS:
        dead_air, plain = at_budget(swept, budget), at_budget(silence, budget)
        cells.append(number(dead_air))
        if swept is silence:
            cells.append("1")
        else:
            low, high = ratio_interval(swept, silence, budget, seed)
            cells.append(f"{number(dead_air / plain, '.2f')} ({number(low, '.2f')} to {number(high, '.2f')})")
    cells += [number(100 * at_latency(swept, latency), ".0f") for latency in LATENCIES_MS]
    share, air = held_out(swept, BUDGETS[1])
    cells.append(f"{number(air)} at {100 * share:.0f} %")
    return cells


HEAD = (
    "policy", "dead air at 5 % cut, ms", "ratio (90 %)", "at 10 %", "ratio (90 %)", "cut at 400 ms, %",
    "at 600 ms, %", "setting held out for 10 %",
)  # fmt: skip


def show(
    title: str, recordings: Sequence[Sequence[Pause]], policies: Sequence[Policy], seed: int
) -> dict[str, Curve]:
    silence = sweep(SILENCE_ONLY, recordings)
    holds = [pause for pauses in recordings for pause in pauses if pause.cuttable]
    print(
        f"### {title}\n\n{int(silence.turns.sum())} turns of {len(recordings)} recordings, {len(holds)} pauses within "
        f"turns ({sum(pause.length_ms >= 300 for pause in holds)} of 300 ms and more)"
    )
    rows, curves = [], {}
    for policy in (SILENCE_ONLY, *policies):
        swept = silence if policy is SILENCE_ONLY else sweep(policy, recordings)
        rows.append(row(policy, swept, silence, seed))
        shares, dead_air = swept.curve()
        curves[policy.name] = frontier(list(shares), list(dead_air))
    table(HEAD, rows)
    points = []
    for policy in (SILENCE_ONLY, *policies):
        judge = Silence(DEFAULT_MS) if policy is SILENCE_ONLY else Local()
        single = sweep(policy, recordings, (judge,))
        points.append(
            (
                policy.name,
                number(single.curve()[1][0]),
                f"{int(single.cuts.sum())} of {int(single.holds.sum())}",
            )
        )
    table((f"default settings (silence: {DEFAULT_MS} ms)", "dead air, ms", "pauses cut off"), points)
    return curves


def bar(panels: dict[str, dict[str, Curve]]) -> None:
    """S4, from the curves of this run; on true transcripts, and no better than the samples are many."""
    print(
        "## S4: dead air at 5 % cut off, against silence only (bar: 0.56; mu-law at most 10 % above clean)\n"
    )
    rows = []
    for name, _, _ in SETS:
        clean, narrow = (panels[f"{name}, {line}, true transcripts"] for line in (CLEAN, ULAW))
        for policy in clean:
            if policy == SILENCE_ONLY.name:
                continue
            ratios = [
                _least(curves[policy]) / _least(curves[SILENCE_ONLY.name]) for curves in (clean, narrow)
            ]
            rows.append((name, policy, *(number(ratio, ".2f") for ratio in (*ratios, ratios[1] / ratios[0]))))
    table(("set", "policy", "clean", "mu-law", "mu-law / clean"), rows)


def _least(curve: Curve) -> float:
    return min((air for share, air in curve if share <= BUDGETS[0] + 1e-9), default=float("nan"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.turns", description=package.__doc__)
    parser.add_argument("--speech", type=Path, default=SPEECH)
    parser.add_argument("--model", type=Path, help="Smart Turn's ONNX file: adds ours with the model")
    parser.add_argument("--plot", type=Path, help="write the trade-off here, as SVG")
    parser.add_argument("--no-recogniser", action="store_true", help="true transcripts only: much faster")
    parser.add_argument("--quick", action="store_true", help="clean and mu-law only")
    parser.add_argument("--seed", type=int, default=1, help="of the noises and of the drawing of recordings")
    arguments = parser.parse_args()
    if not arguments.speech.is_dir():
        parser.error(f"{arguments.speech} is no folder of recorded speech; give one by --speech")
    model = Model(arguments.model) if arguments.model else None
    policies = [OURS_TEXT, OURS] + ([OURS_MODEL] if model else [])
    recogniser = None if arguments.no_recogniser else Recogniser()
    panels: dict[str, dict[str, Curve]] = {}
    for name, split, meaning in SETS:
        print(f"## {name}: {meaning}\n")
        found = turns(split, arguments.speech)
        for condition in (CLEAN, ULAW) if arguments.quick else (CLEAN, ULAW, *NOISY):
            print(f"{name}, {condition}", file=sys.stderr)
            heard = hear(found, condition, Ears(model, recogniser), arguments.seed)
            title = f"{name}, {condition}, true transcripts"
            panels[title] = show(title, by_recording(heard, False), policies, arguments.seed)
            if recogniser:
                title = f"{name}, {condition}, embedded recogniser"
                panels[title] = show(title, by_recording(heard, True), policies, arguments.seed)
    bar(panels)
    if arguments.plot:
        arguments.plot.write_text(svg(panels))


if __name__ == "__main__":
    main()
