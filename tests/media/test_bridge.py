"""Two legs joined in memory, on virtual time: what one side hears is what the other's playhead says it played."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest

from media.bridge import FRAME, FRAME_S, RATE_HZ, Bridge
from media.frames import AudioFrame, Pcm
from media.playout import Mark, Playout, Send
from tests.fakes.loop import run_virtual


@dataclass
class Side:
    """A conversation of which only the ends matter: what it hears, and what marks it gets back."""

    heard: list[AudioFrame] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    fail: bool = False

    def on_audio(self, frame: AudioFrame) -> None:
        if self.fail:
            raise RuntimeError("a bug")
        self.heard.append(frame)
        self.heard_at.append(asyncio.get_running_loop().time())

    def on_mark(self, name: str, at: float | None = None) -> None:
        assert at is not None
        self.marks.append((at, name))

    def on_dtmf(self, digit: str) -> None: ...

    def on_way(self, way_s: float, clear_s: float) -> None:
        assert (way_s, clear_s) == (0.0, 0.0)

    def on_lost(self) -> None: ...

    def on_back(self) -> None: ...

    def on_closed(self, reason: str, detail: str) -> None:
        self.closed.append((reason, detail))

    @property
    def pcm(self) -> Pcm:
        return np.concatenate([frame.pcm for frame in self.heard])


def counting(samples: int, start: int = 1) -> Pcm:
    return (np.arange(samples) + start).astype(np.int16)


def test_each_side_hears_the_other_every_20_ms_without_a_hole() -> None:
    async def script() -> None:
        bridge, sides = Bridge(), (Side(), Side())
        bridge.join(*sides)
        began = asyncio.get_running_loop().time()
        bridge.legs[0].send(counting(2 * FRAME))
        await asyncio.sleep(0.101)
        first, second = sides
        assert [frame.start for frame in second.heard] == [n * FRAME for n in range(5)]
        assert all(frame.sample_rate_hz == RATE_HZ for frame in second.heard)
        assert np.allclose(second.heard_at, [began + (n + 1) * FRAME_S for n in range(5)], atol=1e-6)
        assert np.array_equal(second.pcm[: 2 * FRAME], counting(2 * FRAME))
        assert not second.pcm[2 * FRAME :].any()
        assert not first.pcm.any()
        await bridge.legs[0].hang_up("")

    run_virtual(script())


def test_audio_lies_where_it_was_sent_and_marks_come_back_at_that_very_instant() -> None:
    async def script() -> None:
        bridge, sides, loop = Bridge(), (Side(), Side()), asyncio.get_running_loop()
        bridge.join(*sides)
        began = loop.time()
        await asyncio.sleep(0.033)
        bridge.legs[1].send(counting(FRAME))
        bridge.legs[1].mark("a")
        bridge.legs[1].send(counting(FRAME, 1000))
        bridge.legs[1].mark("b")
        await asyncio.sleep(0.2)
        begins = round(0.033 * RATE_HZ)
        heard = sides[0].pcm
        assert abs(int(np.flatnonzero(heard)[0]) - begins) <= 1
        assert [name for _, name in sides[1].marks] == ["a", "b"]
        for n, (at, _) in enumerate(sides[1].marks):
            assert at - began == pytest.approx(0.033 + (n + 1) * FRAME_S, abs=1e-4)
        await bridge.legs[0].hang_up("")

    run_virtual(script())


@pytest.mark.parametrize("cut_ms", [1, 7, 20, 33, 90, 139])
def test_what_the_playhead_says_at_a_clear_is_what_the_other_side_heard(cut_ms: int) -> None:
    async def script() -> None:
        bridge, sides, loop = Bridge(), (Side(), Side()), asyncio.get_running_loop()
        bridge.join(*sides)
        await asyncio.sleep(0.013)
        leg, form = bridge.legs[0], bridge.legs[0].format
        playout = Playout(RATE_HZ, lead_ms=form.lead_ms, mark_every_ms=form.mark_every_ms)
        playout.write(counting(10 * FRAME))
        for what in playout.pull(loop.time()):
            if isinstance(what, Send):
                leg.send(what.pcm)
            elif isinstance(what, Mark):
                leg.mark(what.name)
        await asyncio.sleep(cut_ms / 1000)
        told = playout.clear(loop.time())
        leg.clear()
        leg.send(np.full(FRAME, -5, np.int16))  # What is said next begins at once.
        await asyncio.sleep(0.3)
        heard = sides[1].pcm
        speech = heard[heard > 0]
        assert np.array_equal(speech, counting(len(speech)))
        assert abs(len(speech) - told) <= 2
        following = np.flatnonzero(heard == -5)
        assert (len(following), following[0]) == (FRAME, np.flatnonzero(heard > 0)[-1] + 1)
        await bridge.legs[0].hang_up("")

    run_virtual(script())


def test_a_stall_shorter_than_the_lead_is_not_heard() -> None:
    async def script() -> None:
        bridge, sides, loop = Bridge(), (Side(), Side()), asyncio.get_running_loop()
        bridge.join(*sides)
        began = loop.time()
        bridge.legs[0].send(counting(5 * FRAME))
        bridge.legs[0].mark("100 ms")
        bridge.legs[0].send(counting(10 * FRAME, 5 * FRAME + 1))
        await asyncio.sleep(0.05)
        loop._jumping.now += 0.2  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        heard = sides[1].pcm[: 15 * FRAME]
        assert np.array_equal(heard, counting(15 * FRAME))
        # The mark of 100 ms came back behind the stall, and says when it was due.
        ((at, name),) = sides[0].marks
        assert at == pytest.approx(began + 0.1, abs=1e-4)
        assert name == "100 ms"
        await bridge.legs[0].hang_up("")

    run_virtual(script())


def test_one_that_hangs_up_ends_the_other_once_and_nothing_more_is_heard() -> None:
    async def script() -> None:
        bridge, sides = Bridge(), (Side(), Side())
        bridge.join(*sides)
        await asyncio.sleep(0.05)
        frames = len(sides[1].heard)
        await bridge.legs[0].hang_up("the agent hung up")
        await bridge.legs[0].hang_up("again")
        await bridge.legs[1].hang_up("and the other")
        await asyncio.sleep(0.2)
        assert bridge.over
        assert sides[0].closed == []
        assert sides[1].closed == [("hangup", "the other side hung up: the agent hung up")]
        assert len(sides[1].heard) == frames

    run_virtual(script())


def test_no_more_than_ten_seconds_wait() -> None:
    async def script() -> None:
        bridge, sides = Bridge(), (Side(), Side())
        bridge.join(*sides)
        for _ in range(20):
            bridge.legs[0].send(counting(RATE_HZ))
        await asyncio.sleep(15)
        assert np.count_nonzero(sides[1].pcm) == 10 * RATE_HZ
        await bridge.legs[0].hang_up("")

    run_virtual(script())


def test_a_bug_in_one_conversation_ends_it_and_is_told() -> None:
    async def script() -> list[str]:
        bridge, sides = Bridge(), (Side(), Side())
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(str(context["exception"]))
        )
        bridge.join(*sides)
        sides[0].fail = True
        await asyncio.sleep(0.05)
        assert sides[0].closed == [("failed", "internal error")]
        await bridge.legs[0].hang_up("internal error")
        assert sides[1].closed == [("hangup", "the other side hung up: internal error")]
        return told

    assert run_virtual(script()) == ["a bug"]
