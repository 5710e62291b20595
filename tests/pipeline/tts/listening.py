"""What the tests of the voices share: speaking a request, and hearing where there is sound."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import numpy as np

from media.frames import Pcm
from pipeline.ports import TextToSpeech, TtsRequest, TtsWord
from pipeline.synthesis.wire import FromWorker, decode_report
from pipeline.workers import WorkerSocket

RATE_HZ = 16000


async def say(engine: TextToSpeech, request: TtsRequest) -> tuple[Pcm, list[TtsWord]]:
    words: list[TtsWord] = []
    chunks = [np.zeros(0, np.int16)]
    async for event in engine.speak(request):
        if isinstance(event, TtsWord):
            words.append(event)
        else:
            chunks.append(event.pcm)
    return np.concatenate(chunks), words


def sounds(pcm: Pcm, gap_s: float = 0.1) -> list[tuple[float, float]]:
    """Stretches of sound (over -46 dBFS in 5 ms), in seconds, where the silence between them is longer than
    ``gap_s``."""
    frame = RATE_HZ // 200
    loud = np.abs(pcm[: len(pcm) // frame * frame].reshape(-1, frame)).max(axis=1) > 160
    found: list[tuple[float, float]] = []
    for at in np.flatnonzero(loud) / 200:
        if found and at - found[-1][1] < gap_s:
            found[-1] = (found[-1][0], at + 0.005)
        else:
            found.append((float(at), at + 0.005))
    return found


def maps(pid: int | str = "self") -> str:
    """The files that a process has loaded."""
    return Path(f"/proc/{pid}/maps").read_text()


def deliver(server: socket.socket, frame: bytes) -> None:
    """Send a frame as the server does."""
    server.sendall(struct.pack("<I", len(frame)) + frame)


def reports(server: socket.socket) -> list[FromWorker]:
    """What a worker has sent so far."""
    end = WorkerSocket(server)
    found = []
    while end.pending():
        frame = end.receive()
        assert frame is not None
        found.append(decode_report(frame)[1])
    return found


def pitch_hz(pcm: Pcm) -> float:
    """Of the loudest 50 ms, by autocorrelation between 70 and 400 Hz."""
    frame = RATE_HZ // 20
    frames = pcm[: len(pcm) // frame * frame].reshape(-1, frame).astype(float)
    loudest = frames[np.argmax((frames**2).sum(axis=1))]
    likeness = np.correlate(loudest, loudest, "full")[frame - 1 :]
    shortest, longest = RATE_HZ // 400, RATE_HZ // 70
    return RATE_HZ / (shortest + float(np.argmax(likeness[shortest:longest])))
