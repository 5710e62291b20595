"""The recordings of calls: where their files lie, and what of them goes into an event."""

from __future__ import annotations

import asyncio
import base64
import secrets
from pathlib import Path

import structlog

from media.recorder import Recorder, writer_thread
from pipeline.events import Recorded

log = structlog.get_logger(__name__)

INLINE_RECORDING = 2 << 20
"""A larger file is not put into an event, a minute or so: it stays in the data directory."""
CLOSE_S = 1.0
"""A call's end does not wait longer for its file."""


class Recordings:
    """Of all calls, in one folder. One thread writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = writer_thread()

    def begin(self, call_id: str, sample_rate_hz: int) -> Recorder:
        def fault(text: str) -> None:
            log.error("recording.failed", call_id=call_id, error=text)

        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in call_id)[:80]
        path = self._folder / f"{name}-{secrets.token_hex(4)}.wav"
        return Recorder(path, sample_rate_hz, self._writer, fault)


async def recorded_by(recorder: Recorder) -> Recorded | None:
    """Close the file and read it back; None where that fails or takes too long."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await recorder.aclose()
            if recorder.failed:
                return None
            audio = await asyncio.to_thread(_read_inline, recorder.path)
    except (TimeoutError, OSError) as error:
        log.error("recording.late", path=str(recorder.path), error=str(error))
        return None
    return Recorded(audio, recorder.duration_ms, recorder.sample_rate_hz)


def _read_inline(path: Path) -> str | None:
    if path.stat().st_size > INLINE_RECORDING:
        return None
    return base64.b64encode(path.read_bytes()).decode("ascii")
