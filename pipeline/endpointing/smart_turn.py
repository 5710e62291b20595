"""The optional audio model of end of turn: Smart Turn, version 3, from a file that the operator gives.

The model (Daily, BSD 2-clause: github.com/pipecat-ai/smart-turn) hears the last 8 s of a turn and says how
likely it is that nothing more comes. Its input are Whisper's features of the turn, which ends where the window
ends, after silence up to the full 8 s, brought to mean 0 and variance 1 over the whole window. Its output is a
probability, though the published files call it ``logits``: the sigmoid is part of the graph.

Ask once a pause, in its first 200 ms. The longer the silence, the higher it scores any end: on 28 recordings
against cuts through their words the area under its ROC curve was 0.68 with 100 ms of silence, 0.60 with 400 and
0.55 with 600, and how long it has been silent is weighed by the judge anyway.

One session serves all calls and computes in one thread of its own, one question at a time: a batch costs as much
for each of its items as they do by themselves, and makes the first one wait for the last.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import os
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from media.frames import Pcm
from pipeline.endpointing.mel import FRAMES_PER_S, MELS, Floats, log_mel
from pipeline.errors import ProviderUnavailable

NAME = "smart_turn"
RATES_HZ = (8000, 16000)
MAX_WAITING = 16
"""Questions of all calls that wait for the thread; those beyond are answered None at once."""
MAX_WAIT_S = 0.5
"""A question that has waited longer is answered None: by then the silence itself has said more."""
_WINDOW_S = 8
_COMPLAIN_EVERY_S = 60.0
_LFS_POINTER = b"version https://git-lfs"
_NOTHING = np.zeros(0, np.int16)

_log = logging.getLogger(__name__)

OnScore = Callable[[float | None], None]


class Question(Protocol):
    """What was asked of a model and may not be answered yet."""

    def cancel(self) -> None:
        """The answer is not wanted any more, and will not come. May be called twice, and after it came."""


class AudioTurnModel(Protocol):
    """A model that hears whether a turn is over. Loaded once a process and shared by all calls."""

    @property
    def name(self) -> str:
        """As in settings, for example ``smart_turn``."""

    async def start(self) -> None:
        """Load it. Raises ``ProviderUnavailable`` with what to do about it."""

    def ask(self, call: Hashable, pcm: Pcm, sample_rate_hz: int, on_score: OnScore) -> Question:
        """Ask whether the turn of this call is over: ``pcm`` is its sound so far, its silences and the present
        one included. Only the end is heard where it is long; it must not be written to afterwards.

        ``on_score`` gets the probability, 0 to 1, or None where the model has no time or no opinion: once, on
        the loop, never from within ``ask``. Where an older question of the call still waits, this one takes
        its place, and that one is never answered; one that is being worked on is answered as ever. Never
        blocks. Raises ``ValueError`` for another rate than 8000 or 16000 Hz.
        """

    async def aclose(self) -> None:
        """Free everything, and wait until it is freed; no answer comes afterwards. May be called twice."""


class _Asked:
    """One question, and the sound that it is about."""

    def __init__(self, call: Hashable, pcm: Pcm, sample_rate_hz: int, on_score: OnScore, at_s: float) -> None:
        self.call = call
        self.pcm = pcm
        self.sample_rate_hz = sample_rate_hz
        self.at_s = at_s
        self._on_score: OnScore | None = on_score
        self._context = copy_context()
        """Of the call, where what answers is nobody's."""

    @property
    def cancelled(self) -> bool:
        return self._on_score is None

    def cancel(self) -> None:
        self._on_score = None
        self.pcm = _NOTHING

    def answer(self, score: float | None) -> None:
        on_score, self._on_score = self._on_score, None
        if on_score is not None:
            self._context.run(on_score, score)


class SmartTurn:
    """``AudioTurnModel`` on onnxruntime. Used on one event loop. Loading takes 0.2 s and 70 MB, a question
    about 50 ms of one core.

    ``thread`` is for tests; by default it is one of its own.
    """

    def __init__(self, path: Path, thread: Executor | None = None) -> None:
        self._path = path
        self._thread = thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="smart-turn")
        self._network: _Network | None = None
        self._closed = False
        self._waiting: list[_Asked] = []
        self._running: asyncio.Future[float] | None = None
        self._complained_s = -math.inf

    @property
    def name(self) -> str:
        return NAME

    async def start(self) -> None:
        self._network = await asyncio.get_running_loop().run_in_executor(self._thread, _Network, self._path)

    def ask(self, call: Hashable, pcm: Pcm, sample_rate_hz: int, on_score: OnScore) -> Question:
        if sample_rate_hz not in RATES_HZ:
            raise ValueError(f"{NAME} hears 8000 and 16000 Hz, not {sample_rate_hz} Hz")
        loop = asyncio.get_running_loop()
        asked = _Asked(call, pcm, sample_rate_hz, on_score, loop.time())
        if self._closed:
            asked.cancel()
            return asked
        if self._network is None:
            raise RuntimeError(f"{NAME} has not been started")
        self._waiting = [other for other in self._waiting if not other.cancelled]
        for place, other in enumerate(self._waiting):
            if other.call == call:
                self._waiting[place] = asked
                return asked
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(asked)
            self._next(loop)
        else:
            self._refuse(asked, loop)
        return asked

    async def aclose(self) -> None:
        self._closed = True
        for asked in self._waiting:
            asked.cancel()
        self._waiting.clear()
        if self._running is not None:
            await asyncio.wait((self._running,))
        self._thread.shutdown(wait=False)
        self._network = None

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the thread the next question that is still of use, if it is free."""
        while self._waiting and self._running is None and self._network is not None:
            asked = self._waiting.pop(0)
            if asked.cancelled:
                continue
            if loop.time() - asked.at_s > MAX_WAIT_S:
                self._refuse(asked, loop)
                continue
            self._running = loop.run_in_executor(
                self._thread, self._network.score, asked.pcm, asked.sample_rate_hz
            )
            # What ails one turn ails many: what is logged of it names no call.
            self._running.add_done_callback(partial(self._done, asked, loop), context=Context())

    def _done(self, asked: _Asked, loop: asyncio.AbstractEventLoop, finished: asyncio.Future[float]) -> None:
        self._running = None
        if self._closed or finished.cancelled():
            return
        self._next(loop)
        fault = finished.exception()
        if fault is not None:
            self._complain(loop, "failed on a turn: it is judged without it", fault)
        asked.answer(finished.result() if fault is None else None)

    def _refuse(self, asked: _Asked, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(asked.answer, None)
        self._complain(loop, "cannot keep up: some turns are judged without it")

    def _complain(
        self, loop: asyncio.AbstractEventLoop, text: str, fault: BaseException | None = None
    ) -> None:
        """Once a minute at most: what ails one turn ails many."""
        if loop.time() - self._complained_s >= _COMPLAIN_EVERY_S:
            self._complained_s = loop.time()
            _log.warning("%s %s", NAME, text, exc_info=fault)


class _Network:
    """The network itself. Blocks, and is used by one thread. Raises ``ProviderUnavailable``."""

    def __init__(self, path: Path) -> None:
        self._session = _load(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if (
            len(inputs) != 1
            or len(shape) != 3
            or shape[1] != MELS
            or (isinstance(shape[0], int) and shape[0] != 1)
        ):
            told = ", ".join(f"{value.name} {value.shape}" for value in inputs)
            raise _unavailable(
                f"{path} is not Smart Turn of version 3: it takes {told}, not one input of the shape "
                f"[batch, {MELS}, {_WINDOW_S * FRAMES_PER_S}]; give the path of a file such as "
                "smart-turn-v3.2-cpu.onnx"
            )
        self.window_s: int = shape[2] // FRAMES_PER_S if isinstance(shape[2], int) else _WINDOW_S
        self._input: str = inputs[0].name
        self._output: str = outputs[0].name
        # The first run allocates: not during a call. It also shows what the model is.
        hiss = np.random.default_rng(1).integers(-3000, 3000, 16000).astype(np.int16)
        for pcm in (np.zeros(16000, np.int16), hiss):
            try:
                self.score(pcm, 16000)
            except Exception as wrong:  # the faults of onnxruntime have no common base of their own
                raise _unavailable(f"{path} is not Smart Turn of version 3: {wrong}") from wrong

    def score(self, pcm: Pcm, sample_rate_hz: int) -> float:
        """The probability that what was said is all. Raises ``ValueError`` where the output is none."""
        features = log_mel(turn_window(pcm, self.window_s * sample_rate_hz), sample_rate_hz)
        (output,) = self._session.run((self._output,), {self._input: features[None]})
        if output.size != 1 or not 0.0 <= (score := float(output.reshape(-1)[0])) <= 1.0:
            raise ValueError(f"its output is not one probability but {output.reshape(-1)[:4].tolist()}")
        return score


def turn_window(pcm: Pcm, samples: int) -> Floats:
    """The end of a turn as the model wants it: ``[samples]`` of mean 0 and variance 1, silence before it where
    it is shorter."""
    heard = pcm[max(0, len(pcm) - samples) :]
    window = np.zeros(samples, np.float32)
    window[samples - len(heard) :] = heard
    window *= np.float32(1 / 32768)
    window -= window.mean()
    window /= np.sqrt(window.var() + np.float32(1e-7))
    return window


def _load(path: Path) -> Any:
    """The session of onnxruntime."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_POINTER))
    except OSError as unreadable:
        raise _unavailable(
            f"cannot read the model file {path}: {unreadable.strerror}; correct the path, or set none to do without it"
        ) from unreadable
    if head == _LFS_POINTER:
        raise _unavailable(
            f"{path} is not the model but a pointer of Git LFS to it: fetch the file itself by git lfs pull"
        )
    try:
        # As for the voice detector (media.vad.silero): nothing is reported to the vendor unasked.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - it is set, not read
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as missing:
        raise _unavailable(
            f"it needs the package onnxruntime, which cannot be imported: {missing}"
        ) from missing
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as broken:  # the faults of onnxruntime have no common base of their own
        raise _unavailable(f"cannot load {path} as an ONNX model: {broken}") from broken


def _unavailable(cause: str) -> ProviderUnavailable:
    return ProviderUnavailable(NAME, "turn", cause)
