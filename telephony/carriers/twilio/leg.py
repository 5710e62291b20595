"""The audio path of one Twilio call: its media socket as an ``AudioLeg``.

Only this module knows that the audio travels as base64 in JSON. The socket is a small port, so that the web
framework stays out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

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


class TwilioLeg:
    """One media stream. ``run`` reads it until it ends; sending goes through a bounded outbox."""

    def __init__(self, socket: MediaSocket, start: wire.Start, *, lead_ms: int) -> None:
        self._socket = socket
        self._stream_sid = start.stream_sid
        self._format = LegFormat(wire.SAMPLE_RATE_HZ, lead_ms)
        self._chunks = ChunkSequence()
        self._position = 0
        self._outbox: deque[str] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._closed = asyncio.Event()
        self._overflowed = False
        self.counters = LegCounters()

    @property
    def format(self) -> LegFormat:
        return self._format

    # --- to the caller ------------------------------------------------------------------------------------

    def send(self, pcm: Pcm) -> None:
        self._put(wire.media(self._stream_sid, ulaw_encode(pcm)))

    def mark(self, name: str) -> None:
        self._put(wire.mark(self._stream_sid, name))

    def clear(self) -> None:
        # What has not left yet would be played after the clear.
        self._outbox.clear()
        self._put(wire.clear(self._stream_sid))

    def _put(self, text: str) -> None:
        if self._closing or self._overflowed:
            return
        if len(self._outbox) >= OUTBOX:
            self._overflowed = True
        else:
            self._outbox.append(text)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            while self._outbox:
                await self._socket.send(self._outbox.popleft())
            if self._closing or self._overflowed:
                return
            self._wake.clear()
            await self._wake.wait()

    async def hang_up(self, detail: str) -> None:
        """Close the stream. Our TwiML has no further verb, so that this ends the call at the carrier."""
        self._closing = True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._socket.close(1000, detail[:120])
                await self._closed.wait()

    # --- from the caller ----------------------------------------------------------------------------------

    async def run(self, listener: LegListener) -> None:
        """Read the stream until it is over, and tell the listener how that came."""
        reason, detail = "failed", "the media stream broke off"
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(), name="media writer")
                reason, detail = await self._read(listener)
                writer.cancel()
        except* ConnectionError as errors:
            detail = f"the media stream broke off: {errors.exceptions[0]}"
        finally:
            self._closing = True
            self._closed.set()
            listener.on_closed(reason, detail)

    async def _read(self, listener: LegListener) -> tuple[str, str]:
        while True:
            text = await self._socket.receive()
            if text is None:
                return "failed", "the media stream broke off without a stop"
            if self._overflowed:
                await self._socket.close(1008, "the stream does not take its audio")
                return "failed", "the carrier did not take the audio"
            try:
                message = wire.parse(text)
            except CarrierProtocolError as error:
                self.counters.faults += 1
                if self.counters.faults >= MAX_FAULTS:
                    await self._socket.close(1002, "too many malformed messages")
                    return "failed", f"{MAX_FAULTS} malformed messages from the carrier, the last: {error}"
                continue
            if isinstance(message, wire.Media):
                self._take(message, listener)
            elif isinstance(message, wire.Mark):
                listener.on_mark(message.name)
            elif isinstance(message, wire.Dtmf):
                listener.on_dtmf(message.digit)
            elif isinstance(message, wire.Stop):
                return "hangup", "the caller hung up"

    def _take(self, message: wire.Media, listener: LegListener) -> None:
        if message.track != "inbound":
            return
        missing = self._chunks.missing_before(message.chunk)
        if missing is None:
            return  # A repeated or late one: its place is taken.
        if missing:
            self._hand_on(np.zeros(missing * wire.FRAME_BYTES, dtype=np.int16), listener)
        self._hand_on(ulaw_decode(message.payload), listener)

    def _hand_on(self, pcm: Pcm, listener: LegListener) -> None:
        if len(pcm):
            frame = AudioFrame(pcm, wire.SAMPLE_RATE_HZ, self._position)
            self._position = frame.end
            listener.on_audio(frame)
