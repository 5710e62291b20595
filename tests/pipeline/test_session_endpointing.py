"""Who says that a turn is over: an audio model, a recogniser that tells turns itself, and the changes between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from media.frames import Pcm
from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.endpointing.smart_turn import OnScore
from pipeline.errors import ProviderError
from pipeline.events import EagerTurn, EngineFault, TurnEnd
from pipeline.ports import SttCapabilities, SttEvent, SttOptions, SttStream, SttTurn, Takeover
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad
from tests.pipeline.test_session import Scene, ScriptedEar, call

LOCAL = SessionConfig(endpointing=Endpointing("local"))


@dataclass
class FakeModel:
    """Answers each question with the next of its scores, ``delay_s`` later."""

    scores: list[float | None]
    delay_s: float = 0.05
    asked: list[tuple[float, float]] = field(default_factory=list)
    """When, and how many seconds of sound."""
    cancelled: int = 0
    name: str = "fake"

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    def ask(self, call: Hashable, pcm: Pcm, sample_rate_hz: int, on_score: OnScore) -> FakeQuestion:
        loop = asyncio.get_running_loop()
        self.asked.append((loop.time() - 1000.0, len(pcm) / sample_rate_hz))
        score = self.scores.pop(0) if self.scores else None
        return FakeQuestion(self, loop.call_later(self.delay_s, on_score, score))


@dataclass
class FakeQuestion:
    model: FakeModel
    handle: asyncio.TimerHandle

    def cancel(self) -> None:
        if not self.handle.cancelled() and self.handle.when() > asyncio.get_running_loop().time():
            self.model.cancelled += 1
        self.handle.cancel()


async def one_turn(scene: Scene) -> None:
    await scene.leg.silence(0.5)
    await scene.leg.speak(1.0)
    await scene.leg.silence(3.0)


@pytest.mark.parametrize("text", ["go to the station", "I was there with my mother"])
def test_a_model_that_hears_an_end_makes_it_come_sooner_and_one_that_does_not_later(text: str) -> None:
    ends = [
        call(one_turn, text, config=LOCAL, model=FakeModel([score])).of(TurnEnd)[0]
        for score in (0.02, None, 0.98)
    ]
    late, without, soon = (end.latency_ms for end in ends)
    assert soon <= without <= late
    assert soon < late


def test_a_model_is_asked_once_in_a_silence_about_the_sound_of_the_turn() -> None:
    model = FakeModel([0.1, 0.9])

    async def script(scene: Scene) -> None:
        await scene.leg.silence(2.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.6)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    call(script, "I want to go and", "come back", config=LOCAL, model=model)
    (first_at, first_s), (second_at, second_s) = model.asked
    assert [first_at, second_at] == pytest.approx([3.16, 4.76], abs=0.05)
    # What was said before the turn is no part of it, but for the beginning of the first word.
    assert [first_s, second_s] == pytest.approx([1.46, 3.06], abs=0.1)


def test_a_model_may_be_asked_again_while_the_silence_lasts() -> None:
    model = FakeModel([0.1] * 20)
    config = SessionConfig(endpointing=Endpointing("local", recheck_ms=250))
    call(one_turn, "I want to go and", config=config, model=model)
    times = [at for at, _ in model.asked]
    assert 4 <= len(times) <= 6
    assert all(after - before == pytest.approx(0.25, abs=0.04) for before, after in pairwise(times))


def test_what_was_asked_about_a_silence_that_is_over_is_not_heard() -> None:
    model = FakeModel([0.9, 0.9], delay_s=0.4)

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.25)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "I want to go and come back", config=LOCAL, model=model)
    assert model.cancelled == 1
    assert len(scene.of(TurnEnd)) == 1


def test_a_fixed_silence_needs_no_model() -> None:
    model = FakeModel([0.9])
    call(one_turn, "hello", config=SessionConfig(endpointing=Endpointing("silence")), model=model)
    assert not model.asked


class TurnsEar(ScriptedEar):
    """Tells turns itself: eager with its final, the end 700 ms after the voice."""

    capabilities = SttCapabilities(partials=True, word_times=False, languages=(), turns=True)

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
        return _TurnsStream(super().open(options, on_event), on_event, self)


class _TurnsStream:
    def __init__(self, inner: SttStream, on_event: Callable[[SttEvent], None], ear: ScriptedEar) -> None:
        self._inner, self._on_event, self._ear = inner, on_event, ear
        self._segment = 0

    def begin(self, segment_id: int) -> None:
        self._segment = segment_id
        self._inner.begin(segment_id)

    def feed(self, pcm: Pcm) -> None:
        self._inner.feed(pcm)

    def pause(self) -> None:
        self._inner.pause()

    def end(self) -> None:
        self._inner.end()
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, self._on_event, SttTurn(self._segment, "eager", 0.6))
        loop.call_later(0.4, self._on_event, SttTurn(self._segment, "end", 0.9))

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("mode", ["auto", "native"])
def test_a_recogniser_that_tells_turns_is_believed(mode: str) -> None:
    config = SessionConfig(endpointing=Endpointing(mode))  # type: ignore[arg-type]
    scene = call(one_turn, "I want to go and", config=config, ear=TurnsEar)
    (eager,), (end,) = scene.of(EagerTurn), scene.of(TurnEnd)
    assert (eager.reason, end.reason) == ("provider", "provider")
    assert (eager.probability, end.probability) == (0.6, 0.9)
    assert end.latency_ms == pytest.approx(700, abs=40)


def test_an_agent_may_prefer_our_own_judgement() -> None:
    scene = call(one_turn, "no thank you", config=LOCAL, ear=TurnsEar)
    assert scene.of(TurnEnd)[0].reason != "provider"


def test_a_recogniser_that_cannot_tell_turns_is_judged_for() -> None:
    config = SessionConfig(endpointing=Endpointing("native"))
    scene = call(one_turn, "no thank you", config=config)
    assert scene.of(TurnEnd)[0].reason == "transcript"


def test_where_another_recogniser_takes_over_nobody_waits_for_the_first_ones_word() -> None:
    class Broken(TurnsEar):
        def open(  # type: ignore[override]
            self, options: SttOptions, on_event: Callable[[SttEvent | Takeover], None]
        ) -> SttStream:
            error = ProviderError("first", "stt", "it is down")
            asyncio.get_running_loop().call_later(0.2, on_event, Takeover(error, "second"))
            return ScriptedEar.open(self, options, on_event)

    scene = call(one_turn, "no thank you", config=SessionConfig(), ear=Broken)
    assert scene.of(EngineFault)
    end = scene.of(TurnEnd)[0]
    assert (end.reason, end.latency_ms < 600) == ("transcript", True)


def test_the_end_may_be_found_otherwise_from_one_turn_to_the_next() -> None:
    async def script(scene: Scene) -> None:
        await one_turn(scene)
        engines = Engines(FakeVad(), scene.ear, FakeTts(), turn_model=model)
        config = SessionConfig(endpointing=Endpointing("silence", silence_ms=1500))
        scene.session.reconfigure(engines, config, other_ears=False)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    model = FakeModel([])
    scene = call(script, "no thank you", "no thank you", config=LOCAL, model=model)
    assert len(model.asked) == 1
    first, second = scene.of(TurnEnd)
    assert first.latency_ms < 600
    assert second.reason == "silence"
    assert second.latency_ms == pytest.approx(1500, abs=5)
