"""What the server's core does, function by function: a profile by ``py-spy``, which samples from outside."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

RATE_HZ = 100
IDLE = ("_worker (concurrent/futures/thread.py)",)
"""Functions in which a thread only waits, though it seems to run."""
TOP = 30
_FRAME = re.compile(r"(?P<name>.+) \((?P<file>[^()]*?)(?::\d+)?\)$")
_PARTS = (
    ("voice detection", ("media/vad", "onnxruntime", "media/segmenter", "media/onset", "webrtcvad")),
    ("echo", ("media/echo", "media/levels", "pipeline/listening", "numpy/fft")),
    ("browser's leg", ("media/rtc",)),
    ("ICE", ("aioice/",)),
    ("DTLS and SRTP", ("dtlstransport", "OpenSSL", "pylibsrtp")),
    ("data channel", ("sctptransport",)),
    ("aiortc's RTP", ("aiortc/", "pyee", "av/")),
    ("word times", ("pipeline/alignment",)),
    ("resampling", ("media/resample",)),
    ("G.711", ("media/g711",)),
    ("play-out and speech queue", ("media/playout", "pipeline/speech")),
    ("recorder", ("media/recorder",)),
    ("the endpoint's client, ours", ("pipeline/providers/openai", "pipeline/chain")),
    ("openai package", ("openai/",)),
    ("httpx2", ("httpx2/", "httpcore", "anyio/", "h11/")),
    ("aiohttp", ("aiohttp/", "multidict", "yarl/")),
    ("carrier's leg", ("telephony/",)),
    ("WebSockets and HTTP server", ("websockets/", "uvicorn/", "starlette/", "fastapi/", "server/doors")),
    ("JSON and models", ("json/", "orjson", "pydantic", "server/wire", "server/protocol")),
    ("journal and outbox", ("server/journal", "server/outbox", "server/calls")),
    ("session, turns, thinking", ("pipeline/",)),
    ("numpy", ("numpy/",)),
    ("asyncio and uvloop", ("asyncio/", "uvloop", "benchmarks/_server")),
)
"""Where a function belongs, by its file; the first that fits."""


class NoProfiler(Exception):
    """There is none. The text says what to do."""


def profiler() -> str:
    """The program. Raises ``NoProfiler``."""
    beside = Path(sys.executable).parent / "py-spy"
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise NoProfiler("a profile needs py-spy, which is not here: pip install py-spy")
    return found


async def record(pid: int, seconds: float, file: Path) -> None:
    """Sample a process for so long and write its stacks, one a line and counted. Raises ``NoProfiler``."""
    command = [
        profiler(),
        "record",
        "--pid",
        str(pid),
        "--duration",
        str(round(seconds)),
        "--rate",
        str(RATE_HZ),
    ]
    # It holds the server up while it looks: without that, stacks are torn, and short functions are not seen.
    command += ["--format", "raw", "--output", str(file)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    if process.returncode or not file.exists():
        raise NoProfiler(f"py-spy failed: {told.decode(errors='replace').strip()[-300:]}")


def table(file: Path) -> list[str]:
    """The functions that take most, alone and with what they call, as shares of all that was done."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    under: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_function(frame) for frame in stack.split(";")]
        if frames[-1] in IDLE:
            continue
        own[frames[-1]] += int(count)
        parts[_part(frames[-1])] += int(count)
        total.update(dict.fromkeys(frames, int(count)))
        under.update(dict.fromkeys(map(_part, frames), int(count)))
    whole = own.total()
    lines = [f"{whole} looks; shares are of what the server did, in percent.", ""]
    lines += _rows("part", [(name, count, under[name]) for name, count in parts.most_common()], whole)
    lines += _rows("function, by itself", [(name, n, total[name]) for name, n in own.most_common(TOP)], whole)
    lines += _rows(
        "function, in all", [(name, own[name], n) for name, n in total.most_common(2 * TOP)], whole
    )
    return lines


def _rows(title: str, rows: Sequence[tuple[str, int, int]], whole: float) -> list[str]:
    head = [f"| {title} | itself | with what it calls |", "|---|---|---|"]
    return [*head, *(f"| {n} | {100 * a / whole:.1f} | {100 * b / whole:.1f} |" for n, a, b in rows), ""]


def _function(frame: str) -> str:
    """Without the line."""
    found = _FRAME.match(frame)
    return f"{found['name']} ({found['file']})" if found else frame


def _part(function: str) -> str:
    found = _FRAME.match(function)
    file = found["file"] if found else function
    return next((name for name, marks in _PARTS if any(mark in file for mark in marks)), "other")
