"""Calls whose server thinks by itself: what the model is told, when it is asked, and what is heard of it."""

from __future__ import annotations

import pytest

from media.frames import Pcm
from pipeline.chain import Choice, Deadlines, Health, LlmChain
from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.errors import ProviderError
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    CallEnded,
    EagerTurn,
    EndReason,
    EngineFault,
    LlmAnswered,
    LlmAsked,
    LlmFailed,
    LlmReasoned,
    MessageAborted,
    MessageConfirmed,
    NoResponse,
    SpeechEnded,
    TurnContinued,
    TurnEnd,
    UserMessage,
)
from pipeline.listening import MAX_CHANGES
from pipeline.message import Message
from pipeline.ports import SttFailed, SttStream
from tests.fakes.llm import FakeLlm, Says
from tests.fakes.tts import FakeTts, Plan
from tests.fakes.vad import FakeVad
from tests.pipeline.test_session import Scene, ScriptedEar, call

NEVER = 1e6
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen."
CONFIG = SessionConfig(
    prompt="Be kind.",
    raw_prompt=True,
    endpointing=Endpointing(mode="silence"),
    holding_text="One moment.",
    trouble_text="Please say that again.",
)


def told(model: FakeLlm, index: int) -> list[tuple[str, str]]:
    """The history that the model was given with a request, without the prompt."""
    first, *rest = model.requests[index].messages
    assert (first.role, first.content) == ("system", "Be kind.")
    return [(message.role, message.content) for message in rest]


def chain(*models: FakeLlm) -> LlmChain:
    return LlmChain([Choice(m) for m in models], Deadlines(answer_s=1.5, last_s=8, gap_s=3), Health())


def heard(scene: Scene) -> list[str]:
    return [event.text for event in scene.of(MessageConfirmed)]


def test_a_conversation_of_two_turns() -> None:
    model = FakeLlm("It is noon.", "You are welcome.")

    async def script(scene: Scene) -> None:
        await scene.leg.silence(2.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    config = SessionConfig(prompt="Be kind.", raw_prompt=True, greeting="Hello there.")
    scene = call(script, "what time is it", "thank you", config=config, mind=chain(model))
    assert told(model, 0) == [("assistant", "Hello there."), ("user", "what time is it")]
    assert told(model, 1) == [
        ("assistant", "Hello there."),
        ("user", "what time is it"),
        ("assistant", "It is noon."),
        ("user", "thank you"),
    ]
    assert heard(scene) == ["Hello there.", "It is noon.", "You are welcome."]
    assert [line.content for line in scene.of(CallEnded)[0].transcript] == [
        "Hello there.", "what time is it", "It is noon.", "thank you", "You are welcome.",
    ]  # fmt: skip
    assert all(event.message_id.startswith("msg_") for event in scene.of(BotFinished))
    assert scene.of(BotSpeaking)[1].turn == scene.of(TurnEnd)[0].turn
    assert model.warmed == 1


def test_the_model_is_asked_at_the_early_edge_and_once() -> None:
    model = FakeLlm(Says("It is noon.", first_s=0.05))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.5)

    config = SessionConfig(endpointing=Endpointing(mode="silence", silence_ms=1000))
    scene = call(script, "what time is it", config=config, mind=chain(model))
    assert len(model.requests) == 1
    assert scene.at(EagerTurn) + 0.5 < scene.at(TurnEnd)
    # The answer was ready: it is heard in the instant in which the turn is over.
    assert scene.at(BotSpeaking) == pytest.approx(scene.at(TurnEnd), abs=0.03)


def test_a_turn_that_goes_on_voids_what_was_thought() -> None:
    model = FakeLlm(Says("Too early.", first_s=3.0), "It is noon in Paris.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.6)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    config = SessionConfig(
        prompt="Be kind.", raw_prompt=True, endpointing=Endpointing(mode="silence", silence_ms=1000)
    )
    scene = call(script, "what time is it", "in Paris", config=config, mind=chain(model))
    assert len(scene.of(TurnContinued)) == 1
    assert model.cancelled == 1
    assert told(model, 1) == [("user", "what time is it in Paris")]
    assert heard(scene) == ["It is noon in Paris."]
    assert len({event.turn.turn_id for event in scene.of(UserMessage)}) == 1


def test_the_history_ends_where_the_caller_cut_the_bot_off() -> None:
    model = FakeLlm(LONG, "Sorry.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.9 + 2.5)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "count for me", "stop", config=CONFIG, mind=chain(model))
    (cut,) = scene.of(BotInterrupted)
    assert cut.reason == "user_spoke"
    (_, first), (_, answer), (_, second) = told(model, 1)
    assert (first, second) == ("count for me", "stop")
    assert answer == " ".join(LONG.split()[: cut.words_spoken])
    assert answer.endswith(cut.last_word or "?")
    assert 5 <= cut.words_spoken <= 12


def test_an_answer_cut_off_early_was_never_given() -> None:
    model = FakeLlm(LONG, "All of it.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.9 + 0.5)
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    scene = call(script, "count for me", "to a hundred", config=CONFIG, mind=chain(model))
    (cut,) = scene.of(BotInterrupted)
    assert cut.reason == "early"
    assert [event.message_id for event in scene.of(MessageAborted)] == [cut.message_id]
    assert told(model, 1) == [("user", "count for me to a hundred")]
    assert heard(scene) == ["All of it."]


def test_thinking_stops_with_the_message() -> None:
    model = FakeLlm(Says(LONG, word_s=0.5))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.0)
        scene.session.saying.cancel(None)
        await scene.leg.silence(0.1)
        assert model.cancelled == 1
        await scene.leg.silence(3.0)

    scene = call(script, "count for me", config=CONFIG, mind=chain(model))
    assert len(model.requests) == 1
    assert heard(scene) == []


def test_hanging_up_ends_the_request() -> None:
    model = FakeLlm(Says(first_s=NEVER))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)

    call(script, "hello", config=CONFIG, mind=chain(model))
    assert model.cancelled == 1


def test_what_the_end_of_a_call_makes_of_a_turn_is_not_answered() -> None:
    model = FakeLlm()

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.44)
        await scene.leg.speak(0.1)  # Too short to be speech, it ends with the call, and with it the turn.

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert len(scene.of(TurnEnd)) == 1
    assert scene.at(TurnEnd) == scene.at(CallEnded)
    assert scene.at(LlmAsked) == scene.at(EagerTurn) < scene.at(TurnEnd)
    assert len(scene.of(LlmAsked)) == len(model.requests) == 1


# --- late and lost answers --------------------------------------------------------------------------------


def test_a_limit_that_is_reached_with_the_last_words_of_an_answer_is_the_end() -> None:
    async def script(scene: Scene) -> None:
        session = scene.session
        finish = session.saying.finish

        def finish_at_the_limit(message: Message, *, broken: bool = False) -> None:
            finish(message, broken=broken)
            session.end(EndReason.MAX_DURATION, "the call reached 3 s")

        session.saying.finish = finish_at_the_limit  # type: ignore[method-assign]
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "what time is it", config=CONFIG, mind=chain(FakeLlm("It is noon.")))
    assert scene.of(CallEnded)[0].reason is EndReason.MAX_DURATION
    assert scene.of(LlmAsked)
    assert not scene.of(LlmAnswered)


def test_a_late_answer_is_announced_and_then_given() -> None:
    model = FakeLlm(Says("It is noon.", first_s=4.0), otherwise=Says(first_s=NEVER))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(8.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.0)

    scene = call(script, "what time is it", "thank you", config=CONFIG, mind=chain(model))
    assert heard(scene)[:2] == ["One moment.", "It is noon."]
    turn_end = scene.at(TurnEnd)
    assert scene.at(BotSpeaking) == pytest.approx(turn_end + 2.0, abs=0.05)
    # What was said to fill the time is no part of the conversation.
    last = model.requests[-1].messages
    assert [m.content for m in last[1:]] == ["what time is it", "It is noon.", "thank you"]
    fault = scene.of(EngineFault)[0]
    assert (fault.provider, fault.stage, fault.code) == ("fake", "llm", "PROVIDER_TIMEOUT")
    assert fault.fallback == "fake"


def test_who_speaks_during_the_holding_line_goes_on_with_his_turn() -> None:
    model = FakeLlm(otherwise=Says("Both done.", first_s=2.6))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.5 + 2.1)
        await scene.leg.speak(1.0)
        await scene.leg.silence(6.0)

    scene = call(script, "do this", "and do that", config=CONFIG, mind=chain(model))
    assert scene.of(BotInterrupted)[0].reason == "early"
    assert told(model, -1) == [("user", "do this and do that")]
    assert heard(scene)[-1] == "Both done."


def test_another_model_answers_in_the_place_of_one_that_stalls() -> None:
    a, b = FakeLlm(otherwise=Says(first_s=NEVER), name="a"), FakeLlm("It is noon.", name="b")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(5.0)

    scene = call(script, "what time is it", config=CONFIG, mind=chain(a, b))
    assert heard(scene) == ["It is noon."]
    assert scene.at(BotSpeaking) - scene.at(TurnEnd) < 2.0
    (fault,) = scene.of(EngineFault)
    assert (fault.provider, fault.fallback, fault.retryable) == ("a", "b", True)


def test_where_nobody_answers_the_caller_is_told() -> None:
    model = FakeLlm(otherwise=Says(fail_after=0, first_s=0.1))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    scene = call(script, "what time is it", config=CONFIG, mind=chain(model))
    assert heard(scene) == ["Please say that again."]
    faults = scene.of(EngineFault)
    assert [fault.fallback for fault in faults] == ["fake", None]


def test_an_answer_that_broke_off_unheard_is_begun_anew() -> None:
    model = FakeLlm(Says("One. Two. Three.", fail_after=2, first_s=0.05), "One. Two. Three.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    config = SessionConfig(endpointing=Endpointing(mode="silence", silence_ms=1000))
    scene = call(script, "count", config=config, mind=chain(model))
    assert heard(scene) == ["One. Two. Three."]
    assert len(scene.of(BotSpeaking)) == 1
    assert [fault.fallback for fault in scene.of(EngineFault)] == ["fake"]


def test_an_answer_that_broke_off_while_it_was_heard_ends_with_a_whole_sentence() -> None:
    model = FakeLlm(Says("This is heard. And this is not.", fail_after=5, word_s=0.3))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(6.0)

    scene = call(script, "tell me", config=CONFIG, mind=chain(model))
    assert heard(scene) == ["This is heard."]
    assert len(scene.of(BotFinished)) == 1
    assert [fault.fallback for fault in scene.of(EngineFault)] == [None]


@pytest.mark.parametrize("text", ["", "\n", "...", "  "])
def test_an_answer_without_a_word_is_a_deliberate_silence(text: str) -> None:
    model = FakeLlm(otherwise=Says(text))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(8.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert heard(scene) == []
    assert scene.of(EngineFault) == []
    (silence,) = scene.of(NoResponse)
    assert (silence.reason, silence.turn) == ("empty", scene.of(TurnEnd)[0].turn)
    assert silence.message_id == scene.of(LlmAnswered)[0].message_id
    assert scene.at(NoResponse) >= scene.at(TurnEnd)


def test_silence_that_a_turn_takes_back_is_not_told() -> None:
    model = FakeLlm(Says("", first_s=0.05), "Both done.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.6)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    config = SessionConfig(endpointing=Endpointing(mode="silence", silence_ms=1000))
    scene = call(script, "do this", "and do that", config=config, mind=chain(model))
    assert len(scene.of(TurnContinued)) == 1
    assert scene.of(NoResponse) == []
    assert heard(scene) == ["Both done."]


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_an_empty_answer_that_ended_for_another_reason_is_a_fault(reason: str) -> None:
    model = FakeLlm(otherwise=Says("", finish_reason=reason))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert heard(scene) == ["Please say that again."]
    assert scene.of(NoResponse) == []
    assert reason in scene.of(EngineFault)[0].text
    assert reason in scene.of(LlmFailed)[0].text


def test_what_the_model_ponders_is_told_and_not_said() -> None:
    model = FakeLlm(Says("It is noon.", thoughts=("Hm,", "", " let me see."), first_s=1.0))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(8.0)

    scene = call(script, "what time is it", config=CONFIG, mind=chain(model))
    (message_id,) = {event.message_id for event in scene.of(LlmAnswered)}
    assert [(e.message_id, e.index, e.text, e.end) for e in scene.of(LlmReasoned)] == [
        (message_id, 0, "Hm,", False), (message_id, 1, " let me see.", False), (message_id, 2, "", True),
    ]  # fmt: skip
    # Four seconds to its first word; but for its thoughts another one would have been asked meanwhile.
    assert len(model.requests) == 1
    assert heard(scene) == ["One moment.", "It is noon."]


def test_each_request_and_each_answer_is_told_with_what_it_cost() -> None:
    model = FakeLlm("It is noon.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "what time is it", config=CONFIG, mind=chain(model))
    (asked,), (answered,) = scene.of(LlmAsked), scene.of(LlmAnswered)
    message_id = scene.of(BotSpeaking)[0].message_id
    assert (asked.message_id, asked.provider) == (message_id, "fake")
    assert (answered.message_id, answered.text, answered.finish_reason) == (message_id, "It is noon.", "stop")
    assert (answered.input_tokens, answered.output_tokens, answered.provider) == (10, 3, "fake")


# --- deaf ears --------------------------------------------------------------------------------------------


class LateEar(ScriptedEar):
    """Gives its text only three seconds after the end of the segment, and no partials."""

    def __init__(self, *texts: str | ProviderError) -> None:
        super().__init__(*texts, delay_s=3.0)

    def open(self, *args: object) -> SttStream:
        stream = super().open(*args)  # type: ignore[arg-type]
        stream.feed = lambda pcm: None  # type: ignore[method-assign]
        return stream


@pytest.mark.parametrize("text", ["what time is it", "yes", "mhm"])
def test_what_is_understood_late_is_answered_after_the_holding_line(text: str) -> None:
    model = FakeLlm("It is noon.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(8.0)

    config = SessionConfig(
        prompt="Be kind.", raw_prompt=True, holding_text="Just a moment, please, I beg you."
    )
    scene = call(script, text, config=config, ear=LateEar, mind=chain(model), voice=FakeTts(word_ms=300))
    assert heard(scene) == ["Just a moment, please, I beg you.", "It is noon."]
    assert scene.at(BotSpeaking) == pytest.approx(1.0 + 2.0, abs=0.1)
    assert told(model, 0) == [("user", text)]
    assert [event.turn.turn_id for event in scene.of(UserMessage)] == [1]


def test_where_all_ears_fail_the_caller_is_told() -> None:
    model = FakeLlm("I heard you.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    fault = ProviderError("ear", "stt", "HTTP 500")
    scene = call(script, fault, "hello again", config=CONFIG, mind=chain(model))
    assert heard(scene) == ["Please say that again.", "I heard you."]
    assert told(model, 0) == [("user", "hello again")]


def test_without_a_model_the_server_says_nothing_by_itself() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(5.0)

    scene = call(script, ProviderError("ear", "stt", "HTTP 500"), config=CONFIG)
    assert scene.of(BotSpeaking) == []


# --- an agent that speaks, too ----------------------------------------------------------------------------


def test_the_model_learns_of_the_agents_own_words_only_where_it_is_to() -> None:
    model = FakeLlm("Yes.")

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "Known.", "", known=True)
        scene.session.saying.reply("m2", "Secret.", "")
        await scene.leg.silence(3.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert told(model, 0) == [("assistant", "Known."), ("user", "hello")]
    assert heard(scene) == ["Known.", "Secret.", "Yes."]


def test_a_voice_that_fails_leaves_the_model_without_that_answer() -> None:
    model = FakeLlm("Not heard.", "Heard.")
    voice = FakeTts()
    voice.script(Plan(fail_after_words=0), Plan(fail_after_words=0))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    scene = call(script, "hello", "hello again", config=CONFIG, voice=voice, mind=chain(model))
    assert told(model, 1) == [("user", "hello hello again")]
    assert heard(scene) == ["Heard."]


# --- changes in the middle of a call ----------------------------------------------------------------------


def test_voice_mind_and_ears_may_change_in_the_middle_of_a_call() -> None:
    first, second = FakeLlm("From the first. " * 3), FakeLlm("From the second.")
    tongue = FakeTts()
    ears = ScriptedEar("heard by the new ears")

    async def script(scene: Scene) -> None:
        await tongue.start()
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.5)
        # In the middle of the first answer.
        scene.session.reconfigure(
            Engines(FakeVad(), ears, tongue, second),
            SessionConfig(prompt="Be brief.", raw_prompt=True, language="es"),
            other_ears=True,
        )
        await scene.leg.silence(5.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(first))
    assert [event.message_id for event in scene.of(BotInterrupted)] == []
    assert heard(scene) == [("From the first. " * 3).strip(), "From the second."]
    assert [(m.role, m.content) for m in second.requests[0].messages] == [
        ("system", "Be brief."),
        ("user", "hello"),
        ("assistant", ("From the first. " * 3).strip()),
        ("user", "heard by the new ears"),
    ]
    assert ears.options is not None
    assert ears.options.language == "es"
    # The sentence in the making was finished by the old voice.
    assert scene.voice.requests[0].text == "From the first."
    assert [request.text for request in tongue.requests][-1] == "From the second."


def test_a_call_may_stop_thinking_by_itself_and_begin_again() -> None:
    model = FakeLlm(otherwise=Says("By the server."))

    async def script(scene: Scene) -> None:
        engines = scene.session._engines
        alone = Engines(engines.vad, engines.stt, engines.tts, None)
        scene.session.reconfigure(alone, CONFIG, other_ears=False)
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.0)
        assert model.requests == []
        scene.session.reconfigure(engines, CONFIG, other_ears=False)
        await scene.leg.speak(1.0)
        await scene.leg.silence(3.0)

    scene = call(script, "hello", "again", config=CONFIG, mind=chain(model))
    assert heard(scene) == ["By the server."]
    assert told(model, 0) == [("user", "hello again")]


def test_ears_cannot_be_changed_without_end() -> None:
    async def script(scene: Scene) -> None:
        engines = scene.session._engines
        for _ in range(MAX_CHANGES + 5):
            scene.session.reconfigure(engines, CONFIG, other_ears=True)
        await scene.leg.silence(0.1)

    scene = call(script, config=CONFIG)
    assert len(scene.of(EngineFault)) == 5


# --- found by a random driver -----------------------------------------------------------------------------


def test_an_answer_that_is_cancelled_by_its_id_is_no_longer_thought() -> None:
    model = FakeLlm(Says(LONG, word_s=0.5))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.0)
        (message,) = scene.session._speech._messages
        scene.session.saying.cancel(message.message_id)
        await scene.leg.silence(0.1)
        assert model.cancelled == 1

    call(script, "count for me", config=CONFIG, mind=chain(model))


def test_without_the_mind_that_began_it_an_answer_does_not_block_the_mouth() -> None:
    model = FakeLlm(Says(LONG, first_s=0.05, word_s=0.5))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.8)
        engines = scene.session._engines
        alone = Engines(engines.vad, engines.stt, engines.tts, None)
        scene.session.reconfigure(alone, CONFIG, other_ears=False)
        scene.session.saying.reply("m1", "I take over.", scene.session.saying.reply_to)
        await scene.leg.silence(5.0)

    assert heard(call(script, "hello", config=CONFIG, mind=chain(model))) == ["I take over."]


def test_the_agents_process_may_go_and_the_answer_goes_on() -> None:
    model = FakeLlm(Says("One two three. Four five six. Seven eight nine.", first_s=0.05, word_s=0.5))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.5)
        scene.session.saying.finish_streams()
        await scene.leg.silence(8.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert heard(scene) == ["One two three. Four five six. Seven eight nine."]


def test_no_agent_writes_into_the_servers_answer() -> None:
    model = FakeLlm(Says("One two three. Four.", first_s=0.05, word_s=0.5))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)
        (message,) = scene.session._speech._messages
        scene.session.saying.stream_chunk(message.message_id, "Nonsense. ")
        scene.session.saying.stream_end(message.message_id)
        await scene.leg.silence(5.0)

    assert heard(call(script, "hello", config=CONFIG, mind=chain(model))) == ["One two three. Four."]


@pytest.mark.parametrize(
    "says",
    [
        Says("one two three four", fail_after=2, first_s=0.05),
        Says("\n", finish_reason="length"),
        Says("...", finish_reason="content_filter"),
    ],
)
def test_where_there_is_not_a_word_to_say_the_caller_is_told(says: Says) -> None:
    model = FakeLlm(otherwise=says)

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(8.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert heard(scene) == ["Please say that again."]
    assert scene.of(EngineFault)


def test_what_an_engine_refuses_after_a_word_is_not_asked_for_again() -> None:
    refusal = ProviderError("fake", "llm", "the content was filtered", retryable=False)
    model = FakeLlm(Says("One two", fail_after=1, error=refusal, first_s=0.05), "Never.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(5.0)

    scene = call(script, "hello", config=CONFIG, mind=chain(model))
    assert len(model.requests) == 1
    assert heard(scene) == ["Please say that again."]


def test_an_answer_that_is_begun_anew_and_late_is_announced() -> None:
    model = FakeLlm(
        Says("One two three", first_s=0.1, word_s=0.4, fail_after=3), Says("It is noon.", first_s=9.0)
    )

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(16.0)

    mind = LlmChain([Choice(model)], Deadlines(answer_s=12, last_s=15, gap_s=3), Health())
    assert heard(call(script, "hello", config=CONFIG, mind=mind)) == ["One moment.", "It is noon."]


class FailingEar(ScriptedEar):
    """Fails as the user speaks, and after his speech says nothing."""

    def open(self, *args: object) -> SttStream:
        stream = super().open(*args)  # type: ignore[arg-type]

        def feed(pcm: Pcm) -> None:
            before, self.fed[-1] = self.fed[-1], self.fed[-1] + len(pcm)
            if before < 6000 <= self.fed[-1]:
                stream._tell(SttFailed(stream._segment, ProviderError("ear", "stt", "it died")))  # type: ignore[attr-defined]

        stream.feed, stream.end = feed, lambda: None  # type: ignore[method-assign]
        return stream


def test_ears_that_fail_while_the_user_speaks_are_told_when_he_has_finished() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.5)
        await scene.leg.silence(5.0)

    scene = call(script, config=CONFIG, ear=FailingEar, mind=chain(FakeLlm()))
    assert heard(scene) == ["Please say that again."]
    assert scene.at(BotSpeaking) >= scene.at(SpeechEnded)


class LateFailure(LateEar):
    def __init__(self, *texts: str | ProviderError) -> None:
        super().__init__(*texts)
        self.delay_s = 2.4


def test_ears_that_fail_while_the_line_is_held_are_told() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(10.0)

    fault = ProviderError("ear", "stt", "it died")
    voice = FakeTts(word_ms=500)
    scene = call(script, fault, config=CONFIG, ear=LateFailure, mind=chain(FakeLlm()), voice=voice)
    assert heard(scene) == ["One moment.", "Please say that again."]


def test_a_noise_over_a_long_holding_line_does_not_lose_the_question() -> None:
    model = FakeLlm(otherwise=Says("It is noon.", first_s=5.0))
    config = SessionConfig(holding_text="One moment please, this takes a while, do not go away, I am at it.")

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.5 + 2.0 + 2.6)
        await scene.leg.speak(0.5)
        await scene.leg.silence(15.0)

    mind = LlmChain([Choice(model)], Deadlines(answer_s=7, last_s=8, gap_s=3), Health())
    scene = call(script, "what time", "", config=config, mind=mind)
    assert heard(scene)[-1] == "It is noon."
    assert {event.turn.turn_id for event in scene.of(TurnEnd)} == {1}


def test_after_the_end_nothing_is_opened() -> None:
    ears = ScriptedEar()

    async def script(scene: Scene) -> None:
        scene.session.end(EndReason.HANGUP, "the caller hung up")
        engines = scene.session._engines
        changed = Engines(engines.vad, ears, engines.tts, None)
        scene.session.reconfigure(changed, CONFIG, other_ears=True)

    call(script)
    assert ears.options is None


def test_the_recogniser_is_told_of_a_pause_once() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(0.2)
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.0)

    assert call(script, "hello").ear.pauses == 2
