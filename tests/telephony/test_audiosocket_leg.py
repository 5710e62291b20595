"""The leg of a PBX's call on a line that is a list, in virtual time: what goes and when, what comes, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from media.frames import AudioFrame, Pcm
from telephony.carriers.audiosocket import wire
from telephony.carriers.audiosocket.leg import MAX_FAULTS, WAY_S, AudioSocketLeg, Reader
from tests.fakes.loop import run_virtual


class FakeLine:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.written: list[tuple[float, wire.Message]] = []
        self.unsent = 0
        self.gone = asyncio.Event()
        self.reader: Reader | None = None
        self.stays = False

    def deliver(self, reader: Reader) -> None:
        self.reader = reader

    def write(self, data: bytes) -> None:
        (message,) = wire.Parser().feed(data)  # One message in each piece.
        self.written.append((self.loop.time(), message))

    def close(self) -> None:
        if not self.stays:
            self.gone.set()

    async def closed(self) -> None:
        await self.gone.wait()

    def heard(self) -> list[tuple[float, Pcm]]:
        return [(at, message.pcm) for at, message in self.written if isinstance(message, wire.Audio)]

    def loud(self) -> list[float]:
        return [at for at, pcm in self.heard() if pcm.any()]


class Listener:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.frames: list[AudioFrame] = []
        self.marks: list[tuple[float, str]] = []
        self.digits: list[str] = []
        self.ends: list[tuple[str, str]] = []
        self.bug = False

    def on_audio(self, frame: AudioFrame) -> None:
        if self.bug:
            raise ZeroDivisionError
        self.frames.append(frame)

    def on_mark(self, name: str, at: float | None = None) -> None:
        self.marks.append((self.loop.time(), name))

    def on_dtmf(self, digit: str) -> None:
        self.digits.append(digit)

    def on_lost(self) -> None: ...

    def on_back(self) -> None: ...

    def on_way(self, way_s: float, clear_s: float) -> None:
        self.way = (way_s, clear_s)

    def on_closed(self, reason: str, detail: str) -> None:
        self.ends.append((reason, detail))


class Scene:
    """A leg that runs."""

    def __init__(self, rate_hz: int, lead_ms: int, way_ms: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.line, self.listener = FakeLine(), Listener()
        self.leg = AudioSocketLeg(self.line, rate_hz, lead_ms=lead_ms, way_ms=way_ms)

    def now(self) -> float:
        return self.loop.time()

    def come(self, *messages: wire.Message) -> None:
        assert self.line.reader is not None
        for message in messages:
            self.line.reader.on_message(message)

    def tone(self, ms: int) -> Pcm:
        return np.full(self.leg.format.sample_rate_hz * ms // 1000, 5000, dtype=np.int16)


@asynccontextmanager
async def scene(rate_hz: int = 8000, lead_ms: int = 60, way_ms: int = 0) -> AsyncIterator[Scene]:
    found = Scene(rate_hz, lead_ms, way_ms)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(found.leg.run(found.listener))
        await asyncio.sleep(0.001)
        yield found
        found.leg.on_gone()
        await running


def play(
    script: Callable[[Scene], Awaitable[None]], rate_hz: int = 8000, lead_ms: int = 60, way_ms: int = 0
) -> Scene:
    async def main() -> Scene:
        async with scene(rate_hz, lead_ms, way_ms) as found:
            await script(found)
        return found

    return run_virtual(main())


def audio(ms: int = 20, rate_hz: int = 8000, level: int = 1000) -> wire.Audio:
    return wire.Audio(rate_hz, np.full(rate_hz * ms // 1000, level, dtype=np.int16))


# --- to the caller ----------------------------------------------------------------------------------------


def test_silence_goes_from_the_first_moment_on() -> None:
    async def script(scene: Scene) -> None:
        await asyncio.sleep(1.0)
        heard = scene.line.heard()
        assert len(heard) == pytest.approx(50, abs=1)
        assert {len(pcm) for _, pcm in heard} == {160}

    play(script)


def test_audio_goes_in_frames_of_20_ms_ahead_by_the_lead() -> None:
    async def script(scene: Scene) -> None:
        begun = scene.now()
        scene.leg.send(scene.tone(400))
        await asyncio.sleep(1.0)
        loud = [at - begun for at in scene.line.loud()]
        assert len(loud) == 20
        assert sum(at < 0.001 for at in loud) <= 3
        assert loud[-1] == pytest.approx(0.4 - 0.06, abs=0.03)

    play(script)


def test_a_mark_comes_back_when_what_was_before_it_must_have_been_heard() -> None:
    async def script(scene: Scene) -> None:
        begun = scene.now()
        scene.leg.send(scene.tone(200))
        scene.leg.mark("a")
        scene.leg.send(scene.tone(200))
        scene.leg.mark("b")
        await asyncio.sleep(1.0)
        (first, _), (second, _) = scene.listener.marks
        assert [name for _, name in scene.listener.marks] == ["a", "b"]
        assert first - begun == pytest.approx(0.2 + WAY_S, abs=0.021)
        assert second - first == pytest.approx(0.2, abs=0.001)

    play(script)


def test_the_way_from_the_pbx_to_the_ear_is_counted_where_the_operator_says_it() -> None:
    async def script(scene: Scene) -> None:
        assert scene.listener.way == pytest.approx((WAY_S + 0.12, WAY_S + 0.12 + 0.04))
        begun = scene.now()
        scene.leg.send(scene.tone(200))
        scene.leg.mark("a")
        await asyncio.sleep(1.0)
        # The play-out takes one way off again: what was before it was heard 120 ms later than it left the PBX.
        [(at, _)] = scene.listener.marks
        assert at - scene.listener.way[0] - begun == pytest.approx(0.2 + 0.12, abs=0.021)
        scene.leg.send(scene.tone(200))
        await asyncio.sleep(0.05)
        await scene.leg.hang_up("done")
        at, last = scene.line.written[-1]
        assert isinstance(last, wire.Hangup)
        assert at >= scene.line.loud()[-1] + 0.02 + 0.12 - 1e-6

    play(script, way_ms=120)


def test_a_mark_behind_nothing_comes_back_at_once() -> None:
    async def script(scene: Scene) -> None:
        begun = scene.now()
        scene.leg.mark("a")
        await asyncio.sleep(0.1)
        ((at, name),) = scene.listener.marks
        assert name == "a"
        assert at - begun <= 0.021 + WAY_S

    play(script)


def test_clear_takes_back_what_was_not_sent() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.send(scene.tone(400))
        await asyncio.sleep(0.1)
        scene.leg.clear()
        out = len(scene.line.loud())
        assert out * 0.02 <= 0.1 + 0.06
        await asyncio.sleep(1.0)
        assert len(scene.line.loud()) == out

    play(script)


def test_a_session_that_sends_without_end_is_bounded() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.send(scene.tone(60_000))
        await asyncio.sleep(20.0)
        assert len(scene.line.loud()) <= 503

    play(script)


@pytest.mark.parametrize(("rate_hz", "inner_hz"), [(12_000, 8000), (24_000, 16_000), (44_100, 16_000)])
def test_other_rates_are_changed_on_the_way(rate_hz: int, inner_hz: int) -> None:
    async def script(scene: Scene) -> None:
        assert scene.leg.format.sample_rate_hz == inner_hz
        for _ in range(50):
            scene.come(audio(rate_hz=rate_hz))
            await asyncio.sleep(0.02)
        assert sum(len(frame.pcm) for frame in scene.listener.frames) == pytest.approx(inner_hz, rel=0.03)
        assert scene.listener.frames[-1].pcm.mean() == pytest.approx(1000, abs=2)
        scene.line.written.clear()
        scene.leg.send(scene.tone(500))
        await asyncio.sleep(1.0)
        rates = {message.rate_hz for _, message in scene.line.written if isinstance(message, wire.Audio)}
        assert rates == {rate_hz}
        sent = sum(len(pcm) for _, pcm in scene.line.heard() if pcm.max() > 2000)
        assert sent == pytest.approx(rate_hz / 2, rel=0.06)

    play(script, rate_hz)


def test_a_pbx_that_takes_nothing_ends_the_call() -> None:
    async def script(scene: Scene) -> None:
        scene.line.unsent = 16_001
        await asyncio.sleep(0.1)
        assert scene.listener.ends == [("failed", "the PBX did not take the audio")]

    play(script)


# --- from the caller --------------------------------------------------------------------------------------


def test_audio_is_placed_without_holes() -> None:
    async def script(scene: Scene) -> None:
        for _ in range(10):
            scene.come(audio())
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.0)  # The telephone sends no silence.
        for _ in range(10):
            scene.come(audio())
            await asyncio.sleep(0.02)

    frames = play(script).listener.frames
    assert [frame.start for frame in frames] == [160 * number for number in range(len(frames))]
    assert frames[-1].end / 8000 == pytest.approx(1.4, abs=0.05)
    assert [bool(frame.pcm.any()) for frame in frames].count(True) == 20


def test_keys_are_handed_on_but_not_a_flood_of_them() -> None:
    async def script(scene: Scene) -> None:
        for digit in "12#":
            scene.come(wire.Dtmf(digit))
            await asyncio.sleep(0.1)
        scene.come(*[wire.Dtmf("5")] * 1000)

    assert play(script).listener.digits == ["1", "2", "#", "5"]


@pytest.mark.parametrize(
    ("message", "end"),
    [
        (wire.Hangup(), ("hangup", "the caller hung up")),
        (wire.Fault(b"\x01"), ("hangup", "the PBX said: the caller hung up")),
        (wire.Fault(b"\x04"), ("failed", "the PBX said: memory error")),
    ],
)
def test_the_pbx_ends_the_call(message: wire.Message, end: tuple[str, str]) -> None:
    async def script(scene: Scene) -> None:
        scene.come(message)
        await asyncio.sleep(0.1)
        assert scene.listener.ends == [end]

    play(script)


def test_a_connection_that_is_gone_is_a_caller_who_hung_up() -> None:
    async def script(scene: Scene) -> None: ...

    assert play(script).listener.ends == [("hangup", "the caller hung up")]


def test_nonsense_is_counted_and_ends_the_call_in_the_end() -> None:
    async def script(scene: Scene) -> None:
        scene.come(wire.Unknown(0x42), *[wire.Malformed("odd")] * (MAX_FAULTS - 1))
        await asyncio.sleep(0.1)
        assert scene.listener.ends == []
        scene.come(wire.Malformed("odd"))
        await asyncio.sleep(0.1)
        assert scene.listener.ends == [
            ("failed", f"{MAX_FAULTS} messages of the PBX made no sense, the last: odd")
        ]

    play(script)


def test_a_flood_of_audio_ends_the_call() -> None:
    async def script(scene: Scene) -> None:
        scene.come(*[audio(1000)] * 100)
        await asyncio.sleep(0.1)
        assert scene.listener.ends == [("failed", "the PBX sends audio faster than it can be heard")]
        assert sum(len(frame.pcm) for frame in scene.listener.frames) < 8000 * 6

    play(script)


def test_a_bug_ends_the_call_and_is_raised() -> None:
    async def main() -> None:
        found = Scene(8000, 60, 0)
        asyncio.get_running_loop().call_later(0.1, lambda: found.come(audio()))
        found.listener.bug = True
        with pytest.raises(ZeroDivisionError):
            await found.leg.run(found.listener)
        assert found.listener.ends == [("failed", "internal error")]

    run_virtual(main())


# --- hanging up -------------------------------------------------------------------------------------------


def test_what_was_sent_is_heard_before_the_hang_up() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.send(scene.tone(200))
        await asyncio.sleep(0.05)
        await scene.leg.hang_up("done")
        at, last = scene.line.written[-1]
        assert isinstance(last, wire.Hangup)
        assert at >= scene.line.loud()[-1] + 0.02 - 1e-6
        await scene.leg.hang_up("again")
        assert [m for _, m in scene.line.written if isinstance(m, wire.Hangup)] == [last]

    play(script)


def test_a_pbx_that_stays_on_the_line_is_not_waited_for() -> None:
    async def script(scene: Scene) -> None:
        scene.line.stays = True
        begun = scene.now()
        await scene.leg.hang_up("done")
        assert scene.now() - begun < 3.0
        assert scene.listener.ends == [("hangup", "done")]

    play(script)
