"""What recordings cost: on the event loop, on the thread that writes them, in memory and on the disk.

``python -m benchmarks.recording`` records so many calls at once, each in conversation (caller and bot speak half of the
time each, real speech where there is some), with the recorder that the server has, in real time, and prints the
processor time of both threads. Nothing else runs: what is beside the recorder on the loop is measured without one, and
taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from media import wav
from media.frames import Pcm
from media.recorder import Recorder, writer_thread
from media.recordfile import Format, recording_file
from media.resample import resample

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
FRAME_S = 0.02


class _Listener(Protocol):
    def caller(self, start: int, pcm: Pcm) -> None: ...

    def bot(self, at: int, pcm: Pcm) -> None: ...


class _Nobody:
    def caller(self, start: int, pcm: Pcm) -> None: ...

    def bot(self, at: int, pcm: Pcm) -> None: ...


async def _converse(recorders: Sequence[_Listener], rate: int, seconds: float, sound: Pcm) -> float:
    """Feed all of them in real time; returns the processor time of this thread."""
    loop = asyncio.get_running_loop()
    frame = rate * 20 // 1000
    began, used = loop.time(), time.thread_time()
    for n in range(round(seconds / FRAME_S)):
        await asyncio.sleep(max(0.0, began + n * FRAME_S - loop.time()))
        at = n * frame
        for number, recorder in enumerate(recorders):
            piece = sound[(at + number * 12_345) % (len(sound) - frame) :][:frame]
            user = (n // 100 + number) % 2 == 0  # Two seconds each.
            recorder.caller(at, piece if user else piece // 64)
            if not user and n > 10:
                recorder.bot(at - 10 * frame, piece)
    return time.thread_time() - used


async def measured(calls: int, format: Format, rate: int, seconds: float, sound: Pcm) -> list[str]:
    idle_s = (
        await _converse([_Nobody()] * calls, rate, min(seconds, 5.0), sound) * seconds / min(seconds, 5.0)
    )
    with tempfile.TemporaryDirectory() as folder, writer_thread() as writer:
        warm = recording_file(Path(folder) / f"warm.{format}", rate, format, "stereo")
        writer.submit(warm.write, 0, np.zeros(rate, np.int16)).result()  # What is imported with the first.
        faults: list[str] = []
        recorders = [
            Recorder(
                recording_file(Path(folder) / f"{n}.{format}", rate, format, "stereo"),
                rate,
                writer,
                faults.append,
            )
            for n in range(calls)
        ]
        thread_s = writer.submit(time.thread_time).result()
        loop_s = await _converse(recorders, rate, seconds, sound) - idle_s
        held = max(recorder.held for recorder in recorders) * 2
        thread_s = writer.submit(time.thread_time).result() - thread_s
        for recorder in recorders:
            await recorder.aclose()
        writer.submit(warm.close).result()
        size = sum(recorder.path.stat().st_size for recorder in recorders)
        assert not faults, faults
    return [
        f"{format}, {rate // 1000} kHz",
        f"{loop_s / seconds * 100:.2f} %",
        f"{thread_s / seconds * 100:.2f} %",
        f"{thread_s / seconds / calls * 1000:.2f} ms",
        f"{held / 1024:.0f} KiB",
        f"{size / calls / seconds / 1000:.1f} kB",
    ]


def _sound(rate: int) -> Pcm:
    pcm, found = wav.read(CLIPS / "story.wav")
    return resample(pcm, found, rate)


def main(print_line: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    head = [
        f"{arguments.calls} calls",
        "loop, of a core",
        "writer, of a core",
        "writer, for a second of a call",
        "held for a call, at the most",
        "file, a second",
    ]
    rows = []
    for format in ("wav", "opus"):
        for rate in (8000, 16_000):
            how: tuple[Format, int] = (format, rate)
            rows.append(asyncio.run(measured(arguments.calls, *how, arguments.seconds, _sound(rate))))
    print_line(f"{os.cpu_count()} cores, {arguments.seconds:g} s each\n")
    for row in (head, ["---"] * len(head), *rows):
        print_line(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
