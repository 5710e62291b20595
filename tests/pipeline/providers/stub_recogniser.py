"""Worker processes for tests of the engine alone: they speak its wire and understand nothing.

The first sample of a piece of audio says what to do; otherwise a segment is "heard" as how many samples it had.
"""

from __future__ import annotations

import os
import signal

import numpy as np

from pipeline.ports import SttWord
from pipeline.providers.pocketsphinx import wire
from pipeline.workers import WorkerSocket

DIE, PART, NONSENSE, HANG = 31001, 31002, 31003, 31004
MEAN = tuple(float(n) for n in range(13))


def main(sock: WorkerSocket) -> None:
    def send(message: wire.FromWorker) -> None:
        sock.send(wire.encode_answer(message))

    send(wire.Ready())
    heard = 0
    begun = ""
    while (frame := sock.receive()) is not None:
        match wire.decode(frame):
            case wire.Begin(serial, rate, phrases, mean):
                send(wire.Begun(serial))
                heard = 0
                begun = f"{rate}/{'+'.join(phrases)}/{'known' if mean == MEAN else 'new'}"
            case wire.Audio(serial, pcm):
                samples = np.frombuffer(pcm, np.int16)
                heard += len(samples)
                match int(samples[0]):
                    case 31001:
                        os.kill(os.getpid(), signal.SIGKILL)
                    case 31002:
                        word = SttWord(f"part{heard}", 0.0, 0.5, 0.8)
                        send(wire.Part(serial, heard, word.word, 0.8, (word,)))
                        heard = 0
                    case 31003:
                        sock.send(b"[]")
                    case 31004:
                        signal.pause()
                send(wire.Partial(serial, f"~{heard}", 0.5))
            case wire.End(serial):
                word = SttWord(f"{begun}/{heard}", 0.1, 0.2, 0.4)
                send(wire.Final(serial, word.word, 0.4, (word,), MEAN))
            case wire.Cancel():
                pass


def without_a_model(sock: WorkerSocket) -> None:
    sock.send(wire.encode_answer(wire.Failed("ModuleNotFoundError: No module named 'pocketsphinx'")))


def dead_at_birth(sock: WorkerSocket) -> None:
    return
