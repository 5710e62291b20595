"""The WebRTC detector: synchronous verdicts, smoothed over three windows."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from media.ports import VadWindow
from media.vad import VadUnavailable
from media.vad.webrtc import WebrtcUnavailable, WebrtcVad


class ScriptedEngine:
    """Stands in for the package: the verdict is whether the frame's first sample is set."""

    frames: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, mode: int) -> None:
        self.mode = mode

    def is_speech(self, frame: bytes, rate: int) -> bool:
        ScriptedEngine.frames.append((len(frame), rate))
        return frame[0] != 0


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    ScriptedEngine.frames.clear()
    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(Vad=ScriptedEngine))


def frames(*voiced: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.repeat(np.array(voiced, np.int16), 160)


@pytest.mark.usefixtures("scripted")
def test_the_probability_is_the_share_of_the_last_three_windows() -> None:
    told: list[VadWindow] = []
    WebrtcVad().open(8000, told.append).feed(frames(0, 1, 0, 1, 1, 1, 0, 0, 0))
    assert [round(verdict.probability * 3) for verdict in told] == [0, 1, 1, 2, 2, 3, 2, 1, 0]
    assert told[2] == VadWindow(pytest.approx(0.89 / 3), 320, 480, 0.0)  # type: ignore[arg-type]  # compares as a float


@pytest.mark.usefixtures("scripted")
def test_one_voiced_window_neither_begins_nor_holds_a_segment() -> None:
    """With the thresholds that segments use by default."""
    told: list[VadWindow] = []
    WebrtcVad().open(8000, told.append).feed(frames(1, 0, 0))
    assert max(verdict.probability for verdict in told) < 0.35


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(("rate", "size"), [(8000, 160), (16000, 320)])
def test_the_engine_gets_whole_windows_of_20_ms_whatever_is_fed(rate: int, size: int) -> None:
    told: list[VadWindow] = []
    stream = WebrtcVad().open(rate, told.append)
    for length in (1, size - 2, 1, 3 * size + 5, size - 6):
        stream.feed(np.ones(length, np.int16))
    assert ScriptedEngine.frames == [(2 * size, rate)] * 4
    assert [(verdict.start, verdict.end) for verdict in told] == [
        (i * size, (i + 1) * size) for i in range(4)
    ]


@pytest.mark.usefixtures("scripted")
def test_a_callback_may_close_its_stream() -> None:
    told: list[VadWindow] = []

    def on_window(verdict: VadWindow) -> None:
        told.append(verdict)
        stream.close()

    stream = WebrtcVad().open(8000, on_window)
    stream.feed(frames(1, 1, 1))
    assert len(told) == 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(WebrtcUnavailable, match="needs the package webrtcvad-wheels"):
        WebrtcVad()
    assert issubclass(WebrtcUnavailable, VadUnavailable)


def test_a_mode_that_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 0 to 3, not 4"):
        WebrtcVad(4)
