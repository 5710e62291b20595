"""The worker's side of an embedded voice: take an order, speak it, notice a cancel between two chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from media.frames import Pcm
from media.resample import resample
from pipeline.ports import TtsAudio, TtsWord
from pipeline.synthesis.shaping import Shaper
from pipeline.synthesis.spans import Span
from pipeline.synthesis.wire import (
    Cancel,
    Done,
    Failed,
    FromWorker,
    Missing,
    Ready,
    Speak,
    decode_order,
    encode_report,
)
from pipeline.workers import WorkerSocket

_USUAL_RATES_HZ = (8000, 16000, 24000, 48000)


class EngineMissing(Exception):
    """The library is not on this machine. Its text says what to install."""


class Refused(Exception):
    """The request cannot be spoken, and would not be the next time either. Its text says what is allowed."""


class Outlet:
    """Where a synthesiser puts the words and the audio of one request, both in samples of its own rate."""

    def __init__(self, sock: WorkerSocket, request: Speak) -> None:
        self._sock = sock
        self._request = request
        self._shaper: Shaper | None = None
        self._from_hz = 0
        self._words: list[Span] = []
        self._latest = 0

    def open(self, sample_rate_hz: int, gain_db: float, quiet: int = 100) -> None:
        """To be called first: the rate of the audio, the gain that brings this voice to -20 dBFS, and the
        magnitude up to which its samples are silence."""
        self._from_hz = sample_rate_hz
        try:
            self._shaper = Shaper(sample_rate_hz, self._request.sample_rate_hz, gain_db, quiet)
        except ValueError as error:
            raise Refused(str(error)) from error

    def wanted(self) -> bool:
        """False once the server has cancelled this request or is gone. Costs one system call."""
        while self._sock.pending():
            frame = self._sock.receive()
            if frame is None or decode_order(frame) == Cancel(self._request.request_id):
                return False
        return True

    def words(self, spans: list[Span]) -> None:
        """Before the audio that they lie in."""
        self._words += spans

    def audio(self, pcm: Pcm) -> None:
        shaper = self._opened()
        out = shaper.feed(pcm)
        if shaper.trimmed is not None:
            self._send_words(shaper.trimmed)
        if len(out):
            self._send(TtsAudio(out))

    def finish(self) -> None:
        shaper = self._opened()
        out = shaper.finish()
        # A text that made no sound has its words all the same, at the beginning.
        self._send_words(shaper.trimmed or 0)
        if len(out):
            self._send(TtsAudio(out))

    def _opened(self) -> Shaper:
        if self._shaper is None:
            raise RuntimeError("a synthesiser gave audio before it opened its outlet")
        return self._shaper

    def _send_words(self, trimmed: int) -> None:
        for span in self._words:
            start = max(span.start - trimmed, self._latest)
            self._latest = max(span.end - trimmed, start)
            self._send(TtsWord(span.index, start / self._from_hz, self._latest / self._from_hz))
        self._words.clear()

    def _send(self, report: FromWorker) -> None:
        self._sock.send(encode_report(report, self._request.request_id))


class Synthesizer(Protocol):
    """An engine as loaded in its worker."""

    @property
    def sample_rate_hz(self) -> int: ...

    @property
    def ready(self) -> Ready: ...

    def speak(self, request: Speak, out: Outlet) -> None:
        """Speak into the outlet and finish it; stop early once it is not wanted. Raises ``Refused``."""


def serve(sock: WorkerSocket, load: Callable[[], Synthesizer]) -> None:
    """Run until the server closes the socket."""
    try:
        engine = load()
    except EngineMissing as missing:
        sock.send(encode_report(Missing(str(missing))))
        return
    for to_hz in _USUAL_RATES_HZ:
        # Makes the filter of the pair, which the first caller would else wait for.
        resample(np.zeros(1000, np.int16), engine.sample_rate_hz, to_hz)
    sock.send(encode_report(engine.ready))
    while (frame := sock.receive()) is not None:
        order = decode_order(frame)
        if isinstance(order, Cancel):
            continue  # it came too late: that request is over
        report: FromWorker = Done()
        try:
            engine.speak(order, Outlet(sock, order))
        except Refused as refused:
            report = Failed(str(refused), retryable=False)
        sock.send(encode_report(report, order.request_id))
