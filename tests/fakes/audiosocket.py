"""A PBX that speaks AudioSocket, written from the protocol's documentation and from what is known of Asterisk.

It says which call it is, speaks in frames of 20 ms on an absolute clock, hands what it is given to the caller's ear the
moment it comes, keeps the truth about when each sample was heard, and ends a connection as Asterisk does: without a
word. It is strict: what Asterisk would end the call for is a fault.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID

import numpy as np

from media import wav
from media.frames import Pcm
from media.g711 import ulaw_encode
from media.resample import Resampler, resample
from telephony.carriers.audiosocket import wire
from telephony.carriers.twilio.simulator import Playback
from telephony.carriers.twilio.simulator.loudness import loud_bounds

PERIOD_S = 0.02
PLAYED_HZ = 8000
"""What was heard is kept at this rate."""


class Recorded:
    """Speech for a caller to say. Reads and computes when it is made: not on the loop of a call."""

    def __init__(self, path: Path) -> None:
        pcm, rate_hz = wav.read(path)
        self._at = {to_hz: resample(pcm, rate_hz, to_hz) for to_hz in (8000, 16_000)}

    def at(self, rate_hz: int) -> Pcm:
        return self._at[rate_hz]


@dataclass
class Said:
    """Something that the caller says. ``nan`` until it has begun."""

    pcm: Pcm
    rate_hz: int
    at_s: float
    start_s: float = math.nan
    sent: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def onset_s(self) -> float:
        bounds = loud_bounds(ulaw_encode(resample(self.pcm, self.rate_hz, PLAYED_HZ)))
        return self.start_s + (bounds[0] if bounds else 0) / PLAYED_HZ


class PbxCall:
    """One call of the PBX."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate_hz: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader, self._writer = reader, writer
        self.rate_hz = rate_hz
        self._to_played = Resampler(rate_hz, PLAYED_HZ)
        self.playback = Playback()
        self.faults: list[str] = []
        self.ended: asyncio.Future[str] = self._loop.create_future()
        """How it did: ``hangup`` (a message said so), ``closed`` or ``reset``."""
        self.arrivals: list[float] = []
        self.begun_s = math.nan
        """The caller's first sample."""
        self._queue: list[Said] = []
        self.reads = True
        self.talks = True
        """False: the telephone sends nothing, not even silence."""
        self.lose = 0
        """Frames to come that are lost on their way to the PBX."""

    # --- what a script does -------------------------------------------------------------------------------

    def say(self, clip: Recorded, *, at_s: float | None = None) -> Said:
        said = Said(clip.at(self.rate_hz), self.rate_hz, self._loop.time() if at_s is None else at_s)
        self._queue.append(said)
        return said

    def dtmf(self, digit: str) -> None:
        self.raw(wire.dtmf(digit))

    def raw(self, data: bytes) -> None:
        self._writer.write(data)

    def hang_up(self) -> None:
        """The caller hangs up: Asterisk closes the connection."""
        self._writer.close()

    def reset(self) -> None:
        """The same while something of ours has not been read: the connection is reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def shut_ears(self) -> None:
        """Read nothing more. The system's buffer is small: it would hold some seconds otherwise."""
        self.reads = False
        cast(asyncio.Transport, self._writer.transport).pause_reading()

    def now(self) -> float:
        return self._loop.time()

    def epoch(self, at_s: float) -> float:
        """An instant of the loop's clock in seconds of the Unix epoch."""
        return at_s + datetime.now(UTC).timestamp() - self._loop.time()

    async def bot_speaking(self, *, after_s: float = -math.inf, timeout_s: float = 20) -> float:
        """Wait until something can be heard that began since then; returns when."""

        def began(now: float) -> float | None:
            return next((at for at, _ in self.playback.loud if after_s <= at <= now), None)

        return await self._until(began, timeout_s)

    async def bot_quiet(self, quiet_ms: float = 500, *, timeout_s: float = 20) -> float:
        def fell(now: float) -> float | None:
            loud = self.playback.loud
            return loud[-1][1] if loud and now - loud[-1][1] >= quiet_ms / 1000 else None

        return await self._until(fell, timeout_s)

    async def _until(self, found: Callable[[float], float | None], timeout_s: float) -> float:
        async with asyncio.timeout(timeout_s):
            while (at := found(self._loop.time())) is None:
                await asyncio.sleep(0.005)
        return at

    # --- the PBX's work -----------------------------------------------------------------------------------

    async def speak(self) -> None:
        frame = round(self.rate_hz * PERIOD_S)
        begun_s = self.begun_s = self._loop.time()
        number = 0
        while not self.ended.done():
            number += 1
            await asyncio.sleep(begun_s + number * PERIOD_S - self._loop.time())
            pcm = self._next(frame, begun_s + (number - 1) * PERIOD_S)
            if self.lose:
                self.lose -= 1
            elif self.talks:
                self.raw(wire.audio(pcm, self.rate_hz))

    def _next(self, frame: int, start_s: float) -> Pcm:
        quiet = np.zeros(frame, dtype=np.int16)
        if not self._queue or self._queue[0].at_s > start_s + 1e-6:
            return quiet
        said = self._queue[0]
        if not said.sent:
            said.start_s = start_s
        pcm = said.pcm[said.sent : said.sent + frame]
        said.sent += frame
        if said.sent >= len(said.pcm):
            self._queue.pop(0)
            said.done.set()
        return np.concatenate((pcm, quiet[len(pcm) :]))

    async def listen(self) -> None:
        try:
            while True:
                while not self.reads:
                    await asyncio.sleep(0.01)
                kind, length = struct.unpack(">BH", await self._reader.readexactly(3))
                payload = await self._reader.readexactly(length)
                if kind == wire.HANGUP:
                    self._end("hangup")
                    self._writer.close()  # As Asterisk does.
                    return
                self._play(kind, payload)
        except asyncio.IncompleteReadError:
            self._end("closed")
        except ConnectionError:
            self._end("reset")

    def _play(self, kind: int, payload: bytes) -> None:
        if kind not in wire.RATES_HZ:
            self.faults.append(f"kind {kind:#x}: Asterisk takes audio and hangup only")
        elif not payload or len(payload) % 2:
            self.faults.append(f"audio of {len(payload)} bytes")
        else:
            now = self._loop.time()
            if wire.RATES_HZ[kind] == self.rate_hz:
                pcm = self._to_played.process(np.frombuffer(payload, dtype="<i2").astype(np.int16))
                self.playback.play(ulaw_encode(pcm), now)
                self.arrivals.append(now)
            elif any(payload):
                self.faults.append(f"{wire.RATES_HZ[kind]} Hz, where {self.rate_hz} Hz was spoken")

    def _end(self, how: str) -> None:
        if not self.ended.done():
            self.ended.set_result(how)


@asynccontextmanager
async def connected(address: str, uuid: UUID | None, rate_hz: int = PLAYED_HZ) -> AsyncIterator[PbxCall]:
    """A connection that has said which call it is; ``None``: has said nothing."""
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # What is not read fills it soon.
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=sock)
    call = PbxCall(reader, writer, rate_hz)
    if uuid is not None:
        call.raw(wire.identify(uuid))
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(call.listen())
        speaking = tasks.create_task(call.speak()) if uuid is not None else None
        try:
            yield call
        finally:
            if speaking is not None:
                speaking.cancel()
            writer.close()
            try:
                async with asyncio.timeout(5):
                    await listening
            except TimeoutError:
                listening.cancel()
