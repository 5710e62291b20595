"""The recorder: the file is right, playable at any moment, and its faults are told and harm nobody."""

from __future__ import annotations

import asyncio
import errno
import stat
import wave
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media import recordfile as module
from media.frames import Pcm
from media.recorder import Recorder, writer_thread
from media.recordfile import WavFile, is_live, part_of, repair
from tests.fakes.writer import Writer

pytestmark = pytest.mark.inline_io

RATE = 8000
FRAME = 160


async def settle() -> None:
    """Let what the writer has done reach the recorder."""
    for _ in range(5):
        await asyncio.sleep(0)


def ramp(start: int, length: int) -> Pcm:
    return (np.arange(start, start + length) % 30000).astype(np.int16)


def read(path: Path) -> tuple[Pcm, Pcm]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert len(frames) == file.getnframes()
    return frames[:, 0], frames[:, 1]


async def speak(recorder: Recorder, start: int, frames: int) -> int:
    """The caller sends so many frames of a ramp; returns the clock after them."""
    for n in range(frames):
        recorder.caller(start + n * FRAME, ramp(start + n * FRAME, FRAME))
        if n % 25 == 0:
            await settle()
    await settle()
    return start + frames * FRAME


async def test_both_sides_stand_to_the_sample(tmp_path: Path) -> None:
    errors: list[str] = []
    with writer_thread() as executor:
        recorder = Recorder(WavFile(tmp_path / "day" / "call.wav", RATE), RATE, executor, errors.append)
        clock = await speak(recorder, 0, 150)
        recorder.bot(clock - 333, np.full(1000, 77, np.int16))
        clock = await speak(recorder, clock, 150)
        await recorder.aclose()
    left, right = read(tmp_path / "day" / "call.wav")
    assert np.array_equal(left, ramp(0, clock))
    wanted = np.zeros(clock, np.int16)
    wanted[24000 - 333 : 24000 + 667] = 77
    assert np.array_equal(right, wanted)
    assert errors == []
    assert recorder.duration_ms == 6000
    assert not recorder.failed


async def test_cleared_audio_is_absent_even_long_after_it_was_placed(tmp_path: Path) -> None:
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), pytest.fail)
    clock = await speak(recorder, 0, 50)
    recorder.bot(clock, np.full(10 * RATE, 5, np.int16))  # placed ahead: ten seconds of speech
    clock = await speak(recorder, clock, 100)
    recorder.clear_bot(clock - 700)  # learnt 87 ms late
    clock = await speak(recorder, clock, 100)
    await recorder.aclose()
    _, right = read(tmp_path / "call.wav")
    assert len(right) == clock
    assert np.flatnonzero(right).tolist() == list(range(8000, 24000 - 700))


async def test_it_is_playable_while_it_grows(tmp_path: Path) -> None:
    """Writes go past any buffer of ours, so this is also what a killed process leaves."""
    path = tmp_path / "call.wav"
    recorder = Recorder(WavFile(path, RATE), RATE, Writer(), pytest.fail)
    clock, lengths = 0, []
    for _ in range(10):
        clock = await speak(recorder, clock, 50)
        left, _ = read(part_of(path))
        assert np.array_equal(left, ramp(0, len(left)))
        assert clock - len(left) <= 0.7 * RATE
        lengths.append(len(left))
    assert not path.exists()
    assert lengths == sorted(set(lengths))
    await recorder.aclose()


async def test_a_kill_between_samples_and_header_leaves_the_last_whole_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "call.wav"
    recorder = Recorder(WavFile(path, RATE), RATE, Writer(), lambda _: None, hold_back_ms=0)
    clock = await speak(recorder, 0, 100)
    before = len(read(part_of(path))[0])

    class Killed(FileIO):
        def write(self, data: Any, /) -> int:
            if self.tell() == 0:
                raise OSError(errno.EIO, "killed here")
            return super().write(data)

    growing = recorder._file._file  # type: ignore[attr-defined]
    growing._file.close()
    growing._file = Killed(part_of(path), "r+b")
    clock = await speak(recorder, clock, 100)
    assert part_of(path).stat().st_size > 44 + 4 * before
    left, _ = read(part_of(path))
    assert np.array_equal(left, ramp(0, before))
    growing._file.close()
    # What the next start makes of it: all that was written.
    size = (part_of(path).stat().st_size - 44) // 4
    assert repair(part_of(path)) == (path, size * 1000 // RATE)
    assert np.array_equal(read(path)[0], ramp(0, size))
    growing._file = None
    await recorder.aclose()


async def test_a_long_call_takes_no_more_memory_than_its_last_seconds(tmp_path: Path) -> None:
    writer = Writer()
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, writer, pytest.fail)
    frame, most = np.ones(FRAME, np.int16), 0
    for n in range(10_000):
        recorder.caller(n * FRAME, frame)
        recorder.bot(n * FRAME, frame)
        if n % 50 == 0:
            await settle()
            most = max(most, recorder.held)
    assert (
        most <= 2 * 4.1 * RATE
    )  # two channels of hold-back, the second being collected, and one not settled
    await recorder.aclose()
    assert recorder.held == 0
    assert writer.most_waiting == 1
    assert recorder.duration_ms == 200_000


async def test_a_disk_that_stands_still_costs_a_hole_and_no_memory(tmp_path: Path) -> None:
    errors: list[str] = []
    writer = Writer(at_once=False)
    path = tmp_path / "call.wav"
    recorder = Recorder(WavFile(path, RATE), RATE, writer, errors.append)
    clock = await speak(recorder, 0, 50 * 60)
    assert len(writer.jobs) == 1  # one job at a time: what waits, waits where it is counted
    assert recorder.held <= 30 * RATE
    assert len(errors) == 1
    assert "misses a part at" in errors[0]
    assert "the call goes on" in errors[0]
    writer.at_once = True
    writer.work()
    await settle()
    clock = await speak(recorder, clock, 50 * 5)
    await recorder.aclose()
    left, _ = read(path)
    assert len(left) == clock
    wanted = ramp(0, clock)
    # The first job and 30 s behind it were kept; and what came when it was seen that the disk was back.
    assert np.array_equal(left[: 30 * RATE], wanted[: 30 * RATE])
    assert np.array_equal(left[-4 * RATE :], wanted[-4 * RATE :])
    assert len(errors) == 1
    assert not recorder.failed


async def test_a_jump_of_the_clock_is_written_in_bounded_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biggest = 0
    write = WavFile.write

    def measured(self: Any, at: int, block: Pcm) -> None:
        nonlocal biggest
        biggest = max(biggest, len(block) // 2)
        write(self, at, block)

    monkeypatch.setattr(WavFile, "write", measured)
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), pytest.fail)
    recorder.caller(0, ramp(0, FRAME))
    recorder.caller(95 * RATE, ramp(1, FRAME))
    for _ in range(20):
        await settle()
    await recorder.aclose()
    left, _ = read(tmp_path / "call.wav")
    assert len(left) == 95 * RATE + FRAME
    assert np.array_equal(left[-FRAME:], ramp(1, FRAME))
    assert biggest <= 10 * RATE


async def test_a_full_disk_is_told_once_and_leaves_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(FileIO):
        def write(self, data: Any, /) -> int:
            room = 150_000 - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(memoryview(data)[:room])

    monkeypatch.setattr(module, "FileIO", Full)
    errors: list[str] = []
    path = tmp_path / "call.wav"
    recorder = Recorder(WavFile(path, RATE), RATE, Writer(), errors.append)
    await speak(recorder, 0, 50 * 12)
    assert errors == ["the recording ends after 4 s: No space left on device; the call goes on"]
    assert recorder.failed
    assert recorder.held == 0
    recorder.bot(0, ramp(0, 100))
    recorder.clear_bot(0)
    await recorder.aclose()
    await recorder.aclose()
    left, _ = read(path)
    assert np.array_equal(left, ramp(0, len(left)))
    assert len(left) * 1000 // RATE == recorder.duration_ms >= 4000
    assert len(errors) == 1


async def test_a_disk_that_takes_a_part_of_each_write_gets_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(FileIO):
        def write(self, data: Any, /) -> int:
            return super().write(memoryview(data)[:1000])

    monkeypatch.setattr(module, "FileIO", Slow)
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), pytest.fail)
    clock = await speak(recorder, 0, 200)
    await recorder.aclose()
    assert np.array_equal(read(tmp_path / "call.wav")[0], ramp(0, clock))


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    errors: list[str] = []
    recorder = Recorder(
        WavFile(tmp_path / "file" / "call.wav", RATE), RATE, Writer(), errors.append, hold_back_ms=0
    )
    await speak(recorder, 0, 100)
    assert len(errors) == 1
    assert "ends after 0 s: " in errors[0]
    await recorder.aclose()


async def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(b"yesterday")
    errors: list[str] = []
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), errors.append)
    recorder.caller(0, ramp(0, FRAME))
    await recorder.aclose()
    assert (tmp_path / "call.wav").read_bytes() == b"yesterday"
    assert "a file of this name exists, and recordings are never written over" in errors[0]


async def test_what_is_learnt_late_is_put_right_in_the_file(tmp_path: Path) -> None:
    """A mark is lost: of the bot's audio the recorder learns two seconds after it was heard."""
    path = tmp_path / "call.wav"
    recorder = Recorder(WavFile(path, RATE), RATE, Writer(), pytest.fail)
    clock = await speak(recorder, 0, 150)
    assert not read(part_of(path))[1].any()
    recorder.bot(clock - 2 * RATE, np.full(1000, 7, np.int16))
    clock = await speak(recorder, clock, 35)
    left, right = read(part_of(path))
    assert np.array_equal(left, ramp(0, len(left)))
    assert np.flatnonzero(right).tolist() == list(range(24000 - 2 * RATE, 24000 - 2 * RATE + 1000))
    await recorder.aclose()


async def test_a_pause_is_silent_in_the_file_and_time_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    recorder = Recorder(WavFile(path, RATE), RATE, Writer(), pytest.fail)
    first = await speak(recorder, 0, 60)
    recorder.pause(first)
    second = await speak(recorder, first, 200)
    assert recorder.held <= 2 * RATE
    recorder.resume(second)
    end = await speak(recorder, second, 60)
    await recorder.aclose()
    left, _ = read(path)
    wanted = ramp(0, end)
    wanted[first:second] = 0
    assert np.array_equal(left, wanted)


async def test_a_growing_file_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    recorder = Recorder(WavFile(path, RATE), RATE, Writer(), pytest.fail)
    await speak(recorder, 0, 60)
    assert is_live(part_of(path))
    await recorder.aclose()
    assert not is_live(path)


async def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), pytest.fail)
    recorder.caller(0, ramp(0, FRAME))
    await recorder.aclose()
    assert stat.S_IMODE((tmp_path / "call.wav").stat().st_mode) == 0o600


async def test_a_call_without_audio_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), pytest.fail)
    await recorder.aclose()
    assert list(tmp_path.iterdir()) == []

    class Full(FileIO):
        def write(self, data: Any, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "FileIO", Full)
    errors: list[str] = []
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), errors.append)
    recorder.caller(0, ramp(0, FRAME))
    await recorder.aclose()
    assert len(errors) == 1
    assert list(tmp_path.iterdir()) == []


async def test_close_waits_for_the_last_write_and_takes_nothing_more(tmp_path: Path) -> None:
    writer = Writer(at_once=False)
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, writer, pytest.fail)
    clock = await speak(recorder, 0, 200)
    closing = asyncio.create_task(recorder.aclose())
    again = asyncio.create_task(recorder.aclose())
    await settle()
    assert not closing.done()
    recorder.caller(clock, ramp(clock, FRAME))
    while not (closing.done() and again.done()):
        writer.work()
        await settle()
    assert len(read(tmp_path / "call.wav")[0]) == clock
    await recorder.aclose()


async def test_a_close_that_is_cancelled_can_be_repeated(tmp_path: Path) -> None:
    writer = Writer(at_once=False)
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, writer, pytest.fail)
    clock = await speak(recorder, 0, 200)
    closing = asyncio.create_task(recorder.aclose())
    await settle()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    writer.at_once = True
    writer.work()
    await recorder.aclose()
    assert len(read(tmp_path / "call.wav")[0]) == clock


async def test_a_writer_that_has_been_shut_down_is_a_fault_like_any_other(tmp_path: Path) -> None:
    errors: list[str] = []
    executor = ThreadPoolExecutor(1)
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, executor, errors.append, hold_back_ms=0)
    clock = await speak(recorder, 0, 60)
    executor.shutdown(wait=True)
    await settle()
    await speak(recorder, clock, 60)
    await recorder.aclose()
    assert len(errors) == 1
    assert "shutdown" in errors[0]
