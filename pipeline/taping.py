"""The recording of a call, as far as its agent and its caller know of it: begun, announced, paused, gone on with.

What is kept of the audio is placed by ``pipeline.monitor``; this decides when, and tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from media.beep import beep
from media.playout import Playout
from pipeline.events import (
    BotFinished,
    ConsentBy,
    Event,
    RecordingAnnounced,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
)
from pipeline.message import Message
from pipeline.monitor import CallRecorder, Monitor

TONE = "tone"
"""For a text: a tone is heard instead of words."""


class Taped(Protocol):
    """The call, as far as its recording is concerned."""

    def emit(self, event: Event) -> None: ...

    def say(self, message: Message) -> None: ...

    def moved(self) -> None:
        """Something has changed: do what is due."""


class Taping:
    """Of one call."""

    def __init__(self, call: Taped, monitor: Monitor, playout: Playout, ids: Callable[[], str]) -> None:
        self._call = call
        self._monitor = monitor
        self._playout = playout
        self._ids = ids
        self._spoken: Message | None = None
        self._tone_waits = False
        self._tone_end: int | None = None
        """Where it ends on the timeline of the play-out."""

    @property
    def on(self) -> bool:
        """The call is recorded, though that may be paused."""
        return self._monitor.recorder is not None

    @property
    def began_at(self) -> float:
        """When the first sample of the recording was, on the loop's clock."""
        return self._monitor.began_at

    def begin(self, recorder: CallRecorder, consent: str) -> None:
        """Keep what is said from now on. ``consent``: what the caller is told of it; ``tone``; empty: nothing."""
        if self.on:
            return
        self._monitor.record(recorder)
        how: ConsentBy | None = None
        if consent:
            how = "tone" if consent == TONE else "spoken"
        self._call.emit(RecordingStarted(self._at_ms, recorder.format, recorder.channels, how))
        if how == "spoken":
            self._spoken = Message(f"msg_{self._ids()[:12]}", consent, interruptible=False)
            self._call.say(self._spoken)
        elif how == "tone":
            self._tone_waits = True
            self._call.moved()

    def tell_again(self) -> None:
        """Another agent has the call from now on: it is told how things stand."""
        recorder = self._monitor.recorder
        if recorder is not None:
            self._call.emit(RecordingStarted(self._at_ms, recorder.format, recorder.channels, None))
            if recorder.paused:
                self._call.emit(RecordingPaused(self._at_ms))

    def pause(self) -> bool:
        """Keep silence from now on. Twice is once. False: the call is not recorded."""
        recorder = self._monitor.recorder
        if recorder is None:
            return False
        if not recorder.paused:
            recorder.pause(self._monitor.clock)
            self._call.emit(RecordingPaused(self._at_ms))
        return True

    def resume(self) -> bool:
        """Keep what is said again."""
        recorder = self._monitor.recorder
        if recorder is None:
            return False
        if recorder.paused:
            recorder.resume(self._monitor.clock)
            self._call.emit(RecordingResumed(self._at_ms))
        return True

    # --- the announcement ---------------------------------------------------------------------------------

    @property
    def sounds(self) -> bool:
        """The tone is being heard: what comes next waits, so that it is told when it begins."""
        return self._tone_end is not None

    def play(self, now: float, *, free: bool) -> None:
        """Give out the tone, where it waits and nothing else is being heard (``free``); tell that it was heard."""
        if self._tone_end is not None and not free:
            # The call is put on hold in the middle of it: it is heard once more afterwards.
            self._tone_end, self._tone_waits = None, True
        elif self._tone_end is not None and self._playout.heard(now) >= self._tone_end:
            self._tone_end = None
            self._call.emit(RecordingAnnounced(self._at_ms, "tone", ""))
        if self._tone_waits and free:
            self._tone_waits = False
            self._playout.write(beep(self._playout.sample_rate_hz))
            self._playout.end_message()
            self._tone_end = self._playout.written

    def note(self, event: Event) -> None:
        """See whether the words were."""
        spoken = self._spoken
        if spoken is not None and isinstance(event, BotFinished) and event.message_id == spoken.message_id:
            self._spoken = None
            self._call.emit(RecordingAnnounced(self._at_ms, "spoken", spoken.text.strip()))

    @property
    def _at_ms(self) -> int:
        return self._monitor.clock_ms
