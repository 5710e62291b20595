"""The recorder of a call: its file grows every 600 ms and is playable at any moment.

The loop only places audio in memory (``media.recording``). Files are opened, encoded, written and closed by one
writer thread for the whole process (``media.recordfile``), a job for each 600 ms of a call. A file that can be written
over has all audio up to the last job, and what is learnt later of what was heard is put right; one that cannot is
behind by ``SETTLED_MS``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from media.frames import Pcm
from media.recordfile import Format, RecordingFile
from media.recording import Channels, StereoTimeline

HOLD_BACK_MS = 2000
"""The play-out learns up to so much later what was heard: where a mark is lost."""
SETTLED_MS = 500
"""Where no mark is lost. Of a file that cannot be written over more would be missing after a crash; there the audio
behind a lost mark stands as much too late."""
_JOB_MS = 600
_ENCODED_JOB_MS, _FIRST_JOB_MS = 250, 1200
"""Of a file that is behind already. In the first second of a call its clock is not sure yet."""
_FRAMES = 5
_LONGEST_JOB_MS = 10_000
"""What one job writes at most, where the clock has jumped or the disk was slow."""


def writer_thread() -> ThreadPoolExecutor:
    """The writer of all recorders of a process: one thread, so that the jobs of a file stay in order."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")


class Recorder:
    """Records one call. Nothing that happens to the file reaches the call: the first fault is told to
    ``on_error`` as a sentence, and the recording ends there.

    ``hold_back_ms`` is how long a stretch may still change: the play-out learns up to so much later what was heard, and
    a ``clear_bot`` can reach back so far.

    The file is made with the first audio, with its folders, readable by the owner alone; one that exists is
    never written over. Where there was no audio there is no file.
    """

    def __init__(
        self,
        file: RecordingFile,
        sample_rate_hz: int,
        executor: Executor,
        on_error: Callable[[str], None],
        *,
        hold_back_ms: int | None = None,
    ) -> None:
        self._file = file
        self._rate = sample_rate_hz
        self._executor = executor
        self._on_error = on_error
        if hold_back_ms is None:
            hold_back_ms = HOLD_BACK_MS if file.rewrites else SETTLED_MS
        self._hold_back = sample_rate_hz * hold_back_ms // 1000
        self._timeline = StereoTimeline(sample_rate_hz)
        self._frames: list[Pcm] = []
        """The last of the caller, without a gap."""
        self._next = 0
        """One past the last sample of them."""
        self._job: Future[None] | None = None
        self._job_end = 0
        self._job_samples = sample_rate_hz * (_JOB_MS if file.rewrites else _ENCODED_JOB_MS) // 1000
        self._look_at = sample_rate_hz * (_JOB_MS if file.rewrites else _FIRST_JOB_MS) // 1000
        """The caller's clock at which it is looked whether a job is done, and there is something for the next."""
        self._written = 0
        self._failed = False
        self._closing = False
        self._closed = False
        self._told_lost = False
        self._close_lock = asyncio.Lock()

    @property
    def sample_rate_hz(self) -> int:
        return self._rate

    @property
    def path(self) -> Path:
        """Where the file lies once it is closed."""
        return self._file.path

    @property
    def format(self) -> Format:
        return self._file.format

    @property
    def channels(self) -> Channels:
        return self._file.channels

    @property
    def duration_ms(self) -> int:
        """What the file holds."""
        return self._written * 1000 // self._rate

    @property
    def failed(self) -> bool:
        """The file ends early; ``on_error`` was told why."""
        return self._failed

    @property
    def held(self) -> int:
        """Samples of both channels in memory."""
        return self._timeline.held + sum(map(len, self._frames))

    def caller(self, start: int, pcm: Pcm) -> None:
        """A frame of the caller, at its place on the leg's clock."""
        if self._failed or self._closing:
            return
        if start != self._next:
            self._place()
        self._frames.append(pcm)
        self._next = start + len(pcm)
        if len(self._frames) >= _FRAMES:
            self._place()

    def bot(self, at: int, pcm: Pcm) -> None:
        """Audio of the bot, heard from sample ``at`` of the caller's clock on."""
        if not self._failed and not self._closing:
            self._timeline.bot(at, pcm)

    def _place(self) -> None:
        """Some frames together cost as much as one."""
        if not self._frames:
            return
        pcm = np.concatenate(self._frames)
        self._frames.clear()
        if self._timeline.caller(self._next - len(pcm), pcm) >= self._look_at:
            self._look()

    def clear_bot(self, at: int) -> None:
        """What was placed from ``at`` on was never heard. Reaches back ``hold_back_ms``."""
        if not self._failed and not self._closing:
            self._timeline.clear_bot(at)

    def pause(self, at: int) -> None:
        """Nothing that is said or heard from sample ``at`` on is kept: it is silence. Twice is once."""
        self._place()
        self._timeline.pause(at)

    def resume(self, at: int) -> None:
        """From sample ``at`` on it is kept again."""
        self._place()
        self._timeline.resume(at)

    @property
    def paused(self) -> bool:
        return self._timeline.paused

    async def aclose(self) -> None:
        """Write what is left, up to the last sample of either side, and wait for it. Never raises for the
        file's sake. May be called twice."""
        self._place()
        self._closing = True
        async with self._close_lock:
            if self._closed:
                return
            await self._job_done()
            while not self._failed and self._timeline.outdated(self._timeline.end):
                self._start_job(self._timeline.end)
                await self._job_done()
            await self._close_file()
            self._timeline = StereoTimeline(self._rate)
            self._closed = True

    async def _job_done(self) -> None:
        loop = asyncio.get_running_loop()
        while self._job is not None:
            done = asyncio.Event()

            def tell(_: Future[None], done: asyncio.Event = done) -> None:
                with suppress(RuntimeError):  # The loop may be gone, where nobody waits any more.
                    loop.call_soon_threadsafe(done.set)

            self._job.add_done_callback(tell)
            await done.wait()
            self._collect()

    async def _close_file(self) -> None:
        try:
            closing = asyncio.get_running_loop().run_in_executor(self._executor, self._file.close)
        except RuntimeError as fault:  # the executor has been shut down, so that no job is at the file
            self._file.close()
            self._fail(fault)
            return
        try:
            await closing
        except (OSError, ValueError, RuntimeError) as fault:
            self._fail(fault)

    def _look(self) -> None:
        """Start a job where enough is waiting and none is under way. That it is over is seen here, too: nobody wakes the
        loop for it. With a slow disk the timeline fills to its bound meanwhile."""
        timeline = self._timeline
        if self._job is None or self._job.done():
            self._collect()
            upto = timeline.clock if self._file.rewrites else timeline.clock - self._hold_back
            if not self._failed and upto - timeline.given >= self._job_samples:
                self._start_job(upto)
        behind = timeline.clock - timeline.given > self._rate * _LONGEST_JOB_MS // 1000
        self._look_at = timeline.clock + (0 if behind else self._job_samples)
        if timeline.lost and not self._told_lost:
            self._told_lost = True
            self._on_error(
                f"the recording misses a part at {timeline.clock / self._rate:.0f} s: the disk has not taken "
                "anything for too long; the call goes on"
            )

    def _start_job(self, upto: int) -> None:
        timeline = self._timeline
        at, block = timeline.take(upto, self._rate * _LONGEST_JOB_MS // 1000)
        # Whatever cannot be written over is settled; of the rest what is too old to change.
        timeline.settle(timeline.clock - self._hold_back if self._file.rewrites else timeline.given)
        try:
            self._job = self._executor.submit(self._file.write, at, block)
        except RuntimeError as fault:  # The executor has been shut down.
            self._fail(fault)
            return
        self._job_end = timeline.given

    def _collect(self) -> None:
        """A job is over, if there was one."""
        job, self._job = self._job, None
        if job is None:
            return
        fault = CancelledError() if job.cancelled() else job.exception()
        if fault is not None:
            self._fail(fault)
        else:
            self._written = self._job_end

    def _fail(self, fault: BaseException) -> None:
        if self._failed:
            return
        self._failed = True
        self._frames.clear()
        self._timeline = StereoTimeline(self._rate)  # Nothing more will be written: let the audio go.
        self._on_error(
            f"the recording ends after {self._written / self._rate:.0f} s: {_reason(fault)}; the call goes on"
        )


def _reason(fault: BaseException) -> str:
    if isinstance(fault, FileExistsError):
        return "a file of this name exists, and recordings are never written over"
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault) or "the writer was stopped"
