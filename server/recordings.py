"""The recordings of calls: where their files lie, which of them are kept, and what of them goes into an event."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import structlog

from media.recorder import Recorder, writer_thread
from media.recordfile import PART, Format, is_live, measured, recording_file, repair
from pipeline.events import Recorded
from server.resolve_recording import RecordingConfig

if TYPE_CHECKING:
    from server.call import Call

log = structlog.get_logger(__name__)

CLOSE_S = 1.0
"""The end of a call of an older client does not wait longer for its file."""
LATE_S = 15.0
"""Nobody does. What is left of the file is made whole with the next start."""
SWEEP_S = 600.0
LONGEST_NAME = 120
SUFFIXES = (".wav", ".opus")
_PIECE = 3 << 16
"""Bytes that are put into base64 at once: a whole number of its groups of three."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How much is kept; 0: as much as there is."""

    days: float = 0.0
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A recording that lies in the folder."""

    path: Path
    duration_ms: int
    call_id: str


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What a recording's own file and folder tell of it."""

    format: Format
    duration_ms: int
    sample_rate_hz: int
    """0, as the length: it cannot be read."""
    url: str | None


class Recordings:
    """Of all calls, in one folder. One thread writes them. ``link`` makes the address that a call's recording can be
    fetched at; files of at most ``inline_bytes`` go into events themselves."""

    def __init__(
        self,
        folder: Path,
        *,
        link: Callable[[str], str] | None = None,
        inline_bytes: int = 8 << 20,
        keep: Keep | None = None,
        writer: Executor | None = None,
    ) -> None:
        self._folder = folder
        self._link = link
        self._inline_bytes = inline_bytes
        self._keep = keep or Keep()
        self._writer = writer or writer_thread()

    def begin(
        self,
        call_id: str,
        sample_rate_hz: int,
        config: RecordingConfig,
        on_error: Callable[[str], None],
    ) -> Recorder:
        """Record a call. Its file is made with the first audio. ``on_error`` is told once, as a sentence."""

        def fault(text: str) -> None:
            log.error("recording.failed", call_id=call_id, path=str(path), error=text)
            on_error(text)

        path = self._folder / f"{_name_of(call_id)}-{secrets.token_hex(4)}.{config.format}"
        file = recording_file(path, sample_rate_hz, config.format, config.channels)
        return Recorder(file, sample_rate_hz, self._writer, fault)

    async def deliver(self, call: Call, began_at: float, patience_s: float) -> bool:
        """Close the file of a call, and tell of it, where there is any audio in it. ``began_at``: when its first sample
        was. False: the disk takes too long; it may be tried again."""
        recorder = call.recorder
        if recorder is None:
            return True
        try:
            async with asyncio.timeout(patience_s):
                await recorder.aclose()
                audio = await self._inline(recorder, call.takes) if recorder.duration_ms else None
            if recorder.duration_ms:
                call.tell_recording(self._recorded(call.call_id, recorder, began_at), audio)
        except TimeoutError:
            log.warning("recording.late", call_id=call.call_id, waited_s=patience_s)
            return False
        except Exception:
            # In the group of all calls an exception would end all of them.
            log.exception("recording.not_told", call_id=call.call_id)
        return True

    def _recorded(self, call_id: str, recorder: Recorder, began_at: float) -> Recorded:
        return Recorded(
            recorder.duration_ms,
            recorder.sample_rate_hz,
            recorder.format,
            recorder.channels,
            began_at,
            self._link(call_id) if self._link is not None else None,
        )

    async def _inline(self, recorder: Recorder, fits: Callable[[int], bool]) -> bytes | None:
        """The closed file in base64; None where it is too large, or does not fit. ``fits`` is asked for so many
        bytes."""
        try:
            reading = asyncio.get_running_loop().run_in_executor(
                self._writer, self._read, recorder.path, fits
            )
            return await reading
        except OSError as error:
            log.error("recording.unreadable", path=str(recorder.path), error=str(error))
            return None

    def _read(self, path: Path, fits: Callable[[int], bool]) -> bytes | None:
        size = path.stat().st_size
        if size > self._inline_bytes or not fits(size * 4 // 3):
            return None
        # In pieces: base64 holds the interpreter, and calls want it.
        with path.open("rb") as file:
            return b"".join(map(base64.b64encode, iter(lambda: file.read(_PIECE), b"")))

    # --- files that lie there: all of these block ---------------------------------------------------------

    def find(self, call_id: str) -> Path | None:
        """The recording of a call that is over; the latest, where there are several."""
        name = _name_of(call_id)
        found = [path for path in self._files() if PART not in path.suffixes and _stem(path) == name]
        return max(found, key=lambda path: path.stat().st_mtime, default=None)

    def told(self, call_id: str) -> OnDisk | None:
        """What can be told of the recording of a call that is over by whoever was not there. None: there is none."""
        path = self.find(call_id)
        if path is None:
            return None
        try:
            duration_ms, rate_hz = measured(path)
        except (OSError, ValueError) as error:
            log.error("recording.unreadable", path=str(path), error=str(error))
            duration_ms = rate_hz = 0
        url = self._link(call_id) if self._link is not None else None
        return OnDisk("wav" if path.suffix == ".wav" else "opus", duration_ms, rate_hz, url)

    def delete(self, call_ids: Iterable[str]) -> tuple[int, int]:
        """Delete all recordings of these calls, but what is being recorded: how many files, and how many bytes."""
        names = {_name_of(call_id) for call_id in call_ids}
        files = size = 0
        for path in self._files() if names else ():
            if _stem(path) not in names:
                continue
            try:
                if PART in path.suffixes and is_live(path):
                    continue
                size += path.stat().st_size
                path.unlink()
                files += 1
            except OSError as error:
                log.error("recording.not_deleted", path=str(path), error=str(error))
        return files, size

    def repair(self) -> list[Found]:
        """Make whole what a killed process has left."""
        made: list[Found] = []
        for part in self._files():
            if PART not in part.suffixes:
                continue
            try:
                fixed = None if is_live(part) else repair(part)
            except (OSError, ValueError) as error:
                log.error("recording.unreadable", path=str(part), error=str(error))
                continue
            if fixed is not None:
                path, duration_ms = fixed
                found = Found(path, duration_ms, unquote(_stem(path)))
                log.warning(
                    "recording.recovered", call_id=found.call_id, path=str(path), duration_ms=duration_ms
                )
                made.append(found)
        return made

    def sweep(self, now: float) -> int:
        """Delete what is older, or more, than is kept, the oldest first; ``now`` in epoch seconds. Never what is
        being recorded. Returns how many files."""
        files = [(path.stat(), path) for path in self._files() if PART not in path.suffixes]
        files.sort(key=lambda entry: entry[0].st_mtime)
        size = sum(stat.st_size for stat, _ in files)
        deleted = 0
        for stat, path in files:
            days = (now - stat.st_mtime) / 86_400
            old = self._keep.days and days > self._keep.days
            if not old and not (self._keep.max_bytes and size > self._keep.max_bytes):
                continue
            try:
                path.unlink()
            except OSError as error:
                log.error("recording.not_deleted", path=str(path), error=str(error))
                continue
            size -= stat.st_size
            deleted += 1
            why = "older than TALKWIRE_RECORDINGS_DAYS" if old else "more than TALKWIRE_RECORDINGS_MAX_BYTES"
            log.info("recording.deleted", path=str(path), bytes=stat.st_size, days=round(days, 1), why=why)
        return deleted

    async def keep_house(self, epoch: Callable[[], float]) -> None:
        """Delete what is not to be kept, now and again, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.sweep, epoch())
            except OSError as error:
                log.error("recordings.not_swept", folder=str(self._folder), error=str(error))
            await asyncio.sleep(SWEEP_S)

    def _files(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if path.suffix in SUFFIXES]
        except FileNotFoundError:
            return []


def _name_of(call_id: str) -> str:
    """A file's name that is this call's alone."""
    name = quote(call_id, safe="").replace(".", "%2E").replace("~", "%7E")
    if len(name) > LONGEST_NAME:
        name = f"{name[:60]}_{hashlib.sha256(call_id.encode()).hexdigest()[:32]}"
    return name


def _stem(path: Path) -> str:
    """What of a file's name is its call's."""
    return path.name.partition(".")[0].rpartition("-")[0]
