"""Windows of all calls, judged together: one model run per tick of the process.

Feeding a stream copies its samples and nothing else. Some ms after the first window is complete one tick
takes the complete windows of all streams and has them judged as one batch, which costs a third of judging
them one by one; a stream with several windows waiting takes part in several rounds. The verdicts then go
out in the order of the windows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Protocol

import numpy as np
import numpy.typing as npt

from media.frames import Pcm
from media.ports import VadWindow

Floats = npt.NDArray[np.float32]

QUIET = 0.15
"""A window less likely to be speech than this is quiet."""
QUIET_WINDOWS = 31
"""After so many quiet ones in a row, a second, a stream's state begins anew. What a recurrent detector keeps of
earlier speech makes it late at the next onset: on 66 utterances at three noise levels this took a third off
the median delay of ``speech.started`` (``benchmarks/README.md``)."""

_BACKLOG = 8
"""Windows that a stream may have waiting; what comes in beyond is judged at once."""
_MAX_DELAY_S = 0.008
_DELAY_PER_STREAM_S = 0.001


class Model(Protocol):
    """A recurrent detector whose state is an argument, so that one instance serves all streams."""

    @property
    def state_units(self) -> int: ...

    def window(self, sample_rate_hz: int) -> tuple[int, int]:
        """Samples of a window, and of the context before it that the model sees again."""

    def __call__(self, audio: Floats, state: Floats, sample_rate_hz: int) -> tuple[Floats, Floats]:
        """Judge ``n`` windows: audio ``[n, context + window]`` in +-1, state ``[2, n, state_units]``.

        Returns the probabilities ``[n, 1]`` and the next state, of the shape of the old one.
        """


CallLater = Callable[[float, Callable[[], None]], object]


class VadPool:
    """All streams of the process on one model.

    Runs on one event loop at a time. ``call_later`` is for tests; by default it is that of the running loop.
    """

    def __init__(self, model: Model, call_later: CallLater | None = None) -> None:
        self._model = model
        self._call_later = call_later
        self._lanes: dict[int, _Lane] = {}
        self._verdicts: deque[tuple[PooledStream, VadWindow]] = deque()
        self._tick_loop: asyncio.AbstractEventLoop | None = None
        self._tick_due = False
        self._open_streams = 0

    @property
    def open_streams(self) -> int:
        return self._open_streams

    def open(self, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> PooledStream:
        lane = self._lanes.get(sample_rate_hz)
        if lane is None:
            lane = self._lanes[sample_rate_hz] = _Lane(self._model, sample_rate_hz)
        self._open_streams += 1
        return PooledStream(self, lane, on_window)

    def _tick_soon(self) -> None:
        """Have one tick under way. A single call does not wait for company that cannot come."""
        delay_s = min(_MAX_DELAY_S, max(self._open_streams - 1, 0) * _DELAY_PER_STREAM_S)
        if self._call_later is not None:
            if not self._tick_due:
                self._tick_due = True
                self._call_later(delay_s, self._tick)
            return
        loop = asyncio.get_running_loop()
        if not self._tick_due or self._tick_loop is not loop:  # a tick of a loop that has ended never comes
            self._tick_due = True
            self._tick_loop = loop
            # It is for all calls: what is logged of it names none.
            loop.call_later(delay_s, self._tick, context=Context())

    def _tick(self) -> None:
        self._tick_due = False
        try:
            for lane in self._lanes.values():
                lane.judge(self._verdicts)
            while self._verdicts:
                stream, verdict = self._verdicts.popleft()
                stream.deliver(verdict)
        finally:
            # Where one call's callback raised, the loop reports it, and the others' verdicts still come.
            if self._verdicts or any(lane.ready for lane in self._lanes.values()):
                self._tick_soon()

    def _judge_now(self, lane: _Lane) -> None:
        """Make room in the windows; the verdicts wait for the tick, so that they stay in order."""
        lane.judge(self._verdicts)
        self._tick_soon()

    def _closed(self) -> None:
        self._open_streams -= 1


class _Lane:
    """The streams of one sample rate: their audio and states in one array each, a row per stream."""

    def __init__(self, model: Model, sample_rate_hz: int) -> None:
        self._model = model
        self._rate = sample_rate_hz
        self.window, self.context = model.window(sample_rate_hz)
        self.width = self.context + self.window
        self.audio: npt.NDArray[np.int16] = np.zeros((0, self.context + self.window * _BACKLOG), np.int16)
        self._states: Floats = np.zeros((2, 0, model.state_units), np.float32)
        self._quiet: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._free: list[int] = []
        self.ready: list[PooledStream] = []

    def take_row(self) -> int:
        """A row with a fresh state and a context of silence."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._states[:, row] = 0
        self._quiet[row] = 0
        self.audio[row, : self.context] = 0
        return row

    def free_row(self, stream: PooledStream) -> None:
        self._free.append(stream.row)
        if stream in self.ready:
            self.ready.remove(stream)

    def _grow(self) -> None:
        rows = len(self.audio)
        more = max(rows, 4)
        self.audio = np.concatenate((self.audio, np.zeros((more, self.audio.shape[1]), np.int16)))
        fresh = np.zeros((2, more, self._states.shape[2]), np.float32)
        self._states = np.concatenate((self._states, fresh), axis=1)
        self._quiet = np.concatenate((self._quiet, np.zeros(more, np.intp)))
        self._free.extend(range(rows + more - 1, rows - 1, -1))

    def judge(self, verdicts: deque[tuple[PooledStream, VadWindow]]) -> None:
        """Judge all complete windows of all streams, in rounds of one window of each."""
        while self.ready:
            streams = self.ready
            rows = np.array([stream.row for stream in streams], np.intp)
            batch = self.audio[rows, : self.width].astype(np.float32)
            batch *= 1 / 32768
            new = batch[:, self.context :]
            levels = np.sqrt(np.einsum("ij,ij->i", new, new) / self.window).tolist()
            # All streams move on before the model runs: should it raise, these windows have no verdict, and
            # the next ones are judged as ever.
            self.audio[rows, : -self.window] = self.audio[rows, self.window :]
            starts = [stream.advance() for stream in streams]
            self.ready = [stream for stream in streams if stream.fill >= self.width]
            probabilities, states = self._model(batch, self._states[:, rows], self._rate)
            self._states[:, rows] = states
            self._begin_anew(rows, probabilities[:, 0])
            told = zip(streams, starts, probabilities[:, 0].tolist(), levels, strict=True)
            for stream, start, probability, level in told:
                verdicts.append((stream, VadWindow(probability, start, start + self.window, level)))

    def _begin_anew(self, rows: npt.NDArray[np.intp], probabilities: Floats) -> None:
        quiet = np.where(probabilities < QUIET, self._quiet[rows] + 1, 0)
        over = quiet >= QUIET_WINDOWS
        if over.any():
            self._states[:, rows[over]] = 0
            quiet[over] = 0
        self._quiet[rows] = quiet


class PooledStream:
    """One call's place in the pool (``media.ports.VadStream``). Positions count from its first sample."""

    def __init__(self, pool: VadPool, lane: _Lane, on_window: Callable[[VadWindow], None]) -> None:
        self._pool = pool
        self._lane = lane
        self._on_window: Callable[[VadWindow], None] | None = on_window
        self._context = copy_context()
        """Of the call, where the tick is of all calls."""
        self._start = 0
        self.row = lane.take_row()
        self.fill = lane.context
        """Samples of the row in use, the context included."""

    def feed(self, pcm: Pcm) -> None:
        """Append samples to the window; the verdict comes within the pool's next tick."""
        if self._on_window is None:
            return
        lane = self._lane
        while len(pcm):
            audio = lane.audio
            part = pcm[: audio.shape[1] - self.fill]
            end = self.fill + len(part)
            audio[self.row, self.fill : end] = part
            pcm = pcm[len(part) :]
            if end >= lane.width:
                if self.fill < lane.width:
                    lane.ready.append(self)
                self._pool._tick_soon()
            self.fill = end
            if len(pcm):
                self._pool._judge_now(lane)

    def advance(self) -> int:
        """The oldest window has been taken out; returns where it began."""
        start = self._start
        self._start = start + self._lane.window
        self.fill -= self._lane.window
        return start

    def deliver(self, verdict: VadWindow) -> None:
        if self._on_window is not None:
            self._context.run(self._on_window, verdict)

    def close(self) -> None:
        """Give the row back; verdicts still waiting are dropped."""
        if self._on_window is not None:
            self._on_window = None
            self._lane.free_row(self)
            self._pool._closed()
