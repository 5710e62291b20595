"""The turn machine alone, told by hypothesis whatever a session could tell it, in any order and at any time.

The rules know what is possible: voice that is open ends, each segment of it is heard once, a bot that was ordered to
pause, to go on or to stop does so at once, or has finished at that very instant. What the machine tells is checked
by the same promises as whole conversations are.
"""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.endpointing import Endpointing, judge_of
from pipeline.endpointing.evidence import Prosody
from pipeline.events import Event, UserMessage
from pipeline.turns import (
    BotCut,
    BotDone,
    BotStarted,
    CutBot,
    DiscardReply,
    Echo,
    Heard,
    Hold,
    Input,
    Mute,
    NothingHeard,
    Output,
    PauseBot,
    ProviderTurn,
    ResumeBot,
    Sounded,
    State,
    TurnMachine,
    TurnParams,
    Unhold,
    Unmute,
    Voiced,
    VoiceEnded,
    VoiceStarted,
)
from tests.fakes.promises import segments_in_order, sides_in_order, turns_in_order

TEXTS = st.sampled_from(
    ["", "yes", "mhm", "what time is it", "I would like", "my number is five", "no no no"]
)
SECONDS = st.sampled_from([0.0, 0.02, 0.1, 0.21, 0.35, 0.8, 1.5, 3.1])
ORDERS = CutBot | PauseBot | ResumeBot | DiscardReply | NothingHeard


class Turns(RuleBasedStateMachine):
    @initialize(
        interruption=st.booleans(),
        pause_first=st.booleans(),
        backchannel_filter=st.booleans(),
        mode=st.sampled_from(["silence", "local", "native"]),
    )
    def begin(self, interruption: bool, pause_first: bool, backchannel_filter: bool, mode: str) -> None:
        params = TurnParams(
            interruption=interruption, pause_first=pause_first, backchannel_filter=backchannel_filter
        )
        numbers = itertools.count(1)
        judge = judge_of(Endpointing(mode=mode))  # type: ignore[arg-type]
        self.machine = TurnMachine(params, judge, lambda: f"id{next(numbers)}")
        self.now = 100.0
        self.events: list[Event] = []
        self.segment = 0
        self.onset: float | None = None
        """Of the open voice."""
        self.voice_end = 0.0
        self.owed: list[int] = []
        """Segments whose final text is still to come."""
        self.bot: float | None = None
        """When it began to be heard."""
        self.paused = False
        self.held = self.muted = False
        self.echoes: set[int] = set()
        """Segments that were found to be the bot's voice while they were open."""
        self.finishes = False
        """The bot says its last word at the next order that silences it."""

    # --- the session's part ---------------------------------------------------------------------------

    def tell(self, event: Input) -> None:
        self.obey(self.machine.receive(event, self.now))

    def obey(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case CutBot() | PauseBot() if self.bot is not None and self.finishes and not self.paused:
                    self.finishes = False
                    self.stop_bot(BotDone())
                case CutBot():
                    assert self.bot is not None or not self.machine.floor_free
                    if self.bot is not None:
                        self.stop_bot(BotCut(self.played_ms(), by_user=True))
                case PauseBot():
                    if self.bot is not None:
                        self.paused = True
                case ResumeBot():
                    self.paused = False
                case DiscardReply() | NothingHeard():
                    pass
                case _:
                    self.events.append(output)

    def stop_bot(self, event: BotDone | BotCut) -> None:
        self.bot, self.paused = None, False
        self.tell(event)

    def played_ms(self) -> int:
        return round((self.now - (self.bot or self.now)) * 1000)

    def live(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(50):
            deadline = self.machine.deadline
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.obey(self.machine.tick(self.now))
        else:
            raise AssertionError("time stands still")
        self.now = until

    def end_voice(self) -> None:
        if self.onset is not None:
            onset, self.onset = self.onset, None
            self.voice_end = max(onset, self.now - 0.02)
            self.tell(VoiceEnded(onset, self.voice_end))

    # --- what may happen ------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.live(seconds)

    @precondition(lambda self: self.onset is None)
    @rule(age=st.sampled_from([0.0, 0.05, 0.1]), ends=st.sampled_from([None, 0.1, 5.0]))
    def voice_starts(self, age: float, ends: float | None) -> None:
        self.segment += 1
        self.onset = max(self.voice_end, self.now - age)
        self.owed.append(self.segment)
        bot_ends = self.now + ends if ends is not None and self.bot is not None and not self.paused else None
        self.tell(VoiceStarted(self.segment, self.onset, 0.9, bot_ends))

    @precondition(lambda self: self.onset is not None)
    @rule(
        seconds=st.sampled_from([0.04, 0.2, 0.4, 0.9]),
        probability=st.sampled_from([1.0, 1.0, 0.5]),
        volume=st.sampled_from([1.0, 1.0, 0.1]),
    )
    def voice_goes_on(self, seconds: float, probability: float, volume: float) -> None:
        until = self.now + seconds
        while self.now < until and self.onset is not None:
            self.live(0.032)
            self.tell(Voiced(self.now - 0.032, self.now, probability, volume))

    @precondition(lambda self: self.onset is not None)
    @rule()
    def voice_ends(self) -> None:
        self.end_voice()

    @precondition(lambda self: self.owed)
    @rule(text=TEXTS, final=st.booleans(), data=st.data())
    def words_come(self, text: str, final: bool, data: st.DataObject) -> None:
        segment = data.draw(st.sampled_from(self.owed))
        is_open = self.onset is not None and segment == self.segment
        if final:
            self.owed.remove(segment)
            text = "" if is_open else text  # Before its end a segment can only be lost.
        self.tell(Heard(segment, text, 0.9, final))

    @precondition(lambda self: self.segment > 0)
    @rule(back=st.integers(0, 2))
    def echo_is_found(self, back: int) -> None:
        segment = max(1, self.segment - back)
        listened = self.machine.state in (State.LISTENING, State.OVERLAP, State.DOUBT)
        if listened and self.onset is not None and segment == self.segment and segment in self.owed:
            self.echoes.add(segment)
        self.tell(Echo(segment))

    @rule(model=st.sampled_from([None, 0.1, 0.9]), pitch=st.sampled_from([None, -4.0, 3.0]))
    def sound_is_judged(self, model: float | None, pitch: float | None) -> None:
        self.tell(Sounded(Prosody(pitch=pitch), model))

    @rule(kind=st.sampled_from(["eager", "end", "resumed"]))
    def provider_speaks(self, kind: str) -> None:
        self.tell(ProviderTurn(kind, 0.8))  # type: ignore[arg-type]

    @precondition(lambda self: self.bot is None and self.machine.floor_free)
    @rule(interruptible=st.sampled_from([True, True, False]))
    def bot_starts(self, interruptible: bool) -> None:
        self.bot, self.finishes = self.now, False
        self.tell(BotStarted(self.now, interruptible))

    @precondition(lambda self: self.bot is not None and not self.paused)
    @rule(answered=st.booleans())
    def bot_finishes(self, answered: bool) -> None:
        self.stop_bot(BotDone(answered))

    @precondition(lambda self: self.bot is not None and not self.paused)
    @rule()
    def bot_is_about_to_finish(self) -> None:
        self.finishes = True

    @precondition(lambda self: self.bot is not None)
    @rule(answered=st.booleans(), silent=st.booleans())
    def agent_cancels(self, answered: bool, silent: bool) -> None:
        self.stop_bot(BotCut(0 if silent else self.played_ms(), by_user=False, answered=answered))

    @rule()
    def mute_or_unmute(self) -> None:
        self.end_voice()
        self.muted = not self.muted
        self.tell(Mute() if self.muted else Unmute())

    @rule()
    def hold_or_unhold(self) -> None:
        self.end_voice()
        self.held = not self.held
        self.tell(Hold() if self.held else Unhold())

    # --- what holds -----------------------------------------------------------------------------------

    @invariant()
    def the_bot_begins_only_where_it_is_silent(self) -> None:
        if hasattr(self, "machine") and self.machine.floor_free:
            assert self.bot is None

    @invariant()
    def held_and_muted_are_known(self) -> None:
        if hasattr(self, "machine"):
            assert self.machine.held is self.held
            assert self.machine.muted is self.muted
            assert not (self.machine.state is State.MUTED and not self.muted)

    @invariant()
    def what_was_told_is_in_order(self) -> None:
        if hasattr(self, "machine"):
            segments_in_order(self.events)
            turns_in_order(self.events)
            sides_in_order(self.events)
            self.words_belong_to_one_turn()

    def words_belong_to_one_turn(self) -> None:
        turn_of: dict[int, int] = {}
        for event in self.events:
            if isinstance(event, UserMessage):
                assert not self.echoes & set(event.segment_ids), "the bot was taken for the user"
                for segment in event.segment_ids:
                    assert turn_of.setdefault(segment, event.turn.turn_id) == event.turn.turn_id

    def teardown(self) -> None:
        """Everything comes to its end: nobody waits for ever."""
        if not hasattr(self, "machine"):
            return
        if self.held:
            self.hold_or_unhold()
        if self.muted:
            self.mute_or_unmute()
        self.end_voice()
        while self.owed:
            self.tell(Heard(self.owed.pop(0), "", 0.0, True))
        self.live(20.0)
        assert not self.paused, "the bot was never let go on"
        if self.bot is not None:
            assert self.machine.state is State.BOT_SPEAKING
            self.stop_bot(BotDone())
            self.live(20.0)
        assert self.machine.state in (State.IDLE, State.BOT_PENDING)
        assert self.machine.deadline is None
        self.what_was_told_is_in_order()


TestTurns = Turns.TestCase
TestTurns.settings = settings(
    max_examples=400, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
