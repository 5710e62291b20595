"""The audio path of one browser call, as an ``AudioLeg``.

It outlives its peer connection: where the network goes, the leg is lost, and another connection may be attached to
it. Time and order are decided in ``inbound`` and ``sendclock``.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from media.frames import AudioFrame, Pcm
from media.ports import LegFormat, LegListener
from media.rtc.inbound import CLOCK_HZ, Conceal, Decode, Inbound, Output, Packet
from media.rtc.opus import PACKET_MS, Decoder, Encoder, OpusError, duration
from media.rtc.sendclock import Next, SendClock

RATE_HZ: Final = 16_000
"""All that voice detectors and recognisers want to have."""
FRAME: Final = RATE_HZ * PACKET_MS // 1000
MARK_EVERY_MS: Final = 100
CLEARED_LEAD_MS: Final = 160
"""The lead to a page that plays nothing of what is void: it costs nothing there, and bridges more."""
WAITING_MS: Final = 160
"""Audio that waits here to be sent."""
ASSUMED_BUFFER_S: Final = 0.07
"""How long a browser that does not say it keeps audio: what was sent ahead, of which Chromium plays half away in the
first seconds, by leaving out samples."""
MAX_BUFFER_S: Final = 0.5
OUTPUT_S: Final = 0.015
"""From that buffer to the ear, and until a change of the volume is heard."""
SPARE_S: Final = 0.04
"""For so much longer than it should take is the page silent after a clear."""
MAX_BUFFERED: Final = 500
"""Frames, 10 s: a session sends a fraction of a second ahead."""
LOST_S: Final = 2.0
"""Without any sign of life for so long a connection counts as lost."""
SURE_S: Final = 0.5
"""Without any for so long nobody knows whether what was sent is heard. Who leaves out silence gives one each 0.4 s."""
LOOK_S: Final = 0.25
STALLED_S: Final = 0.02
READ_S: Final = 0.01
"""A timer that is so late waits so long again."""
ROUND_TRIP_EVERY_S: Final = 2.0
_QUIET = np.zeros(FRAME, dtype=np.int16)


class Connection(Protocol):
    """The peer connection, as far as its audio is concerned."""

    @property
    def ready(self) -> bool:
        """Packets can be sent."""

    def send(self, payload: bytes, timestamp: int) -> None: ...

    def release(self) -> None: ...

    async def close(self) -> None: ...

    async def round_trip_s(self) -> float | None: ...


Silence = Callable[[int], bool]
"""Has the page play nothing for so many milliseconds. False: it cannot be told."""


class RtcLeg:
    """One browser's audio. ``run`` is its life from the first connection to the end of the call."""

    def __init__(self, *, lead_ms: int, resume_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._lead_ms = lead_ms
        self._resume_s = resume_s
        self._clock = SendClock(lead_ms)
        self._inbound = Inbound()
        self._encoder = Encoder(RATE_HZ)
        self._decoder = Decoder(RATE_HZ)
        self._outbox: deque[Pcm | str] = deque()
        self._frames = 0
        self._pumping: asyncio.TimerHandle | None = None
        self._pump_at = math.inf
        # When they are due is kept here: handles of uvloop do not always know.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self._peer: Connection | None = None
        self._listener: LegListener | None = None
        self._position = 0
        self._network_s = 0.0
        self._buffer_s = ASSUMED_BUFFER_S
        self._silence: Silence | None = None
        self._audible_until = -math.inf
        """When the last audio that was sent is over, but for the way there."""
        self._alive_at = self._loop.time()
        self._doubtful: deque[str] = deque()
        """Marks of what should have been heard since the last sign of life."""
        self._lost_at: float | None = None
        self._asked_at = 0.0
        self._over: asyncio.Future[tuple[str, str]] = self._loop.create_future()
        self._crash: Exception | None = None
        self.faults = 0
        """Packets that were no Opus."""

    @property
    def format(self) -> LegFormat:
        # More than the lead: behind a stall the lead is filled at once, before the conversation has its turn.
        return LegFormat(RATE_HZ, max(self._lead_ms, CLEARED_LEAD_MS) + WAITING_MS, MARK_EVERY_MS)

    @property
    def lost(self) -> bool:
        return self._lost_at is not None

    @property
    def over(self) -> bool:
        return self._over.done()

    # --- to the caller ------------------------------------------------------------------------------------

    def send(self, pcm: Pcm) -> None:
        for start in range(0, len(pcm), FRAME):
            if self._frames >= MAX_BUFFERED:
                return
            self._outbox.append(pcm[start : start + FRAME])
            self._frames += 1
        self.pump()

    def mark(self, name: str) -> None:
        self._outbox.append(name)
        if not self._frames:
            self._return_marks()

    def clear(self) -> None:
        self._outbox.clear()
        self._frames = 0
        now = self._loop.time()
        left_s = self._audible_until + self._way_s - self._network_s - now
        if self._silence is not None and left_s > 0:
            silent_s = left_s + SPARE_S
            if self._silence(math.ceil(silent_s * 1000)):
                self._clock.hold(now + silent_s)

    async def hang_up(self, detail: str) -> None:
        """The call is over. Its door closes the connection, when the page has been told."""
        self._end("hangup", detail)

    def pump(self) -> None:
        """Send what is due, and see to it that the rest is sent when that is."""
        self._pump_when(self._clock.deadline(audio=self._frames > 0))

    def _pump_when(self, due: float | None) -> None:
        if self._pumping is not None:
            if due is not None and self._pump_at <= due:
                return
            self._pumping.cancel()
            self._pumping = None
        if due is not None and not self.over:
            self._pump_at = max(due, self._loop.time())
            self._pumping = self._loop.call_at(self._pump_at, self._guarded, self._pump)

    def _pump(self) -> None:
        self._pumping, peer = None, self._peer
        if peer is None or not peer.ready or self.over:
            return  # Who makes it ready pumps again.
        if not self._frames and self._loop.time() - self._pump_at > STALLED_S:
            # The loop stood still. Who has audio for the time that passed comes behind this.
            self._pump_at = self._loop.time() + READ_S
            self._pumping = self._loop.call_at(self._pump_at, self._guarded, self._pump)
            return
        now = max(self._loop.time(), self._pump_at)  # Timers of some loops come a little early.
        while (what := self._clock.next(now, audio=self._frames > 0)) is not None:
            payload = self._encoder.encode(self._fetch() if what is Next.AUDIO else _QUIET)
            timestamp = self._clock.sent(what)
            if what is Next.AUDIO:
                self._audible_until = self._clock.heard_until
                self._return_marks()
            if what is Next.AUDIO or len(payload) > 2:
                peer.send(payload, timestamp)
        self.pump()

    def _fetch(self) -> Pcm:
        self._return_marks()
        pcm = self._outbox.popleft()
        assert not isinstance(pcm, str)
        self._frames -= 1
        return pcm

    def _return_marks(self) -> None:
        """Marks that stand before all audio: they come back when what was sent before has been heard, and the news of
        that would have come back."""
        while self._outbox and isinstance(self._outbox[0], str):
            name = self._outbox.popleft()
            due = max(self._loop.time(), self._clock.heard_until) + 2 * self._way_s
            self._loop.call_at(due, self._heard, name, due)

    def _heard(self, name: Pcm | str, at: float | None = None) -> None:
        """``at``: when that was; this may be late for a stall."""
        if self._listener is None or not isinstance(name, str) or self.lost:
            return
        if self._loop.time() - self._alive_at > SURE_S:
            self._doubtful.append(name)
        else:
            self._listener.on_mark(name, at)

    # --- from the caller ----------------------------------------------------------------------------------

    def on_packet(self, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        if self._listener is None or self.over:
            return
        self.alive()
        try:
            ticks = duration(payload, CLOCK_HZ)
        except OpusError:
            self.faults += 1
            return
        packet = Packet(ssrc, sequence, timestamp, ticks, payload)
        self._guarded(lambda: self._hand_on(self._inbound.receive(packet, self._loop.time())))
        self._arm()

    def _arm(self) -> None:
        """One timer, which is not moved with every packet: it looks again where it has come too early. Only a hole makes
        it come sooner."""
        deadline = self._inbound.deadline()
        if deadline is None or self.lost or self.over:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at, self._timer = deadline, self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        now, self._timer = self._loop.time(), None
        if now - self._timer_at > STALLED_S:
            # The loop stood still. What came meanwhile is read behind this, and was not late.
            self._timer_at, self._timer = now + READ_S, self._loop.call_later(READ_S, self._on_timer)
        elif not self.lost and not self.over:
            self._guarded(lambda: self._hand_on(self._inbound.tick(self._loop.time())))
            self._arm()

    def _hand_on(self, outputs: list[Output]) -> None:
        for output in outputs:
            pcm = self._audio(output)
            if len(pcm) and self._listener is not None:
                frame = AudioFrame(pcm, RATE_HZ, self._position)
                self._position = frame.end
                self._listener.on_audio(frame)

    def _audio(self, output: Output) -> Pcm:
        if isinstance(output, Decode):
            try:
                return self._decoder.decode(output.payload)
            except OpusError:
                self.faults += 1
                return np.zeros(duration(output.payload, RATE_HZ), dtype=np.int16)
        samples = output.ticks * RATE_HZ // CLOCK_HZ
        if isinstance(output, Conceal):
            with contextlib.suppress(OpusError):
                pcm = self._decoder.conceal(samples, output.behind)
                if len(pcm) == samples:
                    return pcm
        return np.zeros(samples, dtype=np.int16)

    # --- life ---------------------------------------------------------------------------------------------

    async def run(self, listener: LegListener) -> None:
        """Carry the audio until the call is over, and tell the listener how that came."""
        self._listener = listener
        self._tell_way()
        self._alive_at = self._look_at = self._loop.time()
        self._look()
        reason, detail = "failed", "internal error"
        try:
            reason, detail = await asyncio.shield(self._over)
        finally:
            self._end(reason, detail)
            for handle in (self._timer, self._watch, self._pumping):
                if handle is not None:
                    handle.cancel()
            self._encoder.close()
            self._decoder.close()
            listener.on_closed(reason, detail)
        if self._crash is not None:
            raise self._crash

    def attach(self, peer: Connection) -> Connection | None:
        """Go on by this connection; returns the one before, which is to be closed."""
        before, self._peer = self._peer, peer
        if before is not None:
            before.release()
        self.pump()
        return before

    def connected(self) -> None:
        """The connection that was attached last carries media now."""
        self.alive()

    def alive(self) -> None:
        """The other side gave a sign of life."""
        self._alive_at = self._loop.time()
        while self._doubtful:
            self._heard(self._doubtful.popleft())
        if self.lost and not self.over:
            self._lost_at = None
            self._inbound = Inbound()
            self._tell(lambda listener: listener.on_back())

    def gone(self, *, closed: bool) -> None:
        """The connection is over; ``closed``: the browser said so."""
        if closed and not self.lost:
            self._end("client_hangup", "the browser closed the connection")
        elif not self.lost:
            self._lose()

    def give_up(self, detail: str) -> None:
        """It will not be carried on."""
        self._end("failed", detail)

    def _look(self) -> None:
        """Is anybody there?"""
        now = self._loop.time()
        self._alive_at += max(0.0, now - self._look_at)  # If this is late, so is what was received.
        if self._lost_at is None and now - self._alive_at >= LOST_S:
            self._lose()
        elif self._lost_at is not None and now - self._lost_at >= self._resume_s:
            self._end(
                "failed",
                f"the browser's media was lost, and it did not come back within {self._resume_s:g} s",
            )
        if not self.over:
            self._look_at, self._watch = now + LOOK_S, self._loop.call_later(LOOK_S, self._look)

    def _lose(self) -> None:
        self._lost_at = self._loop.time()
        self._outbox.clear()
        self._doubtful.clear()
        self._frames = 0
        self._tell(lambda listener: listener.on_lost())

    def measured(self, round_trip_s: float) -> None:
        """How long packets take there and back."""
        self._network_s = min(0.5, round_trip_s / 2)
        self._tell_way()

    def plays(self, buffer_s: float | None, silence: Silence | None) -> None:
        """What the page knows of its own play-out: how long audio waits there, and, with ``silence``, that it is able to
        play nothing of what has come already."""
        self._silence = silence
        self._clock.lead_s = (self._lead_ms if silence is None else CLEARED_LEAD_MS) / 1000
        if buffer_s is not None:
            self._buffer_s = min(max(buffer_s, 0.0), MAX_BUFFER_S)
        else:
            self._buffer_s = ASSUMED_BUFFER_S if silence is None else self._clock.lead_s
        self._tell_way()

    @property
    def _way_s(self) -> float:
        """From when something is due to when it is heard. A browser that keeps less than what was sent ahead plays it
        before."""
        ahead_s = self._clock.lead_s
        return self._network_s + max(self._buffer_s - ahead_s, -ahead_s / 2) + OUTPUT_S

    def _tell_way(self) -> None:
        clear_s = (
            self._network_s + OUTPUT_S if self._silence is not None else self._way_s + self._clock.lead_s
        )
        self._tell(lambda listener: listener.on_way(self._way_s, clear_s))

    def _tell(self, say: Callable[[LegListener], None]) -> None:
        listener = self._listener
        if listener is not None:
            self._guarded(lambda: say(listener))

    def _guarded(self, act: Callable[[], None]) -> None:
        """A bug that a packet meets must not end the connection without a word: ``run`` raises it."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - raised by run
            self._crash = error
            self._end("failed", "internal error")

    def _end(self, reason: str, detail: str) -> None:
        if not self._over.done():
            self._over.set_result((reason, detail))
            self.clear()
