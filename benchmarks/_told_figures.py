"""What calls told of themselves, against what was so at the far end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks._far_end import RATE_HZ
from benchmarks._known_voice import Sentence, place
from benchmarks._told_calls import HOLDING, Call
from pipeline.events import BotFinished, BotInterrupted, BotSpeaking, BotWord, MessageConfirmed
from pipeline.text import tokens

EARLY_MS = 2000
AUDIBLE_GAP_MS = 20.0
YOUNG_MS = 250
"""Of a message: the far end's buffer is still being filled."""


@dataclass
class Figures:
    """All times in ms, told less true: what is told late or claims too much is positive."""

    word: list[float] = field(default_factory=list)
    """From the instant when a word began to be audible to its ``bot.word``."""
    words_unheard: int = 0
    """Words that were told, and of which no sample was ever played."""
    played: list[float] = field(default_factory=list)
    duration: list[float] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    """Words in the history of a message that the user cut off at 2 s or later, less those begun to be heard."""
    kept_cancelled: list[int] = field(default_factory=list)
    """The same for one that its agent cut off, at any time."""
    early_kept: int = 0
    """Messages cut off before 2 s that are in the history all the same."""
    no_prefix: int = 0
    """Confirmed texts that are no beginning of their message."""
    messages: int = 0
    gaps: list[float] = field(default_factory=list)
    """Holes within messages."""
    gaps_young: int = 0
    """Those of more than ``AUDIBLE_GAP_MS`` where less than ``YOUNG_MS`` of the message had come."""
    calls: int = 0
    unplaced: int = 0
    """Samples at the far end of which nobody knows where they come from."""
    worst: list[tuple[float, str]] = field(default_factory=list)
    """What lies furthest off, for a look at it."""

    @property
    def cuts(self) -> list[int]:
        return self.kept + self.kept_cancelled


@dataclass
class _Spoken:
    """A message as it arrived at the far end: its sentences, each with the number of its first word."""

    text: str
    sentences: list[tuple[int, Sentence]] = field(default_factory=list)

    def word(self, index: int) -> tuple[Sentence, int] | None:
        for first, sentence in reversed(self.sentences):
            if first <= index < first + len(sentence.words):
                return sentence, index - first
        return None

    def begun(self) -> int:
        """Words of which something was heard; all before the last one of them count."""
        return max(
            (first + i + 1 for first, s in self.sentences for i in range(len(s.words)) if s.begun(i)),
            default=0,
        )

    def holds(self, chunk: int) -> bool:
        """This piece of audio continues it."""
        first, last = self.sentences[0][1].arrived, max(s.arrived_last for _, s in self.sentences)
        return first is not None and first < chunk <= last

    def heard_ms(self) -> float:
        return sum(sentence.audible() for _, sentence in self.sentences) * 1000 / RATE_HZ


def figures(calls: Sequence[Call]) -> dict[bool, Figures]:
    """By whether the engine gave word times."""
    found: dict[bool, Figures] = defaultdict(Figures)
    for call in calls:
        add(found[call.plan.word_times], call)
    return found


def add(out: Figures, call: Call) -> None:
    out.calls += 1
    pieces = [(chunk.pcm, chunk.played, chunk.start_s) for chunk in call.far.playback.chunks]
    out.unplaced += place(pieces, call.voice.sentences)
    told = _messages(call)
    _gaps(out, call, told)
    _words(out, call, told)
    _ends(out, call, told)


def _messages(call: Call) -> dict[str, _Spoken]:
    """Which sentences belong to which message: those at the far end, in order, to those that were announced."""
    arrived = sorted(
        (sentence for sentence in call.voice.sentences if sentence.arrived is not None),
        key=lambda sentence: sentence.arrived or 0,
    )
    spoken: list[_Spoken] = []
    for sentence in arrived:
        text = next((text for text in call.texts if sentence.text in text), None)
        assert text is not None or sentence.text == HOLDING, sentence.text
        if text is None:
            spoken.append(_Spoken(HOLDING))
        elif not spoken or spoken[-1].text != text:
            spoken.append(_Spoken(text))
        first = len(tokens(spoken[-1].text[: spoken[-1].text.index(sentence.text)]))
        spoken[-1].sentences.append((first, sentence))
    begun = [event for _, event in call.of(BotSpeaking)]
    assert len(begun) == len(spoken), (len(begun), len(spoken))
    assert all(not event.text or event.text == of.text for event, of in zip(begun, spoken, strict=True))
    return {event.message_id: of for event, of in zip(begun, spoken, strict=True)}


def _gaps(out: Figures, call: Call, told: dict[str, _Spoken]) -> None:
    chunks = call.far.playback.chunks
    for gap in call.far.playback.gaps:
        for first in (m.sentences[0][1].arrived for m in told.values() if m.holds(gap.chunk)):
            out.gaps.append(gap.seconds * 1000)
            come = sum(len(chunk.pcm) for chunk in chunks[first or 0 : gap.chunk])
            if gap.seconds * 1000 > AUDIBLE_GAP_MS and come * 1000 < YOUNG_MS * RATE_HZ:
                out.gaps_young += 1


def _words(out: Figures, call: Call, told: dict[str, _Spoken]) -> None:
    for at, event in call.of(BotWord):
        found = told[event.message_id].word(event.word_index)
        if found is None or not found[0].begun(found[1]):
            out.words_unheard += 1
            continue
        sentence, index = found
        instant = sentence.instant_of(sentence.words[index][0])
        if instant is None:  # Its first sample was not heard, but something of it was.
            continue
        out.word.append((at - instant) * 1000)
        out.worst.append((out.word[-1], f"seed {call.plan.seed} {at:.3f} {event.word!r} word"))


def _ends(out: Figures, call: Call, told: dict[str, _Spoken]) -> None:
    confirmed = {event.message_id: event.text for _, event in call.of(MessageConfirmed)}
    for _, done in call.of(BotFinished):
        out.messages += 1
        out.duration.append(done.duration_ms - told[done.message_id].heard_ms())
        out.no_prefix += confirmed.get(done.message_id) != told[done.message_id].text.strip()
    for at, cut in call.of(BotInterrupted):
        spoken = told.get(cut.message_id)
        if spoken is None:
            continue
        out.messages += 1
        out.played.append(cut.played_ms - spoken.heard_ms())
        out.worst.append((out.played[-1], f"seed {call.plan.seed} {at:.3f} {cut.message_id} played"))
        text = confirmed.get(cut.message_id, "")
        out.no_prefix += not spoken.text.startswith(text)
        more = len(tokens(text)) - spoken.begun()
        if cut.reason == "cancelled":
            out.kept_cancelled.append(more)
        elif cut.played_ms >= EARLY_MS:
            out.kept.append(more)
        else:
            out.early_kept += bool(text)
