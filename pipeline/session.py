"""One call's conversation: the shell around the turn machine, the speech queue and the playhead.

It waits and acts, and decides nothing: what a frame, a mark, a transcript or a deadline means is the
machine's to say. A frame passes detector, meters, recorder and recogniser in one call stack. All timers are
one ``call_at``; the only tasks are the call's own, one for the sentence in synthesis and one for the answer in
the making.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

from media.frames import AudioFrame
from media.playout import Playout
from media.ports import AudioLeg
from pipeline import turns
from pipeline.answering import Answering
from pipeline.calltasks import CallTasks
from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import EndOfTurn, Native, judge_of
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
    SessionCreated,
    SessionReady,
    TurnEnd,
    Utterance,
)
from pipeline.keys import Keys
from pipeline.listening import Listening
from pipeline.message import Message
from pipeline.monitor import CallRecorder, Listener, Monitor
from pipeline.playing import Playing
from pipeline.ports import SttOptions
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
GREET_S = 5.0
"""How long a greeting that lets the other side speak first waits for that."""
WARM_S = 5.0
"""How long a call waits for its engines to get warm, until it counts as ready all the same."""


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
        self._machine = turns.TurnMachine(config.turns, self._judge(), ids)
        self._playout = Playout(
            self._rate,
            lead_ms=leg.format.lead_ms,
            mark_every_ms=leg.format.mark_every_ms,
        )
        self._speech = SpeechQueue(self._playout)
        self._transcript = Transcript()
        options = _stt_options(self._rate, config)
        self._ears = Listening(engines.vad, engines.stt, options, config.vad, self)
        self._judge_sound()
        self._monitor = Monitor(self._playout, self._ears, self._rate, config.metrics_interval_ms)

        self.taping = Taping(self, self._monitor, self._playout, ids)
        """What is kept of the call."""
        self._recorder = recorder

        self._started_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._housekeeper: asyncio.TimerHandle | None = None
        self._advancing = False
        self._speaking = Speaking(engines.tts, self._speech, self._rate, self, config)
        self._warming: list[asyncio.Task[None]] = []
        self._tasks: CallTasks | None = None
        self._end: tuple[EndReason, str] | None = None
        self._ended_at = self._started_at
        self._over = asyncio.Event()
        self._crash: Exception | None = None
        self._held_by: set[HeldBy] = set()
        self._keys = Keys(self._rate)
        self._quiet = asyncio.Event()
        """Nothing is being said, nor waits to be; or the call is over."""
        self._late_greeting: asyncio.TimerHandle | None = None

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
            self, leg, self._playout, self._speech, self._speaking, self.answering, self._monitor
        )
        self.saying = Saying(self, self._machine, self._speech, self._playing, self.answering, self._telling)
        """What the agent and the call's own language model have it say."""
        self.presence = Presence(self, self._machine, self._speech, self.answering, self.saying, config, ids)
        """Whether its agent's process is there, and what becomes of the call without."""
        self.supervised = Supervised(self, self._machine, self._speech, self.saying, self.answering, ids)
        """A person beside the bot."""
        self._succession = Succession(
            self,
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
                self._open()
                await self._over.wait()
                self._speaking.cancel()
                self.answering.stop()
                for task in self._warming:
                    task.cancel()
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

    def _open(self) -> None:
        config = self._config
        self.emit(CallStarted(config.language))
        self.connected(self._engines)
        self._ears.open()
        self._housekeeper = self._loop.call_later(HOUSEKEEPING_S, self.guarded, self._housekeep)
        if self._recorder is not None:
            self.record(self._recorder)
        if config.greeting and config.greet_after_turn:
            self._late_greeting = self._loop.call_later(GREET_S, self.guarded, self._greet_now)
        else:
            self._greet_now()
        self._advance()

    def _greet_now(self) -> None:
        self._stop_waiting_to_greet()
        if self._end is None and not self.answering.paused:
            self.answering.readiness.greet(self._greet, prepare=bool(self._config.greeting))
            self._advance()

    def _stop_waiting_to_greet(self) -> None:
        if self._late_greeting is not None:
            self._late_greeting.cancel()
            self._late_greeting = None

    def _greet(self) -> None:
        config = self._config
        if self.answering.paused or not config.greeting:
            return  # Somebody took over while the agent got ready.
        text = self.answering.briefing.fill(config.greeting)
        greeting = Message(f"msg_{self._ids()[:12]}", text, known=True)
        greeting.interruptible = config.greeting_interruptible
        self.saying.say(greeting)

    def connected(self, engines: Engines) -> None:
        """Tell of the session, and when its engines are warm."""
        self.emit(SessionCreated(self._ids()))
        self._telling.look_whose_move()
        if self._tasks is not None:
            tasks = self._tasks
            for task in self._warming:
                task.cancel()
            wanted = [engine for engine in (engines.stt, engines.llm, engines.tts) if engine is not None]
            warming = [tasks.create_task(engine.warm(), name="warm up") for engine in wanted]
            self._warming = [*warming, tasks.create_task(self._tell_ready(warming), name="tell ready")]

    async def _tell_ready(self, warming: list[asyncio.Task[None]]) -> None:
        if warming:
            await asyncio.wait(warming, timeout=WARM_S)
        if self._end is None:
            self.emit(SessionReady())

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
            for handle in (self._timer, self._housekeeper, self._late_greeting):
                if handle is not None:
                    handle.cancel()
            self._quiet.set()
            self._over.set()

    def _housekeep(self) -> None:
        now = self._loop.time()
        silent_s = now - self._ears.at
        if silent_s >= self._config.media_timeout_s and "network" not in self._held_by:
            self.end(EndReason.FAILED, f"no audio came from the carrier for {silent_s:.0f} s")
        else:
            if silent_s >= HOUSEKEEPING_S:
                # A path that died in the middle of a word would leave the speech open.
                self._ears.flush()
            self.saying.end_dry(now)
            self._advance()
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
        self._advance()

    def behave(self, engines: Engines, config: SessionConfig, *, other_ears: bool) -> None:
        """The same, without telling of it."""
        options = _stt_options(self._rate, config)
        if other_ears or options != self._ears.options:
            self._ears.change(engines.stt, options)
        self._config, self._engines = config, engines
        self._machine.params, self._machine.judge = config.turns, self._judge()
        self._judge_sound()
        self._rules.change(config)
        self._speaking.change(engines.tts, config)
        self._telling.switch(config.events)
        self._monitor.measure(config.metrics_interval_ms)
        self.answering.change(engines.llm, config)
        self.presence.change(config)

    def leave(self, owner: str, detail: str) -> CallEnded:
        """The agent that has the call, ``owner`` by its key, is about to lose it to another one: tell it the end of what
        it had begun; returns what the end is for it. ``take_over`` follows in the same instant."""
        self._stop_waiting_to_greet()
        return self._succession.leave(owner, detail, self._loop.time())

    @property
    def held_by(self) -> frozenset[HeldBy]:
        """Who has the call on hold; empty: it is not."""
        return frozenset(self._held_by)

    def take_over(self, engines: Engines, config: SessionConfig, manner: Manner) -> None:
        """Go on with another agent, for which it begins now."""
        self._keys.forget()
        self._succession.take_over(engines, config, manner)
        self.supervised.change_hands()
        self._advance()

    def greet(self) -> None:
        """Say the greeting of an agent that has taken the call over; where it has none, its language model answers what
        the caller has said last, if it knows that."""
        self._greet_now()
        if not self._config.greeting:
            self.answer_owed()

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
            self._advance()

    def record(self, recorder: CallRecorder) -> None:
        """Keep what is said from now on, and tell the caller so, as it is configured. Twice is once."""
        if self._end is None:
            self.taping.begin(recorder, self.answering.briefing.fill(self._config.consent))

    def overheard_by(self, listener: Listener) -> None:
        """Give somebody else the audio as well, from now on."""
        self._monitor.overheard_by(listener)

    def joined_by(self, listener: Listener) -> None:
        """The same in the middle of the call, without a trace of it in what the others are given."""
        self._monitor.overheard_by(listener, late=True)

    def unheard_by(self, listener: Listener) -> None:
        """Give it to him no more."""
        self._monitor.unheard_by(listener)

    @property
    def clock(self) -> int:
        """The caller's: one past his last sample."""
        return self._monitor.clock

    def say(self, message: Message) -> None:
        self.saying.say(message)

    async def said(self, within_s: float) -> None:
        """Wait until the caller has heard all that is being said, and waits to be; not longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._quiet.wait()

    def history_changed(self) -> None:
        """The agent has changed what the call's own mind knows."""
        self._telling.history_changed()
        self._look(self._loop.time())

    # --- what the leg tells -------------------------------------------------------------------------------

    def on_audio(self, frame: AudioFrame) -> None:
        if self._end is not None:
            return
        self._ears.note(frame)
        for metrics in self._monitor.frame(frame, bot_speaks=self._speech.current is not None):
            self.emit(metrics)
        self._ears.feed(self._keys.without_tone(frame))

    def on_mark(self, name: str, at: float | None = None) -> None:
        if self._end is None:
            self._playout.acknowledge(name, self._loop.time() if at is None else at)
            self.guarded(self._advance)

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
        if isinstance(event, turns.ProviderTurn) and not isinstance(self._machine.judge, Native):
            return  # Who says when a turn is over is configured, and it is not the recogniser.
        now = self._loop.time()
        self._rules.perceived(event, now, understood=self._engines.stt is not None)
        self._receive(event, now)

    def bot_ends(self) -> float | None:
        return self._speech.ends_at(self._loop.time())

    def deadline(self) -> float | None:
        return self._machine.deadline

    def bot_words(self) -> list[str]:
        return self._playing.words(self._loop.time())

    def turn_id(self) -> int:
        return self._machine.turn.turn_id if self._machine.turn is not None else 0

    def moved(self) -> None:
        self._advance()

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
        self._receive(turns.Typed(text), now)
        self._advance()
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
            self._advance()

    # --- mute and hold ------------------------------------------------------------------------------------

    def mute(self, by: MutedBy = "agent") -> None:
        """Do not listen to the user: what he says is understood, and told by ``unmute``. Twice is once."""
        if self._end is None and not self._machine.muted:
            self._turn_to(turns.Mute(by))

    def unmute(self) -> None:
        """Listen to the user again."""
        if self._end is None and self._machine.muted:
            self._rules.listen_again("muted")
            self._turn_to(turns.Unmute())

    def hold(self, by: HeldBy = "agent") -> None:
        """Let neither side hear the other, and the caller music. What the bot was saying goes on after ``unhold``.
        Where both the agent and a lost network hold the call, both must let go."""
        if self._end is not None or by in self._held_by:
            return
        self._held_by.add(by)
        if not self._machine.held:
            self._turn_to(turns.Hold(by))
            self._ears.listen(on=False)
        if by == "agent":
            self._playing.hold(self._engines.hold_music)
            self._advance()

    def unhold(self, by: HeldBy = "agent") -> None:
        """Let the conversation go on."""
        if self._end is not None or by not in self._held_by:
            return
        self._held_by.remove(by)
        if by == "agent":
            self._playing.unhold(self._loop.time())
        if not self._held_by:
            self._ears.listen(on=True)
            self._rules.listen_again("held")
            self._turn_to(turns.Unhold())

    def _turn_to(self, event: turns.Input) -> None:
        now = self._loop.time()
        self._playing.progress(now)
        self._ears.flush()
        self._receive(event, now)
        self._advance()

    def _judge_sound(self) -> None:
        endpointing = self._config.endpointing
        counts = endpointing.mode != "silence"
        model = self._engines.turn_model if counts else None
        self._ears.judge_sound(model, endpointing.recheck_ms, melody=counts)

    def _judge(self, *, native: bool = True) -> EndOfTurn:
        ears = self._engines.stt
        native = native and ears is not None and ears.capabilities.turns
        return judge_of(self._config.endpointing, native=native)

    def told(self, error: ProviderError, by: str | None) -> None:
        if error.stage == "stt":
            # Whoever takes over may not tell turns; where nobody does, silence is all that there is.
            self._machine.judge = self._judge(native=False)
        if self._end is None:
            self._fault(error, by)

    # --- what the caller hears ----------------------------------------------------------------------------

    def bot_started(self, now: float, *, interruptible: bool) -> None:
        self._receive(turns.BotStarted(now, interruptible), now)

    def bot_heard(self) -> None:
        self._telling.look_whose_move()

    def bot_over(self, event: turns.BotDone | turns.BotCut, now: float) -> None:
        self._receive(event, now)

    # --- acting -------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do all that is due now, and set the one timer for what comes next; nothing before the call has begun."""
        if self._end is not None or self._advancing or self._tasks is None:
            return
        self._advancing = True
        try:
            now = self._loop.time()
            deadline = self._machine.deadline
            if deadline is not None and now >= deadline:
                self._apply(self._machine.tick(now), now)
            self.answering.tick(now)
            self._rules.keep(now, waits=self.presence.awaited)
            while self._end is None:
                self.presence.bridge(now)
                self._telling.look(now)
                job = self._speaking.next(self._tasks)
                if job is not None:
                    self._telling.begun(job, now)
                self.taping.play(now, free=self._playing.quiet)
                self._playing.send(now, floor_free=self._machine.floor_free and not self.taping.sounds)
                if not self._playing.progress(now):
                    break
            self._look(now)
        finally:
            self._advancing = False
        self.presence.keep(now)
        self._set_timer(now)

    def _look(self, now: float) -> None:
        """All that is due has been done: tell how things stand."""
        if self._end is None:
            self._telling.look(now)
            self._telling.look_whose_move()
            if self._speech.empty:
                self._quiet.set()
            else:
                self._quiet.clear()

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._end is not None:
            return
        self._rules.note(now, waits=self.presence.awaited)
        times = (
            self._machine.deadline,
            self._playing.deadline,
            self.answering.deadline,
            self.presence.deadline,
            self._rules.deadline,
        )
        due = min((t for t in times if t is not None), default=None)
        if due is not None:
            context = self._tasks.context.copy() if self._tasks is not None else None
            self._timer = self._loop.call_at(max(due, now + 0.001), self._on_timer, context=context)

    def _on_timer(self) -> None:
        self._timer = None
        self.guarded(self._advance)

    def _receive(self, event: turns.Input, now: float) -> None:
        self._apply(self._machine.receive(event, now), now)

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
                    if self._late_greeting is not None and isinstance(output, EagerTurn | TurnEnd):
                        # The greeting is the answer.
                        if isinstance(output, TurnEnd):
                            self._greet_now()
                        continue
                    if isinstance(output, EagerTurn | TurnEnd) and self._tasks is not None:
                        self.answering.answer(self._tasks, output.turn, output.message_id)
                    if isinstance(output, TurnEnd):
                        self.answering.confirmed(output.turn, output.message_id, now)
        if outputs:
            self._look(now)

    def emit(self, event: Event) -> None:
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
            self.guarded(self._advance)

    def _fault(self, error: ProviderError, by: str | None = None) -> None:
        turn, code, text = self._machine.turn, error.code, str(error)
        self.emit(EngineFault(turn, code, text, error.provider, error.stage, error.retryable, by))


def _stt_options(sample_rate_hz: int, config: SessionConfig) -> SttOptions:
    return SttOptions(sample_rate_hz, config.stt_language or config.language, config.phrases)


def _base_of(language: str) -> str:
    return language.split("-")[0].lower()
