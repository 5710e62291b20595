"""Calls, and what is told of them beside the events themselves: sentences, states, turns, the voice, the history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.config import SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.errors import ProviderError
from pipeline.events import (
    AgentState,
    BargeIn,
    BotFinished,
    BotInterrupted,
    BotOutput,
    BotSpeaking,
    BotWord,
    CallEnded,
    EagerTurn,
    HistorySnapshot,
    LlmAsked,
    LlmReasoned,
    MessageConfirmed,
    NoResponse,
    SpeechEnded,
    ToolStarted,
    TtsStarted,
    TtsStopped,
    TurnCompleted,
    TurnEnd,
    TurnMetrics,
    TurnStarted,
    UserMessage,
)
from pipeline.ports import ChatMessage
from pipeline.telling import SNAPSHOT, SNAPSHOT_CHARS
from pipeline.turnlog import Switches
from tests.fakes.llm import FakeLlm, Says, asks
from tests.fakes.tts import FakeTts, Plan
from tests.pipeline.test_session import PLAIN, Scene, call
from tests.pipeline.test_session_thinking import CONFIG, LONG, NEVER, chain
from tests.pipeline.test_session_tools import CONFIG as TOOLS_CONFIG
from tests.pipeline.test_session_tools import ROME, Agent

TALK = "It is ten. What else? Good bye."


def told(scene: Scene, kind: type) -> list[float]:
    return [at for at, event in scene.log if isinstance(event, kind)]


def states(scene: Scene) -> list[str]:
    return [event.state for event in scene.of(AgentState)]


async def one_turn(scene: Scene) -> None:
    await scene.leg.speak(1.0)
    await scene.leg.silence(5.0)


# --- sentences --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word_times", [True, False])
def test_a_sentence_is_put_out_when_it_is_made_and_when_it_was_heard(word_times: bool) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", TALK, "")
        await scene.leg.silence(5.0)

    scene = call(script, voice=FakeTts(word_times=word_times))
    outputs = scene.of(BotOutput)
    assert [(o.segment_id, o.text) for o in outputs if not o.spoken] == [
        (0, "It is ten."), (1, "What else?"), (2, "Good bye."),
    ]  # fmt: skip
    assert [(o.segment_id, o.text) for o in outputs if o.spoken] == [
        (0, "It is ten."), (1, "What else?"), (2, "Good bye."),
    ]  # fmt: skip
    # Each when its last word was over, and not with the next word: 3, 2 and 2 words of 300 ms, 40 of them silent.
    begun = scene.at(BotSpeaking)
    heard = [at - begun for at, event in scene.log if isinstance(event, BotOutput) and event.spoken]
    assert heard == pytest.approx([0.86, 1.46, 2.06], abs=0.005 if word_times else 0.1)
    assert told(scene, TtsStopped)[0] < told(scene, BotFinished)[0] - 1.0, "the voice is ahead"


def test_of_a_sentence_that_is_cut_off_what_was_heard_is_put_out() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "It is ten. One two three four five six. Good bye.", "")
        await scene.leg.silence(2.5)
        scene.session.saying.cancel(None)
        await scene.leg.silence(0.5)

    scene = call(script)
    spoken = [(o.segment_id, o.text) for o in scene.of(BotOutput) if o.spoken]
    assert spoken == [(0, "It is ten."), (1, "One two three four five six.")]
    # In the order in which it became known, before the end of the message.
    assert [n for n in scene.names() if n in ("BotOutput", "BotInterrupted", "BargeIn")][-2:] == [
        "BotOutput", "BotInterrupted",
    ]  # fmt: skip


def test_what_comes_in_pieces_is_put_out_sentence_by_sentence_on_time() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_start("m1", "")
        scene.session.saying.stream_chunk("m1", "It is ten. ")
        await scene.leg.silence(4.0)
        scene.session.saying.stream_chunk("m1", "Good bye.")
        scene.session.saying.stream_end("m1")
        await scene.leg.silence(2.0)

    scene = call(script, voice=FakeTts(word_ms=390))
    first = next(at for at, event in scene.log if isinstance(event, BotOutput) and event.spoken)
    assert first == pytest.approx(1.13, abs=0.01), "not only when the next one begins"
    assert len(scene.of(TtsStarted)) == len(scene.of(TtsStopped)) == 1
    assert told(scene, TtsStopped)[0] > 4.0, "more of it was awaited"


def test_a_voice_that_breaks_off_makes_no_second_sentence() -> None:
    voice = FakeTts()
    voice.script(Plan(fail_after_words=2, error=ProviderError("fake", "tts", "it fell", retryable=True)))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "One two three four. Five.", "")
        await scene.leg.silence(5.0)

    scene = call(script, voice=voice)
    assert len(scene.of(BotFinished)) == 1
    assert [(o.segment_id, o.text, o.spoken) for o in scene.of(BotOutput)] == [
        (0, "One two three four.", False),
        (1, "Five.", False),
        (0, "One two three four.", True),
        (1, "Five.", True),
    ]


@pytest.mark.parametrize("unit", ["word", "off"])
def test_words_or_nothing_may_be_put_out(unit: str) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "It is ten.", "")
        await scene.leg.silence(3.0)

    switches = Switches(bot_output=unit)  # type: ignore[arg-type]
    scene = call(script, config=SessionConfig(endpointing=PLAIN, events=switches))
    texts = [(o.segment_id, o.text, o.spoken) for o in scene.of(BotOutput)]
    assert texts == ([(0, "It", True), (1, "is", True), (2, "ten.", True)] if unit == "word" else [])
    assert len(scene.of(BotWord)) == 3


# --- states and turns -------------------------------------------------------------------------------------


def test_the_states_of_a_conversation() -> None:
    scene = call(
        one_turn, "what time is it", config=replace(CONFIG, greeting=""), mind=chain(FakeLlm("Noon."))
    )
    assert states(scene) == ["idle", "listening", "thinking", "speaking", "idle"]
    at = told(scene, AgentState)
    assert at[2] == scene.at(TurnEnd)
    assert at[3] == scene.at(BotSpeaking)
    assert at[4] == scene.at(BotFinished)
    (metrics,) = scene.of(TurnMetrics)
    assert metrics.llm_first_token_ms == 300
    voice_end = scene.of(SpeechEnded)[0].at - 1000
    assert metrics.total_ms == pytest.approx((scene.at(BotSpeaking) - voice_end) * 1000, abs=2)
    (done,) = scene.of(TurnCompleted)
    assert (done.messages_spoken, done.interrupted, done.aborted) == (1, False, False)


def test_an_answer_that_is_ready_takes_no_thinking() -> None:
    model = FakeLlm(Says("Noon.", first_s=0.05))
    config = replace(CONFIG, endpointing=Endpointing(mode="silence", silence_ms=1000))
    scene = call(one_turn, "what time is it", config=config, mind=chain(model))
    assert states(scene) == ["idle", "listening", "speaking", "idle"]
    assert scene.at(BotSpeaking) == scene.at(TurnEnd)


def test_an_agent_that_does_not_answer_leaves_the_state_at_thinking() -> None:
    scene = call(one_turn, "what time is it")
    assert states(scene) == ["idle", "listening", "thinking"]
    assert scene.of(TurnCompleted) == [TurnCompleted(scene.of(TurnEnd)[0].turn, 0, False, True, 5960)]


def test_a_model_that_says_nothing_leaves_nobody_waiting() -> None:
    scene = call(one_turn, "what time is it", config=CONFIG, mind=chain(FakeLlm(Says(""))))
    assert len(scene.of(NoResponse)) == 1
    assert states(scene) == ["idle", "listening", "thinking", "idle"]
    (done,) = scene.of(TurnCompleted)
    assert done.aborted
    assert scene.of(TurnMetrics) == []


def test_a_noise_is_listened_to_and_forgotten() -> None:
    scene = call(one_turn, "")
    assert states(scene) == ["idle", "listening", "idle"]
    assert [event.index for event in scene.of(TurnStarted)] == [1]
    assert len(scene.of(TurnCompleted)) == 1


def test_while_tools_run_between_two_messages_it_thinks() -> None:
    model = FakeLlm(asks(ROME, text="Let me see."), "It is sunny.")
    agent = Agent(after_s=3.0)

    async def script(scene: Scene) -> None:
        agent.attach(scene)
        await scene.leg.speak(1.0)
        await scene.leg.silence(9.0)

    config = replace(TOOLS_CONFIG, holding_text="", trouble_text="")
    scene = call(script, "how is it in Rome", config=config, mind=chain(model))
    assert len(scene.of(ToolStarted)) == 1
    assert states(scene) == ["idle", "listening", "thinking", "speaking", "thinking", "speaking", "idle"]
    (done,) = scene.of(TurnCompleted)
    assert done.messages_spoken == 2
    assert scene.at(TurnCompleted) == told(scene, BotFinished)[1], "the last answer, not the first"
    (metrics,) = scene.of(TurnMetrics)
    assert metrics.message_id == scene.of(BotSpeaking)[0].message_id


def test_an_answer_that_was_heard_before_its_model_has_ended_completes_the_turn() -> None:
    model = FakeLlm(Says("Well. - -", word_s=1.0))
    # 200 ms of sound: its mark is back, so that it is over in the instant in which its text is complete.
    voice, config = FakeTts(word_ms=240), replace(CONFIG, holding_text="")
    scene = call(one_turn, "what time is it", config=config, mind=chain(model), voice=voice)
    assert scene.at(BotFinished) > scene.at(BotSpeaking) + 0.9, "the model had not ended"
    assert scene.at(TurnCompleted) == scene.at(BotFinished)


def test_a_message_right_behind_another_leaves_the_state_at_speaking() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "It is ten.", "")
        scene.session.saying.reply("m2", "Good bye.", "")
        await scene.leg.silence(4.0)

    scene = call(script)
    assert len(scene.of(BotFinished)) == 2
    assert states(scene) == ["idle", "speaking", "idle"]


def test_a_barge_in_is_told_where_the_users_voice_has_cut_the_bot_off() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)
        await scene.leg.speak(1.5)
        await scene.leg.silence(3.0)

    scene = call(script, "count", "stop it now", config=CONFIG, mind=chain(FakeLlm(LONG, "Sorry.")))
    (cut,) = scene.of(BotInterrupted)
    assert scene.of(BargeIn) == [BargeIn(cut.turn, cut.message_id)]
    first, second = scene.of(TurnCompleted)
    assert (first.interrupted, first.aborted, first.messages_spoken) == (True, False, 1)
    assert (second.interrupted, second.aborted) == (False, False)
    assert scene.at(TurnCompleted) == scene.at(BotInterrupted)
    assert states(scene)[:5] == ["idle", "listening", "thinking", "speaking", "listening"]


def test_who_gives_a_call_back_is_not_waited_for_any_more() -> None:
    async def script(scene: Scene) -> None:
        scene.session.pause(on=True)
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.7)
        assert scene.of(AgentState)[-1] == AgentState("thinking")
        scene.session.pause(on=False)
        assert scene.of(AgentState)[-1] == AgentState("idle")
        await scene.leg.silence(1.0)

    call(script, "hello", config=CONFIG, mind=chain(FakeLlm()))


def test_hold_is_idle() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", LONG, "")
        await scene.leg.silence(1.0)
        scene.session.hold()
        await scene.leg.silence(1.0)
        scene.session.unhold()
        await scene.leg.silence(6.0)

    scene = call(script)
    assert states(scene) == ["idle", "speaking", "idle", "speaking", "idle"]


def test_while_it_is_muted_the_bot_is_told_of_all_the_same() -> None:
    async def script(scene: Scene) -> None:
        scene.session.mute()
        scene.session.saying.reply("m1", "It is ten.", "")
        await scene.leg.silence(2.0)

    assert states(call(script)) == ["idle", "speaking", "idle"]


def test_what_is_not_wanted_is_not_told() -> None:
    model = FakeLlm(Says("Noon.", thoughts=("hm",)))
    switches = Switches(bot_output="off", reasoning=False, metrics=False, state=False)
    scene = call(one_turn, "what time is it", config=replace(CONFIG, events=switches), mind=chain(model))
    assert len(scene.of(LlmAsked)) == 1
    for kind in (BotOutput, LlmReasoned, TurnMetrics, AgentState, HistorySnapshot):
        assert scene.of(kind) == []
    assert len(scene.of(TurnCompleted)) == 1


def test_what_is_wanted_may_change_in_the_call() -> None:
    async def script(scene: Scene) -> None:
        other = replace(CONFIG, events=Switches(history_snapshot=True))
        scene.session.reconfigure(scene.session._engines, other, other_ears=False)
        await one_turn(scene)

    config = replace(CONFIG, events=Switches(bot_output="off"))
    scene = call(script, "hello", config=config, mind=chain(FakeLlm("Noon.")))
    assert scene.of(BotOutput)
    assert scene.of(HistorySnapshot)


# --- latency and language ---------------------------------------------------------------------------------


def test_the_parts_of_an_answer_are_measured() -> None:
    voice = FakeTts(plan=Plan(first_audio_s=0.25))
    scene = call(
        one_turn, "hello", config=CONFIG, mind=chain(FakeLlm(Says("Noon.", first_s=0.2))), voice=voice
    )
    (metrics,) = scene.of(TurnMetrics)
    assert metrics.endpointing_ms == scene.of(TurnEnd)[0].latency_ms
    assert metrics.stt_ms == scene.of(UserMessage)[0].lag_ms
    assert (metrics.llm_first_token_ms, metrics.tts_first_byte_ms) == (200, 250)
    assert (metrics.agent_ms, metrics.input_tokens, metrics.output_tokens) == (None, 10, 1)


@pytest.mark.parametrize("whole", [False, True])
def test_an_agents_answer_is_measured(whole: bool) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)
        (end,) = scene.of(TurnEnd)
        await scene.leg.silence(0.5)
        if whole:
            scene.session.saying.reply("m1", "It is ten.", end.message_id)
        else:
            scene.session.saying.stream_start("m1", end.message_id)
            await scene.leg.silence(0.5)
            scene.session.saying.stream_chunk("m1", "It is ten.")
            scene.session.saying.stream_end("m1")
        await scene.leg.silence(3.0)

    scene = call(script, "what time is it")
    (metrics,) = scene.of(TurnMetrics)
    since = round((scene.at(BotSpeaking) - scene.at(TurnEnd)) * 1000)
    # From the early edge to the first text, not to the empty beginning of the stream.
    early = round((scene.at(TurnEnd) - scene.at(EagerTurn)) * 1000)
    assert metrics.agent_ms == pytest.approx(since + early, abs=25)
    assert metrics.llm_first_token_ms is None
    assert metrics.slowest == "agent"


def test_the_language_is_told_where_the_recogniser_tells_it() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.45)
        scene.ear.language = "es"
        await scene.leg.silence(0.1)
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)

    scene = call(script, "hello", "hola")
    assert [(m.text, m.language) for m in scene.of(UserMessage)] == [("hello", None), ("hello hola", "es")]


# --- the history ------------------------------------------------------------------------------------------


def test_the_history_is_told_after_each_turn_and_each_message() -> None:
    config = replace(CONFIG, greeting="Hello there.", events=Switches(history_snapshot=True))

    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.5)
        await one_turn(scene)

    scene = call(script, "what time is it", config=config, mind=chain(FakeLlm("Noon.")))
    contents = [[m.content for m in s.messages] for s in scene.of(HistorySnapshot)]
    assert contents == [
        ["Hello there."],
        ["Hello there.", "what time is it"],
        ["Hello there.", "what time is it", "Noon."],
    ]
    assert [s.count for s in scene.of(HistorySnapshot)] == [1, 2, 3]
    assert scene.of(HistorySnapshot)[-1].messages == scene.of(CallEnded)[0].messages
    assert told(scene, HistorySnapshot)[1] == scene.at(TurnEnd)


def test_the_history_of_an_agents_call_is_what_was_said() -> None:
    config = SessionConfig(endpointing=Endpointing(mode="silence"), events=Switches(history_snapshot=True))

    async def script(scene: Scene) -> None:
        for number in range(SNAPSHOT + 5):
            scene.session.saying.reply(f"m{number}", f"Yes {number}.", "")
        await scene.leg.silence(SNAPSHOT * 0.8 + 10)

    scene = call(script, config=config)
    last = scene.of(HistorySnapshot)[-1]
    assert last.count == len(scene.of(MessageConfirmed)) == SNAPSHOT + 5
    assert [m.content for m in last.messages] == [f"Yes {n}." for n in range(5, SNAPSHOT + 5)]


def test_of_a_long_history_less_is_told() -> None:
    lines = [ChatMessage("user", text * (SNAPSHOT_CHARS // 2)) for text in "abcd"]
    whole = ChatMessage("user", "e" * (2 * SNAPSHOT_CHARS))

    async def script(scene: Scene) -> None:
        scene.session.answering.dialogue.add(lines)
        scene.session.history_changed()
        scene.session.answering.dialogue.add([whole])
        scene.session.history_changed()
        await scene.leg.silence(0.2)

    config = replace(CONFIG, events=Switches(history_snapshot=True))
    scene = call(script, config=config, mind=chain(FakeLlm()))
    told = [(snapshot.messages, snapshot.count) for snapshot in scene.of(HistorySnapshot)]
    assert told == [(tuple(lines[2:]), 4), ((whole,), 5)]


def test_a_history_that_its_agent_changes_is_told_at_once() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.2)
        scene.session.answering.dialogue.add([ChatMessage("user", "hello")])
        scene.session.history_changed()
        scene.session.history_changed()
        await scene.leg.silence(0.2)

    config = replace(CONFIG, events=Switches(history_snapshot=True))
    scene = call(script, config=config, mind=chain(FakeLlm()))
    assert scene.of(HistorySnapshot) == [HistorySnapshot((ChatMessage("user", "hello"),), 1)]


def test_an_answer_that_never_comes_ends_with_the_call() -> None:
    mind = chain(FakeLlm(otherwise=Says(first_s=NEVER)))
    config = replace(CONFIG, holding_text="", trouble_text="")
    scene = call(one_turn, "hello", config=config, mind=mind)
    assert scene.names()[-2:] == ["TurnCompleted", "CallEnded"]
