"""The other end of a phone line behind a PBX: the real AudioSocket leg, its line a ``FarEnd``'s network."""

from __future__ import annotations

import asyncio

from benchmarks._far_end import RATE_HZ, FarEnd
from media.frames import AudioFrame
from telephony.carriers.audiosocket import wire
from telephony.carriers.audiosocket.leg import AudioSocketLeg, Reader


class PbxLine:
    """A connection to a PBX that hands on what it is given the moment it comes, and confirms nothing. As the far end's
    listener it says what the caller says."""

    def __init__(self, far: FarEnd) -> None:
        self._far = far
        self._parser = wire.Parser()
        self._reader: Reader | None = None
        self._gone = asyncio.Event()
        far.listener = self

    # --- a leg's ``Line`` ---------------------------------------------------------------------------------

    unsent = 0

    def deliver(self, reader: Reader) -> None:
        self._reader = reader

    def write(self, data: bytes) -> None:
        for message in self._parser.feed(data):
            if isinstance(message, wire.Audio):
                self._far.send(message.pcm)

    def close(self) -> None:
        self._gone.set()

    async def closed(self) -> None:
        await self._gone.wait()
        await self._far.hang_up("")

    # --- a far end's listener -----------------------------------------------------------------------------

    def on_audio(self, frame: AudioFrame) -> None:
        if self._reader is not None:
            self._reader.on_message(wire.Audio(RATE_HZ, frame.pcm))

    def on_mark(self, name: str, at: float | None = None) -> None: ...

    def on_dtmf(self, digit: str) -> None: ...

    def on_lost(self) -> None: ...

    def on_back(self) -> None: ...

    def on_way(self, way_s: float, clear_s: float) -> None: ...

    def on_closed(self, reason: str, detail: str) -> None: ...


def pbx_leg(far: FarEnd, lead_ms: int, way_ms: int) -> AudioSocketLeg:
    """The leg of a call whose caller is at the far end."""
    return AudioSocketLeg(PbxLine(far), RATE_HZ, lead_ms=lead_ms, way_ms=way_ms)
