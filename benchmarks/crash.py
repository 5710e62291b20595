"""SIGKILL in the middle of calls, again and again: what is in the log afterwards, against what the far ends saw.

``python -m benchmarks.crash [--kills 10] [--calls 20] [--database URL]``: for each kill a server of its own, so many
calls of the simulated carrier in real time, some of which are over by then, and a restart. The figures are of all kills;
anything that bar R5 forbids is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from benchmarks.journal import machine
from tests.e2e.crash import LATE_S, Found, killed


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--database", help="its tables must be there; unset: a file of SQLite's for each kill"
    )
    args = parser.parse_args()
    env = {"TALKWIRE_DATABASE_URL": args.database} if args.database else {}
    print(f"{machine()}\n")
    all_found: list[Found] = []
    for kill in range(args.kills):
        with tempfile.TemporaryDirectory() as folder:
            found = await killed(Path(folder), args.calls, args.seed + kill, **env)
        all_found.append(found)
        for fault in found.faults:
            print(f"kill {kill}: {fault}", flush=True)
    print("| kills | calls | over before | events due | recordings | overdue at most, ms | faults |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {args.kills} | {sum(f.calls for f in all_found)} | {sum(f.ended for f in all_found)} "
        f"| {sum(f.events for f in all_found)} | {sum(f.recordings for f in all_found)} "
        f"| {max(f.newest_lost_ms for f in all_found):.0f} (due after {LATE_S * 1000:.0f}) "
        f"| {sum(len(f.faults) for f in all_found)} |"
    )


if __name__ == "__main__":
    asyncio.run(main())
