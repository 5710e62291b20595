"""SIGKILL in the middle of calls, again and again: what is in the log afterwards, against what the far ends saw.

``python -m benchmarks.crash [--kills 10] [--calls 8] [--chain 20] [--database URL]``: so many calls of the simulated
carrier in real time, some of which are over by then, a kill, and a restart; the server that was started again is the one
that is killed next, up to ``--chain`` times on one directory. 200 kills take a quarter of an hour. The figures are of all
kills; anything that bar R5 forbids is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.journal import machine
from tests.e2e.crash import LATE_S, Found, kills

QUICK = {"TALKWIRE_WEBRTC": "0", "TALKWIRE_VAD": "webrtc"}
"""What is not needed takes a second at each start."""


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--chain", type=int, default=20, help="kills on one directory (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--database", help="its tables must be there; unset: a file of SQLite's for each kill"
    )
    args = parser.parse_args()
    env = {"TALKWIRE_DATABASE_URL": args.database} if args.database else {}
    print(f"{machine()}\n")
    all_found: list[Found] = []
    begun_s = time.monotonic()
    while len(all_found) < args.kills:
        count = min(args.chain, args.kills - len(all_found))
        with tempfile.TemporaryDirectory() as folder:
            async for found in kills(
                Path(folder), count, args.calls, args.seed + len(all_found), QUICK | env
            ):
                all_found.append(found)
                for fault in found.faults:
                    print(f"kill {len(all_found)}: {fault}", flush=True)
                took_s = (time.monotonic() - begun_s) / len(all_found)
                print(f"{len(all_found)} of {args.kills}, {took_s:.1f} s each", file=sys.stderr, flush=True)
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
