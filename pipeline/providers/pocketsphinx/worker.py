"""The worker process: reads frames, keeps one segment, answers.

Everything that has arrived is read before the next piece of audio is decoded, so that a cancel is noticed
within one piece and partials are made only when the worker has caught up.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from pipeline.providers.pocketsphinx import model, wire
from pipeline.providers.pocketsphinx.recogniser import OpenSearch, PhraseSearch
from pipeline.providers.pocketsphinx.segment import Segment
from pipeline.workers import WorkerSocket

PRELOAD = "pipeline.providers.pocketsphinx.preload"


def main(sock: WorkerSocket) -> None:
    """Load, say whether that worked, serve until the socket closes."""
    try:
        loaded = model.load()
    except Exception as error:  # noqa: BLE001 - whatever it is, the engine must be able to say it
        sock.send(wire.encode_answer(wire.Failed(f"{type(error).__name__}: {error}")))
        return
    sock.send(wire.encode_answer(wire.Ready()))
    _Server(sock, loaded).run()


class _Server:
    def __init__(self, sock: WorkerSocket, loaded: model.Model) -> None:
        self._sock = sock
        self._words = OpenSearch(loaded)
        self._phrases = PhraseSearch(loaded)
        self._inbox: deque[wire.ToWorker] = deque()
        self._segment: Segment | None = None
        self._warned: set[tuple[str, ...]] = set()

    def run(self) -> None:
        while self._read():
            self._handle(self._inbox.popleft())

    def _read(self) -> bool:
        """Take in all that has arrived, waiting where there is nothing to do. False: the server is gone."""
        while not self._inbox or self._sock.pending():
            frame = self._sock.receive()
            if frame is None:
                return False
            message = wire.decode(frame)
            if isinstance(message, wire.Cancel):
                self._cancel(message.serial)
            else:
                self._inbox.append(message)
        return True

    def _cancel(self, serial: int) -> None:
        self._inbox = deque(message for message in self._inbox if message.serial != serial)
        if self._segment is not None and self._segment.serial == serial:
            self._segment.drop()
            self._segment = None

    def _handle(self, message: wire.ToWorker) -> None:
        match message:
            case wire.Begin():
                self._begin(message)
            case wire.Audio(_, pcm) if self._segment is not None:
                self._segment.feed(np.frombuffer(pcm, dtype=np.int16))
                if part := self._segment.part():
                    self._send(part)
                elif not self._inbox and (partial := self._segment.partial()):
                    self._send(partial)
            case wire.End() if self._segment is not None:
                final = self._segment.end()
                self._segment = None
                self._send(final)

    def _begin(self, message: wire.Begin) -> None:
        self._send(wire.Begun(message.serial))
        self._segment = Segment(message, self._words, self._phrases)
        if not message.phrases:
            return
        grammar = self._phrases.prepare(message.phrases)
        if grammar.dropped and message.phrases not in self._warned:
            if len(self._warned) > 1000:
                self._warned.clear()
            self._warned.add(message.phrases)
            self._send(wire.Dropped(grammar.dropped))

    def _send(self, message: wire.FromWorker) -> None:
        self._sock.send(wire.encode_answer(message))
