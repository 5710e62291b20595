"""The audio path of one AudioSocket call, as an ``AudioLeg``.

It paces what it sends itself, for the PBX does not; and since that confirms nothing, marks come back when what was
sent before them must have been heard. What was sent cannot be taken back. When things go is decided in ``pacing``, and
what time makes of what does not come in ``arrivals``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from media.frames import AudioFrame, Pcm
from media.ports import LegFormat, LegListener
from media.resample import Resampler
from telephony.carriers.audiosocket import wire
from telephony.carriers.audiosocket.arrivals import Arrivals
from telephony.carriers.audiosocket.pacing import FRAME_S, Next, Pacer

MARK_EVERY_MS: Final = 100
WAY_S: Final = FRAME_S / 2
"""The first frame of a message waits for the silence before it to be over, for half a frame on average."""
MAX_BUFFERED: Final = 500
"""Frames, 10 s: a session sends a fraction of a second ahead."""
MAX_UNSENT_S: Final = 1.0
"""Audio that may wait for a PBX that does not take it."""
MAX_FAULTS: Final = 100
"""Messages that make no sense, after which the connection is given up."""
MAX_FLOOD_S: Final = 60.0
"""Audio that came faster than time passes, after which it is."""
DTMF_EVERY_S: Final = 0.02
"""Keys that come faster are not pressed by anybody."""
LAST_WORD_S: Final = 0.5
"""The most that a hang-up waits for what was sent to be heard."""
CLOSE_S: Final = 2.0
WIDE_HZ: Final = 16_000
NARROW_HZ: Final = 8_000


class Reader(Protocol):
    """Who is told what the PBX says."""

    def on_message(self, message: wire.Message) -> None: ...

    def on_gone(self) -> None:
        """The connection is over."""


class Line(Protocol):
    """The connection to the PBX. Writing never blocks."""

    def deliver(self, reader: Reader) -> None:
        """What comes from now on goes there; what has come already goes first."""

    @property
    def unsent(self) -> int:
        """Bytes that were written, and that the system has not taken yet."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """End it when all that was written has left."""

    async def closed(self) -> None:
        """Wait until it is gone."""


class AudioSocketLeg:
    """One caller behind a PBX. ``run`` is its life, from the first audio to the end of the connection.

    ``rate_hz``: of the PBX's audio. Detectors and recognisers take 8 and 16 kHz; other rates are changed on the way.
    ``way_ms``: from the PBX to the caller's ear, which nothing on this connection tells.
    """

    def __init__(self, line: Line, rate_hz: int, *, lead_ms: int, way_ms: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._line = line
        self._rate_hz = rate_hz
        self._inner_hz = NARROW_HZ if rate_hz < WIDE_HZ else WIDE_HZ
        self._lead_ms = lead_ms
        self._beyond_s = way_ms / 1000
        self._way_s = WAY_S + self._beyond_s
        self._frame = round(self._inner_hz * FRAME_S)
        self._quiet = np.zeros(self._frame, dtype=np.int16)
        self._up, self._down = Resampler(self._inner_hz, rate_hz), Resampler(rate_hz, self._inner_hz)
        self._pacer = Pacer(lead_ms, self._loop.time())
        self._arrivals = Arrivals(self._inner_hz)
        self._outbox: deque[Pcm | str] = deque()
        self._frames = 0
        self._timer: asyncio.TimerHandle | None = None
        self._listener: LegListener | None = None
        self._position = 0
        self._digit_at = -1.0
        self._leaving = False
        self._over: asyncio.Future[tuple[str, str]] = self._loop.create_future()
        self._crash: Exception | None = None
        self.faults = 0
        """Messages that made no sense."""

    @property
    def format(self) -> LegFormat:
        # More than the lead, so that the lead is full between two batches.
        return LegFormat(self._inner_hz, self._lead_ms + 40, MARK_EVERY_MS)

    @property
    def slips(self) -> int:
        """How often a frame went later than it was to be heard."""
        return self._pacer.slips

    # --- to the caller ------------------------------------------------------------------------------------

    def send(self, pcm: Pcm) -> None:
        for start in range(0, len(pcm), self._frame):
            if self._frames >= MAX_BUFFERED:
                return
            self._outbox.append(pcm[start : start + self._frame])
            self._frames += 1
        self._pump()

    def mark(self, name: str) -> None:
        self._outbox.append(name)
        self._return_marks()

    def clear(self) -> None:
        self._outbox.clear()
        self._frames = 0

    async def hang_up(self, detail: str) -> None:
        """Have the PBX go on without us. What was sent is let be heard before."""
        if not self._over.done():
            self.clear()
            self._leaving = True
            left_s = self._pacer.heard_until + self._beyond_s - self._loop.time()
            await asyncio.sleep(min(LAST_WORD_S + self._beyond_s, max(0.0, left_s)))
        if not self._over.done():
            self._line.write(wire.hangup())
            self._end("hangup", detail)
        self._line.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._line.closed()
        except TimeoutError:
            return  # Its door ends it.

    def _pump(self) -> None:
        """Send what is due, and wait for what is due next."""
        if self._listener is None or self._leaving or self._over.done():
            return
        now = self._loop.time()
        while (what := self._pacer.next(now, audio=self._frames > 0)) is not None:
            pcm = self._fetch() if what is Next.AUDIO else self._quiet
            self._pacer.sent(what, now)
            self._write(pcm)
            self._return_marks()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._pacer.deadline(audio=self._frames > 0), self._on_timer)

    def _write(self, pcm: Pcm) -> None:
        if self._line.unsent > MAX_UNSENT_S * self._rate_hz * 2:
            self._end("failed", "the PBX did not take the audio")
            return
        samples = self._up.process(pcm)
        if len(samples):
            # In one piece: an Asterisk that finds half a message gives up.
            self._line.write(wire.audio(samples, self._rate_hz))

    def _fetch(self) -> Pcm:
        pcm = self._outbox.popleft()
        assert not isinstance(pcm, str)
        self._frames -= 1
        return pcm

    def _return_marks(self) -> None:
        """Marks that stand before all audio: they come back when what was sent before must have been heard."""
        while self._outbox and isinstance(self._outbox[0], str):
            # As if they came back all the way from the ear.
            due = max(self._loop.time(), self._pacer.heard_until) + self._beyond_s + self._way_s
            self._loop.call_at(due, self._heard, self._outbox.popleft(), due)

    def _heard(self, name: Pcm | str, at: float) -> None:
        if self._listener is not None and isinstance(name, str) and not self._over.done():
            self._listener.on_mark(name, at)

    # --- from the caller ----------------------------------------------------------------------------------

    def on_message(self, message: wire.Message) -> None:
        """The PBX said something."""
        if self._listener is not None and not self._over.done():
            self._guarded(lambda: self._take(message))

    def _take(self, message: wire.Message) -> None:
        assert self._listener is not None
        if isinstance(message, wire.Audio):
            self._hear(message)
        elif isinstance(message, wire.Dtmf):
            now = self._loop.time()
            if now - self._digit_at >= DTMF_EVERY_S:
                self._digit_at = now
                self._listener.on_dtmf(message.digit)
        elif isinstance(message, wire.Hangup):
            self._end("hangup", "the caller hung up")
        elif isinstance(message, wire.Fault):
            reason = "hangup" if message.code == b"\x01" else "failed"
            self._end(reason, f"the PBX said: {wire.meaning(message.code)}")
        elif isinstance(message, wire.Malformed | wire.Identify):
            self.faults += 1
            if self.faults >= MAX_FAULTS:
                why = message.why if isinstance(message, wire.Malformed) else "another UUID"
                self._end("failed", f"{MAX_FAULTS} messages of the PBX made no sense, the last: {why}")

    def _hear(self, message: wire.Audio) -> None:
        if message.rate_hz != self._down.from_hz:
            self._down = Resampler(message.rate_hz, self._inner_hz)
        pcm = self._down.process(message.pcm)
        if not len(pcm):
            return
        missing = self._arrivals.received(len(pcm), self._loop.time())
        if missing is None:
            if self._arrivals.dropped > MAX_FLOOD_S * self._inner_hz:
                self._end("failed", "the PBX sends audio faster than it can be heard")
            return
        self._hand_on_silence(missing)
        self._hand_on(pcm)

    def _hand_on_silence(self, samples: int) -> None:
        for _ in range(0, samples, self._frame):
            self._hand_on(self._quiet)

    def _hand_on(self, pcm: Pcm) -> None:
        if self._listener is not None:
            frame = AudioFrame(pcm, self._inner_hz, self._position)
            self._position = frame.end
            self._listener.on_audio(frame)

    # --- life ---------------------------------------------------------------------------------------------

    async def run(self, listener: LegListener) -> None:
        """Carry the audio until the call is over, and tell the listener how that came."""
        reason, detail = "failed", "internal error"
        try:
            await asyncio.sleep(0)  # The conversation begins before its audio does.
            self._listener = listener
            self._pacer = Pacer(self._lead_ms, self._loop.time())
            self._line.deliver(self)
            # Out is, on average, half a frame less than the lead, and cannot be taken back.
            listener.on_way(self._way_s, self._way_s + (self._lead_ms - 20) / 1000)
            self._pump()
            reason, detail = await asyncio.shield(self._over)
        finally:
            self._end(reason, detail)
            listener.on_closed(reason, detail)
        if self._crash is not None:
            raise self._crash

    def on_gone(self) -> None:
        """The connection is gone. Asterisk ends it so, and often harshly, when the caller hangs up."""
        self._end("hangup", "the caller hung up")

    def _on_timer(self) -> None:
        def tick() -> None:
            self._hand_on_silence(self._arrivals.tick(self._loop.time()))
            self._pump()

        self._guarded(tick)

    def _guarded(self, act: Callable[[], None]) -> None:
        """A bug that a message meets must not end the connection without a word: ``run`` raises it."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - raised by run
            self._crash = error
            self._end("failed", "internal error")

    def _end(self, reason: str, detail: str) -> None:
        if not self._over.done():
            self._over.set_result((reason, detail))
            self.clear()
            if self._timer is not None:
                self._timer.cancel()
