"""``talkwire tune``: real detector, real recogniser, recordings put together from the project's own clips."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import numpy as np
import pytest

from media import wav
from media.frames import Pcm
from media.resample import resample
from server.cli import main
from server.commands import tune
from server.settings import Settings, SettingsError

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
SILERO = pytest.importorskip("onnxruntime", reason="this test needs onnxruntime")


def clip(name: str) -> Pcm:
    pcm, rate_hz = wav.read(CLIPS / f"{name}.wav")
    pcm = resample(pcm, rate_hz, 8000)
    loud = np.flatnonzero(np.abs(pcm) > 300)
    return pcm[loud[0] : loud[-1]]


def quiet(seconds: float) -> Pcm:
    return np.zeros(round(8000 * seconds), np.int16)


def tuned(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    parser = argparse.ArgumentParser()
    tune.add_arguments(parser)
    assert asyncio.run(tune.run(parser.parse_args([str(path), *more]), Settings())) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """The caller pauses for 0.6 s within a turn; the bot answers 0.8 s after the end of it; one turn more."""
    first, second, third = clip("time"), clip("story"), clip("goodbye")
    caller = np.concatenate([quiet(0.5), first, quiet(0.6), second, quiet(2.6), third, quiet(2.5)])
    answered = 4000 + len(first) + 4800 + len(second) + 6400
    bot = np.zeros(len(caller), np.int16)
    voice = clip("time")[:6400]
    bot[answered : answered + len(voice)] = voice
    path = tmp_path / "call.wav"
    wav.write_stereo(path, caller, bot, 8000)
    return path


def test_a_pause_is_cut_by_what_is_shorter_and_not_by_what_is_longer(
    call: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tuned(call, capsys, "--no-words", "--silence", "300,700", "--patience", "1")
    assert "2 turns, 1 pauses within them; 0 words" in out[0]
    pauses = [line.split() for line in out[4:-4]]
    (held,) = [row for row in pauses if row[1] != "end"]
    assert abs(int(held[1]) - 600) < 150
    assert held[2:5] == ["CUT", "300", "-"]
    ends = [row for row in pauses if row[1] == "end"]
    assert len(ends) == 2
    assert out[-3].split()[:4] == ["dead", "air,", "mean", "ms"]
    assert out[-3].split()[4:6] == ["300", "700"]
    assert out[-2].split()[3:] == ["1", "of", "2", "0", "of", "2", *out[-2].split()[-3:]]


def test_the_words_are_those_of_the_recogniser(call: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tuned(call, capsys)
    assert " 0 words understood" not in out[0]
    assert any("time" in line for line in out[4:-4])


def test_a_mono_recording_ends_turns_by_their_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = clip("time"), clip("story")
    pcm = np.concatenate([quiet(0.3), first, quiet(1.2), second, quiet(1.0)])
    wav.write_mono(tmp_path / "a.wav", np.repeat(pcm, 2), 16000)
    assert "1 turns" in tuned(tmp_path / "a.wav", capsys, "--no-words")[0]
    assert "2 turns" in tuned(tmp_path / "a.wav", capsys, "--no-words", "--apart-ms", "1000")[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot read .*: No such file"), (b"RIFF", "not a WAV file"), (b"", "not a WAV file")],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    parser = argparse.ArgumentParser()
    tune.add_arguments(parser)
    with pytest.raises(SettingsError, match=told):
        asyncio.run(tune.run(parser.parse_args([str(path)]), Settings()))


def test_a_recording_without_voice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav.write_stereo(path, quiet(1.0), quiet(1.0), 8000)
    parser = argparse.ArgumentParser()
    tune.add_arguments(parser)
    with pytest.raises(SettingsError, match=r"no voice in it \(left channel\)"):
        asyncio.run(tune.run(parser.parse_args([str(path)]), Settings()))


@pytest.mark.parametrize("wrong", ["--silence=3", "--silence=x", "--patience=9", "--threshold=1"])
def test_a_number_out_of_its_range_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tune", "a.wav", wrong])
    told = capsys.readouterr().err
    assert "allowed is" in told or "no list of numbers" in told
