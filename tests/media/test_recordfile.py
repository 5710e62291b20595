"""The files of recordings: what is in them, what a killed process leaves, and how that is made whole."""

from __future__ import annotations

import errno
import wave
from io import FileIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from media import ogg, recordfile
from media.frames import Pcm
from media.recordfile import Format, OpusFile, RecordingFile, is_live, part_of, recording_file, repair
from media.recording import Channels

RATE = 8000


def beeps(seconds: int, rate: int = RATE) -> Pcm:
    """Half a second of 440 Hz on the left, then as much of 700 Hz on the right, and so on."""
    places = np.arange(seconds * rate)
    turn = places // (rate // 2) % 2
    out = np.zeros((len(places), 2), np.int16)
    out[:, 0] = np.sin(places * 2 * np.pi * 440 / rate) * 8000 * (turn == 0)
    out[:, 1] = np.sin(places * 2 * np.pi * 700 / rate) * 8000 * (turn == 1)
    return out.reshape(-1)


def fill(file: RecordingFile, pcm: Pcm, block: int) -> None:
    for at in range(0, len(pcm) // 2, block):
        file.write(at, pcm[2 * at : 2 * (at + block)])


def decoded(path: Path, rate: int = RATE) -> Pcm:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout=stream.layout.name, rate=rate)
        frames = [made for frame in container.decode(stream) for made in resampler.resample(frame)]
        frames += resampler.resample(None)
        pcm = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
        return np.asarray(pcm.reshape(-1, stream.channels), np.int16)


def onsets(side: Pcm, rate: int = RATE) -> list[float]:
    """Where it begins to sound, seconds."""
    loud = np.convolve(np.abs(side.astype(np.int32)), np.ones(40) / 40, "same") > 1500
    return [float(at) / rate for at in np.flatnonzero(np.diff(loud.astype(int), prepend=0) == 1)]


@pytest.mark.parametrize("rate", [8000, 12_000, 16_000, 24_000, 48_000])
def test_opus_keeps_each_side_where_it_was(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "call.opus"
    file = OpusFile(path, rate)
    fill(file, beeps(5, rate), 3333)
    file.close()
    file.close()
    out = decoded(path, rate)
    assert len(out) == 5 * rate
    assert onsets(out[:, 0], rate) == pytest.approx([0, 1, 2, 3, 4], abs=0.01)
    assert onsets(out[:, 1], rate) == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5], abs=0.01)


@pytest.mark.parametrize(("channels", "count"), [("stereo", 2), ("mono", 1), ("user", 1), ("bot", 1)])
@pytest.mark.parametrize("format", ["wav", "opus"])
def test_what_is_kept_is_chosen(tmp_path: Path, format: Format, channels: Channels, count: int) -> None:
    path = tmp_path / f"call.{format}"
    file = recording_file(path, RATE, format, channels)
    assert (file.format, file.channels, file.path) == (format, channels, path)
    fill(file, beeps(2), 4000)
    file.close()
    out = decoded(path)
    assert out.shape == (2 * RATE, count)
    begins = {
        "stereo": [0, 1],
        "user": [0, 1],
        "bot": [0.5, 1.5],
        "mono": [0],  # One begins where the other ends.
    }
    assert onsets(out[:, 0])[:2] == pytest.approx(begins[channels], abs=0.01)


def test_a_file_of_opus_is_a_tenth_of_one_of_wav(tmp_path: Path) -> None:
    sizes = {}
    for format in ("wav", "opus"):
        file = recording_file(tmp_path / f"call.{format}", RATE, format, "stereo")
        fill(file, beeps(20), 4000)
        file.close()
        sizes[format] = file.path.stat().st_size
    assert sizes["opus"] < sizes["wav"] / 8


@pytest.mark.parametrize("format", ["wav", "opus"])
def test_a_file_grows_under_another_name_and_is_playable_there(tmp_path: Path, format: Format) -> None:
    path = tmp_path / "new" / f"call.{format}"
    file = recording_file(path, RATE, format, "stereo")
    pcm, missing = beeps(5), []
    for at in range(0, 5 * RATE, 3200):
        file.write(at, pcm[2 * at : 2 * (at + 3200)])
        missing.append((min(at + 3200, 5 * RATE) - len(decoded(part_of(path)))) / RATE)
    assert not path.exists()
    assert is_live(part_of(path))
    # Of Opus the last packet, and those of a page that is not full.
    assert max(missing) <= (0.0 if format == "wav" else 0.21)
    file.close()
    assert path.exists()
    assert not part_of(path).exists()
    assert path.stat().st_mode & 0o777 == 0o600


# --- what is left of a killed process ---------------------------------------------------------------------


def left_behind(tmp_path: Path, format: Format, name: str = "left") -> Path:
    """As a kill leaves it."""
    path = tmp_path / f"live.{format}"
    file = recording_file(path, RATE, format, "stereo")
    fill(file, beeps(3), 3200)
    part = tmp_path / f"{name}.part.{format}"
    part.write_bytes(part_of(path).read_bytes())
    file.close()
    path.unlink()
    return part


@pytest.mark.parametrize("format", ["wav", "opus"])
def test_what_was_never_closed_is_made_whole(tmp_path: Path, format: Format) -> None:
    part = left_behind(tmp_path, format)
    before = decoded(part)
    fixed = repair(part)
    assert fixed is not None
    path, duration_ms = fixed
    assert path == tmp_path / f"left.{format}"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert np.array_equal(decoded(path), before)
    assert duration_ms == pytest.approx(len(before) * 1000 / RATE, abs=1)
    assert duration_ms >= 2800


def test_of_a_wav_all_that_was_written_counts_whatever_its_header_says(tmp_path: Path) -> None:
    part = left_behind(tmp_path, "wav")
    with part.open("ab") as file:
        file.write(bytes(range(101)))  # A write that the header was not told of, and half a sample.
    fixed = repair(part)
    assert fixed == (tmp_path / "left.wav", 3003)
    with wave.open(str(tmp_path / "left.wav")) as whole:
        assert whole.getnframes() == 3 * RATE + 25
    assert (tmp_path / "left.wav").stat().st_size == 44 + 4 * (3 * RATE + 25)


def test_of_an_ogg_half_a_page_is_cut_off_and_its_last_one_says_so(tmp_path: Path) -> None:
    part = left_behind(tmp_path, "opus")
    whole = part.read_bytes()
    last = ogg.last_page(whole)
    assert last is not None
    assert not last.flags & 4
    part.write_bytes(whole[:-7] + b"OggS\0")
    fixed = repair(part)
    assert fixed is not None
    data = fixed[0].read_bytes()
    found = ogg.last_page(data)
    assert found is not None
    assert (found.start + found.size, found.flags & 4) == (len(data), 4)
    assert found.start < last.start
    assert len(decoded(fixed[0])) == pytest.approx(fixed[1] * RATE / 1000, abs=8)


def test_a_page_whose_checksum_is_wrong_is_none(tmp_path: Path) -> None:
    data = bytearray(left_behind(tmp_path, "opus").read_bytes())
    last = ogg.last_page(bytes(data))
    assert last is not None
    data[last.start + 40] ^= 1
    before = ogg.last_page(bytes(data))
    assert before is not None
    assert before.start < last.start


@pytest.mark.parametrize("format", ["wav", "opus"])
@pytest.mark.parametrize("size", [0, 10, 44])
def test_where_nothing_was_written_yet_nothing_is_left(tmp_path: Path, format: Format, size: int) -> None:
    part = left_behind(tmp_path, format)
    part.write_bytes(part.read_bytes()[:size])
    assert repair(part) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["wav", "opus"])
def test_another_file_is_left_alone(tmp_path: Path, format: Format) -> None:
    part = tmp_path / f"x.part.{format}"
    part.write_bytes(b"something else entirely, which is longer than a header of a file would be")
    with pytest.raises(ValueError, match=r"no Ogg|not one that was written here"):
        repair(part)
    assert part.read_bytes().startswith(b"something else")


# --- faults -----------------------------------------------------------------------------------------------


def test_a_full_disk_ends_opus_with_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(FileIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 3000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(recordfile, "FileIO", Full)
    file = OpusFile(tmp_path / "call.opus", RATE)
    with pytest.raises(OSError, match="No space left"):
        fill(file, beeps(5), 3200)
    file.close()
    out = decoded(tmp_path / "call.opus")
    assert 0.5 * RATE < len(out) < 2 * RATE
    assert onsets(out[:, 1])[0] == pytest.approx(0.5, abs=0.01)


def test_opus_says_which_rates_it_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="11025 Hz"):
        OpusFile(tmp_path / "call.opus", 11_025).write(0, beeps(1))
    assert list(tmp_path.iterdir()) == []
