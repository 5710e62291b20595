"""Whole conversations on virtual time: real machine, real queue, real playhead; ear, voice and caller faked."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pytest

from media.frames import Pcm
from media.music import HoldMusic
from pipeline.chain import Choice, Deadlines, Health, TtsChain
from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.endpointing.smart_turn import AudioTurnModel
from pipeline.errors import ProviderError
from pipeline.events import (
    AudioMetrics,
    BotFinished,
    BotInterrupted,
    BotPaused,
    BotSpeaking,
    BotWord,
    CallEnded,
    CallStarted,
    EagerTurn,
    EndReason,
    EngineFault,
    Event,
    MessageAborted,
    MessageConfirmed,
    ReplyRejected,
    SessionCreated,
    SessionReady,
    SessionTimeout,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    UserMessage,
    Utterance,
)
from pipeline.limits import SessionLimits
from pipeline.message import MAX_RESUMED
from pipeline.monitor import CallRecorder
from pipeline.opening import GREET_S
from pipeline.ports import (
    Mind,
    SttCapabilities,
    SttEvent,
    SttFailed,
    SttFinal,
    SttOptions,
    SttPartial,
    SttStream,
)
from pipeline.session import Session
from pipeline.turns import TurnParams
from tests.fakes.derived import derived_in_order
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.fakes.tts import FakeTts, Plan
from tests.fakes.vad import FakeVad

E = TypeVar("E")
PLAIN = Endpointing(mode="silence")
"""Half a second of silence ends a turn: what is tested here does not hang on how the end is found."""
DEADLINES = Deadlines(answer_s=1.5, last_s=4.0, gap_s=4.0)


class ScriptedEar:
    """Hears the next text of its list in each segment, ``delay_s`` after the segment's end."""

    name = "scripted"
    capabilities = SttCapabilities(partials=True, word_times=False, languages=())

    def __init__(self, *texts: str | ProviderError, delay_s: float = 0.05) -> None:
        self.texts = list(texts)
        self.delay_s = delay_s
        self.language: str | None = None
        self.fed: list[int] = []
        self.options: SttOptions | None = None
        self.pauses = 0

    async def start(self) -> None: ...

    async def warm(self) -> None: ...

    async def aclose(self) -> None: ...

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
        self.options = options
        return _EarStream(self, on_event)


class _EarStream:
    def __init__(self, ear: ScriptedEar, on_event: Callable[[SttEvent], None]) -> None:
        self._ear = ear
        self._on_event = on_event
        self._segment = 0
        self._closed = False

    def begin(self, segment_id: int) -> None:
        self._segment = segment_id
        self._ear.fed.append(0)

    def feed(self, pcm: Pcm) -> None:
        self._ear.fed[-1] += len(pcm)
        if self._ear.texts and isinstance(self._ear.texts[0], str) and self._ear.fed[-1] > 4000:
            first = self._ear.texts[0].split(" ")[0]
            self._tell(SttPartial(self._segment, first, 0.5))

    def pause(self) -> None:
        self._ear.pauses += 1

    def end(self) -> None:
        heard = self._ear.texts.pop(0) if self._ear.texts else ""
        event: SttEvent = (
            SttFinal(self._segment, heard, 0.9, language=self._ear.language)
            if isinstance(heard, str)
            else SttFailed(self._segment, heard)
        )
        asyncio.get_running_loop().call_later(self._ear.delay_s, self._tell, event)

    def _tell(self, event: SttEvent) -> None:
        if not self._closed:
            self._on_event(event)

    async def aclose(self) -> None:
        self._closed = True


@dataclass
class Scene:
    """A call and all that was told of it."""

    session: Session
    leg: FakeLeg
    ear: ScriptedEar
    voice: FakeTts
    log: list[tuple[float, Event]] = field(default_factory=list)

    def names(self) -> list[str]:
        """But for what is told of every call."""
        usual = (SessionCreated, SessionReady)
        return [type(event).__name__ for _, event in self.log if not isinstance(event, usual)]

    def of(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.log if isinstance(event, kind)]

    def at(self, kind: type) -> float:
        return next(now for now, event in self.log if isinstance(event, kind))


def call(
    script: Callable[[Scene], Awaitable[None]],
    *texts: str | ProviderError,
    config: SessionConfig | None = None,
    voice: FakeTts | None = None,
    leg: Callable[[], FakeLeg] = FakeLeg,
    ear: type[ScriptedEar] | None = None,
    mind: Mind | None = None,
    model: AudioTurnModel | None = None,
    music: HoldMusic | None = None,
    recorder: CallRecorder | None = None,
    before: Callable[[Session], None] = lambda _: None,
) -> Scene:
    """Play a script on a call, hang up where it has not, and check what holds for each call."""

    async def main() -> Scene:
        loop = asyncio.get_running_loop()
        numbers = itertools.count(1)
        far = leg()
        ears, tongue = (ear or ScriptedEar)(*texts), voice or FakeTts()
        await tongue.start()
        log: list[tuple[float, Event]] = []
        session = Session(
            far,
            Engines(FakeVad(), ears, TtsChain([Choice(tongue)], DEADLINES, Health()), mind, model, music),
            config or SessionConfig(endpointing=PLAIN),
            lambda event: log.append((loop.time() - 1000.0, event)),
            lambda: f"{next(numbers):012d}{0:020d}",
            recorder,
        )
        far.listener = session
        before(session)
        scene = Scene(session, far, ears, tongue, log)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run())
            await asyncio.sleep(0)
            await script(scene)
            session.end(EndReason.HANGUP, "the caller hung up")
            log.append((loop.time() - 1000.0, await running))
        return scene

    scene = run_virtual(main())
    check(scene)
    return scene


def check(scene: Scene) -> None:
    """What holds in every call, whatever happened in it."""
    names = scene.names()
    assert names[0] == "CallStarted"
    assert names[-1] == "CallEnded"
    assert names.count("CallEnded") == 1
    assert len(scene.of(SpeechStarted)) == len(scene.of(SpeechEnded))
    speaking: str | None = None
    settled: set[str] = set()
    for event in (event for _, event in scene.log):
        match event:
            case BotSpeaking():
                assert speaking is None
                speaking = event.message_id
            case BotWord():
                assert speaking == event.message_id
            case BotFinished() | BotInterrupted():
                assert event.message_id not in settled
                settled.add(event.message_id)
                if speaking == event.message_id:
                    speaking = None
                else:
                    assert isinstance(event, BotInterrupted)
                    assert event.played_ms == 0
            case MessageConfirmed() | MessageAborted():
                assert event.message_id in settled
            case _:
                pass
    assert speaking is None
    times = [now for now, _ in scene.log]
    assert times == sorted(times)
    assert scene.leg.hung_up is not None
    derived_in_order([event for _, event in scene.log], scene.session._config.events)


def test_a_greeting_is_told_word_by_word_as_it_is_heard() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(3.0)

    scene = call(script, config=SessionConfig(endpointing=PLAIN, greeting="Hello, how are you?"))
    assert scene.names() == [
        "CallStarted", "AgentState", "TtsStarted", "BotOutput", "BotSpeaking", "AgentState", "BotWord", "TtsStopped",
        "BotWord", "BotWord", "BotWord", "BotOutput", "BotFinished", "MessageConfirmed", "AgentState", "CallEnded",
    ]  # fmt: skip
    words = scene.of(BotWord)
    assert [word.word for word in words] == ["Hello,", "how", "are", "you?"]
    assert [word.word_index for word in words] == [0, 1, 2, 3]
    started = scene.at(BotSpeaking)
    for (now, event), number in zip(
        [(now, event) for now, event in scene.log if isinstance(event, BotWord)], range(4), strict=True
    ):
        assert now - started == pytest.approx(0.3 * number, abs=0.011), event
        assert event.start_s == pytest.approx(0.3 * number, abs=0.011)
    (finished,) = scene.of(BotFinished)
    # Four words of 300 ms; the silence behind the last is no sound.
    assert finished.duration_ms == pytest.approx(1160, abs=10)
    assert scene.of(CallEnded)[0].transcript == (Utterance("assistant", "Hello, how are you?"),)


def test_a_message_begins_when_it_is_heard_and_not_when_it_is_sent() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(3.0)  # From the marks of the greeting the way is known.
        scene.session.saying.reply("m1", "It is ten.", "")
        await scene.leg.silence(2.0)

    config = SessionConfig(endpointing=PLAIN, greeting="Hello, how are you?")
    scene = call(script, config=config, leg=lambda: FakeLeg(way_s=0.08, delay_s=0.08))
    [_, (begun, announced)] = [(now, e) for now, e in scene.log if isinstance(e, BotSpeaking)]
    [told] = [now for now, event in scene.log if isinstance(event, BotWord) and event.word == "It"]
    heard = next(stretch.at for stretch in scene.leg.stretches if stretch.at > 1002.9) - 1000.0
    assert begun == pytest.approx(heard, abs=0.005)
    assert told == pytest.approx(heard, abs=0.005)
    assert announced.heard_at == pytest.approx(heard + 1000.0, abs=0.005)
    assert announced.sent_at == pytest.approx(heard + 1000.0 - 0.08, abs=0.005)


def test_what_is_cut_off_on_its_way_to_the_ear_was_never_heard() -> None:
    """It ends as what was only queued does: nobody is told that it began."""

    async def script(scene: Scene) -> None:
        await scene.leg.silence(3.0)
        scene.session.saying.reply("m1", "It is ten.", "")
        sent = len(scene.leg.stretches)
        while len(scene.leg.stretches) == sent:
            await scene.leg.silence(0.02)
        scene.leg.way_s = 0.02  # The clear overtakes it.
        scene.session.on_way(0.2, 0.0)
        scene.session.saying.cancel(None)
        await scene.leg.silence(1.0)

    config = SessionConfig(endpointing=PLAIN, greeting="Hello, how are you?")
    scene = call(script, config=config, leg=lambda: FakeLeg(way_s=0.2, delay_s=0.2))
    assert len(scene.of(BotSpeaking)) == 1
    assert [cut.played_ms for cut in scene.of(BotInterrupted)] == [0]
    assert scene.names()[-6:] == [
        "TtsStarted", "BotOutput", "TtsStopped", "BotInterrupted", "MessageAborted", "CallEnded",
    ]  # fmt: skip


def test_a_question_and_its_answer() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.7)
        (end,) = scene.of(TurnEnd)
        scene.session.saying.reply("m1", "It is ten.", end.message_id)
        await scene.leg.silence(2.0)

    scene = call(script, "what time is it")
    assert scene.names() == [
        "CallStarted", "AgentState", "TurnStarted", "SpeechStarted", "AgentState",
        *["UserSpeaking"] * scene.names().count("UserSpeaking"),
        "SpeechEnded", "UserMessage", "EagerTurn", "TurnEnd", "AgentState", "TtsStarted", "BotOutput",
        "BotSpeaking", "TurnMetrics", "AgentState", "BotWord", "TtsStopped", "BotWord", "BotWord", "BotOutput",
        "BotFinished", "MessageConfirmed", "TurnCompleted", "AgentState", "CallEnded",
    ]  # fmt: skip
    assert scene.at(SpeechStarted) == pytest.approx(0.06, abs=0.03)
    assert scene.at(TurnEnd) == pytest.approx(1.5, abs=0.05)
    (ended,) = scene.of(CallEnded)
    assert ended.transcript == (Utterance("user", "what time is it"), Utterance("assistant", "It is ten."))
    assert ended.duration_s == pytest.approx(3.7, abs=0.01)
    assert scene.of(BotSpeaking)[0].turn == scene.of(TurnEnd)[0].turn


def test_the_recogniser_gets_the_audio_before_the_onset() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.0)

    scene = call(script, "hello")
    # 300 ms before the onset, a second of speech, and the silence that ended it.
    assert scene.ear.fed[0] / 8000 == pytest.approx(1.6, abs=0.07)


def test_barge_in_is_heard_a_third_of_a_second_after_the_onset() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five six seven eight nine ten eleven twelve", "")
        await scene.leg.silence(2.5)
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.5)

    scene = call(script, "stop now")
    (cut,) = scene.of(BotInterrupted)
    assert scene.at(BotPaused) == pytest.approx(2.8, abs=0.04)
    assert scene.at(BotInterrupted) == pytest.approx(3.5, abs=0.04)
    assert cut.reason == "user_spoke"
    assert cut.played_ms == scene.of(BotPaused)[0].played_ms
    assert cut.played_ms == pytest.approx(scene.at(BotPaused) * 1000, abs=25)
    assert cut.words_spoken == 10
    assert cut.last_word == "ten"
    (confirmed,) = scene.of(MessageConfirmed)
    assert confirmed.text == "one two three four five six seven eight nine ten"
    order = scene.names()
    assert order.index("SpeechStarted") < order.index("BotInterrupted") < order.index("UserMessage")
    assert scene.of(TurnEnd)[0].text == "stop now"


@pytest.mark.parametrize("marks_on_clear", [True, False])
def test_played_ms_is_what_the_far_end_played(marks_on_clear: bool) -> None:
    heard: list[float] = []

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "a b c d e f g h i j k l m n o p", "")
        await scene.leg.silence(2.2)
        await scene.leg.speak(1.0)
        heard.append(scene.leg.heard_ms())
        await scene.leg.silence(1.0)

    scene = call(script, "enough", leg=lambda: FakeLeg(delay_s=0.03, marks_on_clear=marks_on_clear))
    (cut,) = scene.of(BotInterrupted)
    assert cut.played_ms == pytest.approx(heard[0], abs=40)


def test_an_early_interruption_leaves_nothing_of_the_message() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.7)
        (end,) = scene.of(TurnEnd)
        scene.session.saying.reply("m1", "This will not be finished at all", end.message_id)
        await scene.leg.silence(0.6)
        await scene.leg.speak(0.8)
        await scene.leg.silence(1.0)

    scene = call(script, "I want a room", "for two people")
    (cut,) = scene.of(BotInterrupted)
    assert cut.reason == "early"
    assert [event.reason for event in scene.of(MessageAborted)] == ["early"]
    assert not scene.of(MessageConfirmed)
    (continued,) = scene.of(TurnContinued)
    first, second = scene.of(TurnEnd)
    assert continued.turn == first.turn == second.turn
    assert second.text == "I want a room for two people"
    assert scene.of(CallEnded)[0].transcript == (Utterance("user", "I want a room for two people"),)


def test_a_stale_reply_is_refused() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.7)
        old = scene.of(TurnEnd)[0].message_id
        await scene.leg.speak(0.6)
        scene.session.saying.reply("m1", "Too late.", old)
        await scene.leg.silence(1.0)

    scene = call(script, "one", "two")
    (rejected,) = scene.of(ReplyRejected)
    assert rejected.reason == "message_obsolete"
    assert rejected.in_reply_to == scene.of(TurnEnd)[0].message_id
    assert rejected.expected_reply_to == scene.of(TurnEnd)[1].message_id
    assert not scene.of(BotSpeaking)


def test_a_reply_to_the_eager_turn_waits_for_the_end_and_dies_when_the_user_goes_on() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.45)
        scene.session.saying.reply("m1", "An answer.", scene.of(EagerTurn)[0].message_id)
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.45)
        scene.session.saying.reply("m2", "Another answer.", scene.of(EagerTurn)[1].message_id)
        await scene.leg.silence(1.5)

    scene = call(script, "one", "two")
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m2"]
    assert scene.at(BotSpeaking) == pytest.approx(scene.at(TurnEnd), abs=0.011)


def test_messages_follow_one_another_and_clear_settles_them_all() -> None:
    async def script(scene: Scene) -> None:
        for number in range(3):
            scene.session.saying.reply(f"m{number}", "some words here", "")
        await scene.leg.silence(1.4)
        scene.session.saying.cancel(None)
        await scene.leg.silence(0.5)

    scene = call(script)
    assert [event.message_id for event in scene.of(BotSpeaking)] == ["m0", "m1"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m0"]
    assert [(e.message_id, e.played_ms > 0, e.reason) for e in scene.of(BotInterrupted)] == [
        ("m1", True, "cancelled"),
        ("m2", False, "cancelled"),
    ]
    assert [event.message_id for event in scene.of(MessageConfirmed)] == ["m0", "m1"]
    assert [event.message_id for event in scene.of(MessageAborted)] == ["m2"]


def test_one_message_can_be_cancelled_from_among_others() -> None:
    async def script(scene: Scene) -> None:
        for number in range(3):
            scene.session.saying.reply(f"m{number}", "some words here", "")
        await scene.leg.silence(0.5)
        scene.session.saying.cancel("m1")
        scene.session.saying.cancel("nobody knows it")
        await scene.leg.silence(3.0)

    scene = call(script)
    assert [event.message_id for event in scene.of(BotFinished)] == ["m0", "m2"]
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1"]


def test_a_stream_is_spoken_from_its_first_sentence_on() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_start("m1", "")
        for token in ("First ", "sent", "ence. ", "And the "):
            scene.session.saying.stream_chunk("m1", token)
        await scene.leg.silence(1.5)
        assert [word.word for word in scene.of(BotWord)] == ["First", "sentence."]
        scene.session.saying.stream_chunk("m1", "second one.")
        scene.session.saying.stream_end("m1")
        await scene.leg.silence(3.0)

    scene = call(script)
    assert scene.of(BotSpeaking)[0].text == ""
    assert [word.word for word in scene.of(BotWord)] == "First sentence. And the second one.".split()
    assert scene.of(MessageConfirmed)[0].text == "First sentence. And the second one."


def test_an_empty_stream_is_settled_and_says_nothing() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_start("m1", "")
        scene.session.saying.stream_end("m1")
        scene.session.saying.reply("m2", " ... ", "")
        scene.session.saying.reply("m3", "But this.", "")
        await scene.leg.silence(2.0)

    scene = call(script)
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1", "m2"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m3"]


def test_chunks_of_a_message_that_is_over_are_left_alone() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_chunk("never begun", "hello")
        scene.session.saying.stream_start("m1", "")
        scene.session.saying.stream_chunk("m1", "One sentence. ")
        await scene.leg.silence(0.5)
        scene.session.saying.cancel("m1")
        scene.session.saying.stream_chunk("m1", "Another sentence. ")
        scene.session.saying.stream_end("m1")
        await scene.leg.silence(1.0)

    scene = call(script)
    assert len(scene.of(BotInterrupted)) == 1


def test_an_agent_that_goes_away_leaves_what_it_has_begun() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_start("m1", "")
        scene.session.saying.stream_chunk("m1", "What there is. And half a")
        scene.session.saying.finish_streams()
        await scene.leg.silence(3.0)

    scene = call(script)
    assert scene.of(MessageConfirmed)[0].text == "What there is. And half a"


def test_hanging_up_settles_everything_before_the_end() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "a long message that is being said", "")
        scene.session.saying.reply("m2", "and one that waits", "")
        await scene.leg.silence(0.7)
        await scene.leg.speak(0.2)

    scene = call(script, "x")
    assert [(e.message_id, e.reason) for e in scene.of(BotInterrupted)] == [
        ("m1", "cancelled"),
        ("m2", "cancelled"),
    ]
    assert [event.reason for event in scene.of(MessageAborted)] == ["call_ended"]
    assert scene.of(MessageConfirmed)[0].text == "a long message"
    assert scene.names()[-2] == "TurnCompleted"


def test_commands_after_the_end_do_nothing() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.1)
        scene.session.end(EndReason.CLIENT_HANGUP, "the agent hung up")
        scene.session.end(EndReason.HANGUP, "and then the caller")
        scene.session.saying.reply("m1", "hello", "")
        scene.session.saying.cancel(None)
        scene.session.saying.stream_chunk("m1", "x")

    scene = call(script)
    (ended,) = scene.of(CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CLIENT_HANGUP, "the agent hung up")
    assert scene.names() == ["CallStarted", "AgentState", "CallEnded"]


def test_a_failing_voice_is_tried_again_and_then_told() -> None:
    voice = FakeTts()
    voice.script(Plan(fail_after_words=0), Plan(), Plan(fail_after_words=0), Plan(fail_after_words=0))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "said at the second try", "")
        await scene.leg.silence(2.5)
        scene.session.saying.reply("m2", "never said", "")
        await scene.leg.silence(1.0)
        scene.session.saying.reply("m3", "said again", "")
        await scene.leg.silence(1.5)

    scene = call(script, voice=voice)
    assert [event.message_id for event in scene.of(BotFinished)] == ["m1", "m3"]
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m2"]
    faults = scene.of(EngineFault)
    assert len(faults) == 3
    assert faults[0].stage == "tts"


def test_a_voice_that_breaks_off_goes_on_with_the_next_word() -> None:
    voice = FakeTts()
    voice.script(Plan(fail_after_words=3))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five", "")
        await scene.leg.silence(3.0)

    scene = call(script, voice=voice)
    assert [request.text for request in voice.requests] == ["one two three four five", "four five"]
    (fault,) = scene.of(EngineFault)
    assert (fault.provider, fault.fallback) == ("fake", "fake")
    words = scene.of(BotWord)
    assert [word.word for word in words] == ["one", "two", "three", "four", "five"]
    assert [word.start_s for word in words] == pytest.approx([0.0, 0.3, 0.6, 0.9, 1.2], abs=0.01)
    assert [event.message_id for event in scene.of(BotFinished)] == ["m1"]
    assert scene.of(MessageConfirmed)[0].text == "one two three four five"


def test_a_voice_that_breaks_off_without_times_goes_on_where_it_seems_to_have_stopped() -> None:
    voice = FakeTts(word_times=False)
    voice.script(Plan(fail_after_words=3))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five six", "")
        await scene.leg.silence(4.0)

    scene = call(script, voice=voice)
    assert [word.word for word in scene.of(BotWord)] == ["one", "two", "three", "four", "five", "six"]
    assert 2 <= len(voice.requests[1].text.split()) <= 4
    assert scene.of(MessageConfirmed)[0].text == "one two three four five six"


def test_a_voice_that_keeps_breaking_off_ends_the_message_with_what_was_heard() -> None:
    voice = FakeTts(plan=Plan(fail_after_words=1))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four five six", "")
        await scene.leg.silence(3.0)

    scene = call(script, voice=voice)
    assert [fault.fallback for fault in scene.of(EngineFault)] == ["fake"] * MAX_RESUMED + [None]
    (cut,) = scene.of(BotInterrupted)
    assert cut.words_spoken == 1 + MAX_RESUMED
    assert scene.of(MessageConfirmed)[0].text == "one two three four"


def test_a_failing_ear_is_told_and_the_call_goes_on() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.0)

    scene = call(script, ProviderError("scripted", "stt", "broken"), "hello")
    (fault,) = scene.of(EngineFault)
    assert fault.stage == "stt"
    assert [event.text for event in scene.of(UserMessage)] == ["hello"]


def test_a_slow_voice_makes_a_pause_and_no_lie() -> None:
    """Words are told when they are heard, also when the engine is slower than speech."""
    voice = FakeTts(plan=Plan(per_word_s=0.9))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three", "")
        await scene.leg.silence(4.0)

    scene = call(script, voice=voice)
    told = [now for now, event in scene.log if isinstance(event, BotWord)]
    assert np.diff(told) == pytest.approx([0.9, 0.9], abs=0.05)


def test_without_word_times_words_are_told_near_to_where_they_are_heard() -> None:
    voice = FakeTts(word_times=False)

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three. Four five six.", "")
        await scene.leg.silence(4.0)

    scene = call(script, voice=voice)
    words = scene.of(BotWord)
    assert [word.word_index for word in words] == [0, 1, 2, 3, 4, 5]
    # The tones have nothing of speech but their edges.
    assert [word.start_s for word in words] == pytest.approx([0.0, 0.3, 0.6, 0.9, 1.2, 1.5], abs=0.15)
    assert all(word.start_s <= word.end_s for word in words)


def test_a_leg_that_falls_silent_closes_the_speech_and_then_the_call() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(0.5)
        await asyncio.sleep(12.0)

    scene = call(script, "cut off", config=SessionConfig(endpointing=PLAIN, media_timeout_s=5.0))
    (ended,) = scene.of(CallEnded)
    assert ended.reason is EndReason.FAILED
    assert "no audio" in ended.detail
    assert scene.at(SpeechEnded) < 2.6
    assert [event.text for event in scene.of(TurnEnd)] == ["cut off"]


def test_the_longest_call_ends() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(15.0)

    limits = SessionLimits(max_duration_s=10.0)
    scene = call(script, config=SessionConfig(endpointing=PLAIN, limits=limits))
    (ended,) = scene.of(CallEnded)
    assert ended.reason is EndReason.MAX_DURATION
    assert scene.at(SessionTimeout) == pytest.approx(10.0, abs=0.001)
    assert ended.duration_s == pytest.approx(11.0, abs=0.01)


def test_a_call_that_ends_under_a_command_tells_nothing_more() -> None:
    async def script(scene: Scene) -> None:
        asyncio.get_running_loop().call_at(1005.0, scene.session.typed, "two tickets")
        scene.session.saying.reply("m1", "one two three four five six seven eight nine ten", "")
        await scene.leg.silence(6.0)

    # The limit is due already when the typed text silences the bot, and that lets it be noticed.
    limits = SessionLimits(max_duration_s=4.9999, farewell_s=0.0)
    scene = call(
        script,
        config=SessionConfig(endpointing=PLAIN, greeting="one two three four five six seven", limits=limits),
    )
    assert scene.names()[-1] == "CallEnded"
    assert scene.of(UserMessage) == []


def test_metrics_come_at_their_interval_for_both_sides() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three four", "")
        await scene.leg.silence(0.5)
        await scene.leg.speak(0.5)

    scene = call(
        script,
        config=SessionConfig(
            endpointing=PLAIN, metrics_interval_ms=100, turns=TurnParams(interruption=False)
        ),
    )
    user = [event for event in scene.of(AudioMetrics) if event.source == "user"]
    bot = [event for event in scene.of(AudioMetrics) if event.source == "bot"]
    assert len(user) == len(bot) == 10
    assert user[2].level.rms == 0
    assert user[8].level.rms == pytest.approx(8000 / 32768, abs=0.01)
    assert user[8].is_speech
    assert max(event.level.rms for event in bot) > 0.1


def test_metrics_begin_and_end_in_the_course_of_a_call() -> None:
    async def script(scene: Scene) -> None:
        quiet = SessionConfig(endpointing=PLAIN, turns=TurnParams(interruption=False))

        async def metered(interval_ms: int | None) -> int:
            before = len(scene.of(AudioMetrics))
            config = replace(quiet, metrics_interval_ms=interval_ms)
            scene.session.reconfigure(scene.session._engines, config, other_ears=False)
            await scene.leg.silence(1.0)
            return len(scene.of(AudioMetrics)) - before

        scene.session.saying.reply("m1", "one two three four five six seven eight nine ten", "")
        assert [await metered(ms) for ms in (None, 100, 100, 250, None)] == [0, 20, 20, 8, 0]
        bot = [event.level.rms for event in scene.of(AudioMetrics) if event.source == "bot"]
        assert max(bot[:10]) > 0.1

    call(script)


def test_call_started_comes_first_with_the_language() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.1)

    scene = call(script, config=SessionConfig(endpointing=PLAIN, language="es", phrases=("hola",)))
    assert scene.of(CallStarted)[0].language == "es"
    assert scene.ear.options == SttOptions(8000, "es", ("hola",))


def test_a_bug_ends_the_call_and_is_not_hidden() -> None:
    async def script(scene: Scene) -> None:
        def bug() -> None:
            raise RuntimeError("a bug")

        scene.session.guarded(bug)
        await asyncio.sleep(0)

    with pytest.raises(ExceptionGroup) as caught:
        call(script)
    assert caught.group_contains(RuntimeError, match="a bug")


# --- what a review found --------------------------------------------------------------------------------------


def test_a_message_cancelled_before_its_synthesis_began_does_not_mute_the_bot() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "Hello there.", "")
        scene.session.saying.cancel("m1")
        await scene.leg.silence(0.5)
        scene.session.saying.reply("m2", "Are you there?", "")
        await scene.leg.silence(2.0)

    scene = call(script)
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m2"]


def test_speech_that_outlasts_a_short_answer_is_announced_with_the_turn_that_it_becomes() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.7)
        scene.session.saying.reply("m1", "Yes indeed.", scene.of(TurnEnd)[-1].message_id)
        await scene.leg.silence(0.4)
        await scene.leg.speak(1.0)  # begins over the last 200 ms of it
        await scene.leg.silence(1.0)

    scene = call(script, "what time", "and the day")
    assert [event.turn.turn_id for event in scene.of(SpeechStarted)] == [1, 2]
    assert [event.turn.turn_id for event in scene.of(UserMessage)] == [1, 2]
    assert scene.of(SpeechStarted)[1].turn == scene.of(UserMessage)[1].turn


class LossyLeg(FakeLeg):
    """Loses the marks of the first second."""

    def mark(self, name: str) -> None:
        if asyncio.get_running_loop().time() >= 1001.0:
            super().mark(name)


def test_lost_marks_do_not_make_later_words_early() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one", "")
        scene.session.saying.reply("m2", "two three four five six seven", "")
        await scene.leg.silence(8.0)

    scene = call(script, voice=FakeTts(word_ms=250), leg=lambda: LossyLeg(delay_s=0.12))
    assert len(scene.of(BotFinished)) == 2
    began = next(s.at for s in scene.leg.stretches if s.at > 1001.0) - 1000.0
    told = [now for now, event in scene.log if isinstance(event, BotWord) and event.message_id == "m2"]
    for number, now in enumerate(told):
        assert -0.01 <= now - (began + 0.25 * number) <= 0.14, number


def test_a_hole_in_the_voice_delays_the_turns_continuation_by_no_more_than_itself() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(1.2)
        await scene.leg.speak(0.1)
        await scene.leg.silence(0.16)
        await scene.leg.speak(3.0)
        await scene.leg.silence(1.0)

    scene = call(script, "what time", "is it in Lima")
    assert scene.at(TurnContinued) == pytest.approx(2.46 + 0.2, abs=0.06)


def test_a_text_that_never_comes_does_not_force_the_turns_after_it() -> None:
    class Loses(ScriptedEar):
        def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
            stream = super().open(options, on_event)
            end = stream.end
            ends = itertools.count()
            stream.end = lambda: end() if next(ends) else None  # type: ignore[method-assign]
            stream.feed = lambda pcm: None  # type: ignore[method-assign]
            return stream

    async def script(scene: Scene) -> None:
        for _ in range(3):
            await scene.leg.speak(0.3)
            await scene.leg.silence(4.0)

    scene = call(script, "two", "three", ear=Loses)
    assert [event.text for event in scene.of(TurnEnd)] == ["two", "two three"]
    assert all(event.latency_ms < 700 for event in scene.of(TurnEnd))


def test_the_voice_stops_speaking_what_was_discarded() -> None:
    voice = FakeTts()
    voice.script(Plan(per_word_s=0.5))

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.45)
        scene.session.saying.reply("m1", "a b c d e f g h", scene.of(EagerTurn)[-1].message_id)
        await scene.leg.silence(0.02)
        await scene.leg.speak(0.6)
        await scene.leg.silence(0.45)
        scene.session.saying.reply("m2", "An answer.", scene.of(EagerTurn)[-1].message_id)
        await scene.leg.silence(3.0)

    scene = call(script, "one", "two", voice=voice)
    assert [request.text for request in voice.cancelled] == ["a b c d e f g h"]
    assert scene.at(BotSpeaking) - [now for now, e in scene.log if isinstance(e, TurnEnd)][-1] < 0.1


@pytest.mark.parametrize("offset_ms", range(0, 20, 4))
def test_the_smallest_lead_leaves_no_gap_between_two_messages(offset_ms: int) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.2)
        scene.session.saying.reply("m1", "Yes.", "")
        scene.session.saying.reply("m2", "It is ten.", "")
        await asyncio.sleep(offset_ms / 1000)
        await scene.leg.silence(0.04)
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.5)

    call(script, "x", voice=FakeTts(word_ms=250), leg=lambda: FakeLeg(lead_ms=100))


def test_a_voice_that_gives_nothing_is_given_up_and_told() -> None:
    voice = FakeTts()
    voice.script(Plan(first_audio_s=1000.0), Plan(first_audio_s=1000.0))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "this will stall", "")
        scene.session.saying.reply("m2", "fine", "")
        await scene.leg.silence(13.0)

    scene = call(script, voice=voice)
    assert [event.message_id for event in scene.of(BotInterrupted)] == ["m1"]
    assert [event.message_id for event in scene.of(BotFinished)] == ["m2"]
    assert all("nothing came" in event.text for event in scene.of(EngineFault))


def test_a_stream_that_is_never_ended_does_not_keep_the_floor() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_start("m1", "")
        scene.session.saying.stream_chunk("m1", "Just a moment. ")
        await scene.leg.silence(20.0)
        scene.session.saying.reply("m2", "Here I am.", "")
        await scene.leg.silence(2.0)

    scene = call(script)
    assert [event.message_id for event in scene.of(BotFinished)] == ["m1", "m2"]


def test_a_second_answer_belongs_to_the_turn_it_answers() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(0.7)
        asked = scene.of(TurnEnd)[-1].message_id
        scene.session.saying.reply("m1", "One moment.", asked)
        await scene.leg.silence(1.5)
        await scene.leg.speak(0.12)  # a cough
        await scene.leg.silence(1.0)
        scene.session.saying.reply("m2", "It is ten.", asked)
        await scene.leg.silence(1.5)

    scene = call(script, "what time", "")
    assert [event.turn.turn_id for event in scene.of(BotFinished) if event.turn] == [1, 1]


def test_a_language_that_the_ear_lacks_leaves_a_call_that_speaks() -> None:
    class English(ScriptedEar):
        def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
            raise ValueError("hears English only")

    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.0)

    scene = call(
        script, config=SessionConfig(endpointing=PLAIN, language="es", greeting="Hola."), ear=English
    )
    (fault,) = scene.of(EngineFault)
    assert "English only" in fault.text
    assert not fault.retryable
    assert scene.of(BotFinished)


# --- the other side speaks first --------------------------------------------------------------------------


def test_a_greeting_that_lets_the_other_side_speak_first_answers_its_first_turn() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(1.0)
        assert not scene.of(BotSpeaking)
        await scene.leg.speak(0.6)
        await scene.leg.silence(3.0)

    config = SessionConfig(greeting="good day", greet_after_turn=True, endpointing=PLAIN)
    scene = call(script, "hello", config=config)
    (spoken,) = scene.of(BotSpeaking)
    assert spoken.text == "good day"
    assert scene.at(TurnEnd) <= scene.at(BotSpeaking) < 4.0
    assert scene.names().index("TurnEnd") < scene.names().index("BotSpeaking")


def test_it_is_said_all_the_same_where_nobody_speaks() -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(8.0)

    config = SessionConfig(greeting="good day", greet_after_turn=True, endpointing=PLAIN)
    scene = call(script, config=config)
    assert scene.at(BotSpeaking) == pytest.approx(GREET_S, abs=0.8)
    assert len(scene.of(BotSpeaking)) == 1
