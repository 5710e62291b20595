"""One call's ear in virtual time, with a transcriber that a test has written down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from media.frames import Pcm
from pipeline.errors import ProviderError
from pipeline.ports import SttEvent, SttFailed, SttFinal, SttOptions, SttPartial
from pipeline.providers.openai import Endpoint, OpenAiStt
from pipeline.providers.openai import stt as stt_module
from pipeline.providers.openai.wire import Heard
from tests.fakes.loop import run_virtual

RATE_HZ = 8000
FRAME: Pcm = np.full(160, 900, np.int16)
QUIET: Pcm = np.zeros(160, np.int16)


@dataclass
class Asked:
    """One request."""

    samples: int
    at: float
    over: str = "open"
    deltas: list[str] = field(default_factory=list)


class Scripted(OpenAiStt):
    """Hears how long the audio was; each answer takes ``takes_s``."""

    def __init__(self, takes_s: float = 0.2, *, deltas: bool = False, **options: int) -> None:
        super().__init__(Endpoint("http://127.0.0.1:9/v1"), **options)  # type: ignore[arg-type]
        self.takes_s = takes_s
        self.deltas = deltas
        self.asked: list[Asked] = []
        self.fault: Exception | None = None

    @property
    def flying(self) -> int:
        return sum(asked.over == "open" for asked in self.asked)

    async def transcribe(
        self, pcm: bytes, options: SttOptions, show: Callable[[str], None]
    ) -> Heard | ProviderError:
        asked = Asked(len(pcm) // 2, asyncio.get_running_loop().time())
        self.asked.append(asked)
        text = f"{len(pcm) * 1000 // 2 // RATE_HZ} ms"
        try:
            for delta in text.split() if self.deltas else ():
                await asyncio.sleep(self.takes_s / 3)
                show(delta)
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            asked.over = "cancelled"
            raise
        asked.over = "answered"
        if isinstance(self.fault, ProviderError):
            return self.fault
        if self.fault is not None:
            raise self.fault
        return Heard(text, True, 0.9)


@dataclass
class Ear:
    engine: Scripted
    events: list[SttEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream = self.engine.open(SttOptions(RATE_HZ), self.events.append)

    async def say(self, ms: int, frame: Pcm = FRAME) -> None:
        """In real time."""
        for _ in range(ms // 20):
            self.stream.feed(frame)
            await asyncio.sleep(0.02)
            assert self.engine.flying <= 1

    @property
    def told(self) -> list[str]:
        return [str(getattr(e, "text", e)) for e in self.events if not isinstance(e, SttPartial)]


def run(scene: Callable[[Ear], object], engine: Scripted | None = None) -> Scripted:
    made = engine or Scripted()

    async def main() -> None:
        await made.start()
        await scene(Ear(made))  # type: ignore[misc]
        await made.aclose()

    run_virtual(main())
    return made


def test_the_final_is_there_at_the_end_when_the_pause_was_long_enough() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(1000)
        ear.stream.pause()
        await ear.say(300, QUIET)
        assert ear.events == [SttPartial(1, "1000 ms", 0.8)]
        ear.stream.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ear.events[1:] == [SttFinal(1, "1000 ms", 0.9)]

    assert len(run(scene).asked) == 1


def test_the_final_waits_for_what_was_asked_at_the_pause() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(1000)
        ear.stream.pause()
        await ear.say(100, QUIET)
        ear.stream.end()
        await asyncio.sleep(0.09)
        assert ear.events == []
        await asyncio.sleep(0.02)
        assert ear.events == [SttFinal(1, "1000 ms", 0.9)]

    run(scene)


def test_speech_after_a_pause_voids_what_was_asked() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(1000)
        ear.stream.pause()
        await ear.say(300, QUIET)
        await ear.say(500)
        ear.stream.pause()
        await ear.say(60, QUIET)
        ear.stream.end()
        await asyncio.sleep(1)
        assert ear.told == ["1800 ms"]

    assert [asked.samples for asked in run(scene).asked] == [8000, 14_400]


def test_a_request_that_is_void_is_cancelled_before_the_next_one_begins() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        for _ in range(5):
            await ear.say(200)
            ear.stream.pause()
            await ear.say(40, QUIET)
        ear.stream.end()
        await asyncio.sleep(5)
        assert ear.told == ["1160 ms"]

    overs = [asked.over for asked in run(scene, Scripted(takes_s=1.0)).asked]
    assert overs == ["cancelled"] * 4 + ["answered"]


def test_segments_are_settled_one_after_the_other() -> None:
    async def scene(ear: Ear) -> None:
        for number, ms in enumerate((600, 200, 0, 400)):
            ear.stream.begin(number)
            await ear.say(ms)
            ear.stream.end()
        await asyncio.sleep(5)
        assert ear.told == ["600 ms", "200 ms", "", "400 ms"]
        assert [e.segment_id for e in ear.events] == [0, 1, 2, 3]

    run(scene, Scripted(takes_s=0.7))


def test_what_is_fed_in_one_go_is_one_request() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        ear.stream.feed(np.full(16_000, 900, np.int16))
        ear.stream.pause()
        ear.stream.feed(QUIET)
        ear.stream.pause()
        ear.stream.end()
        assert ear.events == []
        await asyncio.sleep(1)
        assert ear.told == ["2020 ms"]

    assert len(run(scene).asked) == 1


def test_silence_is_not_asked_about() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(1000, QUIET)
        ear.stream.pause()
        ear.stream.end()
        assert ear.events == []
        await asyncio.sleep(0)
        assert ear.events == [SttFinal(1, "", 0.0)]

    assert run(scene).asked == []


def test_a_long_segment_is_settled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_module, "MAX_PART_S", 1.0)

    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(2500)
        assert ear.events[-1] == SttPartial(1, "1000 ms 1000 ms", 0.8)
        ear.stream.end()
        await asyncio.sleep(1)
        assert ear.told == ["1000 ms 1000 ms 500 ms"]

    assert [asked.samples for asked in run(scene).asked] == [8000, 8000, 4000]


def test_a_part_that_fails_is_told_while_the_user_still_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_module, "MAX_PART_S", 1.0)
    engine = Scripted()
    engine.fault = fault = ProviderError("openai", "stt", "no")

    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(2500)
        assert ear.events == [SttFailed(1, fault)]
        ear.stream.pause()
        ear.stream.end()
        engine.fault = None
        ear.stream.begin(2)
        await ear.say(200)
        ear.stream.end()
        await asyncio.sleep(1)
        assert ear.told[1:] == ["200 ms"]

    run(scene, engine)


def test_the_growing_segment_is_heard_meanwhile() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(2000)
        ear.stream.end()
        await asyncio.sleep(1)
        texts = [e.text for e in ear.events if isinstance(e, SttPartial)]
        assert texts == ["500 ms", "1000 ms", "1500 ms"]
        assert ear.told == ["2000 ms"]

    engine = run(scene, Scripted(partials_ms=500))
    assert engine.capabilities.partials
    assert [asked.over for asked in engine.asked] == ["answered"] * 3 + ["cancelled", "answered"]


def test_slow_answers_make_fewer_of_them() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(3000)
        ear.stream.end()
        await asyncio.sleep(3)
        assert ear.told == ["3000 ms"]

    assert len(run(scene, Scripted(takes_s=1.2, partials_ms=200)).asked) == 4


def test_interim_text_does_not_shrink() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(1000)
        ear.stream.pause()
        await ear.say(300, QUIET)
        await ear.say(300)
        ear.stream.end()
        await asyncio.sleep(1)
        texts = [e.text for e in ear.events if isinstance(e, SttPartial)]
        assert texts == ["1000", "ms", "1000 ms", "1600", "ms"]

    run(scene, Scripted(takes_s=0.1, deltas=True))


def test_nothing_comes_after_the_close_and_requests_are_waited_for() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        await ear.say(400)
        ear.stream.pause()
        await asyncio.sleep(0.01)
        await ear.stream.aclose()
        assert ear.engine.asked[0].over == "cancelled"
        await ear.stream.aclose()
        ear.stream.begin(2)
        ear.stream.feed(FRAME)
        ear.stream.pause()
        ear.stream.end()
        await asyncio.sleep(1)
        assert ear.events == []

    run(scene)


def test_a_stream_closed_in_the_turn_of_its_end_says_nothing() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        ear.stream.feed(QUIET)
        ear.stream.end()
        await ear.stream.aclose()
        await asyncio.sleep(1)
        assert ear.events == []

    run(scene)


def test_closing_the_engine_ends_all_streams() -> None:
    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        ear.stream.feed(FRAME)
        ear.stream.end()
        await asyncio.sleep(0.01)
        await ear.engine.aclose()
        assert ear.engine.asked[0].over == "cancelled"
        assert ear.events == []
        await ear.stream.aclose()
        with pytest.raises(RuntimeError, match="started"):
            ear.engine.open(SttOptions(RATE_HZ), ear.events.append)

    run(scene)


def test_segments_that_pile_up_are_refused_in_their_order() -> None:
    async def scene(ear: Ear) -> None:
        for number in range(20):
            ear.stream.begin(number)
            ear.stream.feed(FRAME)
            ear.stream.end()
        await asyncio.sleep(0.01)
        refused = [event for event in ear.events if isinstance(event, SttFailed)]
        assert [event.segment_id for event in refused] == [16, 17, 18, 19]
        assert {event.error.code for event in refused} == {"STT_BUSY"}
        await asyncio.sleep(20)
        assert len(ear.events) == 20

    run(scene)


def test_a_listener_that_raises_goes_on_being_served(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(ear: Ear) -> None:
        seen: list[SttEvent] = []

        def broken(event: SttEvent) -> None:
            seen.append(event)
            raise RuntimeError("not my day")

        stream = ear.engine.open(SttOptions(RATE_HZ), broken)
        for number in (1, 2):
            stream.begin(number)
            stream.feed(FRAME)
            stream.end()
        await asyncio.sleep(2)
        assert [event.segment_id for event in seen] == [1, 2]
        await stream.aclose()

    with caplog.at_level(logging.ERROR):
        run(scene)
    assert "not my day" in caplog.text


def test_a_listener_may_close_and_begin_from_within() -> None:
    async def scene(ear: Ear) -> None:
        seen: list[SttEvent] = []

        def again(event: SttEvent) -> None:
            seen.append(event)
            if event.segment_id < 3:
                stream.begin(event.segment_id + 1)
                stream.feed(FRAME)
                stream.end()
            else:
                stream.close()

        stream = ear.engine.open(SttOptions(RATE_HZ), again)
        stream.begin(1)
        stream.feed(FRAME)
        stream.end()
        await asyncio.sleep(2)
        assert [event.segment_id for event in seen] == [1, 2, 3]
        await stream.aclose()

    run(scene)


def test_a_fault_of_ours_in_one_stream_spares_the_others(caplog: pytest.LogCaptureFixture) -> None:
    engine = Scripted()
    engine.fault = RuntimeError("a bug")

    async def scene(ear: Ear) -> None:
        ear.stream.begin(1)
        ear.stream.feed(FRAME)
        ear.stream.end()
        await asyncio.sleep(1)
        engine.fault = None
        other = Ear(engine)
        other.stream.begin(1)
        other.stream.feed(FRAME)
        other.stream.end()
        await asyncio.sleep(1)
        assert other.told == ["20 ms"]
        await other.stream.aclose()

    with caplog.at_level(logging.ERROR):
        run(scene, engine)
    assert "a bug" in caplog.text


def test_many_calls_at_once_leave_nothing_behind() -> None:
    async def scene(ear: Ear) -> None:
        ears = [Ear(ear.engine) for _ in range(50)]
        for one in ears:
            one.stream.begin(1)
            one.stream.feed(FRAME)
            one.stream.pause()
            one.stream.end()
        await asyncio.sleep(1)
        assert all(one.told == ["20 ms"] for one in ears)

    run(scene)
