"""One call's conversation: the shell around the turn machine, the speech queue and the playhead.

It waits and acts, and decides nothing: what a frame, a mark, a transcript or a deadline means is the
machine's to say. A frame passes detector, meters, recorder and recogniser in one call stack. All timers are
one ``call_at``; the only tasks are the call's own, one for the sentence in synthesis and one for the answer in
the making.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from media.frames import AudioFrame
from media.playout import Playout
from media.ports import AudioLeg
from pipeline import turns
from pipeline.answering import Answering
from pipeline.calltasks import CallTasks
from pipeline.config import Engines, SessionConfig
from pipeline.due import Due
from pipeline.errors import ProviderError
from pipeline.events import (
    CallEnded,
    CallStarted,
    EagerTurn,
    EndReason,
    EngineFault,
    Event,
    HeldBy,
    LanguageChanged,
    MessageConfirmed,
    MutedBy,
    TurnEnd,
    Utterance,
)
from pipeline.hearing import Hearing
from pipeline.judging import Judging, judge_for
from pipeline.keys import Keys
from pipeline.listening import Listening
from pipeline.message import Message
from pipeline.monitor import CallRecorder, Monitor
from pipeline.opening import Opening
from pipeline.playing import Playing
from pipeline.presence import Presence
from pipeline.rules import Rules
from pipeline.saying import Saying
from pipeline.speaking import Speaking
from pipeline.speech import SpeechQueue
from pipeline.succession import Manner, Succession
from pipeline.supervised import Supervised
from pipeline.taping import Taping
from pipeline.telling import Telling
from pipeline.transcript import Transcript

HOUSEKEEPING_S = 1.0


class Session:
    """A live conversation. Owned by the registry of calls; legs and agents come and go."""

    def __init__(
        self,
        leg: AudioLeg,
        engines: Engines,
        config: SessionConfig,
        emit: Callable[[Event], None],
        ids: Callable[[], str],
        recorder: CallRecorder | None = None,
        epoch: Callable[[], float] = lambda: datetime.now(UTC).timestamp(),
    ) -> None:
        self._leg = leg
        self._engines = engines
        self._config = config
        self._ids = ids
        self.epoch = epoch
        self._rate = leg.format.sample_rate_hz

        self._loop = asyncio.get_running_loop()
        self._machine = turns.TurnMachine(config.turns, judge_for(engines, config), ids)
        self._playout = Playout(
            self._rate,
            lead_ms=leg.format.lead_ms,
            mark_every_ms=leg.format.mark_every_ms,
        )
        self._speech = SpeechQueue(self._playout)
        self._transcript = Transcript()
        options = config.stt_options(self._rate)
        self._ears = Listening(engines.vad, engines.stt, options, config.vad, self)
        self._judging = Judging(self._machine, self._ears, engines, config)
        self.monitor = Monitor(self._playout, self._ears, self._rate, config.metrics_interval_ms)
        """What its recorder and its listeners are given."""

        self.taping = Taping(self, self.monitor, self._playout, ids)
        """What is kept of the call."""
        self._recorder = recorder

        self._started_at = self._loop.time()
        self._housekeeper: asyncio.TimerHandle | None = None
        self._speaking = Speaking(engines.tts, self._speech, self._rate, self, config)
        self._tasks: CallTasks | None = None
        self._end: tuple[EndReason, str] | None = None
        self._ended_at = self._started_at
        self._over = asyncio.Event()
        self._crash: Exception | None = None
        self._keys = Keys(self._rate)

        self.answering = Answering(
            self, self._machine, self._speech, self._speaking, engines.llm, config, ids
        )
        """What the call's own language model knows, says and has done."""
        self._rules = Rules(
            self, self._machine, self._speech, self._ears, self.answering, config, self._started_at
        )
        self._telling = Telling(
            self._machine, self._speech, self.answering, self._transcript, config.events, emit
        )
        self._playing = Playing(
            self, leg, self._playout, self._speech, self._speaking, self.answering, self.monitor
        )
        self.saying = Saying(self, self._machine, self._speech, self._playing, self.answering, self._telling)
        """What the agent and the call's own language model have it say."""
        self.presence = Presence(self, self._machine, self._speech, self.answering, self.saying, config, ids)
        """Whether its agent's process is there, and what becomes of the call without."""
        self.supervised = Supervised(self, self._machine, self._speech, self.saying, self.answering, ids)
        """A person beside the bot."""
        self._opening = Opening(self, self.answering, self.saying, self._telling, config, ids)
        self._hearing = Hearing(self, self._machine, self._ears, self._playing, self._rules)
        self._due = Due(
            self,
            self._machine,
            self._speech,
            self._speaking,
            self._playing,
            self.answering,
            self._rules,
            self.presence,
            self._telling,
            self.taping,
        )
        self._succession = Succession(
            self,
            self._opening,
            self._ears,
            self._playing,
            self.answering,
            self.saying,
            self._telling,
            self.presence,
            self.taping,
            self._transcript,
            self._started_at,
        )

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self._end is not None

    @property
    def transcript(self) -> tuple[Utterance, ...]:
        """What was said so far: by the bot, what the caller heard."""
        return self._transcript.lines()

    async def run(self) -> CallEnded:
        """Hold the conversation; return how it ended, when everything that it owned is closed."""
        try:
            async with CallTasks() as self._tasks:
                self._open(self._tasks)
                await self._over.wait()
                self._speaking.cancel()
                self.answering.stop()
                self._opening.stop_warming()
            if self._crash is not None:
                raise self._crash
        except BaseException:
            # Cancelled from outside, or a bug of ours: what was begun must still be told to its end.
            self.end(EndReason.FAILED, "internal error")
            raise
        finally:
            await self._ears.aclose()
            await self._leg.hang_up(self._end[1] if self._end else "")
        return self.summary()

    def summary(self) -> CallEnded:
        """How the call ended, and what was said in it."""
        reason, detail = self._end or (EndReason.FAILED, "internal error")
        return self.ended_so_far(reason, detail, self._ended_at)

    def ended_so_far(self, reason: EndReason, detail: str, now: float) -> CallEnded:
        """How it ended at this instant, for whoever has it."""
        lines, messages = self._transcript.lines(), self.answering.messages()
        return CallEnded(reason, detail, now, now - self._started_at, lines, messages)

    def _open(self, tasks: CallTasks) -> None:
        self._due.begin(tasks)
        self.emit(CallStarted(self._config.language))
        self._opening.begin(tasks, self._engines)
        self._ears.open()
        self._housekeeper = self._loop.call_later(HOUSEKEEPING_S, self.guarded, self._housekeep)
        if self._recorder is not None:
            self.record(self._recorder)
        self._opening.greet_first()
        self._due.advance()

    def guarded(self, act: Callable[[], None]) -> None:
        """Run what the loop, a detector or an engine calls. A bug in it must not leave a call that nobody
        drives: it ends, and ``run`` raises the bug."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - raised by run
            self._crash = error
            self.end(EndReason.FAILED, "internal error")

    def end(self, reason: EndReason, detail: str) -> None:
        """End the call, once: the first reason stays. Tells what was open to its end, and wakes ``run``."""
        if self._end is not None:
            return
        now = self._loop.time()
        try:
            try:
                self._playing.end(now)
            finally:
                self.answering.close(now)
                self._ears.flush()
                self._rules.close()
                self._telling.close(now)
        except Exception as error:  # noqa: BLE001 - raised by run
            self._crash = self._crash or error
        finally:
            self._end = (reason, detail)
            self._ended_at = now
            self._ears.close()
            if self._housekeeper is not None:
                self._housekeeper.cancel()
            self._opening.close()
            self._due.close()
            self._over.set()

    def _housekeep(self) -> None:
        now = self._loop.time()
        silent_s = now - self._ears.at
        if silent_s >= self._config.media_timeout_s and "network" not in self.held_by:
            self.end(EndReason.FAILED, f"no audio came from the carrier for {silent_s:.0f} s")
        else:
            if silent_s >= HOUSEKEEPING_S:
                # A path that died in the middle of a word would leave the speech open.
                self._ears.flush()
            self.saying.end_dry(now)
            self._due.advance()
            self._housekeeper = self._loop.call_later(HOUSEKEEPING_S, self.guarded, self._housekeep)

    # --- changes ------------------------------------------------------------------------------------------

    @property
    def sample_rate_hz(self) -> int:
        return self._rate

    def reconfigure(self, engines: Engines, config: SessionConfig, *, other_ears: bool) -> None:
        """Behave otherwise from now on. What is being said, and what is being heard, is finished as it was
        begun; what belongs to the beginning of a call stays as it was."""
        if self._end is not None:
            return
        if _base_of(config.language) != _base_of(self._config.language):
            self.emit(LanguageChanged(config.language))
        self.behave(engines, config, other_ears=other_ears)
        self._due.advance()

    def behave(self, engines: Engines, config: SessionConfig, *, other_ears: bool) -> None:
        """The same, without telling of it."""
        options = config.stt_options(self._rate)
        if other_ears or options != self._ears.options:
            self._ears.change(engines.stt, options)
        self._config, self._engines = config, engines
        self._judging.change(engines, config)
        self._rules.change(config)
        self._speaking.change(engines.tts, config)
        self._telling.switch(config.events)
        self.monitor.measure(config.metrics_interval_ms)
        self.answering.change(engines.llm, config)
        self.presence.change(config)
        self._opening.change(config)

    def leave(self, owner: str, detail: str) -> CallEnded:
        """The agent that has the call, ``owner`` by its key, is about to lose it to another one: tell it the end of what
        it had begun; returns what the end is for it. ``take_over`` follows in the same instant."""
        self._opening.stop_waiting()
        return self._succession.leave(owner, detail, self._loop.time())

    @property
    def held_by(self) -> frozenset[HeldBy]:
        """Who has the call on hold; empty: it is not."""
        return self._hearing.held_by

    def take_over(self, engines: Engines, config: SessionConfig, manner: Manner) -> None:
        """Go on with another agent, for which it begins now."""
        self._keys.forget()
        self._succession.take_over(engines, config, manner)
        self.supervised.change_hands()
        self._due.advance()

    def answer_owed(self) -> None:
        """Have the call's own mind answer what the caller has said last, where nothing was heard in answer to it."""
        turn, message_id = self._machine.turn, self._machine.reply_to
        owed = self._machine.owes_answer and bool(self.answering.dialogue.count)
        if owed and turn is not None and self._tasks is not None:
            self.answering.answer(self._tasks, turn, message_id)
            self.answering.confirmed(turn, message_id, self._loop.time())

    def conclude(self) -> None:
        """The call is about to end: what is being said, and waits to be, is still heard, and nothing is added to it by
        the call's own mind."""
        if self._end is None:
            self.answering.conclude()
            self._due.advance()

    def record(self, recorder: CallRecorder) -> None:
        """Keep what is said from now on, and tell the caller so, as it is configured. Twice is once."""
        if self._end is None:
            self.taping.begin(recorder, self.answering.briefing.fill(self._config.consent))

    def say(self, message: Message) -> None:
        self.saying.say(message)

    async def said(self, within_s: float) -> None:
        """Wait until the caller has heard all that is being said, and waits to be; not longer than this."""
        await self._due.said(within_s)

    def history_changed(self) -> None:
        """The agent has changed what the call's own mind knows."""
        self._telling.history_changed()
        self._due.look(self._loop.time())

    # --- what the leg tells -------------------------------------------------------------------------------

    def on_audio(self, frame: AudioFrame) -> None:
        if self._end is not None:
            return
        self._ears.note(frame)
        for metrics in self.monitor.frame(frame, bot_speaks=self._speech.current is not None):
            self.emit(metrics)
        self._ears.feed(self._keys.without_tone(frame))

    def on_mark(self, name: str, at: float | None = None) -> None:
        if self._end is None:
            self._playout.acknowledge(name, self._loop.time() if at is None else at)
            self.guarded(self._due.advance)

    def on_dtmf(self, digit: str) -> None:
        """A key says that there is a caller, and interrupts nothing."""
        if self._end is None:
            self.activity()
            self.guarded(lambda: self.emit(self._keys.pressed(digit, self._ears.end)))

    def on_way(self, way_s: float, clear_s: float) -> None:
        self._playout.know_way(way_s, clear_s)

    def on_lost(self) -> None:
        """The path to the caller is gone, and may come back: its leg decides how long that is waited for."""
        self.guarded(lambda: self.hold("network"))

    def on_back(self) -> None:
        self.guarded(lambda: self.unhold("network"))

    def on_closed(self, reason: str, detail: str) -> None:
        self.end(EndReason(reason), detail)

    # --- what the ears tell -------------------------------------------------------------------------------

    def perceived(self, event: turns.Input) -> None:
        if not self._judging.heeds(event):
            return
        now = self._loop.time()
        self._rules.perceived(event, now, understood=self._engines.stt is not None)
        self.receive(event, now)

    def bot_ends(self) -> float | None:
        return self._speech.ends_at(self._loop.time())

    def deadline(self) -> float | None:
        return self._machine.deadline

    def bot_words(self) -> list[str]:
        return self._playing.words(self._loop.time())

    def turn_id(self) -> int:
        return self._machine.turn.turn_id if self._machine.turn is not None else 0

    def moved(self) -> None:
        self._due.advance()

    def nothing_understood(self) -> None:
        self.answering.nothing_understood()

    def typed(self, text: str) -> bool:
        """The user has written a message: it counts as if he had said it, at once, and silences the bot. False: the
        call is on hold."""
        if self._end is not None or self._machine.held:
            return False
        now = self._loop.time()
        self.activity()
        self._playing.progress(now)
        current = self._speech.current
        if current is not None and current.interruptible:
            self._playing.interrupt(now)
        self.receive(turns.Typed(text), now)
        self._due.advance()
        return True

    # --- session rules ------------------------------------------------------------------------------------

    def activity(self) -> None:
        """The caller gave a sign of life: he is not idle from here on."""
        if self._end is None:
            self._rules.activity(self._loop.time())

    def pause(self, *, on: bool) -> None:
        """The language model says nothing more, but for what is being heard, or may answer again from the next turn
        on. All else goes on: the agent can still speak. Twice is once."""
        if self._end is None and on is not self.answering.paused:
            self.answering.pause(on=on)
            self._due.advance()

    # --- mute and hold ------------------------------------------------------------------------------------

    def mute(self, by: MutedBy = "agent") -> None:
        """See ``Hearing.mute``."""
        self._hearing.mute(by)

    def unmute(self) -> None:
        self._hearing.unmute()

    def hold(self, by: HeldBy = "agent") -> None:
        """See ``Hearing.hold``."""
        self._hearing.hold(by, self._engines.hold_music)

    def unhold(self, by: HeldBy = "agent") -> None:
        self._hearing.unhold(by)

    def told(self, error: ProviderError, by: str | None) -> None:
        if error.stage == "stt":
            self._judging.recogniser_failed()
        if self._end is None:
            self._fault(error, by)

    # --- what the caller hears ----------------------------------------------------------------------------

    def bot_started(self, now: float, *, interruptible: bool) -> None:
        self.receive(turns.BotStarted(now, interruptible), now)

    def bot_heard(self) -> None:
        self._telling.look_whose_move()

    def bot_over(self, event: turns.BotDone | turns.BotCut, now: float) -> None:
        self.receive(event, now)

    # --- acting -------------------------------------------------------------------------------------------

    def receive(self, event: turns.Input, now: float) -> None:
        """Tell the turn machine, and do what it says."""
        self._apply(self._machine.receive(event, now), now)

    def tick(self, now: float) -> None:
        """A deadline of the turn machine has come."""
        self._apply(self._machine.tick(now), now)

    def _apply(self, outputs: list[turns.Output], now: float) -> None:
        for output in outputs:
            match output:
                case turns.CutBot():
                    self._playing.interrupt(now)
                case turns.PauseBot(held):
                    self._playing.pause(now, held=held)
                case turns.ResumeBot():
                    self._playing.resume(now)
                case turns.DiscardReply(message_id):
                    self._playing.discard(message_id, now)
                case turns.NothingHeard():
                    self.answering.hold_the_line()
                case _:
                    self.emit(output)
                    if self._opening.waits and isinstance(output, EagerTurn | TurnEnd):
                        # The greeting is the answer.
                        if isinstance(output, TurnEnd):
                            self._opening.greet_now()
                        continue
                    if isinstance(output, EagerTurn | TurnEnd) and self._tasks is not None:
                        self.answering.answer(self._tasks, output.turn, output.message_id)
                    if isinstance(output, TurnEnd):
                        self.answering.confirmed(output.turn, output.message_id, now)
        if outputs:
            self._due.look(now)

    def emit(self, event: Event) -> None:
        if self._end is not None:
            return  # It ended under a command that was being carried out: what that had begun comes to nothing.
        self._transcript.note(event, self._loop.time())
        if isinstance(event, MessageConfirmed) and event.text:
            self._machine.question = event.text
        self.answering.note(event)
        self.saying.note(event)
        self.presence.note(event)
        self._telling.tell(event, self._loop.time())
        self._rules.told(event)
        self.taping.note(event)
        self.supervised.note(event)

    def synthesised(self) -> None:
        """Something of a sentence has come, or it is over."""
        if self._end is None:
            self.guarded(self._due.advance)

    def _fault(self, error: ProviderError, by: str | None = None) -> None:
        turn, code, text = self._machine.turn, error.code, str(error)
        self.emit(EngineFault(turn, code, text, error.provider, error.stage, error.retryable, by))


def _base_of(language: str) -> str:
    return language.split("-")[0].lower()
