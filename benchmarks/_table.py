"""The figures as a table, with the bars beside them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks._burst import BURST_CALLS, BURST_CAPACITY, Burst
from benchmarks._figures import Figures, at_share
from benchmarks._run import Plan, Run

FULL_CPU = 85.0
"""Percent of the load's core from which callers and engines get in each other's way."""
LATE_MS = 10.0

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


def table(plan: Plan, runs: Sequence[Run], memory: Sequence[Run], bursts: Burst | None) -> list[str]:
    remote = plan.delays.kind == "openai"
    signal, answer = ("eager.turn", "eager.turn") if remote else ("turn.end", "bot.reply")

    def two(samples: Samples) -> list[str]:
        return [_two(samples(run.figures)) for run in runs]

    rows: list[Row] = [
        ("C1 response, p50 / p95 ms", "p95 < 1.5 x one call", two(lambda f: f.response)),
        ("gaps > 60 ms / missed / faults", "0 / 0 / 0", [_troubles(run.figures) for run in runs]),
        ("S2 own share of it, p50 / p95 ms", "p95 <= 60, <= 120 at capacity", two(lambda f: f.response_own)),
        ("- the detector's error about the end", "", two(lambda f: f.response_detector)),
        ("- without it", "", two(lambda f: f.response_rest)),
        (f"- of that up to {signal} at the agent", "", two(lambda f: f.signal)),
        (f"- of that from {answer} to sound", "", two(lambda f: f.reply)),
        ("S1 onset to speech.started, p50 / p95 ms", "<= 110 / 200", two(lambda f: f.onset)),
        ("- the detector alone", "", two(lambda f: f.onset_detector)),
        ("- without the detector", "", two(lambda f: f.onset_rest)),
        ("S3 barge-in, gate 300 ms, p50 / p95 ms", "<= 330 / 400", two(lambda f: f.barge[300])),
        ("S3 barge-in, gate 200 ms, p50 / p95 ms", "<= 240 / 320", two(lambda f: f.barge[200])),
        ("- the detector's error about the onset", "", two(lambda f: f.barge_detector)),
        ("- beyond gate and detector", "", two(lambda f: f.barge_rest)),
        _words(remote, two(lambda f: [abs(late) for late in f.word])),
        ("- early or late, p5 / p50 / p95 ms", "", [_spread(run.figures.word) for run in runs]),
        ("words told, never heard", "0", [str(run.figures.unheard_words) for run in runs]),
        ("T4 played_ms, error, p50 / p95 ms", "<= 40", two(lambda f: f.played)),
        ("T4 duration_ms, error, p50 / p95 ms", "<= 40", two(lambda f: f.duration)),
        *(_history(runs) if remote else []),
        *(_saved(runs) if remote else []),
        (
            "loop late, p50 / p99 / max ms",
            "",
            [f"{r.lag['p50_ms']:.1f} / {r.lag['p99_ms']:.1f} / {r.lag['max_ms']:.0f}" for r in runs],
        ),
        ("server, % of a core", "", [f"{run.server_cpu:.0f}" for run in runs]),
        (
            "C5 % of a core per call",
            "flat within 20 %",
            [f"{run.server_cpu / run.calls:.2f}" for run in runs],
        ),
        ("- per call more than the column before", "", _further(runs)),
        ("C3 tasks per call, at most", "<= 6", [f"{run.tasks_per_call:.1f}" for run in runs]),
        ("threads", "", [str(run.threads) for run in runs]),
        ("PSS, MB", "", [f"{run.pss_mb:.0f}" for run in runs]),
        ("others on the server's core, %", "(noise)", [f"{run.others_cpu:.0f}" for run in runs]),
        (
            "load: % of its core, loop late p99 ms",
            "(error)",
            [f"{run.load_cpu:.0f}, {run.load_lag_ms:.1f}" for run in runs],
        ),
        *(_engines(runs) if remote else []),
        ("turns measured", "", [str(len(run.figures.response)) for run in runs]),
        ("interruptions measured", "", [str(len(run.figures.barge_rest)) for run in runs]),
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
    return [*lines, *_doubts(runs)]


Row = tuple[str, str, list[str]]


def _words(remote: bool, values: list[str]) -> Row:
    if remote:
        return ("T2 bot.word from its sound, no word times, p50 / p95 ms", "p95 <= 200", values)
    return ("T1 bot.word from its sound, p50 / p95 ms", "<= 40 / 120", values)


def _history(runs: Sequence[Run]) -> list[Row]:
    def share(run: Run, fits: Callable[[float], bool]) -> str:
        found = run.figures
        seen = len(found.history) + found.history_wrong
        return f"{100 * sum(map(fits, found.history)) / seen:.0f} % of {seen}" if seen else "-"

    within = [share(run, lambda more: abs(more) <= 1) for run in runs]
    unheard = [share(run, lambda more: more > 0) for run in runs]
    return [
        ("T3 history after a barge-in within one word", ">= 95 %", within),
        ("T3 history with words of which nothing was heard", "0", unheard),
        ("- words too many, p5 / p50 / p95", "", [_spread(run.figures.history) for run in runs]),
    ]


def _saved(runs: Sequence[Run]) -> list[Row]:
    """What is gained by having the answer made from the early edge on, and what that wastes."""
    return [
        (
            "answer begun before turn.end by, p50 / p95 ms; thrown away",
            "",
            [f"{_two(run.figures.saved)}; {run.figures.void}" for run in runs],
        )
    ]


def _engines(runs: Sequence[Run]) -> list[Row]:
    engines = [f"{run.engines_cpu:.0f}, {run.engines_late_ms:.1f}" for run in runs]
    return [
        ("engines: % of the load's core, late p99 ms", "(error)", engines),
        ("all that went on on the load's core, %", "", [f"{run.load_core_cpu:.0f}" for run in runs]),
    ]


def _further(runs: Sequence[Run]) -> list[str]:
    found = ["-"]
    for few, many in pairwise(runs):
        found.append(f"{(many.server_cpu - few.server_cpu) / (many.calls - few.calls):.2f}")
    return found


def _doubts(runs: Sequence[Run]) -> list[str]:
    """What is wrong with the measurement itself."""
    full = [run for run in runs if run.load_cpu + run.engines_cpu > FULL_CPU]
    late = [run for run in runs if max(run.load_lag_ms, run.engines_late_ms) > LATE_MS]
    found = []
    if full:
        found.append(
            f"The load's core is full from {full[0].calls} calls on: those figures are not the server's."
        )
    if late:
        numbers = ", ".join(str(run.calls) for run in late)
        found.append(f"The load or its engines were late by more than {LATE_MS:.0f} ms at {numbers} calls.")
    return ["", *found] if found else []


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


def _spread(samples: Sequence[float]) -> str:
    shares = [at_share(samples, share) for share in (0.05, 0.5, 0.95)]
    return " / ".join("-" if value is None else f"{value:.0f}" for value in shares) if samples else "-"


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
        f"{plan.vad} VAD; {plan.delays}; {plan.seconds:.0f} s a run; "
        f"{len(plan.voices)} utterances"
    )
