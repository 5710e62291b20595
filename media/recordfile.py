"""The files that recordings are written to, on a writer thread: WAV, and Opus in Ogg.

While a file grows it has ``.part`` before its suffix and is locked; with its end it gets its own name. What a
killed process leaves can be played as it is, and ``repair`` makes it a whole file.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from media import ogg, wav
from media.frames import Pcm
from media.recording import Channels, laid_out

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import OutputContainer

if sys.platform != "win32":  # It has no such locks: there a folder must not be shared by two servers.
    import fcntl

Format = Literal["wav", "opus"]
PART = ".part"
PACKET_MS = 60
"""Of Opus: the longest packet that its speech coder makes costs a third less to make than the usual one of 20 ms."""
PAGE_MS = 100
"""Packets of so long are written together: what is lost with a killed process."""
_COMPLEXITY = 1
_BITRATE_BPS = {8000: 16_000, 12_000: 20_000, 16_000: 24_000, 24_000: 28_000, 48_000: 32_000}
"""For each channel."""


class RecordingFile(Protocol):
    """One file. All methods are for the writer thread and raise ``OSError``, and ``ValueError`` where the format can
    hold no more or is not to be had."""

    path: Path
    """Where it lies in the end."""
    rewrites: bool
    """What was written may be written over."""
    format: Format
    channels: Channels

    def write(self, at: int, interleaved: Pcm) -> None:
        """Put samples at a place, two values each; without holes, for a file that does not rewrite in order."""

    def close(self) -> None:
        """Of a file that never got a sample nothing is left. May be called twice."""


def recording_file(path: Path, sample_rate_hz: int, format: Format, channels: Channels) -> RecordingFile:
    """A file that is made with its first samples. Does no I/O."""
    if format == "wav":
        return WavFile(path, sample_rate_hz, channels)
    return OpusFile(path, sample_rate_hz, channels)


def part_of(path: Path) -> Path:
    """Its name while it grows."""
    return path.with_name(f"{path.stem}{PART}{path.suffix}")


class _Growing:
    """A file on its way to its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def __bool__(self) -> bool:
        return self._file is not None

    def open(self) -> None:
        if self.path.exists():
            raise FileExistsError(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = FileIO(part_of(self.path), "xb", opener=_private)
        if sys.platform != "win32":
            with suppress(OSError):  # Some file systems have no locks.
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes | memoryview, at: int | None = None) -> int:
        """All of it: a nearly full disk takes a part first and tells the fault only at the next write."""
        assert self._file is not None
        if at is not None:
            self._file.seek(at)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        return len(data)

    def close(self, *, empty: bool) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        file.close()
        if empty:
            part_of(self.path).unlink(missing_ok=True)
        else:
            part_of(self.path).rename(self.path)


class WavFile:
    """16-bit samples. Each write first sets the samples and then their number in the header, so that a process that
    is killed in the middle of one leaves a file that ends with the write before."""

    rewrites = True
    format: Format = "wav"

    def __init__(self, path: Path, sample_rate_hz: int, channels: Channels = "stereo") -> None:
        self.path = path
        self.channels: Channels = channels
        self._rate = sample_rate_hz
        self._count = 2 if channels == "stereo" else 1
        self._file = _Growing(path)
        self._data_bytes = 0

    def write(self, at: int, interleaved: Pcm) -> None:
        data = laid_out(interleaved, self.channels).astype("<i2", copy=False).tobytes()
        at *= 2 * self._count
        size = max(self._data_bytes, at + len(data))
        header = wav.header(self._rate, self._count, size)
        if not self._file:
            self._file.open()
            self._file.write(wav.header(self._rate, self._count, 0), 0)
        self._file.write(data, wav.HEADER + at)
        if size > self._data_bytes:
            self._file.write(header, 0)
            self._data_bytes = size

    def close(self) -> None:
        self._file.close(empty=self._data_bytes == 0)


class OpusFile:
    """Opus in Ogg (RFC 7845), encoded as it comes."""

    rewrites = False
    format: Format = "opus"

    def __init__(self, path: Path, sample_rate_hz: int, channels: Channels = "stereo") -> None:
        self.path = path
        self.channels: Channels = channels
        self._rate = sample_rate_hz
        self._layout = "stereo" if channels == "stereo" else "mono"
        self._count = 2 if channels == "stereo" else 1
        self._file = _Growing(path)
        self._out: OutputContainer | None = None
        self._stream: AudioStream | None = None
        self._rest = np.zeros(0, np.int16)
        self._samples = 0
        self._broken = False
        """What lies in the file is all that it will have: it cannot be ended as it should be."""

    def write(self, at: int, interleaved: Pcm) -> None:
        """``at`` is where the last write ended."""
        pcm = np.concatenate([self._rest, laid_out(interleaved, self.channels)])
        if self._out is None:
            self._open()
        size = self._rate * PACKET_MS // 1000 * self._count
        whole = len(pcm) // size * size
        self._rest = pcm[whole:]
        try:
            for packet in pcm[:whole].reshape(-1, size):
                self._encode(packet)
        except OSError:
            self._broken = True
            raise

    def close(self) -> None:
        out, self._out = self._out, None
        try:
            if out is not None and not self._broken:
                if len(self._rest):
                    self._encode(self._rest, out)
                assert self._stream is not None
                out.mux(self._stream.encode(None))
                out.close()
        finally:
            self._file.close(empty=self._samples == 0)

    def _open(self) -> None:
        if self._rate not in _BITRATE_BPS:
            raise ValueError(f"Opus takes no {self._rate} Hz")
        import av  # Half a second of a start that no call may need.

        self._file.open()
        options = {"page_duration": str(PAGE_MS * 1000), "flush_packets": "1"}
        self._out = av.open(self._file, "w", format="ogg", options=options)
        how = {
            "application": "voip",
            "compression_level": str(_COMPLEXITY),
            "frame_duration": str(PACKET_MS),
        }
        self._stream = self._out.add_stream("libopus", rate=self._rate, layout=self._layout, options=how)
        self._stream.bit_rate = _BITRATE_BPS[self._rate] * self._count

    def _encode(self, pcm: Pcm, out: OutputContainer | None = None) -> None:
        from av import AudioFrame

        out = out or self._out
        assert out is not None
        assert self._stream is not None
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += len(pcm) // self._count
        out.mux(self._stream.encode(frame))


# --- what a killed process leaves -------------------------------------------------------------------------


def is_live(part: Path) -> bool:
    """Somebody is writing it. Raises ``OSError``."""
    if sys.platform == "win32":
        return False
    with part.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def repair(part: Path) -> tuple[Path, int] | None:
    """Make a file whole that was never closed: its path, and its length in milliseconds. None: there is no audio in it,
    and it is gone. Raises ``OSError``, and ``ValueError`` for what is no such file."""
    fix = wav.repair if part.suffix == ".wav" else ogg.repair
    with part.open("r+b") as file:
        duration_ms = fix(file)
    if not duration_ms:
        part.unlink()
        return None
    path = part.with_name(f"{part.stem.removesuffix(PART)}{part.suffix}")
    part.rename(path)
    return path, duration_ms


def measured(path: Path) -> tuple[int, int]:
    """Of a whole file: the length of its audio in milliseconds, and its rate in Hz. Raises ``OSError``, and
    ``ValueError`` for what is no such file."""
    with path.open("rb") as file:
        return wav.measured(file) if path.suffix == ".wav" else ogg.measured(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
