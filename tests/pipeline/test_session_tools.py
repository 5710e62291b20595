"""Calls whose server thinks by itself, with tools: when they run, what the model learns of them, what is heard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.events import (
    BotInterrupted,
    BotSpeaking,
    CallEnded,
    EngineFault,
    Event,
    LlmAnswered,
    LlmAsked,
    MessageConfirmed,
    NoResponse,
    ToolCallsRequested,
    ToolCompleted,
    ToolFailed,
    ToolStarted,
    TurnContinued,
    TurnEnd,
)
from pipeline.ports import ChatMessage, LlmRequest, ToolCall, ToolSpec
from pipeline.thinking import MAX_ROUNDS, NEWS
from pipeline.tools import Taken, Tool, ToolResult
from tests.fakes.llm import FakeLlm, Says, asks
from tests.pipeline.test_session import Scene, call
from tests.pipeline.test_session_thinking import NEVER, chain, heard, told

TOOLS = (Tool(ToolSpec("weather", "Tells the weather.")), Tool(ToolSpec("book")))
CONFIG = SessionConfig(
    prompt="Be kind.",
    raw_prompt=True,
    endpointing=Endpointing(mode="silence"),
    holding_text="One moment.",
    trouble_text="Please say that again.",
    tools=TOOLS,
)
ROME = ("weather", '{"city":"Rome"}')
OSLO = ("weather", '{"city":"Oslo"}')
PENDING = '{"status":"pending"}'


@dataclass
class Agent:
    """Answers each call of a tool after so many seconds, from inside the script's call."""

    after_s: float = 0.2
    result: Callable[[ToolCall], Any] = lambda call: f"{json.loads(call.arguments)['city']} is sunny"
    ephemeral: bool = False
    no_followup: bool = False
    one_by_one: bool = False
    taken: list[dict[str, Taken]] = field(default_factory=list)

    def attach(self, scene: Scene) -> None:
        emit, loop = scene.session._telling._emit, asyncio.get_running_loop()

        def tell(event: Event) -> None:
            emit(event)
            if isinstance(event, ToolCallsRequested) and self.after_s < NEVER:
                loop.call_later(self.after_s, self._give, scene, event)

        scene.session._telling._emit = tell

    def _give(self, scene: Scene, event: ToolCallsRequested) -> None:
        results = [ToolResult(c.id, self.result(c), self.ephemeral, self.no_followup) for c in event.calls]
        if not self.one_by_one:
            self.taken.append(scene.session.answering.tool_result(event.msg_id, results))
            return
        for i, result in enumerate(reversed(results)):
            asyncio.get_running_loop().call_later(0.3 * i, self._one, scene, event.msg_id, result)

    def _one(self, scene: Scene, msg_id: str, result: ToolResult) -> None:
        self.taken.append(scene.session.answering.tool_result(msg_id, [result]))


def one_turn(
    model: FakeLlm,
    agent: Agent | None = None,
    config: SessionConfig = CONFIG,
    texts: tuple[str, ...] = ("how is it in Rome",),
    after: Callable[[Scene], Any] | None = None,
    for_s: float = 6.0,
) -> Scene:
    async def script(scene: Scene) -> None:
        (agent or Agent()).attach(scene)
        await scene.leg.speak(1.0)
        if after is not None:
            await after(scene)
        await scene.leg.silence(for_s)

    return settled(call(script, *texts, config=config, mind=chain(model)), model)


def settled(scene: Scene, *models: FakeLlm) -> Scene:
    """What holds whatever the tools do."""
    open_calls: dict[tuple[str, str], float] = {}
    ended: set[tuple[str, str]] = set()
    batches: set[str] = set()
    over: set[int] = set()
    for _, event in scene.log:
        match event:
            case TurnEnd():
                over.add(event.turn.turn_id)
            case ToolCallsRequested():
                assert event.msg_id not in batches
                batches.add(event.msg_id)
                assert event.turn.turn_id in over, "tools ran before the turn was over"
            case ToolStarted():
                key = (event.msg_id, event.tool_call_id)
                assert key not in open_calls
                assert key not in ended
                open_calls[key] = 0.0
            case ToolCompleted() | ToolFailed():
                key = (event.msg_id, event.tool_call_id)
                del open_calls[key]
                ended.add(key)
            case CallEnded():
                assert not open_calls, "a tool has no end"
                well_formed(event.messages)
            case _:
                pass
    for model in models:
        for request in model.requests:
            well_formed(request.messages)
    return scene


def well_formed(messages: tuple[ChatMessage, ...]) -> None:
    """Each call of a tool has exactly one result, right behind it."""
    wanted: list[str | None] = []
    for message in messages:
        if message.role == "tool":
            assert message.tool_call_id == wanted.pop(0)
            assert message.content
            continue
        assert not wanted
        wanted = [c.id for c in message.tool_calls]
    assert not wanted


def shape(request: LlmRequest) -> list[str]:
    return [
        f"{m.role}:{m.content}" + "".join(f"+{c.name}{c.arguments}" for c in m.tool_calls)
        for m in request.messages[1:]
    ]


# --- one batch --------------------------------------------------------------------------------------------


def test_a_tool_is_asked_for_run_and_answered() -> None:
    model = FakeLlm(asks(ROME), "It is sunny.")
    scene = one_turn(model)
    (asked,), (started,), (done,) = (
        scene.of(ToolCallsRequested),
        scene.of(ToolStarted),
        scene.of(ToolCompleted),
    )
    assert asked.calls == (ToolCall("call_1", *ROME),)
    assert (started.kind, started.name, started.arguments) == ("client", "weather", {"city": "Rome"})
    assert done.msg_id == started.msg_id == asked.msg_id
    assert (done.result, done.duration_ms) == ("Rome is sunny", 200)
    assert model.requests[0].tools == tuple(tool.spec for tool in TOOLS)
    assert shape(model.requests[1]) == [
        "user:how is it in Rome", 'assistant:+weather{"city":"Rome"}', "tool:Rome is sunny",
    ]  # fmt: skip
    assert heard(scene) == ["It is sunny."]
    order = [e for e in scene.names() if e.startswith(("Turn", "Tool", "Llm", "BotS", "MessageC"))]
    assert order == [
        "TurnStarted", "LlmAsked", "TurnEnd", "LlmAnswered", "ToolCallsRequested", "ToolStarted", "ToolCompleted",
        "LlmAsked", "LlmAnswered", "BotSpeaking", "TurnMetrics", "MessageConfirmed", "TurnCompleted",
    ]  # fmt: skip
    assert len({e.message_id for e in scene.of(LlmAsked)}) == 2
    assert [m.role for m in scene.of(CallEnded)[0].messages] == ["user", "assistant", "tool", "assistant"]


def test_calls_of_one_answer_run_at_once_and_are_answered_once() -> None:
    model = FakeLlm(asks(ROME, OSLO), "Both are sunny.")
    agent = Agent(one_by_one=True)
    scene = one_turn(model, agent)
    assert len(scene.of(ToolCallsRequested)) == 1
    assert [e.tool_call_id for e in scene.of(ToolCompleted)] == ["call_2", "call_1"]
    assert shape(model.requests[1])[1:] == [
        'assistant:+weather{"city":"Rome"}+weather{"city":"Oslo"}', "tool:Rome is sunny", "tool:Oslo is sunny",
    ]  # fmt: skip
    assert len(model.requests) == 2
    assert agent.taken == [{"call_2": "settled"}, {"call_1": "settled"}]


def test_what_is_said_before_a_call_is_a_message_of_its_own() -> None:
    model = FakeLlm(
        asks(ROME, text="Let me look that up."), Says("It is sunny.", first_s=0.05), "You are welcome."
    )

    async def more(scene: Scene) -> None:
        await scene.leg.silence(6.0)
        await scene.leg.speak(1.0)

    scene = one_turn(model, texts=("how is it in Rome", "thanks"), after=more)
    assert heard(scene) == ["Let me look that up.", "It is sunny.", "You are welcome."]
    first, second = scene.of(BotSpeaking)[:2]
    assert first.turn == second.turn == scene.of(TurnEnd)[0].turn
    assert scene.at(ToolCompleted) < scene.at(MessageConfirmed), "it must be heard while the tool runs"
    # Asked on before it was heard, the model knows what it is saying.
    assert shape(model.requests[1])[1] == 'assistant:Let me look that up.+weather{"city":"Rome"}'
    assert shape(model.requests[2]) == [
        "user:how is it in Rome", 'assistant:Let me look that up.+weather{"city":"Rome"}', "tool:Rome is sunny",
        "assistant:It is sunny.", "user:thanks",
    ]  # fmt: skip


def test_several_rounds_and_then_no_more() -> None:
    model = FakeLlm(otherwise=asks(ROME, first_s=0.05))
    scene = one_turn(model, Agent(after_s=0.05), for_s=12)
    assert len(scene.of(ToolCallsRequested)) == MAX_ROUNDS
    assert [r.tool_choice for r in model.requests] == ["auto"] * MAX_ROUNDS + ["none"]
    assert heard(scene)[-1] == "Please say that again."
    assert scene.of(EngineFault)

    model = FakeLlm(*[asks(ROME, first_s=0.05)] * MAX_ROUNDS, "I give up.")
    assert heard(one_turn(model, Agent(after_s=0.05), for_s=12))[-1] == "I give up."


# --- the end of the turn ----------------------------------------------------------------------------------

SLOW = replace(CONFIG, endpointing=Endpointing(mode="silence", silence_ms=1000))


def test_no_tool_runs_before_the_turn_is_over() -> None:
    model = FakeLlm(asks(ROME, first_s=0.05), "It is sunny.")
    scene = one_turn(model, config=SLOW)
    assert scene.at(LlmAnswered) + 0.5 < scene.at(TurnEnd)
    assert scene.at(ToolCallsRequested) == scene.at(TurnEnd)
    assert heard(scene) == ["It is sunny."]


def test_what_a_turn_takes_back_never_runs() -> None:
    model = FakeLlm(asks(ROME, text="Let me look.", first_s=0.05), asks(OSLO), "It is sunny in Oslo.")

    async def more(scene: Scene) -> None:
        await scene.leg.silence(0.6)
        await scene.leg.speak(1.0)

    scene = one_turn(model, config=SLOW, texts=("how is it in Rome", "no in Oslo"), after=more)
    assert len(scene.of(TurnContinued)) == 1
    (asked,) = scene.of(ToolCallsRequested)
    assert [c.arguments for c in asked.calls] == [OSLO[1]]
    assert told(model, 1) == [("user", "how is it in Rome no in Oslo")]
    assert heard(scene) == ["It is sunny in Oslo."]


# --- interruptions ----------------------------------------------------------------------------------------


def test_a_tool_survives_who_speaks_meanwhile_and_its_result_is_told_once() -> None:
    model = FakeLlm(asks(ROME), Says("Still looking.", first_s=0.1), "It is sunny.")

    async def more(scene: Scene) -> None:
        await scene.leg.silence(1.2)
        await scene.leg.speak(1.0)

    scene = one_turn(model, Agent(after_s=4.0), texts=("how is it in Rome", "hello"), after=more, for_s=8)
    assert len(scene.of(ToolCallsRequested)) == len(scene.of(ToolCompleted)) == 1
    # The turn went on: its words are new, and the tool runs.
    assert shape(model.requests[1]) == [
        "user:how is it in Rome", 'assistant:+weather{"city":"Rome"}', f"tool:{PENDING}", "user:how is it in Rome hello",
    ]  # fmt: skip
    # The model had been told that something was pending, so it is told what came of it.
    assert shape(model.requests[2]) == [
        "user:how is it in Rome", 'assistant:+weather{"city":"Rome"}', "tool:Rome is sunny",
        "user:how is it in Rome hello", "assistant:Still looking.", f"user:{NEWS}",
    ]  # fmt: skip
    assert heard(scene)[-2:] == ["Still looking.", "It is sunny."]


def test_an_answer_waits_for_all_tools_that_it_knows_as_pending() -> None:
    model = FakeLlm(asks(ROME, ids="a"), asks(OSLO, ids="b", first_s=0.1), "Both are sunny.")

    async def more(scene: Scene) -> None:
        await scene.leg.silence(1.2)
        await scene.leg.speak(1.0)

    scene = one_turn(model, Agent(after_s=4.0), texts=("how is it in Rome", "and Oslo"), after=more, for_s=9)
    assert [e.tool_call_id for e in scene.of(ToolCompleted)] == ["a_1", "b_1"]
    assert [line for line in shape(model.requests[2]) if line.startswith("tool")] == [
        "tool:Rome is sunny", "tool:Oslo is sunny",
    ]  # fmt: skip
    assert len(model.requests) == 3
    assert heard(scene)[-1] == "Both are sunny."


def test_what_was_begun_anew_is_remembered_once() -> None:
    broken = Says("Let me. Look that up.", fail_after=3, first_s=0.05)
    model = FakeLlm(broken, asks(ROME, text="Let me see.", first_s=0.05), "It is sunny.", "Welcome.")

    async def more(scene: Scene) -> None:
        await scene.leg.silence(5.0)
        await scene.leg.speak(1.0)

    one_turn(model, config=SLOW, texts=("how is it in Rome", "thanks"), after=more)
    assert shape(model.requests[2])[1] == 'assistant:Let me see.+weather{"city":"Rome"}'
    assert shape(model.requests[3]) == [
        "user:how is it in Rome", 'assistant:Let me see.+weather{"city":"Rome"}', "tool:Rome is sunny",
        "assistant:It is sunny.", "user:thanks",
    ]  # fmt: skip


def test_the_preamble_may_be_cut_off_and_the_history_ends_there() -> None:
    model = FakeLlm(
        asks(ROME, text="one two three four five six seven eight nine ten."), otherwise=Says("Fine.")
    )

    async def more(scene: Scene) -> None:
        await scene.leg.silence(0.9 + 2.0)
        await scene.leg.speak(1.0)

    scene = one_turn(model, Agent(after_s=0.5), texts=("how is it in Rome", "never mind"), after=more)
    # What was thought of the result already was never heard.
    cut, unheard = (e for e in scene.of(BotInterrupted) if e.reason == "user_spoke")
    assert unheard.played_ms == 0
    assert len(model.requests) == 3
    said = " ".join("one two three four five six seven eight nine ten.".split()[: cut.words_spoken])
    assert shape(model.requests[-1]) == [
        "user:how is it in Rome", f'assistant:{said}+weather{{"city":"Rome"}}', "tool:Rome is sunny", "user:never mind",
    ]  # fmt: skip
    assert heard(scene) == [said, "Fine."]


def test_an_answer_that_is_cancelled_has_no_follow_up_and_its_result_is_known() -> None:
    model = FakeLlm(asks(ROME), otherwise=Says("Fine."))

    async def more(scene: Scene) -> None:
        await scene.leg.silence(1.2)
        scene.session.saying.cancel(None)
        await scene.leg.silence(2.5)
        assert len(model.requests) == 1
        await scene.leg.speak(1.0)

    one_turn(model, Agent(after_s=1.0), texts=("how is it in Rome", "and now"), after=more)
    assert "tool:Rome is sunny" in shape(model.requests[1])


def test_a_change_of_the_mind_leaves_the_tools_running() -> None:
    model = FakeLlm(asks(ROME), otherwise=Says("Fine."))

    async def more(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        engines = scene.session._engines
        alone = Engines(engines.vad, engines.stt, engines.tts, None)
        scene.session.reconfigure(alone, CONFIG, other_ears=False)
        await scene.leg.silence(2.0)
        assert len(scene.of(ToolCompleted)) == 1
        scene.session.reconfigure(engines, CONFIG, other_ears=False)
        await scene.leg.speak(1.0)

    one_turn(model, Agent(after_s=1.5), texts=("how is it in Rome", "and now"), after=more)
    assert len(model.requests) == 2
    assert "tool:Rome is sunny" in shape(model.requests[1])


def test_the_end_of_the_call_is_the_end_of_its_tools() -> None:
    scene = one_turn(FakeLlm(asks(ROME)), Agent(after_s=NEVER), for_s=3.0)
    (failed,) = scene.of(ToolFailed)
    assert (failed.code, failed.error) == ("error", "the call ended")
    names = scene.names()
    assert names.index("ToolFailed") < names.index("CallEnded")


# --- faults of tools --------------------------------------------------------------------------------------


def test_a_tool_that_does_not_answer_fails_and_the_model_says_so() -> None:
    model = FakeLlm(asks(ROME, OSLO), "I could not find out.")
    tools = (Tool(ToolSpec("weather"), timeout_s=1.5),)
    config = replace(CONFIG, tools=tools)
    scene = one_turn(model, Agent(after_s=NEVER), config=config)
    assert [e.code for e in scene.of(ToolFailed)] == ["timeout", "timeout"]
    assert scene.at(ToolFailed) == pytest.approx(scene.at(ToolStarted) + 1.5, abs=0.01)
    assert [json.loads(m.content) for m in model.requests[1].messages[-2:]] == [
        {"error": "no result came within 1.5 s"}
    ] * 2
    assert "I could not find out." in heard(scene)


def test_a_result_that_comes_late_replaces_the_error_and_is_not_answered() -> None:
    model = FakeLlm(asks(ROME), "I could not find out.", otherwise=Says("Sunny, I hear."))
    agent = Agent(after_s=3.0)

    async def more(scene: Scene) -> None:
        await scene.leg.silence(6.0)
        assert len(model.requests) == 2
        await scene.leg.speak(1.0)

    config = replace(CONFIG, tool_timeout_s=1.0)
    scene = one_turn(model, agent, config=config, texts=("how is it in Rome", "and now"), after=more)
    assert agent.taken == [{"call_1": "late"}]
    assert len(scene.of(ToolFailed)) == 1
    assert scene.of(ToolCompleted) == []
    assert shape(model.requests[2])[1:3] == ['assistant:+weather{"city":"Rome"}', "tool:Rome is sunny"]


def test_a_tool_that_is_not_there_and_arguments_that_are_none_are_not_sent() -> None:
    model = FakeLlm(asks(("wether", "{}"), ("weather", '{"city": "Ro'), ("book", "[1]"), ROME), "Sunny.")
    scene = one_turn(model)
    (asked,) = scene.of(ToolCallsRequested)
    assert [c.id for c in asked.calls] == ["call_4"]
    assert [(e.name, e.code) for e in scene.of(ToolFailed)] == [
        ("wether", "unknown_tool"), ("weather", "bad_arguments"), ("book", "bad_arguments"),
    ]  # fmt: skip
    errors = [json.loads(m.content)["error"] for m in model.requests[1].messages[3:6]]
    assert "weather, book" in errors[0]
    assert "JSON" in errors[1]
    assert heard(scene) == ["Sunny."]


def test_where_no_call_can_run_the_model_is_asked_at_once_again() -> None:
    model = FakeLlm(asks(("wether", "{}")), asks(ROME), "Sunny.")
    scene = one_turn(model)
    assert len(scene.of(ToolCallsRequested)) == 1
    assert heard(scene) == ["Sunny."]


def test_a_tool_may_fail_in_its_own_words() -> None:
    model = FakeLlm(asks(ROME), "It failed.")
    scene = one_turn(model, Agent(result=lambda _: {"error": "no such city"}))
    (failed,) = scene.of(ToolFailed)
    assert (failed.code, failed.error) == ("error", "no such city")
    assert json.loads(model.requests[1].messages[-1].content) == {"error": "no such city"}


def test_the_tools_of_a_process_that_is_gone_fail() -> None:
    model = FakeLlm(asks(ROME), "Not now.", asks(OSLO), "Still not.", asks(ROME), "Sunny.")

    async def more(scene: Scene) -> None:
        await scene.leg.silence(1.5)
        scene.session.presence.gone()
        await scene.leg.silence(3.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)
        scene.session.presence.back()
        await scene.leg.speak(1.0)

    scene = one_turn(model, Agent(after_s=5.0), texts=("rome", "oslo", "rome again"), after=more, for_s=12)
    assert [e.code for e in scene.of(ToolFailed)] == ["agent_gone", "agent_gone"]
    assert [e for e in heard(scene) if e != "One moment."] == ["Not now.", "Still not.", "Sunny."]
    assert len(scene.of(ToolCallsRequested)) == 2


def test_results_that_nobody_asked_for_are_told_as_such() -> None:
    found: list[dict[str, Taken]] = []

    async def more(scene: Scene) -> None:
        await scene.leg.silence(2.0)
        (asked,) = scene.of(ToolCallsRequested)
        twice = [ToolResult("call_1", "again"), ToolResult("call_9", "what")]
        found.append(scene.session.answering.tool_result(asked.msg_id, twice))
        found.append(scene.session.answering.tool_result("tool_none", twice[:1]))

    model = FakeLlm(asks(ROME), "Sunny.")
    scene = one_turn(model, after=more)
    assert found == [{"call_1": "twice", "call_9": "unknown"}, {"call_1": "unknown"}]
    assert scene.session.answering.tool_result("x", [ToolResult("y", 1)]) == {"y": "unknown"}
    assert len(model.requests) == 2


def test_another_configuration_may_give_tools_less_time() -> None:
    async def script(scene: Scene) -> None:
        other = replace(CONFIG, tool_timeout_s=2.0)
        scene.session.reconfigure(scene.session._engines, other, other_ears=False)
        await scene.leg.speak(1.0)
        await scene.leg.silence(5.0)

    scene = call(script, "rome", config=CONFIG, mind=chain(FakeLlm(asks(ROME), "I cannot tell.")))
    (failed,) = scene.of(ToolFailed)
    assert failed.code == "timeout"
    assert failed.duration_ms == pytest.approx(2000, abs=10)


# --- what a result may say --------------------------------------------------------------------------------


def test_tools_that_want_no_answer_get_none() -> None:
    model = FakeLlm(asks(ROME, OSLO))
    scene = one_turn(model, Agent(no_followup=True))
    assert len(model.requests) == 1
    (silence,) = scene.of(NoResponse)
    assert silence.reason == "no_followup"
    assert heard(scene) == []


def test_one_tool_that_wants_an_answer_is_enough() -> None:
    model = FakeLlm(asks(ROME, ("wether", "{}")), "Well.")
    assert heard(one_turn(model, Agent(no_followup=True))) == ["Well."]


def test_what_is_ephemeral_is_known_for_one_answer() -> None:
    model = FakeLlm(asks(ROME, ids="a"), asks(OSLO, ids="b"), "Sunny.", "Welcome.")

    async def more(scene: Scene) -> None:
        await scene.leg.silence(4.0)
        await scene.leg.speak(1.0)

    scene = one_turn(model, Agent(ephemeral=True), texts=("rome and oslo", "thanks"), after=more)
    assert shape(model.requests[2])[1:] == [
        'assistant:+weather{"city":"Rome"}', "tool:Rome is sunny",
        'assistant:+weather{"city":"Oslo"}', "tool:Oslo is sunny",
    ]  # fmt: skip
    assert shape(model.requests[3]) == ["user:rome and oslo", "assistant:Sunny.", "user:thanks"]
    assert all(m.role != "tool" for m in scene.of(CallEnded)[0].messages)


def test_the_servers_own_tools_run_at_once_and_are_not_sent() -> None:
    loaded: list[object] = []

    def load(arguments: object) -> object:
        loaded.append(arguments)
        return {"status": "loaded"}

    config = replace(CONFIG, tools=(Tool(ToolSpec("loadSkill"), run=load), *TOOLS))
    model = FakeLlm(asks(("loadSkill", '{"name":"x"}')), "Ready.")
    scene = one_turn(model, config=config)
    assert loaded == [{"name": "x"}]
    assert scene.of(ToolCallsRequested) == []
    assert [(e.kind, e.result) for e in scene.of(ToolCompleted)] == [("system", {"status": "loaded"})]
    assert heard(scene) == ["Ready."]


# --- while one waits --------------------------------------------------------------------------------------


def test_while_a_tool_takes_its_time_the_caller_is_told_once() -> None:
    tools = (Tool(ToolSpec("weather"), filler="I am asking the weather service."),)
    model = FakeLlm(asks(ROME, text="Let me see."), asks(OSLO), "It is sunny.")
    scene = one_turn(model, Agent(after_s=4.0), config=replace(CONFIG, tools=tools), for_s=14)
    assert heard(scene) == ["Let me see.", "I am asking the weather service.", "It is sunny."]
    ended = next(at for at, e in scene.log if isinstance(e, MessageConfirmed))
    filled = [at for at, e in scene.log if isinstance(e, BotSpeaking)][1]
    assert filled == pytest.approx(ended + 2.0, abs=0.1)
    assert all("service" not in m.content for r in model.requests for m in r.messages)


def test_without_a_filler_it_is_the_holding_line() -> None:
    model = FakeLlm(asks(ROME), "It is sunny.")
    assert heard(one_turn(model, Agent(after_s=4.0), for_s=9)) == ["One moment.", "It is sunny."]


@pytest.mark.parametrize(
    ("after_s", "said"), [(4.0, ["It is sunny."]), (8.0, ["One moment.", "It is sunny."])]
)
def test_who_comes_back_from_hold_is_told_that_it_takes_a_while_only_if_it_does(
    after_s: float, said: list[str]
) -> None:
    model = FakeLlm(asks(ROME), "It is sunny.")

    async def script(scene: Scene) -> None:
        Agent(after_s=after_s).attach(scene)
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.5)
        scene.session.hold()
        await scene.leg.silence(5.0)
        assert scene.of(BotSpeaking) == []
        scene.session.unhold()
        await scene.leg.silence(6.0)

    assert heard(call(script, "rome", config=CONFIG, mind=chain(model))) == said


def test_the_models_failure_after_a_tool_is_told() -> None:
    model = FakeLlm(asks(ROME), otherwise=Says(fail_after=0, first_s=0.05))
    scene = one_turn(model)
    assert heard(scene) == ["Please say that again."]
    assert len([e for e in scene.of(EngineFault) if e.fallback is None]) == 1
