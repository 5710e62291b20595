"""A browser's leg without a browser: what goes when, what is lost, and who takes over. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from media.frames import AudioFrame
from media.rtc.leg import ASSUMED_BUFFER_S, CLEARED_LEAD_MS, FRAME, LOST_S, OUTPUT_S, RATE_HZ, SURE_S, RtcLeg
from media.rtc.opus import Encoder, library
from tests.fakes.loop import VirtualLoop, run_virtual

library()  # As the server does: it reads files.


@dataclass
class Far:
    """A connection whose other side notes what comes."""

    ready: bool = True
    sent: list[tuple[float, int]] = field(default_factory=list)
    released: bool = False

    def release(self) -> None:
        self.released = True

    async def close(self) -> None: ...

    async def round_trip_s(self) -> float | None:
        return None

    def send(self, payload: bytes, timestamp: int) -> None:
        self.sent.append((asyncio.get_running_loop().time(), timestamp))


@dataclass
class Listener:
    loop: asyncio.AbstractEventLoop
    log: list[tuple[float, str]] = field(default_factory=list)
    frames: list[AudioFrame] = field(default_factory=list)
    ways: list[tuple[float, float]] = field(default_factory=list)
    at: list[float | None] = field(default_factory=list)
    """Of marks: when it was."""
    fail: bool = False

    def _note(self, what: str) -> None:
        self.log.append((round(self.loop.time() - 1000.0, 3), what))

    def on_audio(self, frame: AudioFrame) -> None:
        if self.fail:
            raise RuntimeError("a bug")
        self.frames.append(frame)

    def on_mark(self, name: str, at: float | None = None) -> None:
        self._note(f"mark {name}")
        self.at.append(at)

    def on_dtmf(self, digit: str) -> None: ...

    def on_way(self, way_s: float, clear_s: float) -> None:
        self.ways.append((round(way_s, 3), round(clear_s, 3)))

    def on_lost(self) -> None:
        self._note("lost")

    def on_back(self) -> None:
        self._note("back")

    def on_closed(self, reason: str, detail: str) -> None:
        self._note(f"closed {reason}")


@dataclass
class Scene:
    leg: RtcLeg
    far: Far
    heard: Listener
    number: int = 0

    def packet(self) -> bytes:
        encoder = Encoder(RATE_HZ)
        try:
            return encoder.encode(np.full(FRAME, 1000, dtype=np.int16))
        finally:
            encoder.close()

    async def speak(self, seconds: float, *, ssrc: int = 1) -> None:
        """Packets of a page, in real time."""
        encoder = Encoder(RATE_HZ)
        for _ in range(round(seconds * 50)):
            packet = encoder.encode(np.full(FRAME, 1000, dtype=np.int16))
            self.leg.on_packet(ssrc, self.number % 65_536, self.number * 960, packet)
            self.number += 1
            await asyncio.sleep(0.02)
        encoder.close()


def played(
    script: Callable[[Scene], Awaitable[None]], *, resume_s: float = 3.0, crash: bool = False
) -> Scene:
    async def main() -> Scene:
        leg = RtcLeg(lead_ms=60, resume_s=resume_s)
        scene = Scene(leg, Far(), Listener(asyncio.get_running_loop()))
        leg.attach(scene.far)
        running = asyncio.ensure_future(leg.run(scene.heard))
        await asyncio.sleep(0)
        await script(scene)
        await leg.hang_up("enough")
        await asyncio.wait([running])
        error = running.exception()
        assert (error is not None) is crash, error
        await asyncio.sleep(1.0)
        return scene

    return run_virtual(main())


def test_audio_goes_ahead_by_the_lead_and_marks_come_back_when_it_was_heard() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.send(np.zeros(FRAME * 10, dtype=np.int16))
        scene.leg.mark("end")
        await scene.speak(1.0)

    scene = played(script)
    at = [round(at - 1000.0, 3) for at, _ in scene.far.sent[:10]]
    assert at[:4] == [0.0] * 4
    assert at[4:] == [0.02, 0.04, 0.06, 0.08, 0.1, 0.12]
    (mark,) = [when for when, what in scene.heard.log if what == "mark end"]
    way_s = ASSUMED_BUFFER_S - 0.06 + OUTPUT_S
    assert mark == round(0.2 + 2 * way_s, 3), (
        "played, heard after the way there, and known after the way back"
    )


def test_what_was_not_sent_is_cleared() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.send(np.full(FRAME * 50, 3000, dtype=np.int16))
        scene.leg.mark("end")
        await scene.speak(0.2)
        scene.leg.clear()
        await scene.speak(1.0)

    scene = played(script)
    assert len(scene.far.sent) <= 14 + 10, "what was due and its lead; and the tail of silence"
    assert [what for _, what in scene.heard.log] == ["closed hangup"]


def test_a_page_that_falls_silent_itself_hears_nothing_of_what_is_void() -> None:
    silences: list[int] = []

    def silence(ms: int) -> bool:
        silences.append(ms)
        return True

    async def script(scene: Scene) -> None:
        scene.leg.plays(0.12, silence)
        scene.leg.send(np.full(FRAME * 50, 3000, dtype=np.int16))
        await scene.speak(0.2)
        scene.leg.clear()
        cleared, sent = asyncio.get_running_loop().time(), len(scene.far.sent)
        scene.leg.send(np.full(FRAME * 10, 3000, dtype=np.int16))
        await scene.speak(0.6)
        later = [at - cleared for at, _ in scene.far.sent[sent:]]
        over = silences[0] / 1000
        assert 0.12 < over < 0.25, "what it keeps is over by then"
        assert all(at > 0.13 for at in later if at < over), "only silence, where it is due"
        again = [at for at in later if at >= over - 0.001]
        assert len(again) >= 10
        assert again[0] < over + 0.001, "and then at once"

    scene = played(script)
    assert silences[1:] == [], "nothing was on its way when the call ended"
    way_s = ASSUMED_BUFFER_S - 0.06 + OUTPUT_S
    assert scene.heard.ways == [
        (round(way_s, 3), round(way_s + 0.06, 3)),
        (round(0.12 - CLEARED_LEAD_MS / 1000 + OUTPUT_S, 3), round(OUTPUT_S, 3)),
    ]


def test_a_page_that_cannot_be_told_hears_what_was_sent() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.plays(None, lambda _: False)
        scene.leg.send(np.full(FRAME * 50, 3000, dtype=np.int16))
        await scene.speak(0.2)
        scene.leg.clear()
        began, sent = asyncio.get_running_loop().time(), len(scene.far.sent)
        scene.leg.send(np.full(FRAME * 10, 3000, dtype=np.int16))
        await scene.speak(0.4)
        assert scene.far.sent[sent][0] - began < 0.021, "nothing is waited for"

    played(script)


def test_after_a_stall_audio_goes_before_silence() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.send(np.full(FRAME * 4, 3000, dtype=np.int16))
        await asyncio.sleep(0.01)
        before = len(scene.far.sent)
        stall(0.15)
        await asyncio.sleep(0)  # Its timer, before whoever has more audio.
        assert len(scene.far.sent) == before
        scene.leg.send(np.full(FRAME * 4, 3000, dtype=np.int16))
        await asyncio.sleep(0.03)
        times = [timestamp for _, timestamp in scene.far.sent]
        assert times == [times[0] + 960 * number for number in range(len(times))]
        assert len(times) >= before + 4
        await scene.speak(0.5)

    played(script)


def test_a_mark_that_a_stall_made_late_says_when_it_was() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.send(np.full(FRAME * 5, 3000, dtype=np.int16))
        scene.leg.mark("end")
        await scene.speak(0.06)
        stall(0.3)
        await scene.speak(0.3)

    heard = played(script).heard
    (late,) = [when for when, what in heard.log if what == "mark end"]
    assert late > 0.35
    assert heard.at == [pytest.approx(1000.0 + 0.1 + 2 * (ASSUMED_BUFFER_S - 0.06 + OUTPUT_S), abs=0.001)]


def test_the_caller_is_heard_without_holes_and_at_once() -> None:
    async def script(scene: Scene) -> None:
        await scene.speak(0.5)
        scene.number += 3
        await scene.speak(0.5)

    scene = played(script)
    assert scene.heard.frames[0].start == 0
    for before, after in zip(scene.heard.frames, scene.heard.frames[1:], strict=False):
        assert before.end == after.start
    assert 50 * FRAME <= scene.heard.frames[-1].end <= 56 * FRAME


def test_a_hole_waits_for_its_cushion_and_no_longer() -> None:
    delays: list[float] = []

    async def script(scene: Scene) -> None:
        await scene.speak(0.5)
        scene.number += 1
        heard, began = len(scene.heard.frames), asyncio.get_running_loop().time()
        speaking = asyncio.ensure_future(scene.speak(0.5))
        while len(scene.heard.frames) == heard:
            await asyncio.sleep(0.001)
        delays.append(asyncio.get_running_loop().time() - began)
        await speaking

    played(script)
    assert 0.035 < delays[0] < 0.065, "60 ms from when it was due"


def stall(seconds: float) -> None:
    """The loop stands still: when it goes on its timers come before what was received meanwhile."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jumping.now += seconds


def test_what_came_while_the_server_stood_still_was_not_late() -> None:
    counts: list[tuple[int, int]] = []

    async def script(scene: Scene) -> None:
        await scene.speak(0.2)
        overtaken = scene.number
        scene.number += 1
        await scene.speak(0.02)
        stall(0.15)
        for _ in range(2):
            await asyncio.sleep(0)  # Its timers.
        for number in (overtaken, *range(scene.number, scene.number + 8)):
            scene.leg.on_packet(1, number, number * 960, scene.packet())
        scene.number += 8
        await scene.speak(0.3)
        counts.append((scene.leg._inbound.lost, scene.leg._inbound.late))

    played(script)
    assert counts == [(0, 0)]


def test_a_server_that_stood_still_loses_nobody() -> None:
    async def script(scene: Scene) -> None:
        await scene.speak(0.2)
        await asyncio.sleep(0.1)
        stall(LOST_S)
        await asyncio.sleep(0.01)
        await scene.speak(0.5)

    assert [what for _, what in played(script).heard.log] == ["closed hangup"]


def test_without_a_sign_of_life_it_is_lost_comes_back_or_fails() -> None:
    lost: list[bool] = []

    async def script(scene: Scene) -> None:
        await scene.speak(1.0)
        await asyncio.sleep(LOST_S + 0.5)
        lost.append(scene.leg.lost)
        other = Far()
        assert scene.leg.attach(other) is scene.far
        await scene.speak(1.0, ssrc=2)
        lost.append(scene.leg.lost)
        await asyncio.sleep(LOST_S + 4.0)

    scene = played(script)
    assert scene.far.released
    assert [what for _, what in scene.heard.log] == ["lost", "back", "lost", "closed failed"]
    assert lost == [True, False]
    at, back = scene.heard.log[0][0], scene.heard.log[1][0]
    assert 0.98 + LOST_S <= at <= 0.98 + LOST_S + 0.25
    assert back == 1.0 + LOST_S + 0.5


def test_only_the_connection_that_was_attached_last_sends() -> None:
    async def script(scene: Scene) -> None:
        await scene.speak(0.1)
        other = Far()
        scene.leg.attach(other)
        scene.leg.send(np.zeros(FRAME * 10, dtype=np.int16))
        await scene.speak(0.5)
        assert len(other.sent) >= 10

    assert played(script).far.sent == []


def test_what_waits_for_a_connection_goes_when_that_is_ready() -> None:
    async def script(scene: Scene) -> None:
        await scene.speak(0.1)
        other = Far(ready=False)
        scene.leg.attach(other)
        scene.leg.send(np.zeros(FRAME * 10, dtype=np.int16))
        await scene.speak(0.5)
        assert other.sent == []
        other.ready = True
        scene.leg.pump()
        began = asyncio.get_running_loop().time()
        await scene.speak(0.5)
        assert [round(at - began, 2) for at, _ in other.sent[:6]] == [0, 0, 0, 0, 0.02, 0.04]

    played(script)


def test_what_is_sent_into_a_dead_network_does_not_count_as_heard() -> None:
    async def script(scene: Scene) -> None:
        await scene.speak(0.2)
        for number in range(60):
            scene.leg.send(np.full(FRAME * 5, 3000, dtype=np.int16))
            scene.leg.mark(str(number))
            await asyncio.sleep(0.1)

    def marks(scene: Scene) -> list[float]:
        return [at for at, what in scene.heard.log if what.startswith("mark")]

    found = marks(played(script))
    assert 0.4 < max(found) < 0.2 + SURE_S + 0.01

    async def back(scene: Scene) -> None:
        await scene.speak(0.2)
        for number in range(20):
            scene.leg.send(np.full(FRAME * 5, 3000, dtype=np.int16))
            scene.leg.mark(str(number))
            await asyncio.sleep(0.1)
            if number == 12:
                await scene.speak(0.02)
        await scene.speak(0.5)

    scene = played(back)
    assert [what for _, what in scene.heard.log] == [
        *(f"mark {number}" for number in range(20)),
        "closed hangup",
    ]


def test_a_word_of_the_page_is_a_sign_of_life_too() -> None:
    async def script(scene: Scene) -> None:
        for _ in range(6):
            await asyncio.sleep(1.0)
            scene.leg.alive()

    assert [what for _, what in played(script).heard.log] == ["closed hangup"]


def test_a_connection_that_is_closed_ends_the_call_and_a_broken_one_waits() -> None:
    async def closed(scene: Scene) -> None:
        await scene.speak(0.2)
        scene.leg.gone(closed=True)

    assert [what for _, what in played(closed).heard.log] == ["closed client_hangup"]

    async def broken(scene: Scene) -> None:
        await scene.speak(0.2)
        scene.leg.gone(closed=False)
        scene.leg.gone(closed=True)
        await scene.speak(0.2)

    assert [what for _, what in played(broken).heard.log] == ["lost", "back", "closed hangup"]


def test_a_bug_of_the_conversation_ends_it_and_garbage_does_not() -> None:
    async def garbage(scene: Scene) -> None:
        for _ in range(200):
            scene.leg.on_packet(1, 0, 0, b"\xff\xff")

    scene = played(garbage)
    assert scene.leg.faults == 200

    async def script(scene: Scene) -> None:
        scene.heard.fail = True
        await scene.speak(0.2)

    assert [what for _, what in played(script, crash=True).heard.log] == ["closed failed"]


def test_what_nobody_fetches_is_bounded() -> None:
    async def script(scene: Scene) -> None:
        scene.leg.attach(Far())
        for _ in range(100):
            scene.leg.send(np.zeros(FRAME * 10, dtype=np.int16))
        assert scene.leg._frames == 500

    played(script)
