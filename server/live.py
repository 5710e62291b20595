"""Who listens to live calls.

Both sides of a call are mixed once, however many listen, and not at all while nobody does. Each listener has a queue
of its own: one that does not keep up is let go, and holds up neither the call nor the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Final

from media.frames import Pcm
from media.live import CHUNK_MS, LiveMix
from pipeline.session import Session
from server.call import Call
from server.ring import Entry

QUEUE_MS: Final = 5000
"""What waits for a listener at most."""
LOOK_S: Final = 1.0


class Ear:
    """One listener, from when he came."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._news = asyncio.Event()
        self.over = False
        """There will be no more than what waits."""
        self.overflowed = False
        """He has not taken what there was: some of it is lost."""

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return not self._chunks

    def offer(self, chunk: bytes) -> None:
        if len(self._chunks) >= QUEUE_MS // CHUNK_MS:
            self.overflowed = True
        else:
            self._chunks.append(chunk)
        self._news.set()

    def end(self) -> None:
        self.over = True
        self._news.set()

    async def take(self, patience_s: float) -> bytes | None:
        """The next chunk of audio; None: there was none for so long, or there is no more (``over``, ``overflowed``)."""
        while not self._chunks or self.overflowed:
            if self.over or self.overflowed:
                return None
            self._news.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._chunks.popleft()


class LiveAudio:
    """Of one call, while somebody listens."""

    def __init__(self, call: Call, session: Session) -> None:
        self._call = call
        self._session = session
        self._mix = LiveMix(session.sample_rate_hz, session.monitor.clock)
        self._ears: set[Ear] = set()

    @property
    def sample_rate_hz(self) -> int:
        return self._session.sample_rate_hz

    def join(self) -> Ear:
        """Listen from now on."""
        if not self._ears:
            self._session.guarded(partial(self._session.monitor.overheard_by, self, late=True))
            self._call.watch(self)
        ear = Ear()
        self._ears.add(ear)
        return ear

    def leave(self, ear: Ear) -> None:
        self._ears.discard(ear)
        if not self._ears:
            self._session.monitor.unheard_by(self)
            self._call.unwatch(self)
            if self._call.live is self:
                self._call.live = None

    # --- what the call tells ------------------------------------------------------------------------------

    def caller(self, start: int, pcm: Pcm) -> None:
        self._give(self._mix.caller(start, pcm))

    def bot(self, at: int, pcm: Pcm) -> None:
        self._mix.bot(at, pcm)

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """What a watcher is told. An end may be that of one agent's part: then the session goes on."""
        if entry is not None and entry.event == "call.ended" and self._session.ended:
            self._give(self._mix.rest())
            for ear in self._ears:
                ear.end()
        return True

    def _give(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            for ear in self._ears:
                ear.offer(chunk)


def audio_of(call: Call) -> LiveAudio | None:
    """What can be listened to of a call; None: its audio has not begun, or is over."""
    session = call.session
    if session is None or session.ended:
        return None
    if call.live is None:
        call.live = LiveAudio(call, session)
    return call.live


class Beginning:
    """Waits for a call to have audio, or to be over."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._news = asyncio.Event()

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        self._news.set()
        return True

    async def wait(self) -> LiveAudio | None:
        """None: it ended without."""
        self._call.watch(self)
        try:
            while True:
                found = audio_of(self._call)
                if found is not None or self._call.is_over or self._call.session is not None:
                    return found
                self._news.clear()
                with suppress(TimeoutError):
                    # One that nobody was told of ends without a word.
                    async with asyncio.timeout(LOOK_S):
                        await self._news.wait()
        finally:
            self._call.unwatch(self)
