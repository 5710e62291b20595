"""The audio path of one Twilio call: its media socket as an ``AudioLeg``.

Only this module knows that the audio travels as base64 in JSON. The socket is a small port, so that the web
framework stays out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from media.callerclock import CallerClock
from media.frames import AudioFrame, Pcm
from media.g711 import ulaw_decode, ulaw_encode
from media.jitter import ChunkSequence
from media.ports import LegFormat, LegListener
from telephony.carriers.twilio import wire
from telephony.errors import CarrierProtocolError

START_TIMEOUT_S: Final = 5.0
"""A socket that does not say which call it is for so long is no carrier's."""
MAX_FAULTS: Final = 100
"""Messages that make no sense, after which the stream is given up."""
END_CALL_S: Final = 2.0
"""For the carrier to end a call when it is asked to; closing its stream does so as well."""
RESUMES: Final = 3
RESUMES_S: Final = 60.0
"""A stream that breaks more often in this time is not opened again."""
OUTBOX: Final = 1000
"""Messages that may wait for a socket that does not take them: some 20 s of audio."""


class MediaSocket(Protocol):
    """A WebSocket of text frames."""

    async def receive(self) -> str | None:
        """The next text; None when the peer has closed. Binary frames are None, too: none are allowed."""

    async def send(self, text: str) -> None: ...

    async def close(self, code: int, reason: str) -> None:
        """Close; may be called twice."""


class StreamRefused(Exception):
    """The stream cannot be taken; ``str()`` says why, and ``code`` is the close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


async def accept(socket: MediaSocket, call_id: str) -> wire.Start:
    """Read the stream's opening messages. Raises ``StreamRefused``."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            start = await _read_start(socket)
    except TimeoutError:
        raise StreamRefused(1008, f"no start message within {START_TIMEOUT_S:g} s") from None
    if start.call_sid != call_id:
        raise StreamRefused(1008, "this stream belongs to another call than its token")
    found = f"{start.encoding} {start.sample_rate_hz} Hz x{start.channels}"
    if (start.encoding, start.sample_rate_hz, start.channels) != (wire.ENCODING, wire.SAMPLE_RATE_HZ, 1):
        raise StreamRefused(1003, f"unsupported media format {found}; need audio/x-mulaw 8000 Hz x1")
    return start


async def _read_start(socket: MediaSocket) -> wire.Start:
    while True:
        text = await socket.receive()
        if text is None:
            raise StreamRefused(1002, "the stream closed before it started")
        try:
            message = wire.parse(text)
        except CarrierProtocolError as error:
            raise StreamRefused(1002, str(error)) from None
        if isinstance(message, wire.Start):
            return message
        if not isinstance(message, wire.Connected | wire.Unknown):
            raise StreamRefused(1002, f"expected start, got {type(message).__name__.lower()}")


@dataclass(slots=True)
class LegCounters:
    """What went wrong on the way, for metrics and the log."""

    faults: int = 0


@dataclass(eq=False, slots=True)
class _Stream:
    """One media stream of a call, and what waits to be sent on it."""

    socket: MediaSocket
    sid: str
    outbox: deque[str] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False
    overflowed: bool = False

    def put(self, text: str) -> None:
        if self.closing or self.overflowed:
            return
        if len(self.outbox) >= OUTBOX:
            self.overflowed = True
        else:
            self.outbox.append(text)
        self.wake.set()

    async def write(self) -> None:
        while True:
            while self.outbox:
                await self.socket.send(self.outbox.popleft())
            if self.closing or self.overflowed:
                return
            self.wake.clear()
            await self.wake.wait()


@dataclass(frozen=True, slots=True)
class _End:
    """How a stream ended."""

    reason: str
    detail: str
    may_come_back: bool = False


class TwilioLeg:
    """A call's audio, over one media stream after the other.

    ``run`` carries a stream until it ends. A stream that breaks off, or that is going to be opened anew
    (``reopening``), does not end the call: for ``resume_s`` it is lost, and ``attach`` brings it back. ``end_call``
    ends the call at the carrier; without it the call ends there with its stream.
    """

    def __init__(
        self,
        socket: MediaSocket,
        start: wire.Start,
        *,
        lead_ms: int,
        resume_s: float = 0.0,
        end_call: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream: _Stream | None = _Stream(socket, start.stream_sid)
        self._resume_s = resume_s
        self._end_call = end_call
        self._format = LegFormat(wire.SAMPLE_RATE_HZ, lead_ms)
        self._chunks = ChunkSequence()
        self._position = 0
        self._clock = CallerClock(wire.SAMPLE_RATE_HZ)
        """When each sample of the caller was, as far as the quickest frames tell."""
        self._lost_at: float | None = None
        """When a stream was lost behind which no audio has come yet."""
        self._lost: tuple[LegListener, _End] | None = None
        """Who is told, and what, if it stays so."""
        self._giving_up: asyncio.TimerHandle | None = None
        self._expects_another = False
        self._another_within_s: float | None = None
        self._settled = asyncio.Event()
        """It flows, or is over."""
        self._settled.set()
        self._over = False
        self._told = False
        self._moved = ""
        self._resumed: list[float] = []
        self.counters = LegCounters()

    @property
    def format(self) -> LegFormat:
        return self._format

    @property
    def over(self) -> bool:
        """No stream can bring it back."""
        return self._over

    # --- streams ------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Audio flows now."""
        return self._stream is not None and not self._over

    def reopening(self, within_s: float | None) -> None:
        """The carrier is told to end the stream and to open another one: its end is not that of the call, if another
        is there within this time; None: however long that takes."""
        self._expects_another, self._another_within_s = True, within_s
        self._settled.clear()
        if self._lost is not None:
            self._wait(within_s, *self._lost)

    def stays(self) -> None:
        """The stream is not going to be ended after all."""
        self._expects_another = False
        if self.open:
            self._settled.set()

    def moves_on(self, detail: str) -> None:
        """The carrier is told to end the stream, and goes on with the call without us."""
        self._moved = detail

    async def reopened(self) -> bool:
        """Wait for another stream. False: the call is over instead."""
        await self._settled.wait()
        return not self._over

    def may_resume(self) -> bool:
        """Another stream may be asked for: at most ``RESUMES`` in ``RESUMES_S``, unless it is one of ours."""
        if self._expects_another:
            return True
        now = self._loop.time()
        self._resumed = [at for at in self._resumed if now - at < RESUMES_S]
        self._resumed.append(now)
        return len(self._resumed) <= RESUMES

    def attach(self, socket: MediaSocket, start: wire.Start) -> None:
        """Go on over another stream of the same call: the newest counts. ``run`` carries it."""
        old, self._stream = self._stream, _Stream(socket, start.stream_sid)
        self._expects_another = False
        self._settled.set()
        self._chunks = ChunkSequence()
        if old is not None:
            old.closing = True
            old.wake.set()

    async def run(self, listener: LegListener) -> None:
        """Carry the present stream until it is over, and tell the listener how that came."""
        stream = self._stream
        if stream is None:
            return
        self._back(listener)
        end = _End("failed", "the media stream broke off", may_come_back=True)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(stream.write(), name="media writer")
                end = await self._read(stream, listener)
                writer.cancel()
        except* ConnectionError as errors:
            detail = f"the media stream broke off: {errors.exceptions[0]}"
            end = _End("failed", detail, may_come_back=True)
        finally:
            closing = stream.closing
            stream.closing = True
            stream.closed.set()
            if self._stream is stream:
                self._stream = None
                self._ended(end, listener, by_us=closing)

    def _ended(self, end: _End, listener: LegListener, *, by_us: bool) -> None:
        within_s: float | None = self._resume_s if end.may_come_back else 0.0
        if self._expects_another:
            within_s = self._another_within_s
            end = _End("failed", "the carrier did not open the media stream again")
        if self._moved:
            within_s, end = 0.0, _End("hangup", self._moved)
        if within_s == 0 or by_us or self._over:
            self._close(listener, end)
            return
        if self._lost_at is None:
            self._lost_at = self._loop.time()
        self._lost = (listener, end)
        self._wait(within_s, listener, end)
        listener.on_lost()

    def _wait(self, within_s: float | None, listener: LegListener, end: _End) -> None:
        """Give the call up when no other stream is there by then."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        if within_s is not None:
            self._giving_up = self._loop.call_later(within_s, self._close, listener, end)

    def _back(self, listener: LegListener) -> None:
        lost, self._lost = self._lost, None
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        if lost is not None:
            listener.on_back()

    def _close(self, listener: LegListener, end: _End) -> None:
        self._over = True
        self._lost = None
        self._settled.set()
        if not self._told:
            self._told = True
            listener.on_closed(end.reason, end.detail)

    # --- to the caller ------------------------------------------------------------------------------------

    def send(self, pcm: Pcm) -> None:
        if self._stream is not None:
            self._stream.put(wire.media(self._stream.sid, ulaw_encode(pcm)))

    def mark(self, name: str) -> None:
        if self._stream is not None:
            self._stream.put(wire.mark(self._stream.sid, name))

    def clear(self) -> None:
        if self._stream is not None:
            # What has not left yet would be played after the clear.
            self._stream.outbox.clear()
            self._stream.put(wire.clear(self._stream.sid))

    async def hang_up(self, detail: str) -> None:
        """End the call at the carrier, then close its stream. What the carrier asks after that is told to hang up."""
        was_over, self._over = self._over, True
        self._settled.set()
        if self._giving_up is not None:
            self._giving_up.cancel()
        stream = self._stream
        if stream is not None:
            stream.closing = True
            stream.wake.set()
        if self._end_call is not None and not was_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_CALL_S):
                    await self._end_call()
        if stream is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await stream.socket.close(1000, detail[:120])
                    await stream.closed.wait()

    # --- from the caller ----------------------------------------------------------------------------------

    async def _read(self, stream: _Stream, listener: LegListener) -> _End:
        while True:
            text = await stream.socket.receive()
            if text is None:
                return _End("failed", "the media stream broke off without a stop", may_come_back=True)
            if self._stream is not stream:
                return _End("hangup", "another stream took over")
            if stream.overflowed:
                await stream.socket.close(1008, "the stream does not take its audio")
                return _End("failed", "the carrier did not take the audio")
            try:
                message = wire.parse(text)
            except CarrierProtocolError as error:
                self.counters.faults += 1
                if self.counters.faults >= MAX_FAULTS:
                    await stream.socket.close(1002, "too many malformed messages")
                    return _End(
                        "failed", f"{MAX_FAULTS} malformed messages from the carrier, the last: {error}"
                    )
                continue
            if isinstance(message, wire.Media):
                self._take(message, listener)
            elif isinstance(message, wire.Mark):
                listener.on_mark(message.name)
            elif isinstance(message, wire.Dtmf):
                listener.on_dtmf(message.digit)
            elif isinstance(message, wire.Stop):
                return _End("hangup", "the caller hung up")

    def _take(self, message: wire.Media, listener: LegListener) -> None:
        if message.track != "inbound":
            return
        missing = self._chunks.missing_before(message.chunk)
        if missing is None:
            return  # A repeated or late one: its place is taken.
        if missing:
            self._hand_on(np.zeros(missing * wire.FRAME_BYTES, dtype=np.int16), listener)
        pcm, now = ulaw_decode(message.payload), self._loop.time()
        if self._lost_at is not None:
            # The recording and all clocks of audio go on as if silence had come: to the sample, since a call may be
            # opened anew many times.
            by_now = (now - self._lost_at) * wire.SAMPLE_RATE_HZ
            if self._position:
                by_now = self._clock.sample(now) - self._position
            self._hand_on(np.zeros(max(0, round(by_now) - len(pcm)), dtype=np.int16), listener)
            self._lost_at = None
        self._clock.frame(self._position + len(pcm), now)
        self._hand_on(pcm, listener)

    def _hand_on(self, pcm: Pcm, listener: LegListener) -> None:
        if len(pcm):
            frame = AudioFrame(pcm, wire.SAMPLE_RATE_HZ, self._position)
            self._position = frame.end
            listener.on_audio(frame)
