"""The audio model of end of turn: what it is asked of all calls, in which order, and what is no such model.

The network of these tests is a tiny one of our own: it looks at how loud the last 10 ms are. With a file of the
real one in ``TALKWIRE_TURN_MODEL`` that is tried too.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.contextvars import bind_contextvars, get_contextvars

from media.frames import Pcm
from pipeline.endpointing.smart_turn import MAX_WAIT_S, MAX_WAITING, AudioTurnModel, SmartTurn, turn_window
from pipeline.errors import ProviderUnavailable
from tests.fakes.loop import run_virtual
from tests.pipeline.endpointing.tiny_onnx import turn_model

if importlib.util.find_spec("onnxruntime") is None:
    pytest.skip("onnxruntime is not installed on this platform", allow_module_level=True)

REAL = os.environ.get("TALKWIRE_TURN_MODEL", "")


class Hands(Executor):
    """A thread that works when it is told to, one job at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.shut = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append((future, partial(fn, *args, **kwargs)))
        return future

    def work(self) -> None:
        future, job = self.jobs.pop(0)
        done = self._thread.submit(job)
        fault = done.exception()
        if fault is None:
            future.set_result(done.result())
        else:
            future.set_exception(fault)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.shut = True
        self._thread.shutdown(wait=False)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def with_model(path: Path, test: Callable[[SmartTurn, Hands], Awaitable[None]]) -> None:
    """Run a test on virtual time, with a thread that it holds in its hands."""

    async def main() -> None:
        hands = Hands()
        model = SmartTurn(path, hands)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(model.start())
            await settle()
            hands.work()
        await test(model, hands)
        while hands.jobs:
            hands.work()
        await model.aclose()

    run_virtual(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(turn_model())
    return path


def tone(seconds: float, rate: int = 16000) -> Pcm:
    t = np.arange(round(seconds * rate)) / rate
    return np.asarray(8000 * np.sin(2 * np.pi * 500 * t), np.int16)


def hush(seconds: float, rate: int = 16000) -> Pcm:
    return np.zeros(round(seconds * rate), np.int16)


class Answers:
    """What came, in order."""

    def __init__(self) -> None:
        self.scores: dict[str, list[float | None]] = {}
        self.order: list[str] = []

    def __call__(self, name: str) -> Callable[[float | None], None]:
        def on_score(score: float | None) -> None:
            self.order.append(name)
            self.scores.setdefault(name, []).append(score)

        return on_score


# --- what it hears ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_turn_ends_where_the_window_ends(path: Path, rate: int) -> None:
    """The tiny network looks at the last frame: short or long, it sees the end of what was said."""
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        asked = {
            "short": tone(1, rate),
            "long": np.concatenate((hush(9, rate), tone(1, rate))),
            "silent at last": np.concatenate((tone(2, rate), hush(0.5, rate))),
            "said long ago": np.concatenate((tone(2, rate), hush(9, rate))),
        }
        for name, pcm in asked.items():
            model.ask(name, pcm, rate, answers(name))
            hands.work()
            await settle()

    with_model(path, test)
    scores = {name: score for name, (score,) in answers.scores.items() if score is not None}
    assert len(scores) == 4
    assert scores["short"] == pytest.approx(scores["long"], abs=0.01)
    assert scores["short"] > scores["silent at last"] + 0.1
    assert scores["silent at last"] > scores["said long ago"]


def test_the_window_is_level_and_its_silence_lies_before_the_turn() -> None:
    said = (np.random.default_rng(4).standard_normal(160_000) * 2000 + 500).astype(np.int16)
    window = turn_window(said[:16000], 128_000)
    assert window.shape == (128_000,)
    assert window.dtype == np.float32
    assert float(window.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(window.var()) == pytest.approx(1.0, abs=1e-3)
    assert np.ptp(window[: 128_000 - 16000]) == 0.0
    assert float(np.corrcoef(window[-16000:], said[:16000])[0, 1]) > 0.9999
    assert np.allclose(turn_window(said[:16000] // 4, 128_000), window, atol=0.02)
    assert np.array_equal(turn_window(said, 128_000), turn_window(said[-128_000:], 128_000))


def test_another_rate_is_refused(path: Path) -> None:
    async def test(model: SmartTurn, hands: Hands) -> None:
        with pytest.raises(ValueError, match="8000 and 16000 Hz, not 24000"):
            model.ask("a", tone(1), 24000, Answers()("a"))

    with_model(path, test)


# --- who is heard when ------------------------------------------------------------------------------------


def test_calls_are_heard_one_after_the_other_and_answered_on_the_loop(path: Path) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        for name in "abc":
            model.ask(name, tone(0.5), 16000, answers(name))
        assert len(hands.jobs) == 1
        for done in range(3):
            assert len(answers.order) == done
            hands.work()
            assert len(answers.order) == done
            await settle()

    with_model(path, test)
    assert answers.order == ["a", "b", "c"]


def test_a_newer_question_takes_the_place_of_the_call_s_older_one(path: Path) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        model.ask("other", tone(1), 16000, answers("other"))
        model.ask("call", hush(1), 16000, answers("older"))
        model.ask("third", tone(1), 16000, answers("third"))
        model.ask("call", tone(1), 16000, answers("newer"))
        for _ in range(3):
            hands.work()
            await settle()
        assert hands.jobs == []

    with_model(path, test)
    assert answers.order == ["other", "newer", "third"]
    assert answers.scores["newer"] == answers.scores["third"]


def test_the_question_that_is_worked_on_is_answered_though_a_newer_one_waits(path: Path) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        model.ask("call", tone(1), 16000, answers("older"))
        model.ask("call", tone(1), 16000, answers("newer"))
        for _ in range(2):
            hands.work()
            await settle()

    with_model(path, test)
    assert answers.order == ["older", "newer"]


@pytest.mark.parametrize("working", [True, False])
def test_a_cancelled_question_is_not_answered(path: Path, working: bool) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        if not working:
            model.ask("other", tone(1), 16000, answers("other"))
        question = model.ask("call", tone(1), 16000, answers("call"))
        question.cancel()
        question.cancel()
        hands.work()
        await settle()
        assert hands.jobs == []

    with_model(path, test)
    assert answers.order == ([] if working else ["other"])


def test_beyond_the_bound_the_answer_is_none_at_once_but_not_from_within(path: Path) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        for number in range(MAX_WAITING + 1):  # one is worked on
            model.ask(number, tone(0.1), 16000, answers("taken"))
        model.ask("late", tone(0.1), 16000, answers("late"))
        cancelled = model.ask("late too", tone(0.1), 16000, answers("late too"))
        cancelled.cancel()
        assert answers.order == []
        await settle()
        assert answers.scores == {"late": [None]}

    with_model(path, test)


def test_a_cancelled_question_makes_room(path: Path) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        questions = [model.ask(n, tone(0.1), 16000, answers("n")) for n in range(MAX_WAITING + 1)]
        questions[3].cancel()
        model.ask("late", tone(0.1), 16000, answers("late"))
        for _ in range(MAX_WAITING + 1):
            hands.work()
            await settle()

    with_model(path, test)
    assert answers.order == ["n"] * MAX_WAITING + ["late"]
    assert answers.scores["late"] != [None]


def test_what_has_waited_too_long_is_answered_none(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        for name in "abc":
            model.ask(name, tone(0.5), 16000, answers(name))
        await asyncio.sleep(MAX_WAIT_S * 0.9)
        model.ask("d", tone(0.5), 16000, answers("d"))
        await asyncio.sleep(MAX_WAIT_S * 0.2)
        hands.work()
        await settle()
        assert len(hands.jobs) == 1
        hands.work()
        await settle()

    with caplog.at_level(logging.WARNING):
        with_model(path, test)
    assert {name for name, (score,) in answers.scores.items() if score is None} == {"b", "c"}
    assert len(answers.order) == 4
    assert len([r for r in caplog.records if "cannot keep up" in r.getMessage()]) == 1


def test_a_fault_on_one_turn_is_told_and_the_next_one_is_heard(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        model.ask("broken", np.array(["?"]), 16000, answers("broken"))
        model.ask("sound", tone(1), 16000, answers("sound"))
        for _ in range(2):
            hands.work()
            await settle()

    with caplog.at_level(logging.WARNING):
        with_model(path, test)
    assert answers.scores["broken"] == [None]
    assert answers.scores["sound"] != [None]
    assert "failed on a turn" in caplog.text


def test_a_fault_is_nobodys_in_the_log_and_an_answer_its_own_calls(path: Path) -> None:
    lines: list[str] = []
    told: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(get_contextvars().get("call_id", "nobody's"))

    async def test(model: SmartTurn, hands: Hands) -> None:
        for name, pcm in (("first", np.array(["?"])), ("second", tone(1))):
            bind_contextvars(call_id=name)
            model.ask(name, pcm, 16000, lambda _: told.append(get_contextvars().get("call_id", "nobody's")))
        bind_contextvars(call_id="a third one")
        for _ in range(2):
            hands.work()
            await settle()

    handler = Lines()
    logger = logging.getLogger("pipeline.endpointing.smart_turn")
    logger.addHandler(handler)
    try:
        with_model(path, test)
    finally:
        logger.removeHandler(handler)
    assert lines == ["nobody's"]
    assert told == ["first", "second"]


def test_a_callback_that_raises_harms_no_other_call(path: Path) -> None:
    answers = Answers()
    told: list[dict[str, Any]] = []

    def refuse(score: float | None) -> None:
        raise LookupError("a bug of the caller")

    async def test(model: SmartTurn, hands: Hands) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        model.ask("bad", tone(1), 16000, refuse)
        model.ask("good", tone(1), 16000, answers("good"))
        for _ in range(2):
            hands.work()
            await settle()

    with_model(path, test)
    assert answers.order == ["good"]
    assert len(told) == 1


# --- its life ---------------------------------------------------------------------------------------------


def test_closing_waits_for_the_thread_and_nothing_is_answered_after(path: Path) -> None:
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        for name in "ab":
            model.ask(name, tone(1), 16000, answers(name))
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(model.aclose())
            await settle()
            assert (closing.done(), hands.shut) == (False, False)
            hands.work()
        assert (hands.jobs, hands.shut) == ([], True)
        model.ask("after", tone(1), 16000, answers("after")).cancel()
        await settle()
        await model.aclose()

    with_model(path, test)
    assert answers.order == []


async def test_on_a_thread_of_its_own(path: Path) -> None:
    model: AudioTurnModel = SmartTurn(path)
    assert model.name == "smart_turn"
    await model.start()
    score: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
    model.ask("call", tone(1), 8000, score.set_result)
    assert 0.0 < (await score or 0.0) < 1.0
    await model.aclose()


async def test_it_is_not_asked_before_it_is_started(path: Path) -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        SmartTurn(path, Hands()).ask("call", tone(1), 16000, Answers()("call"))


# --- what is no such model --------------------------------------------------------------------------------


async def refusal(path: Path) -> str:
    model = SmartTurn(path)
    with pytest.raises(ProviderUnavailable) as refused:
        await model.start()
    await model.aclose()
    assert (refused.value.provider, refused.value.stage) == ("smart_turn", "turn")
    return refused.value.cause


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing.onnx"
    assert f"cannot read the model file {path}: No such file or directory; correct" in await refusal(path)


async def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert f"cannot read the model file {tmp_path}: Is a directory" in await refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model at all", turn_model()[:-40]])
async def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    assert f"cannot load {path} as an ONNX model" in await refusal(path)


async def test_a_pointer_of_git_lfs_is_told_from_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8679182\n")
    assert "pointer of Git LFS" in await refusal(path)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ((("input_values", ("n", 128000, 1)),), "input_values"),
        ((("input_features", ("n", 128, 800)),), "128, 800"),
        ((("input_features", (4, 80, 800)),), "4, 80, 800"),
        ((("input_features", ("n", 80, 800)), ("state", (1,))), "state"),
    ],
)
async def test_a_model_of_other_inputs_is_refused(
    tmp_path: Path, inputs: tuple[tuple[str, tuple[int | str, ...]], ...], told: str
) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(turn_model(inputs))
    cause = await refusal(path)
    assert told in cause
    assert "[batch, 80, 800]" in cause


async def test_a_model_whose_output_is_no_probability_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "logits.onnx"
    path.write_bytes(turn_model(sigmoid=False))
    assert "its output is not one probability" in await refusal(path)


async def test_a_missing_runtime_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert "needs the package onnxruntime" in await refusal(path)


def test_a_model_of_a_shorter_window_is_given_that(tmp_path: Path) -> None:
    path = tmp_path / "short.onnx"
    path.write_bytes(turn_model((("features", (1, 80, 400)),)))
    answers = Answers()

    async def test(model: SmartTurn, hands: Hands) -> None:
        model.ask("call", tone(6), 16000, answers("call"))
        hands.work()
        await settle()

    with_model(path, test)
    assert answers.scores["call"] != [None]


# --- the real one -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL, reason="TALKWIRE_TURN_MODEL names no model file")
async def test_the_real_model_hears_silence_and_noise() -> None:
    model = SmartTurn(Path(REAL))
    await model.start()
    noise = (np.random.default_rng(1).standard_normal(32000) * 1000).astype(np.int16)
    for pcm, rate in ((hush(1), 16000), (noise, 16000), (noise, 8000)):
        score: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
        model.ask("call", pcm, rate, score.set_result)
        assert 0.0 <= (await score or -1.0) <= 1.0
    await model.aclose()
