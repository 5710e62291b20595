"""What the bot has to say: a queue of messages, each cut into sentences for synthesis and told word by word
as it is heard.

Messages follow one another: the next one begins when the one before it has been heard to its end, so that
each is finished or interrupted before another is told to have begun. Audio that is synthesised ahead waits
in its message, within a bound, and can be dropped with it.

Pure: time is an argument. Positions are samples on the timeline of ``media.playout``.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from media.frames import Pcm
from media.playout import Playout
from pipeline.events import (
    AbortReason,
    BotFinished,
    BotInterrupted,
    BotOutput,
    BotPaused,
    BotResumed,
    BotSpeaking,
    BotWord,
    InterruptReason,
    MessageAborted,
    MessageConfirmed,
    PauseReason,
)
from pipeline.message import Job, Message, Sentence, Word
from pipeline.text import sentences, tokens

MAX_MESSAGES = 100
MAX_CHARS = 100_000
KEPT_MS = 1500
"""How much of what was heard is kept, so that a paused message can go on from the beginning of a word."""
LONGEST_WORD_MS = 6000
EXACT_MS, ESTIMATED_MS = 40, 150
"""How far before its time a word may begin, where the engine gave it and where it was estimated. The quietest
place within that is where a paused message goes on."""
_HOP_MS = 10
_FADE_MS = 5

BotEvent = (
    BotSpeaking | BotWord | BotOutput | BotPaused | BotResumed | BotFinished | BotInterrupted
    | MessageConfirmed | MessageAborted
)  # fmt: skip


class SpeechQueue:
    """The messages of one call, the first of which is being heard."""

    def __init__(self, playout: Playout, *, ahead_ms: int = 5000) -> None:
        self._playout = playout
        self._rate = playout.sample_rate_hz
        self._ahead_ms = ahead_ms
        self._messages: deque[Message] = deque()

    # --- filling ------------------------------------------------------------------------------------------

    @property
    def current(self) -> Message | None:
        """The message that is being heard."""
        head = self._messages[0] if self._messages else None
        return head if head is not None and head.base is not None else None

    @property
    def head(self) -> Message | None:
        """The message that is being heard, or else the next one."""
        return self._messages[0] if self._messages else None

    @property
    def empty(self) -> bool:
        return not self._messages

    @property
    def only_holding(self) -> bool:
        """There is no answer, at most a word that one will come."""
        return all(m.holding for m in self._messages)

    @property
    def nothing_ready(self) -> bool:
        """Nothing is being heard, and there is no audio that waits to be."""
        return self.current is None and not any(m.buffered for m in self._messages)

    @property
    def full(self) -> bool:
        return len(self._messages) >= MAX_MESSAGES

    def holds(self, message: Message) -> bool:
        return any(m is message for m in self._messages)

    def find(self, message_id: str) -> Message | None:
        return next((m for m in self._messages if m.message_id == message_id), None)

    def place_of(self, message_id: str) -> int:
        """The how-manieth it is to be heard, from 1; 0: it is none of these."""
        return next((n for n, m in enumerate(self._messages, 1) if m.message_id == message_id), 0)

    def open_streams(self) -> list[Message]:
        """Streamed messages whose text is not complete."""
        return [m for m in self._messages if m.streamed and not m.complete]

    def unsaid(self) -> list[str]:
        """Answers of the call's own mind, and lines of its, that nobody has heard anything of."""
        return [m.message_id for m in self._messages if m.base is None and (m.own or m.holding)]

    def of_people(self) -> list[str]:
        """Messages of a person beside the bot."""
        return [m.message_id for m in self._messages if m.by_person]

    def of_others(self) -> list[str]:
        """Messages of the agent and of the call's own mind."""
        return [m.message_id for m in self._messages if not m.by_person]

    def unheard(self) -> list[str]:
        """Messages that nobody has heard anything of, whoever they are from."""
        return [m.message_id for m in self._messages if m.base is None]

    def add(self, message: Message, *, first: bool = False) -> list[BotEvent]:
        """Queue a message; ``first``: before all others, where none of them is being heard.

        One without a word to speak is settled at once: whoever waits for it must not wait for ever.
        """
        if first and self.current is None:
            self._messages.appendleft(message)
        else:
            self._messages.append(message)
        for sentence in sentences(message.text):
            self._append_sentence(message, sentence)
        return self._settle_if_silent(message)

    def append(self, message: Message, chunk: str) -> bool:
        """More text of a streamed message. False: it has grown over its bound, and is not taken."""
        if len(message.text) + len(chunk) > MAX_CHARS:
            return False
        message.text += chunk
        for sentence in message.splitter.feed(chunk):
            self._append_sentence(message, sentence)
        return True

    def finish(self, message: Message, *, broken: bool = False) -> list[BotEvent]:
        """No more text will come. ``broken``: its sender failed, and an unfinished sentence is dropped."""
        rest = message.splitter.flush()
        if broken:
            message.text = message.text[: message.cut_at]
        elif rest:
            self._append_sentence(message, rest)
        message.complete = True
        return self._settle_if_silent(message)

    def _append_sentence(self, message: Message, sentence: str) -> None:
        message.pending.append((message.cut_at, sentence))
        message.cut_at += len(sentence)

    def _settle_if_silent(self, message: Message) -> list[BotEvent]:
        if not message.complete or tokens(message.text):
            return []
        self._messages.remove(message)
        return self._never_played(message, "cancelled", "cancelled")

    def next_job(self) -> Job | None:
        """The next sentence to synthesise; None while there is none, or enough lies ready."""
        ready_ms = self._playout.queued_ms
        for message in self._messages:
            if message.in_synthesis:
                return None
            ready_ms += message.buffered * 1000 / self._rate
            if ready_ms >= self._ahead_ms:
                return None
            while message.pending:
                offset, sentence = message.pending.popleft()
                if tokens(sentence):
                    message.in_synthesis = True
                    return Job(message, offset, sentence, self._rate)
            if not message.complete:
                return None
        return None

    @property
    def ready_ms(self) -> float:
        """Audio that waits to be sent."""
        return self._playout.queued_ms + sum(m.buffered for m in self._messages) * 1000 / self._rate

    # --- playing ------------------------------------------------------------------------------------------

    def feed(self, floor_free: bool) -> None:
        """Move audio that is ready onto the timeline. A message begins only while the floor is free."""
        if not self._messages:
            return
        message = self._messages[0]
        if message.paused_at is not None:
            return
        if message.base is None:
            # With a whole frame of audio it is heard at once: nothing can come between.
            if not floor_free or not (message.buffered >= self._rate // 50 or message.synthesised):
                return
            message.base = self._playout.written
            self._playout.begin_message()
        while message.audio:
            pcm = message.audio.popleft()
            message.kept.append((message.fed, pcm))
            message.fed += len(pcm)
            self._playout.write(pcm)
        message.buffered = 0
        if message.synthesised and not message.closed:
            message.closed = True
            self._playout.end_message()

    def progress(self, now: float) -> list[BotEvent]:
        """What has been heard since the last time, at most up to the end of one message."""
        message = self.current
        if message is None or message.base is None or message.paused_at is not None:
            return []
        out: list[BotEvent] = []
        if message.sent_at is None and self._playout.sent > message.base:
            message.sent_at = now
        if message.started and not message.audible:
            heard_at = self._first_heard_at(message.base)
            if heard_at is not None and heard_at <= now:
                self._announce(message, out)
        heard = self._playout.heard(now) - message.base
        horizon = heard - KEPT_MS * self._rate // 1000
        if message.told:
            # "$2,310.75" is one word, and a long one.
            begun = message.words[message.told - 1].start - ESTIMATED_MS * self._rate // 1000
            horizon = max(min(horizon, begun), heard - LONGEST_WORD_MS * self._rate // 1000)
        while message.kept and message.kept[0][0] + len(message.kept[0][1]) <= horizon:
            message.kept.popleft()
        if message.audible:
            self._tell_words(message, heard, out)
        if message.closed and heard >= message.length:
            self._messages.popleft()
            if message.started:
                self._announce(message, out)
                self._tell_words(message, message.length, out, rest=not message.broken)
            if message.broken:
                out += self._ended_short(message, message.length, "cancelled", "cancelled")
            elif message.started:
                duration_ms = self._ms(message.length + message.replayed)
                text = message.text.strip()
                out.append(BotFinished(message.turn, message.message_id, duration_ms, text))
                out.append(MessageConfirmed(message.turn, message.message_id, text, finished=True))
            else:
                out += self._never_played(message, "cancelled", "cancelled")
        return out

    def _first_heard_at(self, base: int) -> float | None:
        return self._playout.begin_of(base) if self._playout.sent > base else None

    def _announce(self, message: Message, out: list[BotEvent]) -> None:
        """Its first sample is heard, or cannot be taken back any more."""
        if message.audible or message.base is None:
            return
        message.audible = True
        text, heard_at = "" if message.streamed else message.text, self._first_heard_at(message.base)
        out.append(BotSpeaking(message.turn, message.message_id, text, message.sent_at, heard_at))

    def next_at(self) -> float | None:
        """When ``progress`` next has something to tell; None where that waits for a mark or for audio."""
        message = self.current
        if message is None or message.base is None or message.paused_at is not None:
            return None
        if message.started and not message.audible:
            return self._first_heard_at(message.base)
        positions = (self._next_word(message), self._sentence_end(message))
        position = min((at for at in positions if at is not None), default=None)
        return None if position is None else self._playout.time_of(message.base + position)

    def _next_word(self, message: Message) -> int | None:
        """Where the next word begins, or else the message ends."""
        if message.told < len(message.words):
            position = min(message.words[message.told].start, message.length)
            # A word may have been told ahead of its audio.
            return position if position < message.length or message.closed else None
        return message.length if message.closed else None

    def _sentence_end(self, message: Message) -> int | None:
        """Where the sentence ends whose words have all been told."""
        if not message.sentences:
            return None
        words = message.sentences[0].words
        if words is None or words > message.told:
            return None
        if not words or message.base is None:
            return 0
        end = min(message.words[words - 1].end, message.length)
        # Less than a frame is not sent before more comes: that is not waited for.
        return end if message.closed else end - (message.base + end) % (self._rate // 50)

    def ends_at(self, now: float) -> float | None:
        """When the current message will have been heard; None where its end is not known yet."""
        message = self.current
        if message is None or message.base is None or not message.closed or message.paused_at is not None:
            return None
        return now + (message.base + message.length - self._playout.heard(now)) / self._rate

    def dry(self) -> Message | None:
        """The message being heard, where all that there is of it has been sent and more may come."""
        message = self.current
        if (
            message is None
            or message.paused_at is not None
            or message.complete
            or message.pending
            or message.in_synthesis
            or message.audio
        ):
            return None
        return message if self._playout.idle else None

    def played_ms(self, now: float) -> int:
        """How much of the current message has been heard, what was said twice counted twice."""
        message = self.current
        return self._ms(self._heard(now) + message.replayed) if message is not None else 0

    def _ms(self, samples: int) -> int:
        return round(samples * 1000 / self._rate)

    def _heard(self, now: float) -> int:
        message = self.current
        if message is None or message.base is None:
            return 0
        if message.paused_at is not None:
            return message.paused_at
        # What is on its way to him cannot be taken back: a clear sent now comes later than it does.
        return max(0, min(self._playout.heard_at_clear(now) - message.base, message.length))

    def _told_up_to(self, message: Message, heard: int) -> list[BotEvent]:
        """What is told of a message that is silenced, when so much of it will have been heard."""
        out: list[BotEvent] = []
        if message.started and heard > 0:
            self._announce(message, out)
        if message.audible:
            self._tell_words(message, heard, out)
        return out

    def _tell_words(self, message: Message, heard: int, out: list[BotEvent], rest: bool = False) -> None:
        while message.told < len(message.words):
            word = message.words[message.told]
            if (word.start > heard or word.start >= message.length) and not rest:
                break
            start_s, end_s = word.start / self._rate, word.end / self._rate
            if message.sentences and message.sentences[0].words == message.told:
                self._tell_sentences(message, heard, out, rest=True)  # The next one has begun.
            out.append(BotWord(message.turn, message.message_id, word.text, message.told, start_s, end_s))
            message.told += 1
        self._tell_sentences(message, heard, out, rest)

    def _tell_sentences(self, message: Message, heard: int, out: list[BotEvent], rest: bool = False) -> None:
        """What was heard to its end; ``rest``: also what ends in the last instant."""
        while (end := self._sentence_end(message)) is not None and (rest or heard >= end):
            sentence = message.sentences.popleft()
            out.append(_output(message, sentence, sentence.end))

    # --- pausing ------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """The current message is silent, and may go on."""
        return self.current is not None and self.current.paused_at is not None

    def pause(self, now: float, reason: PauseReason) -> list[BotEvent]:
        """Silence the current message, and keep what was not heard. The leg must be cleared with it."""
        message = self.current
        if message is None or message.base is None or message.paused_at is not None:
            return []
        heard = self._heard(now)
        out = self._told_up_to(message, heard)
        self._playout.clear(now)
        message.paused_at = heard
        played_ms, spoken = self._ms(heard + message.replayed), len(self._heard_words(message, heard))
        if message.audible:
            out.append(BotPaused(message.turn, message.message_id, played_ms, spoken, reason))
        return out

    def resume(self) -> list[BotEvent]:
        """Let the paused message go on: from the beginning of the word that was cut, else from where it was."""
        message = self.current
        if message is None or message.paused_at is None:
            return []
        heard, message.paused_at = message.paused_at, None
        message.reached = max(message.reached, heard)
        index, at = self._place_to_go_on(message, heard)
        self._rewind(message, at)
        message.replayed += max(0, heard - at)
        message.base = self._playout.written - at
        message.closed = False
        self._playout.begin_message()
        return [BotResumed(message.turn, message.message_id, index)] if message.audible else []

    def _place_to_go_on(self, message: Message, heard: int) -> tuple[int, int]:
        """Index of the word, and the sample."""
        last = message.words[message.told - 1] if message.told else None
        if last is None or not last.start < heard < last.end:
            return message.told, heard
        back = (ESTIMATED_MS if message.estimated else EXACT_MS) * self._rate // 1000
        return message.told - 1, self._quietest(message, max(0, last.start - back), last.start)

    def _quietest(self, message: Message, first: int, last: int) -> int:
        """A place between two words sounds less cut off than one within them."""
        hop = _HOP_MS * self._rate // 1000
        audio, start = self._kept_from(message, first)
        span = audio[: max(0, last + hop - start)]
        hops = len(span) // hop
        if not hops:
            return max(start, last)
        levels = np.square(span[: hops * hop].astype(np.float32)).reshape(hops, hop).mean(axis=1)
        # Of places that are equally quiet, the latest: nothing is said twice without need.
        return start + (hops - 1 - int(np.argmin(levels[::-1]))) * hop

    def _kept_from(self, message: Message, at: int) -> tuple[Pcm, int]:
        """What was handed to the play-out from a place on, and the place where that begins."""
        parts = [pcm[max(0, at - start) :] for start, pcm in message.kept if start + len(pcm) > at]
        audio = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)
        return audio, message.fed - len(audio)

    def _rewind(self, message: Message, at: int) -> None:
        audio, start = self._kept_from(message, at)
        fade = min(len(audio), _FADE_MS * self._rate // 1000)
        ramp = np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)
        audio = np.concatenate([(audio[:fade] * ramp).astype(np.int16), audio[fade:]])
        message.kept = deque((s, pcm[: start - s]) for s, pcm in message.kept if s < start)
        message.fed = start
        if len(audio):
            message.audio.appendleft(audio)
            message.buffered += len(audio)

    # --- stopping -----------------------------------------------------------------------------------------

    def cut(
        self, now: float, reason: InterruptReason, abort: AbortReason, *, by_user: bool = False
    ) -> list[BotEvent]:
        """Stop everything, also what only waits; ``by_user``: but for what must be heard. The leg must be cleared
        with it."""
        out: list[BotEvent] = []
        if self.current is not None:
            out += self._cut_current(now, reason, abort)
        waiting, self._messages = self._messages, deque()
        for message in waiting:
            if by_user and not message.interruptible:
                self._messages.append(message)
            else:
                out += self._never_played(message, reason, abort)
        return out

    def cut_one(self, message: Message, now: float) -> list[BotEvent]:
        """Stop one message; the others go on."""
        if message is self.current:
            return self._cut_current(now, "cancelled", "cancelled")
        self._messages.remove(message)
        return self._never_played(message, "cancelled", "cancelled")

    def withdraw(self, message: Message) -> bool:
        """Take a message back of which nothing was played, and say nothing of it. False: it is playing."""
        if message.base is not None or not self.holds(message):
            return False
        self._messages = deque(m for m in self._messages if m is not message)
        return True

    def discard(self, in_reply_to: str, reason: AbortReason) -> list[BotEvent]:
        """Drop what answers this message id and has not begun to play."""
        out: list[BotEvent] = []
        for message in [m for m in self._messages if m.base is None and m.in_reply_to == in_reply_to]:
            self._messages.remove(message)
            out += self._never_played(message, "early", reason)
        return out

    def _cut_current(self, now: float, reason: InterruptReason, abort: AbortReason) -> list[BotEvent]:
        message = self._messages[0]
        heard = self._heard(now)
        out = self._told_up_to(message, heard)
        self._messages.popleft()
        self._playout.clear(now)
        return out + self._ended_short(message, heard, reason, abort)

    def _ended_short(
        self, message: Message, heard: int, reason: InterruptReason, abort: AbortReason
    ) -> list[BotEvent]:
        """What is told of a message that was not heard to its end."""
        words = self._heard_words(message, heard)
        last = words[-1] if words else None
        played_ms = self._ms(heard + message.replayed)
        last_word = last.text if last else None
        cut = next(
            (s for s in message.sentences if last is not None and s.start < last.text_end <= s.end), None
        )
        out: list[BotEvent] = [_output(message, cut, last.text_end)] if cut and last else []
        out += [BotInterrupted(message.turn, message.message_id, played_ms, len(words), last_word, reason)]
        if last is None or reason == "early":
            out.append(MessageAborted(message.turn, message.message_id, abort))
        else:
            text = message.text[: last.text_end].strip()
            out.append(MessageConfirmed(message.turn, message.message_id, text))
        return out

    def _heard_words(self, message: Message, heard: int) -> list[Word]:
        words = message.words[: message.told]
        # A word whose first sample lies right at the cut was not heard. One that is said again was.
        while words and words[-1].start >= max(heard, message.reached):
            words = words[:-1]
        return words

    def _never_played(self, message: Message, reason: InterruptReason, abort: AbortReason) -> list[BotEvent]:
        return [
            BotInterrupted(message.turn, message.message_id, 0, 0, None, reason),
            MessageAborted(message.turn, message.message_id, abort),
        ]


def _output(message: Message, sentence: Sentence, end: int) -> BotOutput:
    """A sentence was heard, up to a place in the text of its message."""
    text = message.text[sentence.start : end].strip()
    return BotOutput(message.turn, message.message_id, sentence.number, text, True, "sentence")
