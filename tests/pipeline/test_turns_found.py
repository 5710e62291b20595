"""What was once wrong with turns and pauses: each of these failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.config import SessionConfig
from pipeline.endpointing import Endpointing, Silence
from pipeline.events import (
    BotFinished,
    BotWord,
    CallMuted,
    CallUnmuted,
    TurnContinued,
    TurnEnd,
    UserMessage,
)
from pipeline.ports import SttCapabilities, SttEvent, SttFinal, SttOptions, SttStream, SttTurn
from pipeline.turns import (
    BotDone,
    CutBot,
    Echo,
    Heard,
    Hold,
    Mute,
    PauseBot,
    ProviderTurn,
    TurnParams,
    Unhold,
    Unmute,
    VoiceEnded,
    VoiceStarted,
)
from server import protocol as wire
from server.agents import merged
from server.resolve import Defaults, resolve
from tests.fakes.tts import FakeTts
from tests.pipeline.test_session import Scene, ScriptedEar, call
from tests.pipeline.test_turns import Talk

COUNT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def plain(**changes: object) -> Talk:
    return Talk(replace(TurnParams(), **changes), Silence(500))  # type: ignore[arg-type]


def texts(t: Talk, kind: type) -> list[str]:
    return [out.text for _, out in t.of(kind)]  # type: ignore[attr-defined]


# --- pausing twice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap_ms", [40, 60, 100, 160])
@pytest.mark.parametrize("first_ms", range(200, 700, 60))
@pytest.mark.parametrize("times", [True, False])
def test_a_message_that_is_paused_twice_in_a_row_finishes(first_ms: int, gap_ms: int, times: bool) -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        for heard_ms in (first_ms, gap_ms):
            await scene.leg.silence(heard_ms / 1000)
            scene.session.hold()
            await scene.leg.silence(0.3)
            scene.session.unhold()
        await scene.leg.silence(6.0)

    scene = call(script, voice=FakeTts(word_ms=80, word_times=times))
    assert scene.of(BotFinished)
    assert [word.word for word in scene.of(BotWord)] == COUNT.split()


# --- words that were lost ---------------------------------------------------------------------------------


def test_interim_text_that_comes_late_does_not_take_the_final_with_it() -> None:
    t = plain()
    t.voice(1.0, 2.0, None)
    t.until(5.5)
    assert t.state == "idle"
    t.tell(5.6, Heard(1, "at", 0.5, final=False))
    t.tell(6.0, Heard(1, "at last", 0.9, final=True))
    t.until(9.0)
    assert texts(t, TurnEnd) == ["at last"]


def test_the_same_while_he_is_muted() -> None:
    t = plain()
    t.voice(1.0, 2.0, None)
    t.until(5.5)
    t.tell(5.5, Mute())
    t.tell(5.6, Heard(1, "at", 0.5, final=False))
    t.tell(6.0, Heard(1, "at last", 0.9, final=True))
    assert texts(t, TurnEnd) == ["at last"]


def mute_with_words_owed(t: Talk) -> None:
    t.voice(1.0, 2.0, "book a table")
    t.tell(2.45, VoiceStarted(2, 2.4, 0.9))
    t.tell(2.7, VoiceEnded(2.4, 2.7))
    t.tell(2.7, Mute())


def test_a_muted_turn_ends_also_where_its_last_words_were_none() -> None:
    t = plain()
    mute_with_words_owed(t)
    t.tell(2.9, Heard(2, "", 0.0, final=True))
    assert texts(t, TurnEnd) == ["book a table"]


def test_the_bot_does_not_answer_a_muted_user_before_his_words_are_there() -> None:
    t = plain()
    mute_with_words_owed(t)
    assert not t.floor_free()
    t.tell(2.9, Heard(2, "for two", 0.9, final=True))
    assert t.floor_free()
    assert texts(t, TurnEnd) == ["book a table for two"]


def test_words_said_before_mute_and_understood_over_the_bot_belong_to_the_turn_that_goes_on() -> None:
    t = Talk(TurnParams(), Silence(2000))
    mute_with_words_owed(t)
    t.bot(2.8)
    t.tell(3.0, Heard(2, "for two", 0.9, final=True))
    t.done(4.0)
    t.tell(5.0, Unmute())
    t.until(30.0)
    assert texts(t, UserMessage)[-1] == "book a table for two"
    assert texts(t, TurnEnd)[-1] == "book a table for two"


def test_a_turn_over_which_the_bot_spoke_to_a_muted_user_still_ends() -> None:
    t = Talk(TurnParams(), Silence(2000))
    mute_with_words_owed(t)
    t.bot(2.8)
    t.tell(3.0, Unmute())
    t.tell(3.1, Heard(2, "", 0.0, final=True))
    t.done(4.0)
    t.until(30.0)
    assert texts(t, TurnEnd) == ["book a table"]


def test_words_over_a_word_that_an_answer_will_come_go_on_with_the_turn() -> None:
    t = plain()
    t.voice(1.0, 2.0, "what time is it")
    t.until(3.0)
    t.bot(3.0)
    t.voice(3.5, 3.7, "please")
    t.bot_since = None
    t.tell(4.6, BotDone(answered=False))
    t.until(9.0)
    assert texts(t, TurnEnd) == ["what time is it", "what time is it please"]
    assert {end.turn.turn_id for _, end in t.of(TurnEnd)} == {1}  # type: ignore[attr-defined]
    assert t.of(TurnContinued)


# --- what is no turn --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["idle", "bot_pending", "muted", "held"])
def test_an_echo_that_is_known_only_when_the_bot_is_silent_is_no_turn(state: str) -> None:
    t = plain()
    if state == "bot_pending":
        t.voice(1.0, 2.0, "when does it open")
        t.until(3.0)
    t.bot(4.0)
    segment = t.voice(5.0, 5.2, None)
    t.bot_since = None
    t.tell(5.6, BotDone(answered=state != "bot_pending"))
    if state in ("muted", "held"):
        t.tell(5.65, Mute() if state == "muted" else Hold())
    assert t.state == state
    told = len(t.of(UserMessage))
    t.tell(5.7, Echo(segment))
    t.tell(5.7, Heard(segment, "at ten past nine", 0.9, final=True))
    if state in ("muted", "held"):
        t.tell(6.0, Unmute() if state == "muted" else Unhold())
    t.until(12.0)
    assert len(t.of(UserMessage)) == told


def test_an_echo_whose_words_come_after_they_were_given_up_is_no_turn() -> None:
    t = plain()
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    t.done(5.2)
    t.tell(5.7, VoiceEnded(5.0, 5.4))
    t.until(9.0)
    assert t.state == "idle"
    t.tell(9.0, Echo(1))
    t.tell(9.0, Heard(1, "ten past nine", 0.9, final=True))
    assert not t.of(UserMessage)


@pytest.mark.parametrize(("asked", "turns"), [("It is booked.", 0), ("Shall I book it?", 1)])
@pytest.mark.parametrize("done", [5.15, 5.35])
def test_a_backchannel_is_none_the_more_a_turn_for_being_understood_late(
    asked: str, turns: int, done: float
) -> None:
    t = plain()
    t.machine.question = asked
    t.bot(1.0)
    t.tell(5.08, VoiceStarted(1, 5.0, 0.9))
    if done < 5.3:
        t.done(done)
    t.tell(5.3, VoiceEnded(5.0, 5.25))
    if done >= 5.3:
        t.done(done)
    t.tell(5.4, Heard(1, "mhm", 0.9, final=True))
    t.until(9.0)
    assert len(t.of(TurnEnd)) == turns


def test_a_backchannel_that_silenced_the_bot_is_answered() -> None:
    t = plain(pause_first=False)
    t.bot(1.0)
    t.voice(5.0, 6.5, "yeah yeah")
    t.until(9.0)
    assert t.of(CutBot)
    assert texts(t, TurnEnd) == ["yeah yeah"]


def test_clicks_do_not_keep_a_turn_open() -> None:
    t = plain()
    t.voice(1.0, 2.0, "book a table", lag=0.0)
    for number in range(20):
        start = 2.35 + number * 0.45
        t.tell(start + 0.03, VoiceStarted(2 + number, start, 0.9))
        t.tell(start + 0.36, VoiceEnded(start, start + 0.06))
        t.tell(start + 0.37, Heard(2 + number, "", 0.0, final=True))
    ((at, _), *_) = t.of(TurnEnd)
    assert at < 2.8


def test_a_voice_too_short_for_a_word_silences_nobody() -> None:
    t = plain(min_speech_ms=1000)
    t.bot(1.0)
    t.voice(5.0, 5.9, "stop it please")
    t.until(12.0)
    assert not t.of(PauseBot)
    assert not t.of(CutBot)
    t.voice(14.0, 15.5, "stop it please")
    assert t.of(PauseBot)[0][0] == pytest.approx(15.0)


# --- who says that a turn is over -------------------------------------------------------------------------


class TellingEar(ScriptedEar):
    """Says early on that the turn is over."""

    capabilities = SttCapabilities(partials=True, word_times=False, languages=(), turns=True)
    kind = "end"

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
        def both(event: SttEvent) -> None:
            on_event(event)
            if isinstance(event, SttFinal):
                on_event(SttTurn(event.segment_id, self.kind, 0.9))  # type: ignore[arg-type]

        return super().open(options, both)


class EagerEar(TellingEar):
    kind = "eager"


@pytest.mark.parametrize("ear", [TellingEar, EagerEar])
def test_a_recogniser_that_was_not_asked_does_not_end_turns(ear: type[ScriptedEar]) -> None:
    timers = 0

    async def script(scene: Scene) -> None:
        nonlocal timers
        on_timer = scene.session._due._on_timer

        def counted() -> None:
            nonlocal timers
            timers += 1
            on_timer()

        scene.session._due._on_timer = counted  # type: ignore[method-assign]
        await scene.leg.speak(1.0)
        await scene.leg.silence(4.0)

    config = SessionConfig(endpointing=Endpointing(mode="silence", silence_ms=900))
    scene = call(script, "I would like", config=config, ear=ear)
    (end,) = scene.of(TurnEnd)
    assert (end.reason, round(end.latency_ms, -1)) == ("silence", 900)
    assert timers < 20


def test_an_eager_word_of_a_recogniser_does_not_make_time_stand_still() -> None:
    t = plain()
    t.tell(1.08, VoiceStarted(1, 1.0, 0.9))
    t.tell(2.3, VoiceEnded(1.0, 2.0))
    t.tell(2.35, Heard(1, "hello", 0.9, final=True))
    t.tell(2.36, ProviderTurn("eager", 0.6))
    ticks = 0
    while (deadline := t.machine.deadline) is not None and ticks < 5:
        t.now = max(deadline, t.now + 0.001)
        for output in t.machine.tick(t.now):
            t.log.append((t.now, output))
        ticks += 1
    assert ticks < 5
    assert t.of(TurnEnd)


# --- mute and hold at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("unmute_first", [True, False])
def test_a_call_may_be_muted_while_it_is_held(unmute_first: bool) -> None:
    async def script(scene: Scene) -> None:
        session = scene.session
        session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(0.5)
        session.hold()
        session.mute()
        await scene.leg.silence(0.5)
        if unmute_first:
            session.unmute()
            session.unhold()
        else:
            session.unhold()
            await scene.leg.speak(1.5)
            session.unmute()
        await scene.leg.silence(8.0)

    scene = call(script, "not to you")
    assert len(scene.of(CallMuted)) == len(scene.of(CallUnmuted)) == 1
    assert scene.of(BotFinished)


# --- configuration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys", [{"turn_detection": {"silence_ms": 5000}}, {"vad": {"min_silence_ms": 5000}}]
)
def test_no_turn_ends_before_the_silence_that_was_asked_for(keys: dict[str, object]) -> None:
    frame = json.dumps({"event": "agent.create", "agent_id": "a", **keys})
    command = wire.parse_command(frame, binary=False)
    assert isinstance(command, wire.AgentCreate)
    config = resolve([merged({}, command)], Defaults()).session

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(7.0)

    (end,) = call(script, "book a table", config=config).of(TurnEnd)
    assert end.latency_ms >= 5000
