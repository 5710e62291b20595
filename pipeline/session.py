"""One call's conversation: the shell around the turn machine, the speech queue and the playhead.

It waits and acts, and decides nothing: what a frame, a mark, a transcript or a deadline means is the
machine's to say. A frame passes detector, meters, recorder and recogniser in one call stack. All timers are
one ``call_at``; the only tasks are the call's own and one for the sentence in synthesis.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from media.frames import AudioFrame, Pcm
from media.levels import Level, Meter, level_of
from media.onset import sound_before
from media.playout import Playout, Send
from media.ports import AudioLeg, VadWindow, VoiceDetector
from media.segmenter import VadParams, VoiceEnded, VoiceSegmenter, VoiceStarted
from pipeline import turns
from pipeline.errors import ProviderError
from pipeline.events import (
    AbortReason,
    AudioMetrics,
    BotSpeaking,
    CallEnded,
    CallStarted,
    EndReason,
    EngineFault,
    Event,
    InterruptReason,
    MessageConfirmed,
    ReplyRejected,
    TurnRef,
    UserMessage,
)
from pipeline.ports import (
    SpeechToText,
    SttEvent,
    SttFailed,
    SttOptions,
    SttPartial,
    SttStream,
    TextToSpeech,
    TtsAudio,
    TtsRequest,
)
from pipeline.speech import BotEvent, Job, Message, SpeechQueue
from pipeline.transcript import Transcript

PRE_ROLL_MS = 300
"""Audio before the onset that the recogniser is given: the first consonant is often too weak to be voice."""
HOUSEKEEPING_S = 1.0
STREAM_IDLE_S = 15.0
"""A streamed message of which nothing more has come for so long, with all of it heard, is taken as complete."""
TTS_TIMEOUT_S = 5.0
"""An engine that gives nothing for so long has failed."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What a call thinks and speaks with; shared by all calls of the process."""

    vad: VoiceDetector
    stt: SpeechToText | None
    tts: TextToSpeech


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How one call behaves."""

    language: str = "en"
    greeting: str = ""
    stt_language: str | None = None
    """What the recogniser is to understand; None: the language."""
    voice: str | None = None
    voice_language: str | None = None
    """What the voice is to speak; None: the language."""
    speed: float = 1.0
    phrases: tuple[str, ...] = ()
    turns: turns.TurnParams = field(default_factory=turns.TurnParams)
    vad: VadParams = field(default_factory=VadParams)
    metrics_interval_ms: int | None = None
    """How often ``AudioMetrics`` is told; None: never."""
    media_timeout_s: float = 10.0
    """A caller whose audio stays away for longer is gone."""
    max_duration_s: float = 3600.0


class CallRecorder(Protocol):
    """What a session asks of a recorder. Positions are samples on the caller's clock."""

    def caller(self, start: int, pcm: Pcm) -> None: ...

    def bot(self, at: int, pcm: Pcm) -> None: ...


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
    ) -> None:
        self._leg = leg
        self._engines = engines
        self._config = config
        self._emit_event = emit
        self._ids = ids
        self._recorder = recorder
        self._rate = leg.format.sample_rate_hz

        self._loop = asyncio.get_running_loop()
        self._machine = turns.TurnMachine(config.turns, ids)
        self._playout = Playout(
            self._rate, lead_ms=leg.format.lead_ms, mark_every_ms=leg.format.mark_every_ms
        )
        self._speech = SpeechQueue(self._playout)
        self._transcript = Transcript()
        self._segmenter = VoiceSegmenter(self._rate, config.vad)
        self._vad = engines.vad.open(self._rate, self._on_window)
        self._stt: SttStream | None = None
        self._segment = 0
        self._onset = 0
        self._pre_roll: deque[AudioFrame] = deque()

        self._caller_end = 0
        self._caller_at = self._loop.time()
        self._meters = _Meters(self._rate, config.metrics_interval_ms) if config.metrics_interval_ms else None
        self._bot_next = (0, 0)
        if recorder is not None or self._meters is not None:
            self._playout.keep_heard()

        self._started_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._housekeeper: asyncio.TimerHandle | None = None
        self._advancing = False
        self._synthesis: asyncio.Task[None] | None = None
        self._job: Job | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._end: tuple[EndReason, str] | None = None
        self._ended_at = self._started_at
        self._over = asyncio.Event()
        self._crash: Exception | None = None
        self._dry: Message | None = None
        self._dry_since = 0.0

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
                self._cancel_synthesis(None)
            if self._crash is not None:
                raise self._crash
        except BaseException:
            # Cancelled from outside, or a bug of ours: what was begun must still be told to its end.
            self.end(EndReason.FAILED, "internal error")
            raise
        finally:
            self._vad.close()
            if self._stt is not None:
                await self._stt.aclose()
            await self._leg.hang_up(self._end[1] if self._end else "")
        return self.summary()

    def summary(self) -> CallEnded:
        """How the call ended, and what was said in it."""
        reason, detail = self._end or (EndReason.FAILED, "internal error")
        duration_s = self._ended_at - self._started_at
        return CallEnded(reason, detail, self._ended_at, duration_s, self._transcript.lines())

    def _open(self) -> None:
        config = self._config
        self._emit(CallStarted(config.language))
        if self._engines.stt is not None:
            options = SttOptions(self._rate, config.stt_language or config.language, config.phrases)
            try:
                self._stt = self._engines.stt.open(options, self._on_stt)
            except (ValueError, ProviderError) as error:
                # Without ears a call can still be spoken to; its agent is told and decides.
                self._fault(ProviderError(self._engines.stt.name, "stt", str(error), retryable=False))
        self._housekeeper = self._loop.call_later(HOUSEKEEPING_S, self.guarded, self._housekeep)
        if config.greeting:
            self._say(Message(f"msg_{self._ids()[:12]}", config.greeting))

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
                for event in self._segmenter.flush(self._caller_end):
                    self._on_voice(event, now)
        except Exception as error:  # noqa: BLE001 - raised by run
            self._crash = self._crash or error
        finally:
            self._end = (reason, detail)
            self._ended_at = now
            for handle in (self._timer, self._housekeeper):
                if handle is not None:
                    handle.cancel()
            self._over.set()

    def _stop_talking(self, now: float) -> None:
        self._progress(now)
        heard = self._speech.current is not None
        self._tell(self._speech.cut(now, "cancelled", "call_ended"), now)
        if heard:
            self._leg.clear()
        self._cancel_synthesis(None)
        self._note_bot_audio(now)

    def _housekeep(self) -> None:
        now = self._loop.time()
        silent_s = now - self._caller_at
        if now - self._started_at >= self._config.max_duration_s:
            self.end(EndReason.MAX_DURATION, f"the call reached {self._config.max_duration_s:.0f} s")
        elif silent_s >= self._config.media_timeout_s:
            self.end(EndReason.FAILED, f"no audio came from the carrier for {silent_s:.0f} s")
        else:
            if silent_s >= HOUSEKEEPING_S:
                # A path that died in the middle of a word would leave the speech open.
                for event in self._segmenter.flush(self._caller_end):
                    self._on_voice(event, now)
                self._advance()
            self._end_dry_stream(now)
            self._housekeeper = self._loop.call_later(HOUSEKEEPING_S, self.guarded, self._housekeep)

    def _end_dry_stream(self, now: float) -> None:
        """A stream that its agent never ends would keep the floor for ever."""
        message = self._speech.dry()
        if message is not self._dry:
            self._dry, self._dry_since = message, now
        elif message is not None and now - self._dry_since >= STREAM_IDLE_S:
            self._tell(self._speech.finish(message), now)
            self._advance()

    # --- what the leg tells -------------------------------------------------------------------------------

    def on_audio(self, frame: AudioFrame) -> None:
        if self._end is not None:
            return
        self._caller_end = frame.end
        self._caller_at = self._loop.time()
        if self._recorder is not None:
            self._recorder.caller(frame.start, frame.pcm)
        if self._recorder is not None or self._meters is not None:
            self._note_bot_audio(self._caller_at)
        if self._stt is not None and self._segmenter.speaking:
            self._stt.feed(frame.pcm)
        self._pre_roll.append(frame)
        horizon = frame.end - (PRE_ROLL_MS + 1000) * self._rate // 1000
        while self._pre_roll[0].end <= horizon:
            self._pre_roll.popleft()
        if self._meters is not None:
            self._meter(self._meters, frame)
        self._vad.feed(frame.pcm)

    def on_mark(self, name: str) -> None:
        if self._end is None:
            self._playout.acknowledge(name, self._loop.time())
            self.guarded(self._advance)

    def on_dtmf(self, digit: str) -> None:
        """Nothing listens for keys yet."""

    def on_closed(self, reason: str, detail: str) -> None:
        self.end(EndReason(reason), detail)

    # --- ears ---------------------------------------------------------------------------------------------

    def _on_window(self, window: VadWindow) -> None:
        if self._end is None:
            self.guarded(lambda: self._judge(window))

    def _judge(self, window: VadWindow) -> None:
        now = self._loop.time()
        if self._meters is not None:
            self._meters.probability = window.probability
        before = self._segmenter.voiced_until
        events = self._segmenter.push(window)
        for event in events:
            self._on_voice(event, now)
        if self._segmenter.speaking and self._segmenter.voiced_until != before:
            voiced = turns.Voiced(self._time_of(window.start), self._time_of(window.end))
            due = self._machine.deadline
            self._apply(self._machine.receive(voiced, now), now)
            if self._machine.deadline != due:
                self._advance()
        if events:
            self._advance()

    def _time_of(self, sample: int) -> float:
        """When a sample of the caller was spoken, as far as its arrival tells."""
        return self._caller_at - (self._caller_end - sample) / self._rate

    def _on_voice(self, event: VoiceStarted | VoiceEnded, now: float) -> None:
        match event:
            case VoiceStarted(onset, _, confidence):
                self._segment += 1
                onset -= self._sound_before(onset)
                self._onset = onset
                if self._stt is not None:
                    self._stt.begin(self._segment)
                    self._feed_pre_roll(self._stt, onset)
                bot_ends = self._speech.ends_at(now)
                told = turns.VoiceStarted(self._segment, self._time_of(onset), confidence, bot_ends)
                self._apply(self._machine.receive(told, now), now)
            case VoiceEnded(_, end, _):
                segment = self._segment
                if self._stt is not None:
                    self._stt.end()
                told_end = turns.VoiceEnded(self._time_of(self._onset), self._time_of(end))
                self._apply(self._machine.receive(told_end, now), now)
                if self._stt is None:
                    self._apply(self._machine.receive(turns.Heard(segment, "", 0.0, True), now), now)

    def _sound_before(self, onset: int) -> int:
        """Samples by which the voice began before the detector's onset."""
        parts = [frame.pcm[: max(0, onset - frame.start)] for frame in self._pre_roll if frame.start < onset]
        return sound_before(np.concatenate(parts), self._rate) if parts else 0

    def _feed_pre_roll(self, stt: SttStream, onset: int) -> None:
        first = onset - PRE_ROLL_MS * self._rate // 1000
        for frame in self._pre_roll:
            if frame.end > first:
                stt.feed(frame.pcm[max(0, first - frame.start) :])

    def _on_stt(self, event: SttEvent) -> None:
        if self._end is None:
            self.guarded(lambda: self._understand(event))

    def _understand(self, event: SttEvent) -> None:
        now = self._loop.time()
        if isinstance(event, SttFailed):
            self._fault(event.error)
            heard = turns.Heard(event.segment_id, "", 0.0, True)
        else:
            final = not isinstance(event, SttPartial)
            heard = turns.Heard(event.segment_id, event.text, event.confidence, final)
        self._apply(self._machine.receive(heard, now), now)
        self._advance()

    # --- mouth --------------------------------------------------------------------------------------------

    @property
    def reply_to(self) -> str:
        """The id of the user's message that is to be answered now."""
        return self._machine.reply_to

    def reply(self, message_id: str, text: str, in_reply_to: str) -> None:
        """Say a text; a stale answer is refused."""
        if self._accepts(message_id, in_reply_to):
            self._say(Message(message_id, text, in_reply_to, turn=self._turn_of(in_reply_to)))

    def stream_start(self, message_id: str, in_reply_to: str) -> None:
        """Begin a message whose text comes in pieces."""
        if self._accepts(message_id, in_reply_to):
            turn = self._turn_of(in_reply_to)
            self._say(Message(message_id, "", in_reply_to, streamed=True, turn=turn, complete=False))

    def stream_chunk(self, message_id: str, token: str) -> None:
        """More of a streamed message. One that is over or was refused is left alone: its sender learns of
        that by an event, and may have sent more before."""
        message = self._open_stream(message_id)
        if message is not None:
            if not self._speech.append(message, token):
                self._reject(message_id, message.in_reply_to, "message_too_long")
                self.cancel(message_id)
            self._advance()

    def stream_end(self, message_id: str) -> None:
        message = self._open_stream(message_id)
        if message is not None:
            self._tell(self._speech.finish(message), self._loop.time())
            self._advance()

    def finish_streams(self) -> None:
        """The agent is gone: what it has begun to say ends with what there is."""
        for message in self._speech.open_streams():
            self._tell(self._speech.finish(message), self._loop.time())
        self._advance()

    def cancel(self, message_id: str | None) -> None:
        """Stop one message, or everything."""
        if self._end is not None:
            return
        now = self._loop.time()
        self._progress(now)
        if message_id is None:
            self._cut(now, "cancelled", "cancelled")
            return
        message = self._speech.find(message_id)
        if message is None:
            return
        if message is self._speech.current:
            self._cut_current(now, message)
        else:
            self._tell(self._speech.cut_one(message, now), now)
            self._cancel_synthesis(message)
        self._advance()

    def _turn_of(self, in_reply_to: str) -> TurnRef | None:
        return self._machine.reply_turn if in_reply_to else self._machine.turn

    def _accepts(self, message_id: str, in_reply_to: str) -> bool:
        if self._end is not None:
            return False
        if in_reply_to and in_reply_to != self._machine.reply_to:
            self._reject(message_id, in_reply_to, "message_obsolete")
        elif self._speech.find(message_id) is not None:
            self._reject(message_id, in_reply_to, "duplicate_message_id")
        elif self._speech.full:
            self._reject(message_id, in_reply_to, "queue_full")
        else:
            return True
        return False

    def _reject(self, message_id: str, in_reply_to: str, reason: str) -> None:
        expected = self._machine.reply_to
        self._emit(ReplyRejected(self._machine.turn, message_id, in_reply_to, expected, reason))

    def _open_stream(self, message_id: str) -> Message | None:
        message = self._speech.find(message_id) if self._end is None else None
        return message if message is not None and message.streamed and not message.complete else None

    def _say(self, message: Message) -> None:
        self._tell(self._speech.add(message), self._loop.time())
        self._advance()

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
        if current is not None:
            self._leg.clear()
        self._tell(self._speech.cut(now, reason, abort), now)
        self._cancel_synthesis(None)
        if current is not None and current.started:
            self._apply(self._machine.receive(turns.BotCut(played_ms, by_user), now), now)
        self._advance()

    def _cut_current(self, now: float, message: Message) -> None:
        played_ms = self._speech.played_ms(now)
        self._leg.clear()
        self._tell(self._speech.cut_one(message, now), now)
        self._cancel_synthesis(message)
        if message.started:
            self._apply(self._machine.receive(turns.BotCut(played_ms, by_user=False), now), now)

    # --- synthesis ----------------------------------------------------------------------------------------

    def _synthesise_next(self) -> None:
        if self._synthesis is not None or self._tasks is None:
            return
        job = self._speech.next_job()
        if job is not None:
            self._job = job
            self._synthesis = self._tasks.create_task(self._synthesise(job), name="synthesis")
            self._synthesis.add_done_callback(self._on_synthesised)

    def _on_synthesised(self, _: asyncio.Task[None]) -> None:
        # Also where the task was cancelled before its first step.
        self._synthesis = None
        self._job = None
        if self._end is None:
            self.guarded(self._advance)

    async def _synthesise(self, job: Job) -> None:
        config = self._config
        language = config.voice_language or config.language
        request = TtsRequest(job.text.strip(), self._rate, language, config.voice, config.speed)
        for attempt in (1, 2):
            try:
                await self._speak(job, request)
                job.done()
                return
            except ProviderError as error:
                self._fault(error)
                if attempt == 2 or job.yielded or not error.retryable:
                    job.fail()
                    return

    async def _speak(self, job: Job, request: TtsRequest) -> None:
        name = self._engines.tts.name
        try:
            async with aclosing(self._engines.tts.speak(request)) as stream, asyncio.timeout(None) as limit:
                limit.reschedule(self._loop.time() + TTS_TIMEOUT_S)
                async for event in stream:
                    limit.reschedule(self._loop.time() + TTS_TIMEOUT_S)
                    if isinstance(event, TtsAudio):
                        job.audio(event.pcm)
                        self._advance()
                    else:
                        job.word(event.index, event.start_s, event.end_s)
        except TimeoutError:
            raise ProviderError(name, "tts", f"nothing came for {TTS_TIMEOUT_S:g} s") from None

    def _cancel_synthesis(self, message: Message | None) -> None:
        task, job = self._synthesis, self._job
        if task is None or job is None or (message is not None and job.message is not message):
            return
        if not task.cancelling():  # A second cancel would break into the engine's clean-up.
            task.cancel()

    # --- acting -------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do all that is due now, and set the one timer for what comes next."""
        if self._end is not None or self._advancing:
            return
        self._advancing = True
        try:
            now = self._loop.time()
            deadline = self._machine.deadline
            if deadline is not None and now >= deadline:
                self._apply(self._machine.tick(now), now)
            while True:
                self._synthesise_next()
                self._speech.feed(self._machine.floor_free)
                for order in self._playout.pull(now):
                    if isinstance(order, Send):
                        self._leg.send(order.pcm)
                    else:
                        self._leg.mark(order.name)
                if not self._progress(now):
                    break
        finally:
            self._advancing = False
        self._set_timer(now)

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._end is not None:
            return
        times = (self._machine.deadline, self._playout.deadline(), self._speech.next_at())
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
                case turns.DiscardReply(message_id):
                    self._tell(self._speech.discard(message_id, "early"), now)
                    if self._job is not None and not self._speech.holds(self._job.message):
                        self._cancel_synthesis(self._job.message)
                case _:
                    self._emit(output)

    def _tell(self, events: list[BotEvent], now: float) -> None:
        """Emit what the bot did, and let the machine know whether it is heard."""
        for event in events:
            self._emit(event)
            if isinstance(event, BotSpeaking):
                self._apply(self._machine.receive(turns.BotStarted(now), now), now)

    def _progress(self, now: float) -> bool:
        """Tell what was heard since the last time; True where a message came to its end."""
        message = self._speech.current
        self._tell(self._speech.progress(now), now)
        if message is None or self._speech.current is message:
            return False
        if message.started:
            self._apply(self._machine.receive(turns.BotDone(), now), now)
        return True

    def _emit(self, event: Event) -> None:
        if isinstance(event, UserMessage):
            self._transcript.user(event.turn.turn_id, event.text)
        elif isinstance(event, MessageConfirmed) and event.text:
            self._transcript.bot(event.text)
        self._emit_event(event)

    def _fault(self, error: ProviderError) -> None:
        self._emit(
            EngineFault(
                self._machine.turn, error.code, str(error), error.provider, error.stage, error.retryable
            )
        )

    # --- recording and meters -----------------------------------------------------------------------------

    def _note_bot_audio(self, now: float) -> None:
        """Place what was heard of the bot since the last frame on the caller's clock."""
        for position, pcm in self._playout.take_heard(self._playout.heard(now)):
            at = self._playout.time_of(position)
            sample = self._caller_end - round((now - (at if at is not None else now)) * self._rate)
            expected_position, expected_sample = self._bot_next
            if position == expected_position and abs(sample - expected_sample) < self._rate // 10:
                sample = expected_sample  # One flow of audio: the clock's jitter must not cut it up.
            self._bot_next = (position + len(pcm), sample + len(pcm))
            if self._recorder is not None:
                self._recorder.bot(max(0, sample), pcm)
            if self._meters is not None:
                self._meters.bot.append(pcm)

    def _meter(self, meters: _Meters, frame: AudioFrame) -> None:
        now = self._loop.time()
        for level in meters.user.add(frame.pcm):
            speaking = self._segmenter.speaking
            self._emit(AudioMetrics("user", level, speaking, meters.probability, now))
            self._emit(AudioMetrics("bot", meters.take_bot(), self._speech.current is not None, None, now))


class _Meters:
    """Levels of both sides, told together at the end of each interval of the caller's clock."""

    def __init__(self, rate: int, interval_ms: int) -> None:
        self.user = Meter(rate, interval_ms)
        self.bot: list[Pcm] = []
        """What was heard of the bot in this interval; where it is shorter, the rest was silence."""
        self.probability: float | None = None
        self._interval = rate * interval_ms // 1000

    def take_bot(self) -> Level:
        heard = sum(len(pcm) for pcm in self.bot)
        silence = np.zeros(max(0, self._interval - heard), dtype=np.int16)
        level = level_of(np.concatenate([*self.bot, silence]))
        self.bot.clear()
        return level
