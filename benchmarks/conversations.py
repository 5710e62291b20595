"""Many conversations that nobody would script, each of which has to keep the promises of bar T5.

    python -m benchmarks.conversations [--conversations 100000] [--jobs 2] [--first 0]

Each is the whole session on virtual time, between the random caller, agent, engines and line of
``tests.fakes.conversation``, and is held against ``tests.fakes.promises``. A seed that breaks one is named; the test
suite holds the first few hundred. On one core 100,000 take about an hour and a half.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from pipeline.events import BotInterrupted, CallEnded
from tests.fakes.conversation import converse
from tests.fakes.promises import misattributed

BATCH = 250
SHOWN = 8
"""Seeds that are named of each kind of failure."""


@dataclass
class Found:
    conversations: int = 0
    spoken_s: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[int]] = field(default_factory=dict)
    misattributed: int = 0

    def add(self, other: Found) -> None:
        self.conversations += other.conversations
        self.spoken_s += other.spoken_s
        self.events += other.events
        self.misattributed += other.misattributed
        for cause, seeds in other.failures.items():
            self.failures.setdefault(cause, []).extend(seeds)


def batch(first: int, behind: int) -> Found:
    found = Found()
    for seed in range(first, behind):
        found.conversations += 1
        try:
            call = converse(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            found.failures.setdefault(_cause(error), []).append(seed)
            continue
        found.misattributed += misattributed(call)
        for _, event in call.log:
            name = type(event).__name__
            if isinstance(event, BotInterrupted):
                name += f", {event.reason}"
            elif isinstance(event, CallEnded):
                found.spoken_s += event.duration_s
            found.events[name] += 1
    return found


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} ({place.name})"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conversations", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--conversations", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (%(default)s)")
    args = parser.parse_args()
    begun_s = time.monotonic()
    found = Found()
    end = args.first + args.conversations
    spans = [(first, min(first + BATCH, end)) for first in range(args.first, end, BATCH)]
    with ProcessPoolExecutor(args.jobs) as jobs:
        for part in jobs.map(batch, *zip(*spans, strict=True)):
            found.add(part)
            failed = sum(map(len, found.failures.values()))
            print(f"\r{found.conversations} held, {failed} failed ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(*table(found, args.first, time.monotonic() - begun_s), sep="\n")


def table(found: Found, first: int, seconds: float) -> list[str]:
    failed = sum(map(len, found.failures.values()))
    lines = [
        f"{found.conversations} conversations from seed {first}, {found.spoken_s / 3600:.0f} hours of talk in "
        f"{seconds / 60:.0f} minutes: {failed} broke a promise (bar T5: 0).",
        "",
        "| told | times |",
        "| --- | --- |",
        *(f"| {name} | {times} |" for name, times in sorted(found.events.items())),
        f"| speech announced with another turn than its words were said in | {found.misattributed} |",
    ]
    for cause, seeds in sorted(found.failures.items(), key=lambda item: -len(item[1])):
        lines += ["", f"- {len(seeds)} x {cause}: seeds {', '.join(map(str, seeds[:SHOWN]))}"]
    return lines


if __name__ == "__main__":
    main()
