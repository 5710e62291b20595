"""What callers and agent saw, as figures."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks._callers import ANSWER_TIMEOUT_S, GATES_MS, Caller, Message, Said
from benchmarks._delays import Delays
from benchmarks._engines import QUIET_MS, WORD_MS
from benchmarks._speech import RATE_HZ, Detector, verdict
from telephony.carriers.twilio.simulator import SimulatedCall

AUDIBLE_GAP_MS = 60
EARLY_S = 0.4
"""The agent may be told of a message after it has begun to sound, but not by more than this."""


def judge(callers: Sequence[Caller], detector: Detector) -> None:
    """Have the detector hear once more all that was said, without a server around it."""
    for caller in callers:
        begun = [(start, said) for said in caller.said if (start := said.speech.start_sample) is not None]
        edges = detector([(start, said.speech.clip) for start, said in begun]) if begun else []
        for start, said in begun:
            said.verdict = verdict(edges, start, said.speech.clip)


@dataclass(slots=True)
class Figures:
    """Samples of one run, all in ms."""

    response: list[float] = field(default_factory=list)
    response_own: list[float] = field(default_factory=list)
    """Less the endpointing wait and the providers' delays."""
    response_detector: list[float] = field(default_factory=list)
    response_rest: list[float] = field(default_factory=list)
    """Less the detector's own error about the end, too."""
    signal: list[float] = field(default_factory=list)
    """What the answer begins with (``turn.end``, ``eager.turn``), at the agent, against its due time by what the
    detector said."""
    reply: list[float] = field(default_factory=list)
    """From there to its first audible sample, less the engines' delays."""
    saved: list[float] = field(default_factory=list)
    """By which the answer was begun before the turn was over."""
    void: int = 0
    """Answers that were begun and thrown away, since the user went on."""
    onset: list[float] = field(default_factory=list)
    onset_detector: list[float] = field(default_factory=list)
    onset_rest: list[float] = field(default_factory=list)
    barge: dict[int, list[float]] = field(default_factory=lambda: {gate: [] for gate in GATES_MS.values()})
    barge_detector: list[float] = field(default_factory=list)
    barge_rest: list[float] = field(default_factory=list)
    word: list[float] = field(default_factory=list)
    played: list[float] = field(default_factory=list)
    duration: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    """Audible holes in the bot's speech longer than the limit."""
    holes: int = 0
    """All holes, also those too short or too quiet to be heard."""
    missed: int = 0
    """Utterances without an answer."""
    not_interrupted: int = 0
    no_onset: int = 0
    unheard_words: int = 0
    """Words that were told although none of their samples was played."""
    history: list[float] = field(default_factory=list)
    """Words in the language model's history after an interruption, more than were begun to be heard."""
    history_wrong: int = 0
    """Histories after an interruption that do not hold a beginning of the reply, or that never were seen."""
    faults: list[str] = field(default_factory=list)


def figures(callers: Sequence[Caller], window: tuple[float, float], delays: Delays) -> Figures:
    out = Figures()
    for caller in callers:
        call = caller.call
        if caller.failure or call is None:
            out.faults.append(caller.failure or "the call was never placed")
            continue
        out.faults += [*call.faults, *caller.view.errors]
        reader = _Reader(call, caller, window, delays, out)
        out.missed += max(caller.missed, reader.responses())
        reader.onsets()
        reader.interruptions()
        reader.messages()
        reader.holes()
        out.void += sum(window[0] <= at < window[1] for at in caller.view.continued)
    return out


class _Reader:
    """Adds what one caller saw within the window."""

    def __init__(
        self, call: SimulatedCall, caller: Caller, window: tuple[float, float], delays: Delays, out: Figures
    ) -> None:
        self._playback = call.playback
        self._caller = caller
        self._view = caller.view
        self._messages = list(self._view.messages.values())
        self._window = window
        self._delays = delays
        self._early_s = EARLY_S if delays.kind == "openai" else 0.0
        self._out = out
        begun = [said for said in caller.said if said.speech.start_sample is not None]
        self._said = [said for said in begun if self._inside(said.speech.onset_s)]

    def _inside(self, at_s: float) -> bool:
        return self._window[0] <= at_s < self._window[1]

    def responses(self) -> int:
        """How many utterances had no answer."""
        return sum(not self._response(said) for said in self._said)

    def _response(self, said: Said) -> bool:
        loud, end_s = self._playback.loud, said.speech.voice_end_s
        until_s = end_s + ANSWER_TIMEOUT_S
        message = next((m for m in self._messages if end_s < m.told_s < until_s), None)
        if message is None:
            return False
        index = bisect_left(loud, max(end_s, message.told_s - self._early_s), key=lambda span: span[0])
        if index == len(loud) or loud[index][0] > until_s:
            return False
        sound_s, delays, out = loud[index][0], self._delays, self._out
        own = (sound_s - end_s) * 1000 - delays.fixed_ms
        out.response.append(own + delays.fixed_ms)
        out.response_own.append(own)
        signal_s = self._signal_s(message, end_s)
        out.reply.append((sound_s - signal_s) * 1000 - delays.answer_ms)
        end_at_s = next((at for at, _ in reversed(self._view.turn_ends) if at <= message.told_s), None)
        if end_at_s is not None:
            out.saved.append(max(0.0, (end_at_s - signal_s) * 1000))
        if said.verdict is not None:
            detector = said.verdict.end_ms
            out.response_detector.append(detector)
            out.response_rest.append(own - detector)
            out.signal.append((signal_s - end_s) * 1000 - delays.signal_ms - detector)
        return True

    def _signal_s(self, message: Message, end_s: float) -> float:
        """When the agent learnt of what the answer began with."""
        if self._delays.kind == "null":
            return message.told_s
        return next((at for at in reversed(self._view.eager) if end_s < at < message.told_s), end_s)

    def onsets(self) -> None:
        for said in self._said:
            onset_s = said.speech.onset_s
            arrival = next((at for at in self._view.onsets if onset_s < at < onset_s + 1.5), None)
            if arrival is None:
                self._out.no_onset += 1
                continue
            delay = (arrival - onset_s) * 1000
            self._out.onset.append(delay)
            if said.verdict is not None:
                self._out.onset_detector.append(said.verdict.certain_ms)
                self._out.onset_rest.append(delay - said.verdict.certain_ms)

    def interruptions(self) -> None:
        cuts = [stretch.end_s for stretch in self._playback.stretches if stretch.cleared_at is not None]
        for said in self._said:
            if not said.barge_in:
                continue
            onset_s = said.speech.onset_s
            cut_s = next((at for at in cuts if onset_s < at < onset_s + 1.5), None)
            if cut_s is None:
                self._out.not_interrupted += 1
                continue
            delay = (cut_s - onset_s) * 1000
            self._out.barge[self._caller.gate_ms].append(delay)
            if said.verdict is not None:
                detector = said.verdict.onset_ms
                self._out.barge_detector.append(detector)
                self._out.barge_rest.append(delay - self._caller.gate_ms - detector)

    def messages(self) -> None:
        stretches = self._playback.stretches
        for message in self._messages:
            index = bisect_left(
                stretches, message.told_s - self._early_s, key=lambda stretch: stretch.start_s
            )
            if index == len(stretches) or not self._inside(message.told_s):
                continue
            base = stretches[index].first_sample
            self._words(message, base)
            end = next((s for s in stretches[index:] if s.cleared_at is not None), None)
            if message.interrupted_ms and end is not None:
                heard = end.first_sample + end.heard - base
                self._out.played.append(abs(message.interrupted_ms - heard * 1000 / RATE_HZ))
            elif message.finished_ms is not None and message.words:
                told = (max(i for i, _ in message.words) + 1) * WORD_MS - QUIET_MS
                first_s, last_s = self._instant(base), self._instant(base + told * RATE_HZ // 1000 - 1)
                if first_s is not None and last_s is not None:
                    self._out.duration.append(abs(message.finished_ms - (last_s - first_s) * 1000))

    def _instant(self, sample: int) -> float | None:
        return self._playback.instant_of(sample) if sample < self._playback.received else None

    def _words(self, message: Message, base: int) -> None:
        for index, arrival in message.words:
            audible_s = self._instant(base + index * WORD_MS * RATE_HZ // 1000)
            if audible_s is None:
                self._out.unheard_words += 1
            else:
                self._out.word.append((arrival - audible_s) * 1000)

    def holes(self) -> None:
        for hole in self._playback.underruns(within_ms=1000):
            if self._inside(hole.at_s):
                self._out.holes += 1
                if hole.in_speech and hole.duration_ms > AUDIBLE_GAP_MS:
                    self._out.gaps.append(hole.duration_ms)


def at_share(samples: Sequence[float], share: float) -> float | None:
    """A percentile; None without samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
