"""One call's conversation: the shell around the turn machine, the speech queue and the playhead.

It waits and acts, and decides nothing: what a frame, a mark, a transcript or a deadline means is the
machine's to say. A frame passes detector, meters, recorder and recogniser in one call stack. All timers are
one ``call_at``; the only tasks are the call's own, one for the sentence in synthesis and one for the answer in
the making.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from media.frames import AudioFrame
from media.playout import Playout, Send
from media.ports import AudioLeg
from pipeline import turns
from pipeline.absence import FAREWELL_S, Absence, Greeted
from pipeline.answering import Answering
from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import EndOfTurn, Native, judge_of
from pipeline.errors import ProviderError
from pipeline.events import (
    AbortReason,
    BotInterrupted,
    BotSpeaking,
    BotWord,
    CallEnded,
    CallStarted,
    EagerTurn,
    EndReason,
    EngineFault,
    Event,
    InterruptReason,
    LanguageChanged,
    MessageAborted,
    MessageConfirmed,
    ReplyRejected,
    SessionCreated,
    SessionReady,
    TurnEnd,
    TurnRef,
    UserMessage,
)
from pipeline.holding import Holding
from pipeline.listening import Listening
from pipeline.message import Message, Placed
from pipeline.monitor import CallRecorder, Monitor
from pipeline.ports import SttOptions
from pipeline.rules import Rules
from pipeline.speaking import Speaking
from pipeline.speech import BotEvent, SpeechQueue
from pipeline.telling import Telling
from pipeline.tools import Taken, ToolBatch, ToolResult
from pipeline.transcript import Transcript

HOUSEKEEPING_S = 1.0
WARM_S = 5.0
"""How long a call waits for its engines to get warm, until it counts as ready all the same."""
BOT_WORDS, BOT_WORDS_S = 60, 8.0
"""What was heard of the bot so lately may come back as an echo, and be understood."""
STREAM_IDLE_S = 15.0
"""A streamed message of which nothing more has come for so long, with all of it heard, is taken as complete."""


@dataclass(frozen=True, slots=True)
class _Parting:
    """The call ends when this message has been heard, at the latest then."""

    message_id: str
    by: float
    reason: EndReason
    detail: str


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
            self._rate, lead_ms=leg.format.lead_ms, mark_every_ms=leg.format.mark_every_ms
        )
        self._speech = SpeechQueue(self._playout)
        self._transcript = Transcript()
        options = _stt_options(self._rate, config)
        self._ears = Listening(engines.vad, engines.stt, options, config.vad, self)
        self._judge_sound()
        self._monitor = Monitor(self._playout, self._ears, self._rate, recorder, config.metrics_interval_ms)
        self._bot_words: deque[tuple[float, str]] = deque(maxlen=BOT_WORDS)

        self._started_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._housekeeper: asyncio.TimerHandle | None = None
        self._advancing = False
        self._speaking = Speaking(engines.tts, self._speech, self._rate, self, config)
        self._holding = Holding(self._playout, leg)
        self._warming: list[asyncio.Task[None]] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._end: tuple[EndReason, str] | None = None
        self._ended_at = self._started_at
        self._over = asyncio.Event()
        self._crash: Exception | None = None
        self._dry: Message | None = None
        self._dry_since = 0.0
        self._absence = Absence(config.away, config.holding_after_s)
        self._greeted = Greeted()
        self._parting: _Parting | None = None

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

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self._end is not None

    async def run(self) -> CallEnded:
        """Hold the conversation; return how it ended, when everything that it owned is closed."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
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
        duration_s = self._ended_at - self._started_at
        lines, messages = self._transcript.lines(), self.answering.messages()
        return CallEnded(reason, detail, self._ended_at, duration_s, lines, messages)

    def _open(self) -> None:
        config = self._config
        self.emit(CallStarted(config.language))
        self.emit(SessionCreated(self._ids()))
        self._telling.look_whose_move()
        self._ears.open()
        if self._tasks is not None:
            for engine in (self._engines.stt, self._engines.llm, self._engines.tts):
                if engine is not None:
                    self._warming.append(self._tasks.create_task(engine.warm(), name="warm up"))
            self._warming.append(self._tasks.create_task(self._tell_ready(), name="tell ready"))
        self._housekeeper = self._loop.call_later(HOUSEKEEPING_S, self.guarded, self._housekeep)
        if config.greeting and not self.answering.paused:
            self.answering.prepare(None, self._greet)
        self._advance()

    def _greet(self) -> None:
        config = self._config
        if self.answering.paused:
            return  # Somebody took over while the agent got ready.
        text = self.answering.fill(config.greeting)
        greeting = Message(f"msg_{self._ids()[:12]}", text, known=True)
        greeting.interruptible = config.greeting_interruptible
        self.say(greeting)

    async def _tell_ready(self) -> None:
        engines = self._warming[:-1]
        if engines:
            await asyncio.wait(engines, timeout=WARM_S)
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
                self._stop_talking(now)
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
            for handle in (self._timer, self._housekeeper):
                if handle is not None:
                    handle.cancel()
            self._over.set()

    def _stop_talking(self, now: float) -> None:
        self._progress(now)
        self._holding.end(now)
        heard = self._speech.current is not None and not self._speech.paused
        self._tell(self._speech.cut(now, "cancelled", "call_ended"), now)
        if heard:
            self._leg.clear()
        self._speaking.cancel()
        self._monitor.note_bot(now)

    def _housekeep(self) -> None:
        now = self._loop.time()
        silent_s = now - self._ears.at
        if silent_s >= self._config.media_timeout_s:
            self.end(EndReason.FAILED, f"no audio came from the carrier for {silent_s:.0f} s")
        else:
            if silent_s >= HOUSEKEEPING_S:
                # A path that died in the middle of a word would leave the speech open.
                self._ears.flush()
            self._end_dry_stream(now)
            self._advance()
            self._housekeeper = self._loop.call_later(HOUSEKEEPING_S, self.guarded, self._housekeep)

    def _end_dry_stream(self, now: float) -> None:
        """A stream that its agent never ends would keep the floor for ever."""
        message = self._speech.dry()
        if message is not self._dry:
            self._dry, self._dry_since = message, now
        elif message is not None and now - self._dry_since >= STREAM_IDLE_S:
            self.finish(message)

    # --- changes ------------------------------------------------------------------------------------------

    def reconfigure(self, engines: Engines, config: SessionConfig, *, other_ears: bool) -> None:
        """Behave otherwise from now on. What is being said, and what is being heard, is finished as it was
        begun; what belongs to the beginning of a call stays as it was."""
        if self._end is not None:
            return
        options = _stt_options(self._rate, config)
        if other_ears or options != self._ears.options:
            self._ears.change(engines.stt, options)
        other = _base_of(config.language) != _base_of(self._config.language)
        self._config, self._engines = config, engines
        if other:
            self.emit(LanguageChanged(config.language))
        self._machine.params, self._machine.judge = config.turns, self._judge()
        self._judge_sound()
        self._rules.change(config)
        self._speaking.change(engines.tts, config)
        self._telling.switch(config.events)
        self._monitor.measure(config.metrics_interval_ms)
        self.answering.change(engines.llm, config)
        self._absence.change(config.away, config.holding_after_s)
        self._advance()

    # --- what the leg tells -------------------------------------------------------------------------------

    def on_audio(self, frame: AudioFrame) -> None:
        if self._end is not None:
            return
        self._ears.note(frame)
        for metrics in self._monitor.frame(frame, bot_speaks=self._speech.current is not None):
            self.emit(metrics)
        self._ears.feed(frame)

    def on_mark(self, name: str) -> None:
        if self._end is None:
            self._playout.acknowledge(name, self._loop.time())
            self.guarded(self._advance)

    def on_dtmf(self, digit: str) -> None:
        """Nobody is told of keys yet; that there is a caller they show."""
        self.activity()

    def on_closed(self, reason: str, detail: str) -> None:
        self.end(EndReason(reason), detail)

    # --- what the ears tell -------------------------------------------------------------------------------

    def perceived(self, event: turns.Input) -> None:
        if isinstance(event, turns.ProviderTurn) and not isinstance(self._machine.judge, Native):
            return  # Who says when a turn is over is configured, and it is not the recogniser.
        now = self._loop.time()
        self._rules.perceived(event, now, understood=self._engines.stt is not None)
        self._apply(self._machine.receive(event, now), now)

    def bot_ends(self) -> float | None:
        return self._speech.ends_at(self._loop.time())

    def deadline(self) -> float | None:
        return self._machine.deadline

    def bot_words(self) -> list[str]:
        since = self._loop.time() - BOT_WORDS_S
        return [word for at, word in self._bot_words if at >= since]

    def turn_id(self) -> int:
        return self._machine.turn.turn_id if self._machine.turn is not None else 0

    def moved(self) -> None:
        self._advance()

    def nothing_understood(self) -> None:
        self.answering.nothing_understood()

    # --- mouth --------------------------------------------------------------------------------------------

    @property
    def reply_to(self) -> str:
        """The id of the user's message that is to be answered now."""
        return self._machine.reply_to

    def reply(
        self, message_id: str, text: str, in_reply_to: str, *, known: bool = False, interruptible: bool = True
    ) -> Placed:
        """Say a text; a stale answer is refused. ``known``: the language model is to know of it.
        ``interruptible``: the user may silence it."""
        return self._place(Message(message_id, text, in_reply_to, known=known, interruptible=interruptible))

    def stream_start(self, message_id: str, in_reply_to: str, *, interruptible: bool = True) -> Placed:
        """Begin a message whose text comes in pieces."""
        message = Message(message_id, "", in_reply_to, streamed=True, complete=False)
        message.interruptible = interruptible
        return self._place(message)

    def _place(self, message: Message) -> Placed:
        refused = self._refusal(message.message_id, message.in_reply_to)
        if refused:
            return Placed(refused=refused)
        message.turn = self.turn_of(message.in_reply_to)
        if self._greeted.repeats(message, self._loop.time()):
            self._drop_unasked(message.message_id, "duplicate_greeting")
            return Placed()
        self.say(message)
        return Placed(self._speech.place_of(message.message_id))

    def stream_chunk(self, message_id: str, token: str) -> Placed:
        """More of a streamed message. One that is over or was refused is left alone: its sender learns of
        that by an event, and may have sent more before."""
        message = self._open_stream(message_id)
        if message is None:
            return Placed()
        self.append(message, token)
        place = self._speech.place_of(message_id)
        return Placed(place) if place else Placed(refused="message_too_long")

    def append(self, message: Message, token: str) -> None:
        self._telling.text_came(message, self._loop.time())
        if not self._speech.append(message, token):
            self._reject(message.message_id, message.in_reply_to, "message_too_long")
            self.cancel(message.message_id)
        self._advance()

    def stream_end(self, message_id: str) -> bool:
        """The text of a streamed message is complete. False: there is no such stream."""
        message = self._open_stream(message_id)
        if message is not None:
            self.finish(message)
            self._advance()
        return message is not None

    def finish_streams(self) -> None:
        """The agent is gone: what it has begun to say ends with what there is."""
        for message in self._speech.open_streams():
            if message.own:
                continue  # The call's own mind is still at it.
            self.finish(message)
        self._advance()

    def cancel_current(self) -> str:
        """Stop the message that is being heard, or else the one that would be next; tell which it was."""
        message = self._speech.head
        return message.message_id if message is not None and self.cancel(message.message_id) else ""

    def cancel(self, message_id: str | None) -> bool:
        """Stop one message, or everything. False: there is no such message."""
        if self._end is not None:
            return False
        now = self._loop.time()
        self._progress(now)
        if message_id is None:
            self._cut(now, "cancelled", "cancelled")
            return True
        message = self._speech.find(message_id)
        if message is None:
            return False
        if message is self._speech.current:
            self._cut_current(now, message)
        else:
            self._tell(self._speech.cut_one(message, now), now)
            self._speaking.cancel(message)
        self.answering.silenced(message_id)
        self._advance()
        return True

    def turn_of(self, in_reply_to: str) -> TurnRef | None:
        return self._machine.reply_turn if in_reply_to else self._machine.turn

    def _refusal(self, message_id: str, in_reply_to: str) -> str:
        """Why a message is not taken, which is told; empty: it is."""
        if self._end is not None:
            return "call_ended"
        if in_reply_to and in_reply_to != self._machine.reply_to:
            reason = "message_obsolete"
        elif self._speech.find(message_id) is not None:
            reason = "duplicate_message_id"
        elif self._speech.full:
            reason = "queue_full"
        else:
            return ""
        if reason == "queue_full" and not in_reply_to:
            self._drop_unasked(message_id, "cancelled")
        else:
            self._reject(message_id, in_reply_to, reason)
        return reason

    def _drop_unasked(self, message_id: str, reason: AbortReason) -> None:
        """Whoever says something unasked waits for its end, and learns of it by this."""
        turn = self._machine.turn
        self.emit(BotInterrupted(turn, message_id, 0, 0, None, "cancelled"))
        self.emit(MessageAborted(turn, message_id, reason))

    def _reject(self, message_id: str, in_reply_to: str, reason: str) -> None:
        expected = self._machine.reply_to
        self.emit(ReplyRejected(self._machine.turn, message_id, in_reply_to, expected, reason))

    def finish(self, message: Message, *, broken: bool = False) -> None:
        """The text of a message that came in pieces is complete; ``broken``: what is no whole sentence is
        dropped."""
        self._tell(self._speech.finish(message, broken=broken), self._loop.time())

    def _open_stream(self, message_id: str) -> Message | None:
        """A message of the agent whose text is not complete."""
        message = self._speech.find(message_id) if self._end is None else None
        if message is None or not message.streamed or message.complete or message.own:
            return None
        return message

    def say(self, message: Message) -> None:
        now = self._loop.time()
        self.answering.knows(message)
        self._greeted.said(message)
        self._telling.queued(message, now)
        self._tell(self._speech.add(message, first=message.holding), now)
        self._advance()

    def taken_back(self, message: Message) -> None:
        """Nothing of a message was heard, and nothing more is told of it."""
        self._telling.taken_back(message)

    def history_changed(self) -> None:
        """The agent has changed what the call's own mind knows."""
        self._telling.history_changed()
        self._look(self._loop.time())

    # --- tools of the call's own mind ---------------------------------------------------------------------

    def tool_result(self, msg_id: str, results: Sequence[ToolResult]) -> dict[str, Taken]:
        """The agent gives what its tools gave, of a batch or of some of it: what became of each, by the id of
        its call."""
        return self.answering.tool_result(msg_id, results)

    def unanswered_tools(self) -> list[ToolBatch]:
        """What the agent still owes results of: one that comes back may have lost that."""
        return self.answering.unanswered_tools()

    # --- the agent goes and comes -------------------------------------------------------------------------

    def agent_left(self) -> None:
        """The agent's connection is lost."""
        self._absence.left(self._loop.time())
        self.finish_streams()
        self.answering.agent_away()

    def agent_back(self) -> None:
        self._absence.back()
        self.answering.agent_back()
        self._advance()

    def announced_again(self) -> None:
        """The agent was told of the call as of a new one: it may greet once more."""
        self._greeted.announced_again(self._loop.time())

    def agent_gone(self) -> None:
        """The agent's process is given up: tools that it was to run fail, now and from now on."""
        self._absence.back()
        self.answering.agent_gone()

    def part(self, reason: EndReason, detail: str) -> None:
        """End the call for want of its agent, which the caller is told before where that is wished."""
        text = self._absence.farewell
        if not text or self._end is not None or self._parting is not None:
            self.end(reason, detail)
            return
        message = Message(f"msg_{self._ids()[:12]}", text, turn=self._machine.turn, interruptible=False)
        self._parting = _Parting(message.message_id, self._loop.time() + FAREWELL_S, reason, detail)
        self.answering.ending = True
        self.answering.stop()
        self.say(message)

    def _parted(self) -> None:
        if self._parting is not None:
            self.end(self._parting.reason, self._parting.detail)

    def _bridge_absence(self, now: float) -> None:
        """Tell the caller that it takes a while, where the agent that is to answer is away."""
        owed = self._machine.state is turns.State.BOT_PENDING and not self.answering.answers
        quiet = self._speech.empty and self._machine.floor_free
        text = self._absence.line(now, owed=owed and self._speech.empty, quiet=quiet)
        if text:
            self.say(Message(f"msg_{self._ids()[:12]}", text, turn=self._machine.turn, holding=True))

    # --- session rules ------------------------------------------------------------------------------------

    def activity(self) -> None:
        """The caller gave a sign of life: he is not idle from here on."""
        if self._end is None:
            self._rules.activity(self._loop.time())

    def pause(self, *, on: bool) -> None:
        """The language model says nothing more, but for what is being heard, or may answer again from the next turn
        on. All else goes on: the agent can still speak. Twice is once."""
        if self._end is None and on is not self.answering.paused:
            unsaid = self.answering.pause(on=on)
            for message_id in unsaid:
                self.cancel(message_id)

    @property
    def _waits(self) -> bool:
        """For the agent, which is away, and which alone could answer."""
        return self._absence.lasts and not self.answering.answers

    # --- mute and hold ------------------------------------------------------------------------------------

    def mute(self) -> None:
        """Do not listen to the user: what he says is understood, and told by ``unmute``. Twice is once."""
        if self._end is None and not self._machine.muted:
            self._turn_to(turns.Mute())

    def unmute(self) -> None:
        """Listen to the user again."""
        if self._end is None and self._machine.muted:
            self._rules.listen_again("muted")
            self._turn_to(turns.Unmute())

    def hold(self) -> None:
        """Let neither side hear the other, and the caller music. What the bot was saying goes on after ``unhold``."""
        if self._end is None and not self._machine.held:
            self._turn_to(turns.Hold())
            self._ears.listen(on=False)
            self._holding.begin(self._engines.hold_music)
            self._advance()

    def unhold(self) -> None:
        """Let the conversation go on."""
        if self._end is None and self._machine.held:
            self._holding.end(self._loop.time())
            self._ears.listen(on=True)
            self._rules.listen_again("held")
            self._turn_to(turns.Unhold())

    def _turn_to(self, event: turns.Input) -> None:
        now = self._loop.time()
        self._progress(now)
        self._ears.flush()
        self._apply(self._machine.receive(event, now), now)
        self._advance()

    def _pause(self, now: float, *, held: bool) -> None:
        """The machine orders the bot paused."""
        self._progress(now)
        if self._speech.current is None or self._speech.paused:
            return  # It finished at this very instant; or the user had paused it already.
        self._leg.clear()
        self._tell(self._speech.pause(now, "held" if held else "user_spoke"), now)
        self._monitor.note_bot(now)

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

    def _interrupt(self, now: float) -> None:
        """The machine orders the bot cut off by the user."""
        self._progress(now)
        if self._speech.current is None:
            return  # It finished at this very instant, and the machine knows.
        early = self._speech.played_ms(now) < turns.EARLY_MS
        self._cut(now, "early" if early else "user_spoke", "early" if early else "new_turn", by_user=True)

    def _cut(self, now: float, reason: InterruptReason, abort: AbortReason, *, by_user: bool = False) -> None:
        current = self._speech.current
        played_ms = self._speech.played_ms(now)
        if current is not None and self._is_heard:
            self._leg.clear()
        self._tell(self._speech.cut(now, reason, abort, by_user=by_user), now)
        self._speaking.cancel_orphan()
        self.answering.stop()
        if current is not None and current.started:
            cut = turns.BotCut(played_ms, by_user, answered=not current.holding)
            self._apply(self._machine.receive(cut, now), now)
        self._advance()

    def _cut_current(self, now: float, message: Message) -> None:
        played_ms = self._speech.played_ms(now)
        if self._is_heard:
            self._leg.clear()
        self._tell(self._speech.cut_one(message, now), now)
        self._speaking.cancel(message)
        if message.started:
            cut = turns.BotCut(played_ms, by_user=False, answered=not message.holding)
            self._apply(self._machine.receive(cut, now), now)

    @property
    def _is_heard(self) -> bool:
        """What the play-out has is being heard: the current message, or music in its place."""
        return not self._speech.paused or self._holding.plays

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
            self._rules.keep(now, waits=self._waits)
            while self._end is None:
                self._bridge_absence(now)
                self._telling.look(now)
                job = self._speaking.next(self._tasks)
                if job is not None:
                    self._telling.begun(job, now)
                self._speech.feed(self._machine.floor_free)
                self._holding.fill()
                position = self._playout.sent
                for order in self._playout.pull(now):
                    if isinstance(order, Send):
                        self._leg.send(order.pcm)
                        self._monitor.sent(position, order.pcm)
                        position += len(order.pcm)
                    else:
                        self._leg.mark(order.name)
                if not self._progress(now):
                    break
            self._look(now)
        finally:
            self._advancing = False
        if self._parting is not None and now >= self._parting.by:
            self._parted()
        self._set_timer(now)

    def _look(self, now: float) -> None:
        """All that is due has been done: tell how things stand."""
        if self._end is None:
            self._telling.look(now)
            self._telling.look_whose_move()

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._end is not None:
            return
        self._rules.note(now, waits=self._waits)
        times = (
            self._machine.deadline,
            self._playout.deadline(),
            self._speech.next_at(),
            self.answering.deadline,
            self._absence.deadline,
            self._parting.by if self._parting is not None else None,
            self._rules.deadline,
        )
        due = min((t for t in times if t is not None), default=None)
        if due is not None:
            self._timer = self._loop.call_at(max(due, now + 0.001), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.guarded(self._advance)

    def _apply(self, outputs: list[turns.Output], now: float) -> None:
        for output in outputs:
            match output:
                case turns.CutBot():
                    self._interrupt(now)
                case turns.PauseBot(held):
                    self._pause(now, held=held)
                case turns.ResumeBot():
                    self._tell(self._speech.resume(), now)
                case turns.DiscardReply(message_id):
                    self._tell(self._speech.discard(message_id, "new_turn"), now)
                    self._speaking.cancel_orphan()
                    self.answering.discard(message_id)
                case turns.NothingHeard():
                    self.answering.hold_the_line()
                case _:
                    self.emit(output)
                    if isinstance(output, EagerTurn | TurnEnd) and self._tasks is not None:
                        self.answering.answer(self._tasks, output.turn, output.message_id)
                    if isinstance(output, TurnEnd):
                        self.answering.confirmed(output.turn, output.message_id, now)
        if outputs:
            self._look(now)

    def _tell(self, events: list[BotEvent], now: float) -> None:
        """Emit what the bot did, and let the machine know whether it is heard."""
        for event in events:
            self.emit(event)
            if isinstance(event, BotSpeaking):
                self.answering.bot_speaks()
                current = self._speech.current
                interruptible = current is None or current.interruptible
                self._apply(self._machine.receive(turns.BotStarted(now, interruptible), now), now)
                self._telling.look_whose_move()

    def _progress(self, now: float) -> bool:
        """Tell what was heard since the last time; True where a message came to its end."""
        message = self._speech.current
        self._tell(self._speech.progress(now), now)
        if message is None or self._speech.current is message:
            return False
        if message.started:
            self._apply(self._machine.receive(turns.BotDone(answered=not message.holding), now), now)
        self.answering.await_late_answer(now)
        return True

    def emit(self, event: Event) -> None:
        if isinstance(event, BotWord):
            self._bot_words.append((self._loop.time(), event.word))
        elif isinstance(event, UserMessage):
            self._transcript.user(event.turn.turn_id, event.text)
        elif isinstance(event, MessageConfirmed) and event.text:
            self._transcript.bot(event.text)
            self._machine.question = event.text
        self.answering.note(event)
        if isinstance(event, MessageAborted):
            self._greeted.unheard(event.message_id)
        if isinstance(event, MessageConfirmed | MessageAborted):
            over = self._parting is not None and self._parting.message_id == event.message_id
            if over and self._end is None:
                # In a turn of its own: who tells of it may be in the middle of what is done there.
                self._loop.call_soon(self.guarded, self._parted)
        self._telling.tell(event, self._loop.time())
        self._rules.told(event)

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
