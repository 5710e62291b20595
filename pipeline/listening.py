"""The call's ears: the caller's frames pass detector, pre-roll and recogniser here, in one call stack.

It measures and tells; what voice and words mean is the turn machine's to say. Positions are samples of the
caller, from the first one of the call; times are seconds of the loop's clock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from media.echo import LATEST_MS as ECHO_LATE_MS
from media.echo import SAID_WORDS, EchoGuard, said_by_bot
from media.frames import AudioFrame, Pcm
from media.noise import Loudness
from media.onset import sound_before
from media.ports import VadWindow, VoiceDetector
from media.segmenter import VadParams, VoiceEnded, VoiceSegmenter, VoiceStarted
from pipeline import turns
from pipeline.endpointing import prosody
from pipeline.endpointing.evidence import Prosody
from pipeline.endpointing.smart_turn import AudioTurnModel, Question
from pipeline.errors import ProviderError
from pipeline.ports import Ears, SttEvent, SttFailed, SttOptions, SttPartial, SttStream, SttTurn, Takeover

PRE_ROLL_MS = 300
"""Audio before the onset that the recogniser is given: the first consonant is often too weak to be voice."""
PAUSE_MS = 96
"""Silence inside speech after which the recogniser is told that it may be over."""
ASK_MS = 160
"""Silence after which an audio model is asked whether the turn is over: longer than the closures within words, and
no longer, since more silence makes it the surer of an end, right or wrong."""
ASKABLE_MS = 1200
"""And after which it is asked no more."""
SOUND_MS = 8000
"""What it is given of a turn, at most."""
ECHO_LOOK_MS = 300
"""Audio before the end of an onset that is compared with what is played."""
ECHO_FIRST_MS, ECHO_EVERY_MS = 200, 100
"""Speech over the bot is compared with what is played when it is so long, and again so often."""
ECHO_HOLD_MS = 64
"""After what was surely an echo the next onset is not compared at once: an echo goes on for as long as the bot."""
ECHO_HINT, ECHO_LIKELY = 0.4, 0.55
"""A share of the energy that makes an echo of what holds the bot's own words."""
MAX_CHANGES = 20


class Hearer(Protocol):
    """The call, as far as its ears are concerned."""

    def perceived(self, event: turns.Input) -> None:
        """Something for the turn machine."""

    def nothing_understood(self) -> None:
        """A stretch of speech is lost: all recognisers have failed on it."""

    def told(self, error: ProviderError, by: str | None) -> None:
        """A recogniser failed; ``by`` takes its place."""

    def bot_ends(self) -> float | None:
        """When the bot will have said what it is saying, where that is known."""

    def moved(self) -> None:
        """What was perceived may have made something due."""

    def deadline(self) -> float | None:
        """When the turn machine next has something to do."""

    def turn_id(self) -> int:
        """Of the user's latest turn; 0: there was none yet."""

    def bot_words(self) -> list[str]:
        """What was heard of the bot in the last seconds."""

    def guarded(self, act: Callable[[], None]) -> None:
        """Run what a detector or an engine calls: a bug in it ends this call, and harms no other."""


class Listening:
    """One call's ears."""

    def __init__(
        self,
        detector: VoiceDetector,
        ears: Ears | None,
        options: SttOptions,
        params: VadParams,
        hearer: Hearer,
    ) -> None:
        self._rate = options.sample_rate_hz
        self._ears = ears
        self.options = options
        self._hearer = hearer
        self._loop = asyncio.get_running_loop()
        self._segmenter = VoiceSegmenter(self._rate, params)
        self._vad = detector.open(self._rate, self._on_window)
        self._stt: SttStream | None = None
        self._segment = 0
        self._onset = 0
        self._quiet_from = 0
        """The end of the last voice: what came before belongs to its segment."""
        self._loudness = Loudness(self._rate)
        self._model: AudioTurnModel | None = None
        self._recheck_ms = 0
        self._melody = False
        self._register = prosody.Register()
        self._sound: deque[AudioFrame] = deque()
        """The last of the caller, for the model."""
        self._turn_id = 0
        self._turn_from = 0
        """Where the turn began that the open segment belongs to."""
        self._ask_at: int | None = None
        """The sample at which the model is to be asked next."""
        self._question: Question | None = None
        self._guard = EchoGuard(self._rate)
        self._bot_until = -self._rate
        """The last sample of the caller that something of the bot was heard at."""
        self._compare_at = 0
        """The sample from which on speech is compared with the bot's again."""
        self._echo_until = 0
        """Up to here an onset is taken for an echo, since one has just been heard."""
        self._likeness: dict[int, float] = {}
        """How much of a segment may be an echo, where that is not sure."""
        self._paused = False
        self._on = True
        self._deaf = False
        self._heeded = False
        """The recogniser is given the open segment."""
        self._lost = False
        """All recognisers have failed on the open segment."""
        self._pre_roll: deque[AudioFrame] = deque()
        self._closed = False
        self._change: tuple[Ears | None, SttOptions] | None = None
        self._retired: list[SttStream] = []
        self.end = 0
        """The position behind the last frame."""
        self.at = self._loop.time()
        """When that came."""
        self.probability: float | None = None
        """Of voice, in the last window."""

    @property
    def speaking(self) -> bool:
        return self._segmenter.speaking

    def open(self) -> None:
        if self._ears is None:
            return
        try:
            self._stt = self._ears.open(self.options, self._on_stt)
        except (ValueError, RuntimeError, ProviderError) as error:
            # Without ears a call can still be spoken to; its agent is told and decides.
            self._hearer.told(ProviderError(self._ears.name, "stt", str(error), retryable=False), None)

    def change(self, ears: Ears | None, options: SttOptions) -> None:
        """Hear otherwise from the next stretch of speech on."""
        self._change = (ears, options)
        if not self._segmenter.speaking:
            self._carry_change_out()

    def _carry_change_out(self) -> None:
        change, self._change = self._change, None
        if change is None:
            return
        if len(self._retired) >= MAX_CHANGES:
            name = self._ears.name if self._ears is not None else ""
            cause = f"a call may change its ears {MAX_CHANGES} times, and keeps those that it has"
            self._hearer.told(ProviderError(name, "stt", cause, retryable=False), None)
            return
        self._ears, self.options = change
        if self._stt is not None:
            # What it still owes comes all the same.
            self._retired.append(self._stt)
            self._stt = None
        self.open()

    def judge_sound(self, model: AudioTurnModel | None, recheck_ms: int, *, melody: bool) -> None:
        """What is told of how the voice sounds at its end: what a model makes of it, asked again so often while
        the silence lasts (0: once); its melody."""
        self._model, self._recheck_ms = model, recheck_ms
        self._melody = melody and self._rate in (8000, 16000)

    def listen(self, *, on: bool) -> None:
        """Whether the recogniser is given what is spoken from the next stretch of speech on. Voice itself is
        told in any case."""
        self._on = on

    def deafen(self, *, on: bool) -> None:
        """Whether voice counts for nothing from here on; the detector goes on learning what the line sounds like.
        What was said meanwhile belongs to no later speech."""
        if on and not self._deaf:
            self.flush()
        elif self._deaf and not on:
            self._segmenter.flush(self.end)
            self._quiet_from = self.end
            self._pre_roll.clear()
            self._sound.clear()
        self._deaf = on

    def close(self) -> None:
        """Nothing is told from here on."""
        self._closed = True

    async def aclose(self) -> None:
        self.close()
        self._vad.close()
        self._forget_question()
        for stream in (*self._retired, *([self._stt] if self._stt is not None else [])):
            await stream.aclose()

    # --- audio --------------------------------------------------------------------------------------------

    def note(self, frame: AudioFrame) -> None:
        """A frame has come: the caller's clock goes on."""
        self.end, self.at = frame.end, self._loop.time()

    def played(self, at: int, pcm: Pcm) -> None:
        """The bot was heard: from this sample of the caller's clock on."""
        self._guard.played(max(0, at), pcm)
        self._bot_until = at + len(pcm)

    def feed(self, frame: AudioFrame) -> None:
        if self._stt is not None and self._heeded and self._segmenter.speaking:
            self._stt.feed(frame.pcm)
        self._pre_roll.append(frame)
        horizon = frame.end - (PRE_ROLL_MS + 1000) * self._rate // 1000
        while self._pre_roll[0].end <= horizon:
            self._pre_roll.popleft()
        if self._model is not None:
            self._sound.append(frame)
            while self._sound[0].end <= frame.end - SOUND_MS * self._rate // 1000:
                self._sound.popleft()
        self._vad.feed(frame.pcm)

    def flush(self) -> bool:
        """No more audio comes: speech that is open ends here. False: none was."""
        events = self._segmenter.flush(self.end)
        for event in events:
            self._on_voice(event)
        return bool(events)

    def time_of(self, sample: int) -> float:
        """When a sample of the caller was spoken, as far as its arrival tells."""
        return self.at - (self.end - sample) / self._rate

    # --- voice --------------------------------------------------------------------------------------------

    def _on_window(self, window: VadWindow) -> None:
        if not self._closed:
            self._hearer.guarded(lambda: self._judge(window))

    def _judge(self, window: VadWindow) -> None:
        self.probability = window.probability
        volume = self._loudness.push(window) if window.rms is not None else 1.0
        events = self._segmenter.push(window)
        if self._deaf:
            if self._segmenter.speaking:
                self._segmenter.flush(window.end)
            return
        if self._bot_is_near(window.end):
            events = self._without_echo(events, window.end)
        for event in events:
            self._on_voice(event)
        if self._segmenter.speaking:
            if self._segmenter.voiced_until == window.end:
                due = self._hearer.deadline()
                start, end = self.time_of(window.start), self.time_of(window.end)
                self._hearer.perceived(turns.Voiced(start, end, window.probability, volume))
                if self._hearer.deadline() != due:
                    self._hearer.moved()
            self._notice_pause(window)
        if events:
            self._hearer.moved()
        if self._ask_at is not None and window.end >= self._ask_at:
            self._ask(self._model, window.end)

    def _notice_pause(self, window: VadWindow) -> None:
        quiet = window.end - self._segmenter.voiced_until
        if quiet < PAUSE_MS * self._rate // 1000:
            self._paused = False
            self._forget_question()
        elif not self._paused:
            self._paused = True
            if self._model is not None:
                self._ask_at = self._segmenter.voiced_until + ASK_MS * self._rate // 1000
            if self._stt is not None and self._heeded:
                self._stt.pause()

    def _on_voice(self, event: VoiceStarted | VoiceEnded) -> None:
        match event:
            case VoiceStarted(onset, _, confidence):
                self._segment += 1
                onset = max(self._quiet_from, onset - self._sound_before(onset))
                self._onset = onset
                self._heeded = self._on and self._stt is not None
                if self._stt is not None and self._heeded:
                    self._stt.begin(self._segment)
                    self._feed_pre_roll(self._stt, onset)
                bot_ends = self._hearer.bot_ends()
                started = turns.VoiceStarted(self._segment, self.time_of(onset), confidence, bot_ends)
                self._forget_question()
                self._hearer.perceived(started)
                if self._hearer.turn_id() != self._turn_id:
                    self._turn_id, self._turn_from = self._hearer.turn_id(), onset
            case VoiceEnded(_, end, _):
                segment = self._segment
                self._quiet_from = end
                if self._stt is not None and self._heeded:
                    self._stt.end()
                if self._melody:
                    self._hearer.perceived(turns.Sounded(prosody=self._prosody(end)))
                self._hearer.perceived(turns.VoiceEnded(self.time_of(self._onset), self.time_of(end)))
                if not self._heeded:
                    self._hearer.perceived(turns.Heard(segment, "", 0.0, True))
                lost, self._lost = self._lost, False
                if lost:
                    self._hearer.nothing_understood()
                self._carry_change_out()

    def _sound_before(self, onset: int) -> int:
        """Samples by which the voice began before the detector's onset."""
        parts = [frame.pcm[: max(0, onset - frame.start)] for frame in self._pre_roll if frame.start < onset]
        return sound_before(np.concatenate(parts), self._rate) if parts else 0

    def _feed_pre_roll(self, stt: SttStream, onset: int) -> None:
        # The voice before is not heard twice; the quiet behind it may hold the first consonant of this one.
        first = max(self._quiet_from, onset - PRE_ROLL_MS * self._rate // 1000)
        for frame in self._pre_roll:
            if frame.end > first:
                stt.feed(frame.pcm[max(0, first - frame.start) :])

    # --- echo ---------------------------------------------------------------------------------------------

    def _bot_is_near(self, at: int) -> bool:
        """What is heard now may be the bot, come back."""
        return at - self._bot_until < ECHO_LATE_MS * self._rate // 1000

    def _without_echo(
        self, events: list[VoiceStarted | VoiceEnded], at: int
    ) -> list[VoiceStarted | VoiceEnded]:
        """The edges of voice that are the caller's own. What is surely the bot's voice begins nothing, and ends
        what it had begun."""
        started = next((event for event in events if isinstance(event, VoiceStarted)), None)
        if started is not None:
            if at < self._echo_until or self._is_echo(at - ECHO_LOOK_MS * self._rate // 1000):
                if at >= self._echo_until:
                    self._echo_until = at + ECHO_HOLD_MS * self._rate // 1000
                self._segmenter.flush(at)
                return [event for event in events if event is not started]
            self._compare_at = started.onset + ECHO_FIRST_MS * self._rate // 1000
        elif self._segmenter.speaking and at >= self._compare_at:
            self._compare_at = at + ECHO_EVERY_MS * self._rate // 1000
            if self._is_echo(self._onset):
                self._hearer.perceived(turns.Echo(self._segment))
                return [*events, *self._segmenter.flush(at)]
        return events

    def _is_echo(self, onset: int) -> bool:
        parts = [frame.pcm[max(0, onset - frame.start) :] for frame in self._pre_roll if frame.end > onset]
        if not parts:
            return False
        pcm = np.concatenate(parts)
        noise_db = self._segmenter.noise_db
        start = self._pre_roll[-1].end - len(pcm)
        echo = self._guard.judge(pcm, start, noise_db if noise_db is not None else -90.0)
        if self._segmenter.speaking and onset == self._onset:
            self._likeness = {self._segment: max(echo.likeness, self._likeness.get(self._segment, 0.0))}
        return echo.sure

    def _repeats_bot(self, segment_id: int, text: str) -> bool:
        """What may be an echo by its sound is one by its words."""
        likeness = self._likeness.get(segment_id, 0.0)
        least = 2 if likeness >= ECHO_LIKELY else SAID_WORDS
        return likeness >= ECHO_HINT and said_by_bot(text, self._hearer.bot_words(), least)

    # --- the sound of an end ------------------------------------------------------------------------------

    def _prosody(self, end: int) -> Prosody:
        parts = [frame.pcm[: max(0, end - frame.start)] for frame in self._pre_roll if frame.start < end]
        pcm: Pcm = np.concatenate(parts) if parts else np.zeros(0, np.int16)
        melody = prosody.measure(pcm, self._rate, self._register.median_hz)
        self._register.add(melody.voiced_hz)
        return melody.prosody

    def _ask(self, model: AudioTurnModel | None, at: int) -> None:
        """Have the model say whether the turn sounds over; and again while the silence lasts, if wanted."""
        self._ask_at = None
        silence = at - self._segmenter.voiced_until
        if model is None:
            return
        if self._recheck_ms and silence < ASKABLE_MS * self._rate // 1000:
            self._ask_at = at + self._recheck_ms * self._rate // 1000
        first = self._turn_from - PRE_ROLL_MS * self._rate // 1000
        parts: list[Pcm] = [frame.pcm[max(0, first - frame.start) :] for frame in self._sound]
        parts = [pcm for frame, pcm in zip(self._sound, parts, strict=True) if frame.end > first]
        if parts:
            self._question = model.ask(self, np.concatenate(parts), self._rate, self._on_score)

    def _on_score(self, score: float | None) -> None:
        if score is not None and not self._closed:
            self._hearer.guarded(lambda: self._sounded(score))

    def _sounded(self, score: float) -> None:
        self._hearer.perceived(turns.Sounded(model=score))
        self._hearer.moved()

    def _forget_question(self) -> None:
        self._ask_at = None
        question, self._question = self._question, None
        if question is not None:
            question.cancel()

    # --- words --------------------------------------------------------------------------------------------

    def _on_stt(self, event: SttEvent | Takeover) -> None:
        if not self._closed:
            self._hearer.guarded(lambda: self._understand(event))

    def _understand(self, event: SttEvent | Takeover) -> None:
        match event:
            case Takeover(error, by):
                self._hearer.told(error, by)
            case SttTurn(segment_id, kind, probability):
                if segment_id == self._segment:
                    self._hearer.perceived(turns.ProviderTurn(kind, probability))
            case SttFailed(segment_id, error):
                self._hearer.told(error, None)
                self._hearer.perceived(turns.Heard(segment_id, "", 0.0, True))
                if self._segmenter.speaking and segment_id == self._segment:
                    self._lost = True  # Told when he has finished.
                else:
                    self._hearer.nothing_understood()
            case _:
                final = not isinstance(event, SttPartial)
                if self._repeats_bot(event.segment_id, event.text):
                    self._hearer.perceived(turns.Echo(event.segment_id))
                language = None if isinstance(event, SttPartial) else event.language
                heard = turns.Heard(event.segment_id, event.text, event.confidence, final, language)
                self._hearer.perceived(heard)
        self._hearer.moved()
