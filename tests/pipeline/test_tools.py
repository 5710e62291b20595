"""Tools while they run: each call has one end, whatever comes when."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import TurnRef
from pipeline.ports import ToolCall, ToolSpec
from pipeline.tools import MAX_BATCHES, MAX_RESULT_CHARS, Settled, Tool, ToolResult, ToolRunner

TURN = TurnRef(1, "c")
TOOLS = (
    Tool(ToolSpec("fast"), timeout_s=1.0),
    Tool(ToolSpec("slow"), filler="Wait."),
    Tool(ToolSpec("own"), run=lambda arguments: {"got": dict(arguments)}),
    Tool(ToolSpec("broken"), run=lambda arguments: arguments["missing"]),
)


def asked(*names: str, arguments: str = "{}") -> list[ToolCall]:
    return [ToolCall(f"c{i}", name, arguments) for i, name in enumerate(names, 1)]


def test_a_batch_and_its_results() -> None:
    runner = ToolRunner(30)
    batch, ended = runner.begin("m", TURN, asked("fast", "slow"), TOOLS, 10.0)
    assert ended == []
    assert [c.name for c in batch.sent] == ["fast", "slow"]
    assert (runner.busy, runner.deadline) == (True, 11.0)
    assert runner.filler == "Wait."
    assert runner.unanswered() == [batch]
    (one,), found = runner.take("m", [ToolResult("c1", {"a": "\u00e9"})], 10.5)
    assert found == {"c1": "settled"}
    assert (one.end.text, one.end.code, one.end.duration_ms, one.late) == ('{"a":"\u00e9"}', None, 500, False)
    assert runner.deadline == 40.0
    assert not runner.is_over("m")
    runner.take("m", [ToolResult("c2", None)], 11)
    assert runner.is_over("m")
    left: tuple[object, ...] = (runner.busy, runner.deadline, runner.filler, runner.unanswered())
    assert left == (False, None, "", [])


@pytest.mark.parametrize(
    ("result", "text"),
    [("sunny", "sunny"), ("", '""'), (None, "null"), (3, "3"), ([1, {"a": True}], '[1,{"a":true}]')],
)
def test_the_model_gets_a_text(result: object, text: str) -> None:
    runner = ToolRunner()
    runner.begin("m", TURN, asked("slow"), TOOLS, 0)
    (one,), _ = runner.take("m", [ToolResult("c1", result)], 1)
    assert one.end.text == text


def test_a_result_may_be_too_long_for_the_model() -> None:
    runner = ToolRunner()
    runner.begin("m", TURN, asked("slow"), TOOLS, 0)
    (one,), _ = runner.take("m", [ToolResult("c1", "x" * (MAX_RESULT_CHARS + 1))], 1)
    assert len(one.end.text) < MAX_RESULT_CHARS + 20
    assert one.end.text.endswith("(cut off)")


def test_what_cannot_run_says_what_could() -> None:
    runner = ToolRunner()
    calls = [ToolCall("a", "fsat", "{}"), ToolCall("b", "slow", "{oh \ud800"), ToolCall("c", "slow", "3")]
    batch, ended = runner.begin("m", TURN, calls, TOOLS, 0)
    assert batch.sent == ()
    assert [s.call.id for s in batch.starts] == ["a", "b", "c"]
    assert [one.end.code for one in ended] == ["unknown_tool", "bad_arguments", "bad_arguments"]
    assert "fast, slow, own, broken" in json.loads(ended[0].end.text)["error"]
    assert "{oh" in json.loads(ended[1].end.text)["error"]
    assert runner.is_over("m")
    assert not runner.wants_no_answer("m")


@pytest.mark.parametrize(("levels", "fits"), [(90, True), (150, False), (900, False)])
def test_arguments_may_not_be_nested_without_end(levels: int, fits: bool) -> None:
    deep = f'{{"a":{"[" * levels}{"]" * levels}}}'
    _, ended = ToolRunner().begin("m", TURN, asked("slow", arguments=deep), TOOLS, 0)
    assert [one.end.code for one in ended] == ([] if fits else ["bad_arguments"])


def test_a_call_without_arguments_has_none() -> None:
    batch, _ = ToolRunner().begin("m", TURN, asked("slow", arguments="  "), TOOLS, 0)
    assert batch.sent[0].arguments == "  "
    assert batch.starts[0].arguments == {}


def test_the_servers_own_run_at_once() -> None:
    runner = ToolRunner()
    batch, (own, broken) = runner.begin("m", TURN, asked("own", "broken", arguments='{"x":1}'), TOOLS, 0)
    assert batch.sent == ()
    assert [s.kind for s in batch.starts] == ["system", "system"]
    assert (own.end.result, own.end.text) == ({"got": {"x": 1}}, '{"got":{"x":1}}')
    assert broken.end.code == "error"
    assert runner.take("m", [ToolResult("c1", "no")], 1) == ([], {"c1": "unknown"})


def test_a_timeout_and_what_comes_after_it() -> None:
    runner = ToolRunner(30)
    runner.begin("m", TURN, asked("fast", "slow"), TOOLS, 0)
    assert runner.tick(0.99) == []
    (one,) = runner.tick(1.0)
    assert (one.end.code, one.end.duration_ms) == ("timeout", 1000)
    (late,), found = runner.take("m", [ToolResult("c1", "x")], 2)
    assert (late.late, late.end.text, found) == (True, "x", {"c1": "late"})
    assert runner.take("m", [ToolResult("c1", "y")], 3) == ([], {"c1": "twice"})


def test_an_agent_that_is_gone_and_comes_back() -> None:
    runner = ToolRunner()
    runner.begin("m", TURN, asked("slow"), TOOLS, 0)
    (one,) = runner.agent_gone(2)
    assert one.end.code == "agent_gone"
    batch, (refused, own) = runner.begin("n", TURN, asked("slow", "own"), TOOLS, 3)
    assert batch.sent == ()
    assert (refused.end.code, own.end.code) == ("agent_gone", None)
    runner.agent_back()
    assert runner.begin("o", TURN, asked("slow"), TOOLS, 4)[0].sent
    (closed,) = runner.close(5)
    assert (closed.end.code, closed.end.error) == ("error", "the call ended")


PAGE = Tool(ToolSpec("open_page"), page=True)


def test_what_the_page_runs_is_not_the_agents() -> None:
    runner = ToolRunner()
    batch, _ = runner.begin("m", TURN, asked("slow", "open_page"), (*TOOLS, PAGE), 0)
    assert [start.kind for start in batch.starts] == ["client", "page"]
    assert ([c.name for c in batch.sent], [c.name for c in batch.shown]) == (["slow"], ["open_page"])
    assert runner.take("m", [ToolResult("c2", "agent's")], 1) == ([], {"c2": "unknown"})
    assert runner.take("m", [ToolResult("c1", "page's")], 1, by="page") == ([], {"c1": "unknown"})
    (one,), found = runner.take("m", [ToolResult("c2", {"opened": "cart"})], 1, by="page")
    assert (found, one.end.kind, one.end.result) == ({"c2": "settled"}, "page", {"opened": "cart"})


def test_a_page_runs_its_tools_whether_the_agent_is_there_or_not() -> None:
    runner = ToolRunner()
    runner.begin("m", TURN, asked("slow", "open_page"), (*TOOLS, PAGE), 0)
    (gone,) = runner.agent_gone(1)
    assert gone.end.call.name == "slow"
    assert runner.unanswered() == []
    assert runner.begin("n", TURN, asked("open_page"), (PAGE,), 2)[0].shown
    assert [news.end.call.name for news in runner.close(3)] == ["open_page", "open_page"]


def test_no_answer_is_wanted_where_all_say_so() -> None:
    runner = ToolRunner()
    runner.begin("m", TURN, asked("slow", "slow"), TOOLS, 0)
    runner.take("m", [ToolResult("c1", 1, no_followup=True)], 1)
    assert not runner.wants_no_answer("m")
    runner.take("m", [ToolResult("c2", 1, no_followup=True)], 1)
    assert runner.wants_no_answer("m")


def test_what_is_over_is_forgotten_in_the_end() -> None:
    runner = ToolRunner()
    runner.begin("open", TURN, asked("slow"), TOOLS, 0)
    for i in range(MAX_BATCHES + 1):
        runner.begin(f"m{i}", TURN, asked("slow"), TOOLS, 0)
        runner.take(f"m{i}", [ToolResult("c1", 1)], 0)
    assert runner.take("m0", [ToolResult("c1", 1)], 1)[1] == {"c1": "unknown"}
    assert runner.take("m1", [ToolResult("c1", 1)], 1)[1] == {"c1": "twice"}
    assert runner.take("open", [ToolResult("c1", 1)], 1)[1] == {"c1": "settled"}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.lists(st.sampled_from(["fast", "slow", "own", "none"]), max_size=3)),
        st.tuples(st.just("take"), st.integers(0, 5), st.integers(1, 4)),
        st.tuples(st.just("tick"), st.sampled_from([0.1, 1.0, 5.0])),
        st.tuples(st.sampled_from(["gone", "back"])),
    ),
    max_size=25,
)


@given(STEPS)
def test_each_call_has_exactly_one_end(steps: list[tuple[object, ...]]) -> None:
    runner, now = ToolRunner(3.0), 0.0
    began: list[tuple[str, str]] = []
    ends: list[tuple[str, str]] = []

    def note(news: list[Settled]) -> None:
        ends.extend((one.batch.msg_id, one.end.call.id) for one in news if not one.late)

    for number, step in enumerate(steps):
        match step:
            case ("begin", names):
                batch, ended = runner.begin(f"m{number}", TURN, asked(*names), TOOLS, now)  # type: ignore[misc]
                began += [(batch.msg_id, start.call.id) for start in batch.starts]
                note(ended)
            case ("take", batch_number, call_number):
                settled, _ = runner.take(f"m{batch_number}", [ToolResult(f"c{call_number}", number)], now)
                note(settled)
            case ("tick", seconds):
                now += float(str(seconds))
                note(runner.tick(now))
                assert runner.deadline is None or runner.deadline > now
            case ("gone",):
                note(runner.agent_gone(now))
            case _:
                runner.agent_back()
        assert runner.busy == (set(began) != set(ends))
    note(runner.close(now))
    assert sorted(ends) == sorted(began)
    assert not runner.busy
