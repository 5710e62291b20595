"""One thing that the bot has to say, and one sentence of it in synthesis. Pure.

Positions are samples from the first one of the message.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from media.frames import Pcm
from pipeline.alignment import Aligner, Pace
from pipeline.events import TurnRef
from pipeline.text import SentenceSplitter, tokens

AUDIBLE = 100
"""A sample of at least this size is sound: -50 dBFS. Quieter ones at the end of a message are not played."""
MAX_RESUMED = 3
"""How often another voice goes on in the middle of a message, where one broke off."""
FIRST_CLAUSE_CHARS = 45
"""A streamed text whose first sentence is longer than this is begun at the end of a clause: so long a wait
for a full stop would be heard."""


@dataclass(slots=True)
class Word:
    text: str
    start: int
    """Samples from the first one of the message."""
    end: int
    text_end: int
    """Characters of the message up to the end of this word."""


@dataclass(slots=True)
class Sentence:
    """A part of a message that is synthesised at once, and told as one."""

    number: int
    """Place among those of its message, from 0."""
    start: int
    """Characters of the message before it."""
    end: int
    words: int | None = None
    """Words of the message up to its end; None while some of them may still come."""


@dataclass(slots=True)
class Message:
    """One thing to say."""

    message_id: str
    text: str
    in_reply_to: str = ""
    streamed: bool = False
    turn: TurnRef | None = None
    complete: bool = True
    """No more text will come."""
    pending: deque[tuple[int, str]] = field(default_factory=deque)
    """Sentences that wait for synthesis, with their place in the text."""
    words: list[Word] = field(default_factory=list)
    audio: deque[Pcm] = field(default_factory=deque)
    buffered: int = 0
    """Samples in ``audio``."""
    length: int = 0
    """Samples so far, without the silence at the very end."""
    base: int | None = None
    """Where its first sample lies on the timeline, once it has begun to play."""
    sent_at: float | None = None
    """When its first audio went to the leg."""
    audible: bool = False
    """It was told that it is heard."""
    told: int = 0
    """Words that were told."""
    announced: int = 0
    """Sentences that were begun to be made."""
    sentences: deque[Sentence] = field(default_factory=deque)
    """Those of them that were not heard to their end yet."""
    in_synthesis: bool = False
    broken: bool = False
    """The engine could not say all of it."""
    closed: bool = False
    """Its last sample is on the timeline."""
    splitter: SentenceSplitter = field(
        default_factory=lambda: SentenceSplitter(first_clause_chars=FIRST_CLAUSE_CHARS)
    )
    """Of a streamed text."""
    cut_at: int = 0
    """Characters of a streamed text that are in sentences already."""
    tail: Pcm | None = None
    known: bool = False
    """What is heard of it enters the history of the language model."""
    holding: bool = False
    """It is no answer, only a word that one will come."""
    own: bool = False
    """It is the answer of the call's own mind: no agent writes into it."""
    by_person: bool = False
    """A person beside the bot says it: no agent stops it."""
    interruptible: bool = True
    """False: the user does not silence it."""
    estimated: bool = False
    """The times of its words are not the engine's own."""
    fed: int = 0
    """Samples that were handed to the play-out."""
    kept: deque[tuple[int, Pcm]] = field(default_factory=deque)
    """The last of them, each with its place: more than was not heard yet."""
    paused_at: int | None = None
    """What was heard of it when it was paused."""
    reached: int = 0
    """How far into it the caller had heard before it went back to the beginning of a word."""
    replayed: int = 0
    """Samples that were heard once more after a pause."""
    resumed: int = 0
    """How often its voice broke off in the middle of a sentence, and another went on."""

    def sentence_at(self, start: int, text: str) -> Sentence | None:
        """This text is going to be made: a sentence that begins with it. None: it is the rest of one."""
        last = self.sentences[-1] if self.sentences else None
        if last is not None and start < last.end:
            return None
        sentence = Sentence(self.announced, start, start + len(text))
        self.announced += 1
        self.sentences.append(sentence)
        return sentence

    @property
    def started(self) -> bool:
        """Some of its audio went to the leg."""
        return self.sent_at is not None

    @property
    def synthesised(self) -> bool:
        return self.complete and not self.pending and not self.in_synthesis


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of text that is to be spoken."""

    place: int = 0
    """Its message is the so-manieth to be heard, from 1; 0: it is none that can be heard."""
    refused: str = ""
    """Why it is not taken, in the words of ``ReplyRejected.reason``."""


class Job:
    """One sentence in synthesis. Words come before the audio that they lie in."""

    def __init__(self, message: Message, offset: int, text: str, sample_rate_hz: int) -> None:
        self.message = message
        self.text = text
        self._rate = sample_rate_hz
        self._offset = offset
        self._tokens = tokens(text)
        self._base = message.length + (len(message.tail) if message.tail is not None else 0)
        self._samples = 0
        self._first = len(message.words)
        self._next = 0
        self._aligner: Aligner | None = None
        self.sentence = message.sentence_at(offset, text)
        """That begins with it; None: it is the rest of one that was begun before."""

    @property
    def yielded(self) -> bool:
        """Some of its audio is there: it can no longer be begun anew unheard."""
        return self._samples > 0

    @property
    def seconds(self) -> float:
        """Of its audio so far."""
        return self._samples / self._rate

    def align(self, pace: Pace, language: str) -> None:
        """The engine gives no times of its own: they are estimated, the better the more audio there is."""
        texts = [token.text for token in self._tokens]
        self._aligner = Aligner(texts, self._rate, pace, language)
        self.message.estimated = True
        while self._next < len(self._tokens):
            self._add(0.0, 0.0)
        self._estimate(self._aligner)

    def word(self, index: int, start_s: float, end_s: float) -> None:
        """The engine says when a token is spoken. One that it left out has no length of its own."""
        while self._next < index and self._next < len(self._tokens):
            self._add(start_s, start_s)
        if self._next == index:
            self._add(start_s, end_s)

    def audio(self, pcm: Pcm) -> None:
        self._samples += len(pcm)
        message = self.message
        if self._aligner is not None:
            self._aligner.audio(pcm)
            self._estimate(self._aligner)
        if message.tail is not None:
            pcm = np.concatenate([message.tail, pcm])
            message.tail = None
        loud = np.flatnonzero(np.abs(pcm) >= AUDIBLE)
        end = int(loud[-1]) + 1 if len(loud) else 0
        if end < len(pcm):
            message.tail = pcm[end:]
        if end:
            message.audio.append(pcm[:end])
            message.buffered += end
            message.length += end

    def done(self) -> None:
        """The sentence is over. Words that the engine gave no time for share what is left, by length."""
        if self._aligner is not None:
            self._aligner.done()
            self._estimate(self._aligner)
        rest = self._tokens[self._next :]
        start = self._words_end()
        span = max(0.0, self._samples / self._rate - start)
        weights = [len(token.text) + 1 for token in rest]
        for weight in weights:
            length = span * weight / sum(weights)
            self._add(start, start + length)
            start += length
        self._end_sentence()
        self.message.in_synthesis = False

    def _end_sentence(self) -> None:
        if self.message.sentences:
            self.message.sentences[-1].words = len(self.message.words)

    def go_on(self) -> bool:
        """The engine broke off in the middle: what it has not said goes back to be said. False: it cannot."""
        message = self.message
        if not self.yielded or message.resumed >= MAX_RESUMED:
            return False
        spoken = self._spoken()
        del message.words[self._first + spoken :]
        if spoken < len(self._tokens):
            message.resumed += 1
            start = self._tokens[spoken].start
            message.pending.appendleft((self._offset + start, self.text[start:]))
        else:
            self._end_sentence()
        message.in_synthesis = False
        return True

    def _spoken(self) -> int:
        """Tokens that lie whole in the audio so far, or of which the caller has heard the beginning."""
        end = self._base + self._samples - self._rate // 30
        words = self.message.words[self._first :]
        whole = next((i for i, word in enumerate(words) if word.end > end), len(words))
        return max(whole, self.message.told - self._first)

    def fail(self) -> None:
        """The engine cannot go on: what there is of the message is all that there will be."""
        message = self.message
        message.broken = message.complete = True
        message.pending.clear()
        message.in_synthesis = False

    def _estimate(self, aligner: Aligner) -> None:
        """Move the words that were not told yet to where they seem to lie."""
        words, told = self.message.words, self.message.told
        floor = 0
        for index, (start, end) in enumerate(aligner.words(), self._first):
            word = words[index]
            if index >= told:
                word.start = max(floor, self._base + start)
                word.end = max(word.start, self._base + end)
            floor = word.start

    def _words_end(self) -> float:
        if not self._next:
            return 0.0
        return max(0.0, (self.message.words[-1].end - self._base) / self._rate)

    def _add(self, start_s: float, end_s: float) -> None:
        token = self._tokens[self._next]
        self._next += 1
        words = self.message.words
        start = self._base + round(start_s * self._rate)
        if words:
            start = max(start, words[-1].start)
        end = max(start, self._base + round(end_s * self._rate))
        words.append(Word(token.text, start, end, self._offset + token.end))
