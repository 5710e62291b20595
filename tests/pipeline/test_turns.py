"""The turn machine, told what happens and when; no loop, no clock, no audio."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.endpointing import EndOfTurn, Silence, TurnReason
from pipeline.errors import IllegalTransition
from pipeline.events import (
    EagerTurn,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    UserMessage,
    UserSpeaking,
)
from pipeline.turns import (
    TABLE,
    BotCut,
    BotDone,
    BotStarted,
    CutBot,
    DiscardReply,
    Heard,
    Output,
    PauseBot,
    ResumeBot,
    State,
    TurnMachine,
    TurnParams,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)

CUT = TurnParams(pause_first=False)
"""A voice that lasts cuts the bot off at once. What is paused first is tested in ``test_turns_doubt``."""


class Talk:
    """Drives a machine as the session does: deadlines first, then the event."""

    def __init__(self, params: TurnParams = CUT, judge: EndOfTurn | None = None) -> None:
        counter = itertools.count(1)
        self.machine = TurnMachine(params, judge or Silence(500), lambda: f"id{next(counter)}")
        self.log: list[tuple[float, Output]] = []
        self.segment = 0
        self.now = 0.0
        self.bot_since: float | None = None
        self.paused_at: float | None = None

    def until(self, now: float) -> None:
        while (deadline := self.machine.deadline) is not None and deadline <= now:
            self.now = max(self.now, deadline)
            self._note(self.now, self.machine.tick(self.now))
        self.now = max(self.now, now)

    def _note(self, now: float, outputs: list[Output]) -> None:
        for output in outputs:
            self.log.append((now, output))
            if isinstance(output, CutBot) and self.bot_since is not None:
                played = round(((self.paused_at or now) - self.bot_since) * 1000)
                self.bot_since = self.paused_at = None
                self._note(now, self.machine.receive(BotCut(played, by_user=True), now))
            elif isinstance(output, PauseBot) and self.paused_at is None:
                self.paused_at = now
            elif isinstance(output, ResumeBot) and self.bot_since is not None and self.paused_at is not None:
                self.bot_since, self.paused_at = self.bot_since + now - self.paused_at, None

    def tell(self, now: float, event: object) -> None:
        self.until(now)
        self._note(now, self.machine.receive(event, now))  # type: ignore[arg-type]

    def voice(self, start: float, end: float, text: str | None, *, lag: float = 0.1) -> int:
        """The user speaks; the detector says so 80 ms after the onset and 300 ms after the end."""
        self.segment += 1
        segment = self.segment
        self.tell(start + 0.08, VoiceStarted(segment, start, 0.9))
        at = start + 0.08
        while at < end:
            self.tell(at, Voiced(at - 0.032, at))
            at += 0.032
        self.tell(end + 0.3, VoiceEnded(start, end))
        if text is not None:
            self.tell(end + 0.3 + lag, Heard(segment, text, 0.8, final=True))
        return segment

    def bot(self, now: float) -> None:
        self.tell(now, BotStarted(now))
        self.bot_since = now

    def done(self, now: float) -> None:
        self.bot_since = None
        self.tell(now, BotDone())

    def of(self, kind: type) -> list[tuple[float, object]]:
        return [(now, out) for now, out in self.log if isinstance(out, kind)]

    @property
    def state(self) -> str:
        return str(self.machine.state)

    def floor_free(self) -> bool:
        return self.machine.floor_free

    def names(self) -> list[str]:
        return [type(out).__name__ for _, out in self.log]


def test_a_turn_in_its_order_and_at_its_moments() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "hello there")
    talk.until(9.0)
    assert talk.names() == ["SpeechStarted", "SpeechEnded", "UserMessage", "EagerTurn", "TurnEnd"]
    assert [round(now, 3) for now, _ in talk.log] == [1.08, 2.3, 2.4, 2.4, 2.5]
    ended, eager, end = talk.log[1][1], talk.log[3][1], talk.log[4][1]
    assert isinstance(ended, SpeechEnded)
    assert ended.duration_ms == 1000
    assert isinstance(eager, EagerTurn)
    assert eager.latency_ms == 400
    assert isinstance(end, TurnEnd)
    assert (end.text, end.latency_ms, end.reason) == ("hello there", 500, TurnReason.SILENCE)
    assert end.message_id == eager.message_id == talk.machine.reply_to
    assert end.probability > eager.probability
    assert end.turn.turn_id == 1
    assert talk.state == "bot_pending"
    assert talk.floor_free()


def test_the_floor_is_the_users_until_the_turn_ends() -> None:
    talk = Talk()
    assert talk.floor_free()
    talk.tell(1.08, VoiceStarted(1, 1.0, 0.9))
    assert not talk.floor_free()
    talk.tell(2.3, VoiceEnded(1.0, 2.0))
    assert not talk.floor_free()


def test_interim_text_is_the_whole_turn_so_far() -> None:
    talk = Talk()
    talk.voice(1.0, 1.5, "one two", lag=0.0)
    talk.tell(1.9, VoiceStarted(2, 1.85, 0.9))
    talk.tell(2.2, Heard(2, "three", 0.5, final=False))
    (_, speaking), *_ = talk.of(UserSpeaking)
    assert isinstance(speaking, UserSpeaking)
    assert (speaking.text, speaking.confirmed_text) == ("one two three", "one two")


def test_the_recogniser_is_waited_for() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "slow one", lag=1.2)
    talk.until(9.0)
    ((at, end),) = talk.of(TurnEnd)
    assert at == pytest.approx(3.5)
    assert isinstance(end, TurnEnd)
    assert end.latency_ms == 1500


def test_a_recogniser_that_never_answers_forces_the_turn_with_what_it_believed_last() -> None:
    talk = Talk()
    talk.tell(1.08, VoiceStarted(1, 1.0, 0.9))
    talk.tell(1.5, Heard(1, "take me home", 0.4, final=False))
    talk.tell(2.3, VoiceEnded(1.0, 2.0))
    talk.until(9.0)
    ((at, end),) = talk.of(TurnEnd)
    assert at == pytest.approx(5.0)
    assert isinstance(end, TurnEnd)
    assert (end.text, end.reason) == ("take me home", TurnReason.FORCED)
    # The final that comes too late says nothing new.
    talk.tell(6.0, Heard(1, "take me home", 0.9, final=True))
    assert len(talk.of(UserMessage)) == 1


def test_a_late_final_still_counts_where_there_was_nothing() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, None)
    talk.until(5.5)
    assert talk.state == "idle"
    talk.tell(6.0, Heard(1, "at last", 0.9, final=True))
    talk.until(7.0)
    assert talk.names()[-3:] == ["UserMessage", "EagerTurn", "TurnEnd"]


def test_noise_is_no_turn_and_its_number_is_used_by_the_next() -> None:
    talk = Talk()
    talk.voice(1.0, 1.2, "")
    talk.until(4.0)
    assert talk.names() == ["SpeechStarted", "SpeechEnded"]
    assert talk.state == "idle"
    talk.voice(5.0, 5.5, "now I speak")
    talk.until(9.0)
    ((_, end),) = talk.of(TurnEnd)
    assert isinstance(end, TurnEnd)
    assert end.turn.turn_id == 1
    first = talk.of(SpeechStarted)[0][1]
    assert isinstance(first, SpeechStarted)
    assert first.turn == end.turn


def test_voice_after_the_eager_edge_takes_it_back() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "I would like", lag=0.0)
    eager = talk.of(EagerTurn)[0][1]
    assert isinstance(eager, EagerTurn)
    talk.voice(2.35, 3.0, "a room")
    talk.until(9.0)
    ((at, continued),) = talk.of(TurnContinued)
    assert at == pytest.approx(2.55)  # 200 ms of voice, from its onset
    assert isinstance(continued, TurnContinued)
    assert continued.turn.turn_id == 1
    ((_, discarded),) = talk.of(DiscardReply)
    assert discarded == DiscardReply(eager.message_id)
    ((_, end),) = talk.of(TurnEnd)
    assert isinstance(end, TurnEnd)
    assert end.text == "I would like a room"
    assert end.message_id != eager.message_id
    assert end.turn.turn_id == 1


def test_a_blip_after_the_turns_end_takes_nothing_back() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "what time is it")
    talk.until(3.0)
    talk.voice(3.0, 3.1, "")
    talk.until(5.0)
    assert not talk.of(TurnContinued)
    assert talk.state == "bot_pending"
    assert talk.floor_free()


def test_words_of_a_blip_after_the_turns_end_do_take_it_back() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "what time is it")
    talk.until(3.0)
    talk.voice(3.0, 3.1, "please")
    talk.until(6.0)
    assert talk.names()[-4:] == ["DiscardReply", "UserMessage", "EagerTurn", "TurnEnd"]
    end = talk.of(TurnEnd)[-1][1]
    assert isinstance(end, TurnEnd)
    assert end.text == "what time is it please"


def test_an_early_interruption_continues_the_turn() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "count to ten")
    talk.until(2.6)
    talk.bot(2.6)
    talk.voice(3.5, 4.2, "no to five")
    talk.until(9.0)
    ((at, _),) = talk.of(CutBot)
    assert at == pytest.approx(3.8)  # 300 ms from the onset
    names = talk.names()
    assert names.index("CutBot") < names.index("TurnContinued")
    end = talk.of(TurnEnd)[-1][1]
    assert isinstance(end, TurnEnd)
    assert (end.turn.turn_id, end.text) == (1, "count to ten no to five")
    started = talk.of(SpeechStarted)[-1][1]
    assert isinstance(started, SpeechStarted)
    assert started.turn.turn_id == 1


def test_a_later_interruption_is_a_new_turn() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "tell me a story")
    talk.until(2.6)
    talk.bot(2.6)
    talk.voice(6.0, 6.8, "stop")
    talk.until(9.0)
    assert not talk.of(TurnContinued)
    end = talk.of(TurnEnd)[-1][1]
    started = talk.of(SpeechStarted)[-1][1]
    assert isinstance(end, TurnEnd)
    assert isinstance(started, SpeechStarted)
    assert (end.turn.turn_id, end.text) == (2, "stop")
    assert started.turn == end.turn


@pytest.mark.parametrize(("heard_s", "turn_id"), [(1.999, 1), (2.0, 2)])
def test_two_seconds_heard_is_the_edge(heard_s: float, turn_id: int) -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "go on")
    talk.until(3.0)
    talk.bot(3.0)
    onset = 3.0 + heard_s - 0.3
    talk.voice(onset, onset + 0.8, "wait")
    talk.until(9.0)
    assert talk.of(CutBot)[0][0] == pytest.approx(3.0 + heard_s)
    end = talk.of(TurnEnd)[-1][1]
    assert isinstance(end, TurnEnd)
    assert end.turn.turn_id == turn_id


def test_in_the_greeting_an_early_interruption_opens_turn_one() -> None:
    talk = Talk()
    talk.bot(1.0)
    talk.voice(1.5, 2.2, "hello")
    talk.until(9.0)
    assert talk.of(CutBot)
    assert not talk.of(TurnContinued)
    end = talk.of(TurnEnd)[0][1]
    assert isinstance(end, TurnEnd)
    assert end.turn.turn_id == 1


def test_an_answer_that_was_heard_closes_the_turn() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "what time is it")
    talk.until(2.6)
    talk.bot(2.6)
    talk.done(3.6)
    talk.bot(3.7)  # a second message, and it is cut off early
    talk.voice(4.0, 4.8, "thank you")
    talk.until(9.0)
    end = talk.of(TurnEnd)[-1][1]
    assert isinstance(end, TurnEnd)
    assert (end.turn.turn_id, end.text) == (2, "thank you")


def test_a_cough_over_the_bot_does_not_cut_it_off() -> None:
    talk = Talk()
    talk.bot(1.0)
    talk.voice(2.0, 2.15, "")
    talk.until(5.0)
    assert not talk.of(CutBot)
    assert talk.state == "bot_speaking"


def test_two_coughs_are_not_one_interruption() -> None:
    talk = Talk()
    talk.bot(1.0)
    talk.tell(2.08, VoiceStarted(1, 2.0, 0.9))
    talk.tell(2.12, Voiced(2.09, 2.12))
    talk.tell(2.38, Voiced(2.35, 2.38))  # a quarter of a second later
    talk.tell(2.5, Voiced(2.38, 2.5))
    talk.until(2.6)
    assert not talk.of(CutBot)
    talk.tell(2.6, Voiced(2.5, 2.6))
    talk.until(2.66)
    assert talk.of(CutBot)[0][0] == pytest.approx(2.65)


def test_words_cut_the_bot_off_though_the_voice_was_short() -> None:
    talk = Talk()
    talk.bot(1.0)
    talk.voice(4.0, 4.2, "hold on")
    talk.until(9.0)
    assert talk.of(CutBot)[0][0] == pytest.approx(4.6)
    end = talk.of(TurnEnd)[0][1]
    assert isinstance(end, TurnEnd)
    assert end.text == "hold on"


def test_a_backchannel_counts_for_nothing() -> None:
    talk = Talk()
    talk.bot(1.0)
    talk.voice(4.0, 4.2, "uh-huh")
    talk.done(6.0)
    talk.until(9.0)
    assert not talk.of(CutBot)
    assert not talk.of(TurnEnd)
    assert talk.state == "idle"


def test_a_short_word_over_the_bot_counts_when_it_has_finished() -> None:
    talk = Talk()
    talk.bot(1.0)
    talk.voice(4.0, 4.2, "tomorrow")
    talk.done(4.9)
    talk.until(9.0)
    assert not talk.of(CutBot)
    end = talk.of(TurnEnd)[0][1]
    assert isinstance(end, TurnEnd)
    assert (end.turn.turn_id, end.text) == (1, "tomorrow")


@pytest.mark.parametrize(("bot", "turns"), [("Shall I book it?", 1), ("I have booked it.", 0)])
def test_a_backchannel_answers_the_question_that_it_falls_on(bot: str, turns: int) -> None:
    talk = Talk()
    talk.bot(1.0)
    talk.voice(4.0, 4.2, "yeah")
    talk.machine.question = bot
    talk.done(4.9)
    talk.until(9.0)
    assert not talk.of(CutBot)
    assert len(talk.of(TurnEnd)) == turns


def test_speech_that_goes_on_when_the_bot_finishes_is_the_users_turn() -> None:
    talk = Talk(replace(CUT, interruption=False))
    talk.bot(1.0)
    talk.tell(2.08, VoiceStarted(1, 2.0, 0.9))
    talk.done(2.6)
    assert talk.state == "listening"
    talk.tell(3.3, VoiceEnded(2.0, 3.0))
    talk.tell(3.4, Heard(1, "and then", 0.9, final=True))
    talk.until(9.0)
    assert not talk.of(CutBot)
    end = talk.of(TurnEnd)[0][1]
    assert isinstance(end, TurnEnd)
    assert end.text == "and then"


def test_without_interruption_the_voice_never_cuts_the_bot_off() -> None:
    talk = Talk(replace(CUT, interruption=False))
    talk.bot(1.0)
    talk.voice(2.0, 4.0, "please do stop talking")
    talk.until(9.0)
    assert not talk.of(CutBot)


def test_an_agent_that_cancels_unheard_still_owes_an_answer() -> None:
    talk = Talk()
    talk.voice(1.0, 2.0, "hello")
    talk.until(3.0)
    talk.bot(3.0)
    talk.bot_since = None
    talk.tell(3.0, BotCut(0, by_user=False))
    assert talk.state == "bot_pending"
    talk.bot(3.5)
    talk.bot_since = None
    talk.tell(4.5, BotCut(1000, by_user=False))
    assert talk.state == "idle"


def test_replies_name_the_latest_words() -> None:
    talk = Talk()
    assert talk.machine.reply_to == ""
    talk.voice(1.0, 2.0, "first")
    first = talk.machine.reply_to
    talk.until(3.0)
    talk.bot(3.0)
    talk.done(4.0)
    # A cough opens a turn without words: the answer to the first may still be completed.
    talk.voice(5.0, 5.2, "")
    assert talk.machine.reply_to == first
    talk.voice(6.0, 6.5, "second")
    assert talk.machine.reply_to != first
    assert (talk.of(DiscardReply)[-1][1]) == DiscardReply(first)


def test_what_cannot_happen_is_an_error_of_ours() -> None:
    talk = Talk()
    with pytest.raises(IllegalTransition, match="no transition from idle"):
        talk.tell(1.0, VoiceEnded(0.0, 0.5))
    with pytest.raises(IllegalTransition):
        talk.tell(1.0, BotDone())


def test_text_may_come_in_every_state() -> None:
    assert {state for state, kind in TABLE if kind is Heard} == set(State)


def _walk(pick: Callable[[int], int], steps: int) -> None:
    """Any order of what can happen: segments open and close, a bot starts and stops, text comes late."""
    talk = Talk()
    now, open_since, waiting = 0.0, None, []
    for _ in range(steps):
        now += 0.05 + pick(60) / 100
        talk.until(now)
        choice = pick(6)
        if choice == 0 and open_since is None:
            talk.segment += 1
            open_since = now
            waiting.append(talk.segment)
            talk.tell(now, VoiceStarted(talk.segment, now - 0.08, 0.9))
        elif choice == 1 and open_since is not None:
            talk.tell(now, VoiceEnded(open_since, max(open_since, now - 0.3)))
            open_since = None
        elif choice == 2 and waiting and (open_since is None or len(waiting) > 1):
            text = ["", "yes", "go on please"][pick(3)]
            talk.tell(now, Heard(waiting.pop(0), text, 0.5, final=True))
        elif choice == 3 and talk.bot_since is None and talk.machine.floor_free:
            talk.bot(now)
        elif choice == 4 and talk.bot_since is not None:
            talk.done(now)
        elif choice == 5 and open_since is not None:
            talk.tell(now, Voiced(now - 0.03, now))
    _check(talk)


def _check(talk: Talk) -> None:
    open_segments: set[int] = set()
    signalled: dict[str, str] = {}
    for _, out in talk.log:
        if isinstance(out, SpeechStarted):
            assert not open_segments
            open_segments.add(out.segment_id)
        elif isinstance(out, SpeechEnded):
            open_segments.remove(out.segment_id)
        elif isinstance(out, TurnEnd):
            assert out.text
            assert out.message_id not in signalled or signalled[out.message_id] == out.text
        elif isinstance(out, EagerTurn):
            assert out.message_id not in signalled
            signalled[out.message_id] = out.text
    ends = [out.message_id for _, out in talk.log if isinstance(out, TurnEnd)]
    assert len(ends) == len(set(ends)), "a turn ended twice with one message id"


def test_any_order_of_events_keeps_the_promises() -> None:
    import random

    for seed in range(300):
        rng = random.Random(seed)
        _walk(rng.randrange, 80)
