"""A synthesiser that does what the text tells it, in a real worker process.

``die`` ends the process before it said anything, ``die-once`` only where the file named as the voice is not
there yet, ``die-late`` after some audio; ``hang`` says nothing more; ``raise`` has a bug; ``refuse`` refuses;
``endless`` speaks until it is cancelled; any other text is one second of sound.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from pipeline.synthesis.spans import share
from pipeline.synthesis.wire import Ready, Speak
from pipeline.synthesis.worker import EngineMissing, Outlet, Refused, serve
from pipeline.workers import WorkerSocket

RATE_HZ = 16000
_SECOND = np.full(RATE_HZ, 1000, np.int16)


class Stub:
    sample_rate_hz = RATE_HZ
    ready = Ready(("en",), ("stub",))

    def speak(self, request: Speak, out: Outlet) -> None:
        command = request.text.split()[0]
        out.open(RATE_HZ, 0.0)
        if command == "die" or (command == "die-once" and not Path(request.voice or "").exists()):
            Path(request.voice or os.devnull).touch()
            os._exit(1)
        if command == "refuse":
            raise Refused("use another text")
        if command == "raise":
            raise KeyError("a bug")
        out.words(share(0, RATE_HZ, 0, [1] * len(request.text.split())))
        out.audio(_SECOND)
        if command == "die-late":
            os._exit(1)
        if command == "hang":
            time.sleep(60)
        while command == "endless":
            out.audio(_SECOND)
            if not out.wanted():
                return
        out.finish()


def main(sock: WorkerSocket) -> None:
    serve(sock, Stub)


def _missing() -> Stub:
    raise EngineMissing("apt-get install stub")


def missing(sock: WorkerSocket) -> None:
    serve(sock, _missing)


def stillborn(_sock: WorkerSocket) -> None:
    os._exit(1)
