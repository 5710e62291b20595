"""The time in which a caller may dial an extension, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from media.frames import AudioFrame
from server.extension import MAX_DIGITS, ExtensionWindow
from tests.fakes.loop import run_virtual


class Conversation:
    """What a leg tells, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def on_audio(self, frame: AudioFrame) -> None:
        self.told.append(("audio", frame.start))
        if not frame.pcm.any():
            self.told[-1] = ("silence", frame.start)

    def on_mark(self, name: str, at: float | None = None) -> None:
        self.told.append(("mark", name))

    def on_dtmf(self, digit: str) -> None:
        self.told.append(("dtmf", digit))

    def on_way(self, way_s: float, clear_s: float) -> None:
        self.told.append(("way", way_s))

    def on_lost(self) -> None:
        self.told.append(("lost", None))

    def on_back(self) -> None:
        self.told.append(("back", None))

    def on_closed(self, reason: str, detail: str) -> None:
        self.told.append(("closed", reason))


class House:
    """A window of 2.5 s, and what came of it."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.began: list[tuple[float, str | None]] = []
        self.over: list[str] = []
        self.loop = asyncio.get_running_loop()
        self.t0 = self.loop.time()
        self.window = ExtensionWindow(8000, 2.5, self._begin, lambda reason, _: self.over.append(reason))
        self.at = 0

    def _begin(self, extension: str | None) -> Conversation:
        self.began.append((round(self.loop.time() - self.t0, 3), extension))
        return self.conversation

    def frame(self) -> None:
        self.window.on_audio(AudioFrame(np.full(160, 900, np.int16), 8000, self.at))
        self.at += 160


def told(act: Callable[[House], object]) -> House:
    found: list[House] = []

    async def main() -> None:
        house = House()
        found.append(house)
        coroutine = act(house)
        if asyncio.iscoroutine(coroutine):
            await coroutine
        await asyncio.sleep(10.0)

    run_virtual(main())
    return found[0]


def test_who_dials_nothing_begins_when_the_window_is_over() -> None:
    assert told(lambda house: None).began == [(2.5, None)]


def test_keys_are_collected_and_none_makes_the_window_longer() -> None:
    async def act(house: House) -> None:
        for digit in "20*A":
            await asyncio.sleep(0.6)
            house.window.on_dtmf(digit)

    assert told(act).began == [(2.5, "20*A")]


@pytest.mark.parametrize(("keys", "extension"), [("#", None), ("17#", "17"), ("7" * 40, "7" * MAX_DIGITS)])
def test_the_hash_and_the_last_key_end_it_at_once_and_what_comes_behind_is_the_calls(
    keys: str, extension: str | None
) -> None:
    async def act(house: House) -> None:
        for digit in (*keys, "5"):
            house.window.on_dtmf(digit)

    house = told(act)
    assert house.began == [(0.0, extension)]
    behind = keys[MAX_DIGITS:] + "5"
    assert house.conversation.told == [("dtmf", digit) for digit in behind]


def test_all_that_was_said_is_heard_in_order_with_the_tones_taken_out() -> None:
    async def act(house: House) -> None:
        for count in range(150):
            if count == 20:
                house.window.on_dtmf("4")
            house.frame()
            await asyncio.sleep(0.02)

    house = told(act)
    assert [start for _, start in house.conversation.told] == [count * 160 for count in range(150)]
    silent = [start for kind, start in house.conversation.told if kind == "silence"]
    assert silent == [count * 160 for count in range(20, 27)]
    assert house.began == [(2.5, "4")]


def test_a_lost_stream_takes_no_time_from_it() -> None:
    async def act(house: House) -> None:
        await asyncio.sleep(1.0)
        house.window.on_lost()
        house.window.on_lost()
        await asyncio.sleep(4.0)
        house.window.on_back()
        house.window.on_back()

    house = told(act)
    assert house.began == [(6.5, None)]
    assert house.conversation.told == []


def test_who_is_gone_before_it_is_over_never_begins() -> None:
    async def act(house: House) -> None:
        house.window.on_dtmf("1")
        house.window.on_closed("hangup", "he hung up")

    house = told(act)
    assert (house.began, house.over, house.conversation.told) == ([], ["hangup"], [])


def test_who_is_gone_in_the_moment_in_which_it_begins_is_told_to_the_conversation() -> None:
    async def act(house: House) -> None:
        house.window.on_dtmf("#")
        house.window.on_lost()
        house.window.on_back()
        house.window.on_mark("m")
        house.window.on_way(0.1, 0.0)
        house.window.on_closed("hangup", "he hung up")

    house = told(act)
    assert (house.began, house.over) == ([(0.0, None)], [])
    assert [kind for kind, _ in house.conversation.told] == ["lost", "back", "mark", "way", "closed"]


def test_who_is_given_up_never_begins() -> None:
    house = told(lambda house: house.window.stop())
    assert house.began == []
