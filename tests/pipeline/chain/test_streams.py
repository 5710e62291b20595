"""Voices and language models in a row, under virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from pipeline.chain import Choice, Deadlines, Health, LlmChain, TtsChain
from pipeline.errors import ProviderBusy, ProviderError, ProviderTimeout, ProviderUnavailable
from pipeline.ports import (
    LlmEnd,
    LlmEvent,
    LlmRequest,
    LlmText,
    Takeover,
    TtsAudio,
    TtsFrom,
    TtsRequest,
    TtsWord,
)
from tests.fakes.llm import FakeLlm, Says
from tests.fakes.loop import run_virtual
from tests.fakes.tts import FakeTts, Plan

DEADLINES = Deadlines(answer_s=1.5, last_s=6.0, gap_s=3.0)
NEVER = 1e6
REFUSED = ProviderUnavailable("a", "llm", "its API key was refused")
WRONG = ProviderError("a", "llm", "no such model", retryable=False)


class Asked:
    """What came of one request, each piece with its time."""

    def __init__(self) -> None:
        self.events: list[tuple[float, object]] = []
        self.error: ProviderError | None = None
        self.ended_s = 0.0

    @property
    def text(self) -> str:
        return "".join(e.text for _, e in self.events if isinstance(e, LlmText))

    @property
    def takeovers(self) -> list[tuple[float, str, str]]:
        return [(round(at, 2), e.error.provider, e.by) for at, e in self.events if isinstance(e, Takeover)]

    @property
    def first_s(self) -> float:
        return next(at for at, e in self.events if isinstance(e, LlmText))


async def ask(models: Sequence[FakeLlm], health: Health | None = None) -> Asked:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    found = Asked()
    chain = LlmChain([Choice(m, model=f"{m.name}-model") for m in models], DEADLINES, health or Health())
    try:
        async with aclosing(chain.generate(LlmRequest(()))) as events:
            async for event in events:
                found.events.append((loop.time() - begun, event))
    except ProviderError as error:
        found.error = error
    found.ended_s = loop.time() - begun
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, "an attempt outlived its request"
    return found


def asked(*models: FakeLlm) -> Asked:
    return run_virtual(ask(models))


def test_one_that_works_is_left_alone() -> None:
    model = FakeLlm("one two three")
    found = asked(model)
    assert found.text == "one two three"
    assert isinstance(found.events[-1][1], LlmEnd)
    assert found.takeovers == []
    assert len(model.requests) == 1
    assert model.requests[0].model == "fake-model"


def test_what_the_first_refuses_the_next_one_does_at_once() -> None:
    a, b = FakeLlm(Says(fail_after=0, first_s=0.1), name="a"), FakeLlm("from b", name="b")
    found = asked(a, b)
    assert found.text == "from b"
    assert found.takeovers == [(0.1, "a", "b")]
    assert found.first_s == pytest.approx(0.4, abs=0.01)
    assert b.requests[0].model == "b-model"


def test_one_that_stalls_is_not_waited_for() -> None:
    a, b = FakeLlm(Says(first_s=NEVER), name="a"), FakeLlm("from b", name="b")
    found = asked(a, b)
    assert found.takeovers == [(1.5, "a", "b")]
    takeover = next(e for _, e in found.events if isinstance(e, Takeover))
    assert isinstance(takeover.error, ProviderTimeout)
    assert takeover.error.retryable
    assert found.first_s == pytest.approx(1.8, abs=0.01)  # bar R3: 2.5 s
    assert a.cancelled == 1


def test_one_that_is_only_slow_may_still_win() -> None:
    a, b = FakeLlm(Says("from a", first_s=1.6), name="a"), FakeLlm(Says("from b", first_s=2.0), name="b")
    found = asked(a, b)
    assert found.text == "from a"
    assert b.cancelled == 1


def test_one_alone_is_asked_twice() -> None:
    model = FakeLlm(Says(fail_after=0, first_s=0.1), "better now")
    found = asked(model)
    assert found.text == "better now"
    assert found.takeovers == [(0.1, "fake", "fake")]


def test_one_alone_that_stalls_is_asked_twice() -> None:
    model = FakeLlm(Says(first_s=NEVER), "better now")
    found = asked(model)
    assert found.text == "better now"
    assert found.first_s == pytest.approx(1.8, abs=0.01)


@pytest.mark.parametrize("error", [REFUSED, WRONG])
def test_what_cannot_be_had_is_not_asked_for_twice(error: ProviderError) -> None:
    model = FakeLlm(Says(fail_after=0, error=error), name="a")
    found = asked(model)
    assert found.error is error
    assert len(model.requests) == 1


def left_alone(name: str, retry_after_s: float) -> Says:
    """It refuses at once, and says for how long."""
    busy = ProviderBusy(name, "llm", "too much is asked of it")
    busy.retry_after_s = retry_after_s
    return Says(fail_after=0, first_s=0.1, error=busy)


def test_one_that_wants_to_be_left_alone_is_not_asked_before() -> None:
    async def several() -> None:
        health = Health()
        a, b = FakeLlm(left_alone("a", 20.0), "from a", name="a"), FakeLlm(name="b")
        assert (await ask([a, b], health)).takeovers == [(0.1, "a", "b")]
        assert (await ask([a, b], health)).first_s == pytest.approx(0.3, abs=0.01)
        # It is not there for a second try either: another one that fails is asked once more.
        b.script.append(Says(fail_after=0, first_s=0.1))
        assert (await ask([a, b], health)).takeovers == [(0.1, "b", "b")]
        await asyncio.sleep(18.0)
        assert len(a.requests) == 1
        await asyncio.sleep(2.0)
        assert (await ask([a, b], health)).text == "from a"

    run_virtual(several())


def test_one_alone_is_waited_for_as_long_as_for_an_answer() -> None:
    model = FakeLlm(left_alone("fake", 1.2), "better now")
    found = asked(model)
    assert found.text == "better now"
    assert found.first_s == pytest.approx(0.1 + 1.2 + 0.3, abs=0.01)


def test_the_wait_that_it_wanted_does_not_count_as_its_own() -> None:
    model = FakeLlm(left_alone("fake", 1.2), Says(first_s=NEVER))
    found = asked(model)
    assert isinstance(found.error, ProviderTimeout)
    assert found.ended_s == pytest.approx(0.1 + 1.2 + 6.0, abs=0.01)


def test_one_alone_that_wants_longer_fails_the_request_and_the_next_one_at_once() -> None:
    async def several() -> None:
        health = Health()
        model = FakeLlm(left_alone("fake", 3600.0), "better now")
        first = await ask([model], health)
        assert isinstance(first.error, ProviderBusy)
        assert first.ended_s == pytest.approx(0.1, abs=0.01)
        second = await ask([model], health)
        assert isinstance(second.error, ProviderBusy)
        assert "left alone for 60 s more" in str(second.error)
        assert second.ended_s == 0.0
        assert len(model.requests) == 1
        await asyncio.sleep(60.0)  # Nobody is believed for longer.
        assert (await ask([model], health)).text == "better now"

    run_virtual(several())


def test_when_all_have_failed_the_last_one_says_why() -> None:
    a, b = FakeLlm(otherwise=Says(fail_after=0), name="a"), FakeLlm(otherwise=Says(first_s=NEVER), name="b")
    found = asked(a, b)
    assert found.takeovers == [(0.3, "a", "b")]
    assert isinstance(found.error, ProviderTimeout)
    assert found.error.provider == "b"
    assert found.ended_s == pytest.approx(0.3 + 6.0, abs=0.01)


def test_what_broke_off_is_told_and_not_begun_again() -> None:
    a, b = FakeLlm(Says("one two three", fail_after=2), name="a"), FakeLlm(name="b")
    found = asked(a, b)
    assert found.text == "one two"
    assert found.error is not None
    assert b.requests == []


def test_a_stall_in_the_middle_is_an_error() -> None:
    found = asked(FakeLlm(Says("one two", word_s=NEVER)))
    assert found.text == "one"
    assert isinstance(found.error, ProviderTimeout)
    assert found.ended_s == pytest.approx(0.3 + 3.0, abs=0.01)


def test_an_outage_costs_one_request_its_patience_and_not_each() -> None:
    async def main() -> None:
        health = Health()
        a, b = FakeLlm(otherwise=Says(first_s=NEVER), name="a"), FakeLlm(name="b")
        assert (await ask([a, b], health)).takeovers
        later = await ask([a, b], health)
        assert later.takeovers == []
        assert later.first_s == pytest.approx(0.3, abs=0.01)
        await asyncio.sleep(6.0)
        assert (await ask([a, b], health)).takeovers  # it had its rest, and is asked again
        await asyncio.sleep(6.0)
        assert not (await ask([a, b], health)).takeovers  # the second rest is twice as long
        await asyncio.sleep(60.0)
        a.otherwise = Says("a is back")
        assert (await ask([a, b], health)).text == "a is back"

    run_virtual(main())


def test_a_model_that_one_agent_cannot_have_harms_no_other() -> None:
    async def main() -> None:
        health = Health()
        a, b = FakeLlm(Says(fail_after=0, error=WRONG), name="a"), FakeLlm(name="b")
        assert (await ask([a, b], health)).takeovers
        assert (await ask([a, b], health)).text == "All right."
        assert len(a.requests) == 2

    run_virtual(main())


def test_one_that_is_slow_by_nature_is_not_asked_twice_each_time() -> None:
    async def main() -> None:
        health = Health()
        model = FakeLlm(otherwise=Says(first_s=2.5))
        first = await ask([model], health)
        assert first.text == "All right."
        assert len(model.requests) == 2
        again = await ask([model], health)
        assert again.takeovers == []
        assert len(model.requests) == 3

    run_virtual(main())


@pytest.mark.parametrize("after_s", [0.1, 1.6, 1.9])
def test_closing_it_ends_all_attempts(after_s: float) -> None:
    async def main() -> None:
        a = FakeLlm(Says(first_s=NEVER), name="a")
        b = FakeLlm(Says("from b", word_s=NEVER), name="b")

        async def ask_and_wait() -> None:
            chain = LlmChain([Choice(a), Choice(b)], DEADLINES, Health())
            async with aclosing(chain.generate(LlmRequest(()))) as events:
                async for _ in events:
                    pass

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(ask_and_wait())
            await asyncio.sleep(after_s)
            task.cancel()
        assert a.cancelled == 1
        assert b.cancelled == len(b.requests)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


class Empty(FakeLlm):
    """Says nothing at all."""

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        self.requests.append(request)
        nothing: tuple[LlmEvent, ...] = ()
        for event in nothing:
            yield event


def test_an_answer_without_any_piece_is_empty_and_no_crash() -> None:
    found = asked(Empty())
    assert found.events == []
    assert found.error is None


class SlowToClose(FakeLlm):
    """Never answers, and takes a while to be closed."""

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        self.requests.append(request)
        try:
            await asyncio.sleep(NEVER)
            yield LlmText("never")
        finally:
            await asyncio.sleep(0.2)
            self.cancelled += 1


def test_a_cancellation_while_a_loser_is_closed_is_not_lost() -> None:
    async def main() -> None:
        a = SlowToClose(name="a")
        b = FakeLlm(Says("word " * 100, first_s=0.1, word_s=0.3), name="b")

        async def ask_and_listen() -> None:
            chain = LlmChain([Choice(a), Choice(b)], DEADLINES, Health())
            async with aclosing(chain.generate(LlmRequest(()))) as events:
                async for _ in events:
                    pass

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(ask_and_listen())
            await asyncio.sleep(1.7)  # b answered at 1.6, a is being closed until 1.8
            task.cancel()
            before = asyncio.get_running_loop().time()
            await asyncio.wait([task])
            assert asyncio.get_running_loop().time() - before < 0.5
        assert task.cancelled()
        assert a.cancelled == 1
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_a_stall_in_the_middle_counts_against_an_engine_and_a_success_for_it() -> None:
    async def main() -> None:
        health = Health()
        a = FakeLlm(Says("one two", word_s=NEVER), "back", "back", name="a")
        b = FakeLlm(otherwise=Says("from b"), name="b")
        assert (await ask([a, b], health)).error is not None
        assert (await ask([a, b], health)).text == "from b"
        await asyncio.sleep(6.0)
        assert (await ask([a, b], health)).text == "back"
        assert (await ask([a, b], health)).text == "back"

    run_virtual(main())


def test_the_slow_model_of_one_agent_is_nobody_elses() -> None:
    async def main() -> None:
        health = Health()
        a = FakeLlm(Says(first_s=NEVER), "quick", name="a")
        b = FakeLlm(otherwise=Says("from b"), name="b")
        slow = LlmChain([Choice(a, model="slow"), Choice(b)], DEADLINES, health)
        async with aclosing(slow.generate(LlmRequest(()))) as events:
            assert [e async for e in events if isinstance(e, Takeover)]
        assert (await ask([a, b], health)).text == "quick"

    run_virtual(main())


# --- voices -----------------------------------------------------------------------------------------------


async def spoken(chain: TtsChain, text: str = "one two three") -> list[object]:
    return [type(e) if isinstance(e, TtsAudio | TtsWord) else e async for e in chain.speak(request(text))]


def request(text: str) -> TtsRequest:
    return TtsRequest(text, 8000, voice="nobody's", model="none")


def test_the_next_voice_is_announced_and_given_its_own_name() -> None:
    async def main() -> None:
        a, b = FakeTts(), FakeTts(word_times=False)
        await a.start()
        await b.start()
        a.name, b.name = "a", "b"
        a.script(Plan(fail_after_words=0))
        chain = TtsChain([Choice(a, voice="tone"), Choice(b)], DEADLINES, Health())
        assert chain.name == "a"
        assert chain.capabilities.word_times
        first, speaker, *rest = await spoken(chain)
        assert isinstance(first, Takeover)
        assert first.by == "b"
        assert speaker == TtsFrom("b", word_times=False)
        assert rest == [TtsAudio] * 3
        assert a.requests[0].voice == "tone"
        assert b.requests[0].voice is None
        assert b.requests[0].model is None

    run_virtual(main())


def test_a_chain_needs_an_engine() -> None:
    with pytest.raises(ValueError, match="needs an engine"):
        TtsChain([], DEADLINES, Health())
