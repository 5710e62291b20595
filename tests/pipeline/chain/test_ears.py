"""Recognisers in a row, under virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from pipeline.chain import Choice, Deadlines, Health, SttChain
from pipeline.chain.ears import MAX_SEGMENT_S
from pipeline.errors import ProviderBusy, ProviderError, ProviderTimeout
from pipeline.ports import SttCapabilities, SttEvent, SttFailed, SttFinal, SttOptions, SttPartial, Takeover
from tests.fakes.loop import run_virtual
from tests.fakes.stt import FakeStt, FakeSttStream, Hears

DEADLINES = Deadlines(answer_s=1.5, last_s=6.0, gap_s=3.0)
STALLS = None
"""A plan that never gives a final."""
BROKEN = ProviderError("a", "stt", "HTTP 500")


class Ear:
    """A call's ear on a chain, and what it said, each with its time."""

    def __init__(self, *engines: FakeStt, health: Health | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun = self.loop.time()
        self.events: list[tuple[float, SttEvent | Takeover]] = []
        self.inside = False
        chain = SttChain([Choice(e, model=f"{e.name}-model") for e in engines], DEADLINES, health or Health())
        self.stream = chain.open(SttOptions(8000), self._on_event)

    def _on_event(self, event: SttEvent | Takeover) -> None:
        assert not self.inside, "an event came from within begin, feed, pause or end"
        self.events.append((round(self.loop.time() - self.begun, 2), event))

    def say(self, segment_id: int, seconds: float = 0.5, *, end: bool = True) -> None:
        self.inside = True
        self.stream.begin(segment_id)
        for _ in range(round(seconds * 50)):
            self.stream.feed(np.full(160, segment_id, np.int16))
        if end:
            self.stream.end()
        self.inside = False

    def of(self, *kinds: type) -> list[tuple[float, object]]:
        return [(at, e) for at, e in self.events if isinstance(e, kinds)]

    @property
    def finals(self) -> list[tuple[float, int, str]]:
        return [(at, e.segment_id, e.text) for at, e in self.events if isinstance(e, SttFinal)]

    @property
    def takeovers(self) -> list[tuple[float, str]]:
        return [(at, e.by) for at, e in self.events if isinstance(e, Takeover)]


def engine(name: str, *script: Hears | str, otherwise: Hears | None = None) -> FakeStt:
    made = FakeStt(script, otherwise=otherwise)
    made.name = name
    made.started = True
    return made


def play(script: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await script()

    run_virtual(main())


def test_one_that_works_is_left_alone() -> None:
    async def script() -> None:
        a, b = engine("a", Hears("one two", partials=("one",), final_delay_s=0.2)), engine("b")
        ear = Ear(a, b)
        ear.say(1)
        await asyncio.sleep(3)
        assert ear.finals == [(0.2, 1, "one two")]
        assert [e.text for _, e in ear.events if isinstance(e, SttPartial)] == ["one"]
        assert b.streams == []
        assert a.streams[0].options.model == "a-model"
        await ear.stream.aclose()
        assert a.streams[0].closed

    play(script)


def test_what_one_loses_the_next_one_hears_whole() -> None:
    async def script() -> None:
        a, b = engine("a", Hears(error=BROKEN)), engine("b", Hears("from b", final_delay_s=0.2))
        ear = Ear(a, b)
        ear.say(1, 0.6)
        await asyncio.sleep(3)
        assert ear.takeovers == [(0.0, "b")]
        assert ear.finals == [(0.2, 1, "from b")]
        assert b.streams[0].segments[0].samples == 4800
        assert b.streams[0].options.model == "b-model"

    play(script)


def test_one_that_fails_while_the_user_speaks_is_replaced_in_the_middle() -> None:
    async def script() -> None:
        a, b = engine("a"), engine("b", Hears("from b"))
        ear = Ear(a, b)
        ear.say(1, 0.4, end=False)
        a.streams[0].tell(SttFailed(1, BROKEN))
        for _ in range(10):
            ear.stream.feed(np.ones(160, np.int16))
        ear.stream.pause()
        ear.stream.end()
        await asyncio.sleep(1)
        assert ear.takeovers == [(0.0, "b")]
        assert [text for _, _, text in ear.finals] == ["from b"]
        assert b.streams[0].segments[0].samples == 3200 + 1600

    play(script)


def test_one_that_stalls_is_not_waited_for() -> None:
    async def script() -> None:
        a, b = engine("a"), engine("b", Hears("from b", final_delay_s=0.2))
        ear = Ear(a, b)
        ear.say(1)
        await asyncio.sleep(3)
        assert ear.takeovers == [(1.5, "b")]
        assert isinstance(ear.of(Takeover)[0][1].error, ProviderTimeout)  # type: ignore[attr-defined]
        assert ear.finals == [(1.7, 1, "from b")]

    play(script)


def test_the_answer_of_the_slow_one_counts_where_it_is_first() -> None:
    async def script() -> None:
        a, b = engine("a", Hears("from a", final_delay_s=1.6)), engine("b", Hears("from b", final_delay_s=3))
        ear = Ear(a, b)
        ear.say(1)
        await asyncio.sleep(10)
        assert ear.finals == [(1.6, 1, "from a")]

    play(script)


def test_one_alone_is_asked_again_and_what_follows_does_not_hang_behind_a_stall() -> None:
    async def script() -> None:
        a = engine("a")
        ear = Ear(a)
        ear.say(1)
        await asyncio.sleep(1.6)
        assert ear.takeovers == [(1.5, "a")]
        assert len(a.streams) == 2
        a.otherwise = Hears("second", final_delay_s=0.1)
        ear.say(2)
        await asyncio.sleep(8)
        assert ear.finals == [(7.5, 2, "second")], "the finals must keep their order"
        ((at, failed),) = ear.of(SttFailed)
        assert at == 7.5
        assert isinstance(failed, SttFailed)
        assert failed.segment_id == 1
        assert [e.segment_id for _, e in ear.events if isinstance(e, SttFailed | SttFinal)] == [1, 2]

    play(script)


def test_what_will_be_refused_again_is_not_asked_for_again() -> None:
    async def script() -> None:
        refusal = ProviderError("a", "stt", "no such model", retryable=False)
        a = engine("a", Hears(error=refusal), "never")
        ear = Ear(a)
        ear.say(1)
        await asyncio.sleep(1)
        ((_, failed),) = ear.of(SttFailed)
        assert isinstance(failed, SttFailed)
        assert failed.error is refusal
        assert ear.takeovers == []

    play(script)


def test_one_that_wants_to_be_left_alone_is_not_asked_before() -> None:
    async def script() -> None:
        busy = ProviderBusy("a", "stt", "too much is asked of it")
        busy.retry_after_s = 20.0
        a, b = engine("a", Hears(error=busy), "from a"), engine("b", otherwise=Hears("from b"))
        ear = Ear(a, b)
        ear.say(1)
        await asyncio.sleep(10)
        ear.say(2)
        await asyncio.sleep(11)
        ear.say(3)
        await asyncio.sleep(1)
        assert [text for _, _, text in ear.finals] == ["from b", "from b", "from a"]
        assert ear.takeovers == [(0.0, "b")]
        alone = engine("a", Hears(error=busy), "never asked")
        other = Ear(alone)
        other.say(1)
        await asyncio.sleep(1)
        assert (other.takeovers, other.finals) == ([], [])
        assert len(alone.streams[0].segments) == 1

    play(script)


def test_an_outage_costs_one_segment_its_patience() -> None:
    async def script() -> None:
        health = Health()
        a, b = engine("a"), engine("b", otherwise=Hears("from b", final_delay_s=0.1))
        ear = Ear(a, b, health=health)
        ear.say(1)
        await asyncio.sleep(2)
        ear.say(2)
        await asyncio.sleep(1)
        assert ear.finals == [(1.6, 1, "from b"), (2.1, 2, "from b")]
        other = Ear(a, b, health=health)
        other.say(1)
        await asyncio.sleep(1)
        assert other.takeovers == []
        assert [text for _, _, text in other.finals] == ["from b"]

    play(script)


def test_an_engine_that_does_not_know_the_language_is_passed_over() -> None:
    async def script() -> None:
        a, b = engine("a"), engine("b", "hola")
        a.capabilities = SttCapabilities(partials=False, word_times=False, languages=("en",))
        b.capabilities = SttCapabilities(partials=False, word_times=False, languages=("es",))
        heard: list[object] = []
        chain = SttChain([Choice(a), Choice(b)], DEADLINES, Health())
        stream = chain.open(SttOptions(8000, "es"), heard.append)
        stream.begin(1)
        stream.end()
        await asyncio.sleep(0.1)
        assert [e.text for e in heard if isinstance(e, SttFinal)] == ["hola"]
        with pytest.raises(ValueError, match="fr"):
            chain.open(SttOptions(8000, "fr"), heard.append)

    play(script)


def test_a_segment_too_long_to_be_kept_has_one_hearing() -> None:
    async def script() -> None:
        a, b = engine("a", Hears(error=BROKEN)), engine("b", "from b")
        ear = Ear(a, b)
        ear.say(1, MAX_SEGMENT_S + 1)
        await asyncio.sleep(1)
        assert ear.takeovers == []
        assert len(ear.of(SttFailed)) == 1

    play(script)


def test_nothing_comes_after_the_close() -> None:
    async def script() -> None:
        a, b = engine("a"), engine("b", Hears("late"))
        ear = Ear(a, b)
        ear.say(1)
        await asyncio.sleep(1)
        await ear.stream.aclose()
        await ear.stream.aclose()
        ear.stream.begin(2)
        ear.stream.feed(np.zeros(160, np.int16))
        ear.stream.pause()
        ear.stream.end()
        await asyncio.sleep(10)
        assert ear.events == []
        assert all(s.closed for s in a.streams)

    play(script)


def test_segments_do_not_nest() -> None:
    async def script() -> None:
        ear = Ear(engine("a"))
        with pytest.raises(RuntimeError):
            ear.stream.feed(np.zeros(160, np.int16))
        with pytest.raises(RuntimeError):
            ear.stream.end()
        ear.stream.begin(1)
        with pytest.raises(RuntimeError):
            ear.stream.begin(2)
        await ear.stream.aclose()

    play(script)


def test_what_is_lost_while_the_user_speaks_on_is_heard_beside_it() -> None:
    async def script() -> None:
        a = engine("a", Hears(error=BROKEN, final_delay_s=0.5), Hears("two"), Hears("one"))
        ear = Ear(a)
        ear.say(1)
        await asyncio.sleep(0.3)
        ear.say(2, end=False)
        await asyncio.sleep(1)
        ear.stream.end()
        await asyncio.sleep(1)
        assert [(i, text) for _, i, text in ear.finals] == [(1, "one"), (2, "two")]
        await ear.stream.aclose()
        assert all(stream.closed for stream in a.streams)

    play(script)


def test_the_next_engine_may_be_in_the_middle_of_the_next_segment() -> None:
    async def script() -> None:
        health = Health()
        a, b = engine("a"), engine("b", otherwise=Hears("from b"))
        ear = Ear(a, b, health=health)
        ear.say(1)
        await asyncio.sleep(0.5)
        health.failed(
            Choice(a, model="a-model"), ProviderError("a", "stt", "in another call"), ear.loop.time()
        )
        ear.say(2, end=False)
        await asyncio.sleep(2)
        ear.stream.end()
        await asyncio.sleep(1)
        assert [(i, text) for _, i, text in ear.finals] == [(1, "from b"), (2, "from b")]

    play(script)


class Breaks(FakeStt):
    """Its first streams raise when something is asked of them."""

    def __init__(self, method: str, *script: Hears | str, streams: int = 1, at: int = 1) -> None:
        super().__init__(script)
        self.started = True
        self._method, self._broken, self._at = method, streams, at

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> FakeSttStream:
        stream = super().open(options, on_event)
        if len(self.streams) <= self._broken:
            works, left = getattr(stream, self._method), self._at

            def broken(*values: object) -> object:
                nonlocal left
                left -= 1
                if left <= 0:
                    raise RuntimeError("its worker is dead")
                return works(*values)

            setattr(stream, self._method, broken)
        return stream


@pytest.mark.parametrize(
    ("method", "at"), [("begin", 1), ("feed", 1), ("feed", 20), ("pause", 1), ("end", 1)]
)
def test_one_that_raises_has_failed_and_the_next_one_hears_it_whole(method: str, at: int) -> None:
    async def script() -> None:
        a, b = Breaks(method, "never", streams=9, at=at), engine("b", "one two", "three")
        a.name = "a"
        ear = Ear(a, b)
        ear.say(1, end=False)
        ear.stream.pause()
        ear.stream.feed(np.full(160, 1, np.int16))
        ear.stream.end()
        await asyncio.sleep(1)
        assert [(segment, text) for _, segment, text in ear.finals] == [(1, "one two")]
        (fault,) = [e for _, e in ear.events if isinstance(e, Takeover)]
        assert fault.by == "b"
        assert "RuntimeError: its worker is dead" in str(fault.error)
        assert b.streams[0].segments[0].samples == 26 * 160, "all of it"
        ear.say(2)
        await asyncio.sleep(1)
        assert ear.finals[-1][1:] == (2, "three")
        await ear.stream.aclose()

    play(script)


@pytest.mark.parametrize("method", ["begin", "feed", "pause", "end"])
def test_one_that_raises_alone_is_tried_once_more_with_another_stream(method: str) -> None:
    async def script() -> None:
        a = Breaks(method, "lost", "one two")
        ear = Ear(a)
        ear.say(1, end=False)
        ear.stream.pause()
        ear.stream.end()
        await asyncio.sleep(2)
        assert [(segment, text) for _, segment, text in ear.finals][-1][0] == 1
        assert len(a.streams) == 2
        await ear.stream.aclose()
        assert all(stream.closed for stream in a.streams)

    play(script)


@pytest.mark.parametrize("method", ["begin", "feed", "pause", "end"])
def test_where_all_raise_the_segment_has_failed_and_the_next_one_is_heard(method: str) -> None:
    async def script() -> None:
        a = Breaks(method, *("lost",) * 9, streams=2)
        ear = Ear(a)
        ear.say(1, end=False)
        ear.stream.pause()
        ear.stream.end()
        await asyncio.sleep(30)
        failed = [e for _, e in ear.events if isinstance(e, SttFailed | SttFinal)]
        assert [event.segment_id for event in failed] == [1]
        ear.say(2)
        await asyncio.sleep(30)
        assert [e.segment_id for _, e in ear.events if isinstance(e, SttFailed | SttFinal)] == [1, 2]
        await ear.stream.aclose()

    play(script)


def test_one_that_cannot_be_closed_keeps_no_other_open() -> None:
    async def script() -> None:
        a, b = Breaks("aclose", "one"), engine("b", otherwise=Hears("two"))
        ear = Ear(a, b)
        a.script.clear()
        ear.say(1)
        await asyncio.sleep(3)
        await ear.stream.aclose()
        assert b.streams[0].closed

    play(script)


def test_one_whose_stream_cannot_even_be_opened_has_failed() -> None:
    async def script() -> None:
        a, b = engine("a"), engine("b", "one two")

        def refuse(options: SttOptions, on_event: Callable[[SttEvent], None]) -> FakeSttStream:
            raise OSError("no more sockets")

        opened, a.open = a.open, refuse  # type: ignore[method-assign]
        ear = Ear(a, b)
        ear.say(1)
        await asyncio.sleep(1)
        assert [(segment, text) for _, segment, text in ear.finals] == [(1, "one two")]
        assert opened is not None

    play(script)
