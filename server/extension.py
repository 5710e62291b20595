"""The extension that a caller dials right after he was put through: the first seconds of a call of a line, before it
begins.

What he says meanwhile is kept, and heard by the conversation as it begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from media.frames import AudioFrame
from media.ports import LegListener
from pipeline.keys import Keys

CLOSES: Final = "#"
MAX_DIGITS: Final = 32

Begin = Callable[[str | None], LegListener | None]
"""The window is over: begin the conversation of a call with this extension. None: there is none after all."""


class ExtensionWindow:
    """Of one call, as what its leg tells: first to this, then to the conversation. It is silent for ``window_s``,
    counted while there is a way to the caller; no key makes it longer. ``over`` is told where the leg is gone before."""

    def __init__(
        self, sample_rate_hz: int, window_s: float, begin: Begin, over: Callable[[str, str], None]
    ) -> None:
        self._begin = begin
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._keys = Keys(sample_rate_hz)
        self._digits = ""
        self._end = 0
        self._left_s = window_s
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(window_s, self._close)
        self._open = True
        self._waiting: list[Callable[[LegListener], None]] = []
        """What the conversation is to be told as it begins: audio, no longer than the window and what its path may be
        lost for; and what comes in the moment until it has begun."""
        self._to: LegListener | None = None

    def _close(self) -> None:
        """The window is over: from the next turn of the loop on, when the conversation has begun, it is told all."""
        self.stop()
        listener = self._begin(self._digits or None)
        if listener is not None:
            self._loop.call_soon(self._hand_on, listener)

    def _hand_on(self, listener: LegListener) -> None:
        waiting, self._waiting = self._waiting, []
        self._to = listener
        for tell in waiting:
            tell(listener)

    def stop(self) -> None:
        """No key counts for the extension any more, and no conversation begins by itself."""
        self._open = False
        self._pause()

    def _pause(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, tell: Callable[[LegListener], None]) -> None:
        if self._to is None:
            self._waiting.append(tell)
        else:
            tell(self._to)

    # --- what the leg tells -------------------------------------------------------------------------------

    def on_audio(self, frame: AudioFrame) -> None:
        if self._to is not None:
            self._to.on_audio(frame)
            return
        self._end = frame.end
        heard = self._keys.without_tone(frame)
        self._tell(lambda listener: listener.on_audio(heard))

    def on_mark(self, name: str, at: float | None = None) -> None:
        self._tell(lambda listener: listener.on_mark(name, at))

    def on_dtmf(self, digit: str) -> None:
        if not self._open:
            self._tell(lambda listener: listener.on_dtmf(digit))
            return
        self._keys.pressed(digit, self._end)
        if digit != CLOSES:
            self._digits += digit
        if digit == CLOSES or len(self._digits) >= MAX_DIGITS:
            self._close()

    def on_way(self, way_s: float, clear_s: float) -> None:
        self._tell(lambda listener: listener.on_way(way_s, clear_s))

    def on_lost(self) -> None:
        """Who cannot dial does not use up his time."""
        if not self._open:
            self._tell(lambda listener: listener.on_lost())
        elif self._timer is not None:
            self._left_s = max(0.0, self._left_s - (self._loop.time() - self._since))
            self._pause()

    def on_back(self) -> None:
        if not self._open:
            self._tell(lambda listener: listener.on_back())
        elif self._timer is None:
            self._since = self._loop.time()
            self._timer = self._loop.call_later(self._left_s, self._close)

    def on_closed(self, reason: str, detail: str) -> None:
        if self._open:
            self.stop()
            self._over(reason, detail)
        else:
            self._tell(lambda listener: listener.on_closed(reason, detail))
