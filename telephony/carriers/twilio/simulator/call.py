"""One simulated call: a caller on the line, speaking, listening, and keeping the truth about both."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from media import wav
from telephony.carriers.twilio.simulator import wire
from telephony.carriers.twilio.simulator.clip import Clip
from telephony.carriers.twilio.simulator.delay import Delay, DelayLine
from telephony.carriers.twilio.simulator.errors import CallOver, InvalidMessage
from telephony.carriers.twilio.simulator.playback import RATE_HZ, Playback
from telephony.carriers.twilio.simulator.recording import Stereo, stereo
from telephony.carriers.twilio.simulator.socket import MediaSocket
from telephony.carriers.twilio.simulator.ticker import PERIOD_S, Ticker

FRAME_SAMPLES: Final = 160
BOT_QUIET_MS: Final = 500
"""Quiet after which the bot is said to have stopped, in the facts; the fact tells when it fell quiet."""
MAX_BACKLOG: Final = 1 << 20
"""Bytes that a server may leave unread, about a minute and a half of a call, before the carrier gives up."""

_SILENT_FRAME: Final = Clip.from_ulaw(b"\xff" * FRAME_SAMPLES).frames[0]
_MAX_LOG: Final = 10_000
_TIMER_RESOLUTION_S: Final = 1e-3
_DTMF: Final = frozenset("0123456789*#ABCD")

FactKind = Literal[
    "call.started",
    "bot.audible",
    "bot.quiet",
    "caller.speaking",
    "caller.quiet",
    "caller.dtmf",
    "mark",
    "clear",
    "fault",
    "call.ended",
]
EndReason = Literal["caller", "server", "dropped", "failed"]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened at the far end, at the instant it was to be heard there (loop's clock)."""

    at_s: float
    kind: FactKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How the call ended: the caller hung up, the server closed, the caller's line was cut, or the
    connection failed or its server stopped reading."""

    reason: EndReason
    code: int
    """The WebSocket's close code; 1006 where there was no close frame."""
    at_s: float


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What is unusual about a call. The default is what Twilio does, on a perfect network."""

    media_format: wire.MediaFormat = field(default_factory=wire.MediaFormat)
    marks_on_clear: bool = True
    """Twilio returns pending marks at a clear; some of its imitations drop them."""
    send_start: bool = True
    """False: the socket opens and says nothing, as a scanner's would."""
    keep_audio: bool = True
    """False: no recording, for a load of many long calls; the truth about times is kept all the same."""
    uplink: Delay = field(default_factory=Delay)
    downlink: Delay = field(default_factory=Delay)
    seed: int = 0
    on_fact: Callable[[Fact], None] | None = None


class Speech:
    """Something that the caller says. Instants are on the loop's clock and known once it has begun."""

    def __init__(self, clip: Clip, at_s: float) -> None:
        self.clip = clip
        self._at_s = at_s
        self.start_sample: int | None = None
        """Where it begins on the caller's own clock, in samples since the call's start."""
        self.start_s = math.nan
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def onset_s(self) -> float:
        """When its first loud sample was spoken."""
        return self.start_s + self.clip.onset / RATE_HZ

    @property
    def voice_end_s(self) -> float:
        """When its last loud sample had been spoken."""
        return self.start_s + self.clip.voice_end / RATE_HZ

    async def finished(self) -> None:
        """Wait until all of it is spoken and sent, or the call is over."""
        await asyncio.shield(self._finished)

    def due(self, frame_start_s: float) -> bool:
        return self._at_s <= frame_start_s + 1e-6

    def begin(self, start_sample: int, start_s: float) -> None:
        self.start_sample = start_sample
        self.start_s = start_s

    def finish(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)


Condition = Callable[[float], float | None]


class SimulatedCall:
    """A call in progress; ``SimulatedCarrier`` makes it.

    The caller speaks on an absolute clock from ``started_s``: the frame of the n-th 20 ms leaves when they
    are over, silence where nothing is said, and after a stall all that is due leaves at once.
    """

    def __init__(self, ids: wire.StreamIds, ticker: Ticker, options: CallOptions) -> None:
        loop = asyncio.get_running_loop()
        self.ids = ids
        self.options = options
        self.playback = Playback(marks_on_clear=options.marks_on_clear, keep_audio=options.keep_audio)
        self.started_s = loop.time()
        """The caller's first sample, on the loop's clock."""
        self.epoch_offset_s = 0.0
        self.facts: deque[Fact] = deque(maxlen=_MAX_LOG)
        self.faults: deque[str] = deque(maxlen=_MAX_LOG)
        """What the server sent that Twilio would have dropped without a word."""
        self.speeches: list[Speech] = []
        self._loop = loop
        self._ticker = ticker
        self._socket: MediaSocket | None = None
        self._uplink: DelayLine[str | bytes | None] = DelayLine(options.uplink, options.seed, self._write)
        self._downlink: DelayLine[str | bytes] = DelayLine(options.downlink, options.seed + 1, self._receive)
        self._sequence = 1
        self._frames_sent = 0
        self._skip = 0
        self._queue: deque[Speech] = deque()
        self._speaking: tuple[Speech, int] | None = None
        self._mark_timer: asyncio.TimerHandle | None = None
        self._spans_seen = 0
        self._bot_since_s: float | None = None
        self._waiters: list[tuple[Condition, asyncio.Future[float]]] = []
        self._leaving: EndReason | None = None
        self._ended: asyncio.Future[CallEnd] = loop.create_future()

    # --- what a script does ---------------------------------------------------------------------------

    @property
    def call_sid(self) -> str:
        return self.ids.call_sid

    @property
    def end(self) -> CallEnd | None:
        """How the call ended; None while it lives."""
        return self._ended.result() if self._ended.done() else None

    @property
    def bot_is_speaking(self) -> bool:
        return self._bot_since_s is not None

    @property
    def spoken_s(self) -> float:
        """Of the caller's own audio clock: how much has been sent."""
        return self._frames_sent * PERIOD_S

    def epoch(self, at_s: float) -> float:
        """An instant of the loop's clock in seconds of the Unix epoch."""
        return at_s + self.epoch_offset_s

    def say(self, clip: Clip, *, at_s: float | None = None) -> Speech:
        """Speak from the next frame on, or not before ``at_s`` (loop's clock), behind what is being said."""
        speech = Speech(clip, self._loop.time() if at_s is None else at_s)
        if self.end is not None:
            speech.finish()
            return speech
        self.speeches.append(speech)
        self._queue.append(speech)
        return speech

    async def say_after_bot(
        self, clip: Clip, *, min_silence_ms: float = 700, timeout_s: float = 60
    ) -> Speech:
        """Wait until the bot has been quiet for so long, then speak. Raises as ``bot_quiet`` does."""
        await self.bot_quiet(min_silence_ms, timeout_s=timeout_s)
        return self.say(clip)

    async def bot_speaking(self, *, after_s: float | None = None, timeout_s: float = 60) -> float:
        """Wait until the bot can be heard; returns since when. At once where it is speaking now.

        ``after_s`` asks for voice that begins at or after this instant: the answer to what was said, not
        the sentence that was interrupted by it. Raises ``TimeoutError``, and ``CallOver`` where the call ends
        before.
        """

        def began(now: float) -> float | None:
            if after_s is None:
                return self._bot_since_s
            loud = self.playback.loud
            index = bisect_left(loud, after_s, key=lambda span: span[0])
            return loud[index][0] if index < len(loud) and loud[index][0] <= now else None

        return await self._until(began, timeout_s)

    async def bot_quiet(self, min_silence_ms: float = 700, *, timeout_s: float = 60) -> float:
        """Wait until nothing has been heard for so long, and nothing is in the buffer to be heard; returns
        when the bot fell quiet (the call's start where it never spoke). Raises as ``bot_speaking`` does."""

        def fell_quiet(now: float) -> float | None:
            loud = self.playback.loud
            since_s = loud[-1][1] if loud else self.started_s
            return since_s if (now - since_s) * 1000 >= min_silence_ms else None

        return await self._until(fell_quiet, timeout_s)

    async def ended(self, *, timeout_s: float = 60) -> CallEnd:
        """Wait for the end of the call. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(self._ended)

    def dtmf(self, digit: str) -> None:
        """Press one key. Raises ``ValueError`` for what is none."""
        if digit not in _DTMF:
            raise ValueError(f"{digit!r} is no key: one of 0-9 * # A-D")
        self._send(wire.dtmf(self.ids.stream_sid, self._next(), digit))
        self._fact("caller.dtmf", digit)

    def skip_chunks(self, count: int) -> None:
        """Lose the next frames on the way: they are counted and spoken, but never sent."""
        self._skip += count

    def send_raw(self, message: str | bytes) -> None:
        """Send any text or binary message, garbage too."""
        self._send(message)

    def hang_up(self) -> None:
        """The caller hangs up: ``stop``, then a clean close. ``await ended()`` for what follows."""
        if self._leaving is None and self.end is None:
            self._leaving = "caller"
            self._send(wire.stop(self.ids, self._next()))
            self._uplink.push(None)

    def drop(self) -> None:
        """The line is cut: no ``stop``, no close frame; the server sees 1006."""
        if self.end is None and self._socket is not None:
            self._leaving = "dropped"
            self._socket.drop()

    # --- the truth, afterwards ------------------------------------------------------------------------

    def stereo(self) -> Stereo:
        """16-bit samples at 8 kHz from the call's start: left what the caller said, right what they heard."""
        end_s = self.end.at_s if self.end else self._loop.time()
        return stereo(self.speeches, self.playback, self.started_s, end_s)

    def write_wav(self, path: str | Path) -> None:
        """``stereo`` as a file. Blocks. Raises ``OSError``."""
        samples = self.stereo()
        wav.write_stereo(Path(path), samples[:, 0], samples[:, 1], RATE_HZ)

    # --- the carrier's work ---------------------------------------------------------------------------

    def begin(self, socket: MediaSocket, parameters: dict[str, str], epoch_offset_s: float) -> None:
        """The socket is open: say who we are and start the clock. For ``SimulatedCarrier``."""
        self._socket = socket
        self.epoch_offset_s = epoch_offset_s
        if self.end is not None:
            return
        self._send(wire.connected())
        if not self.options.send_start:
            return
        self._send(wire.start(self.ids, self.options.media_format, parameters))
        # Each frame leaves on a deadline of the shared ticker: the first, over then, on the next one.
        self.started_s = self._ticker.add(self._tick) - PERIOD_S
        self._fact("call.started", at_s=self.started_s)

    def on_message(self, message: str | bytes) -> None:
        """The server sent something. For the socket."""
        self._downlink.push(message)

    def on_closed(self, code: int) -> None:
        """The socket is gone. For the socket."""
        now = self._loop.time()
        self._ticker.remove(self._tick)
        self._uplink.close()
        self._downlink.close()
        if self._mark_timer is not None:
            self._mark_timer.cancel()
        self.playback.clear(now)  # what is not heard by now never will be
        self._watch(now)
        if self.playback.loud:
            self._fall_quiet(self.playback.loud[-1][1], now, after_ms=-1)  # a sample may be begun just now
        reason = self._leaving or ("failed" if code == 1006 else "server")
        self._fact("call.ended", f"{reason} {code}", at_s=now)
        self._ended.set_result(CallEnd(reason, code, now))
        for speech in self.speeches:
            speech.finish()
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(CallOver(f"the call ended ({reason}, {code}) while it was awaited"))
        self._waiters.clear()

    def _tick(self, now: float) -> None:
        due = int((now - self.started_s + _TIMER_RESOLUTION_S) / PERIOD_S)
        while self._frames_sent < due and self._leaving is None:
            self._send_frame(self._frames_sent)
            self._frames_sent += 1
        self._watch(now)
        socket = self._socket
        if socket is not None and socket.backlog > MAX_BACKLOG:
            self._fault("the server does not read: 31903")
            self._leaving = "failed"
            socket.drop()

    def _send_frame(self, number: int) -> None:
        payload = self._next_payload(number)
        if self._skip:
            self._skip -= 1
            return
        self._send(wire.media(self.ids.stream_sid, self._next(), number + 1, number * 20, payload))

    def _next_payload(self, number: int) -> str:
        if self._speaking is None:
            start_s = self.started_s + number * PERIOD_S
            if not self._queue or not self._queue[0].due(start_s):
                return _SILENT_FRAME
            speech, index = self._queue.popleft(), 0
            speech.begin(number * FRAME_SAMPLES, start_s)
        else:
            speech, index = self._speaking
        clip = speech.clip
        if index == len(clip.frames):  # an empty clip
            self._speaking = None
            speech.finish()
            return _SILENT_FRAME
        if index == clip.onset // FRAME_SAMPLES:
            self._fact("caller.speaking", clip.name, at_s=speech.onset_s)
        if clip.voice_end > clip.onset and index == (clip.voice_end - 1) // FRAME_SAMPLES:
            self._fact("caller.quiet", clip.name, at_s=speech.voice_end_s)
        self._speaking = (speech, index + 1) if index + 1 < len(clip.frames) else None
        if self._speaking is None:
            speech.finish()
        return clip.frames[index]

    def _receive(self, message: str | bytes) -> None:
        now = self._loop.time()
        try:
            if isinstance(message, bytes):
                raise InvalidMessage("a binary message")
            received = wire.parse(message, self.ids.stream_sid)
        except InvalidMessage as error:
            self._fault(str(error))
            return
        match received:
            case wire.ReceivedMedia(ulaw):
                discarded = self.playback.play(ulaw, now)
                if discarded:
                    self._fault(f"more than ten minutes buffered, {discarded} samples discarded: 31931")
            case wire.ReceivedMark(name):
                self.playback.mark(name, now)
                self._echo_marks()
            case wire.ReceivedClear():
                self._echo_marks()
                cleared = self.playback.clear(now)
                self._fact("clear", f"{cleared.samples * 1000 // RATE_HZ} ms unheard", at_s=now)
                self._send_marks(list(cleared.marks))

    def _echo_marks(self) -> None:
        """Return the marks that are due, and come again for the next one."""
        now = self._loop.time()
        self._send_marks(self.playback.take_marks(now))
        due_s = self.playback.next_mark_s()
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        if due_s is not None:
            # A timer may fire a little early; a mark must not.
            self._mark_timer = self._loop.call_at(max(due_s, now + 1e-4), self._echo_marks)

    def _send_marks(self, names: list[str]) -> None:
        for name in names:
            self._send(wire.mark(self.ids.stream_sid, self._next(), name))
            self._fact("mark", name)

    def _watch(self, now: float) -> None:
        """Notice what has become audible, and who waits for it."""
        loud = self.playback.loud
        seen = min(self._spans_seen, len(loud))  # a clear takes back what was not audible yet
        while seen < len(loud) and loud[seen][0] <= now:
            start_s = loud[seen][0]
            if seen:
                self._fall_quiet(loud[seen - 1][1], start_s)
            if self._bot_since_s is None:
                self._bot_since_s = start_s
                self._fact("bot.audible", at_s=start_s)
            seen += 1
        if seen:
            self._fall_quiet(loud[seen - 1][1], now)
        self._spans_seen = seen
        if self._waiters:
            self._waiters = [waiter for waiter in self._waiters if not self._settle(*waiter, now)]

    def _fall_quiet(self, last_loud_s: float, now: float, after_ms: float = BOT_QUIET_MS) -> None:
        if self._bot_since_s is not None and (now - last_loud_s) * 1000 >= after_ms:
            self._bot_since_s = None
            self._fact("bot.quiet", at_s=last_loud_s)

    def _settle(self, condition: Condition, future: asyncio.Future[float], now: float) -> bool:
        if not future.done() and (value := condition(now)) is not None:
            future.set_result(value)
        return future.done()

    async def _until(self, condition: Condition, timeout_s: float) -> float:
        if self.end is not None:
            raise CallOver(f"the call is over ({self.end.reason}, {self.end.code})")
        now = self._loop.time()
        self._watch(now)
        value = condition(now)
        if value is not None:
            return value
        future: asyncio.Future[float] = self._loop.create_future()
        self._waiters.append((condition, future))
        async with asyncio.timeout(timeout_s):
            return await future

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _send(self, message: str | bytes) -> None:
        self._uplink.push(message)

    def _write(self, message: str | bytes | None) -> None:
        if self._socket is None:
            return
        if message is None:
            self._socket.close()
        else:
            self._socket.send(message)

    def _fault(self, text: str) -> None:
        self.faults.append(text)
        self._fact("fault", text)

    def _fact(self, kind: FactKind, detail: str = "", *, at_s: float | None = None) -> None:
        fact = Fact(self._loop.time() if at_s is None else at_s, kind, detail)
        self.facts.append(fact)
        if self.options.on_fact is not None:
            self.options.on_fact(fact)
