"""Barge-in, precision and recall: who silences the bot, and who only makes it wait.

``python -m benchmarks.bargein`` plays calls on virtual time at the default settings: the bot says a long text, and
something is heard over it. It prints, for each kind of sound, how often the bot was cut off, how often it was
paused and went on, how long it took to fall silent, and what of its words was lost or said twice.

It needs the folder of recorded speech (``TALKWIRE_SPEECH_DIR``). Coughs, breaths, clicks, keys and music are
synthesised, backchannels are said by the project's own voices: see ``_overlap_sounds``. The recogniser is a
stand-in that gives the true words 250 ms late; with ``--recogniser embedded`` its words are those that the embedded
one makes of each recording, heard alone over the phone, at the same lag.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from benchmarks._known_voice import Studio
from benchmarks._overlap import LINE_NOISE_DB, EchoPath, Outcome, Plan, hold
from benchmarks._overlap_sounds import RATE_HZ, SPEECH, Sound, backchannels, background, interruptions, noises
from media.g711 import ulaw_decode, ulaw_encode

ECHOES = (
    ("-30 dB, 120 ms", EchoPath(120, -30)),
    ("-20 dB, 60 ms", EchoPath(60, -20)),
    ("-20 dB, 250 ms, room 200 ms", EchoPath(250, -20, 200)),
    ("-12 dB, 150 ms, room 300 ms", EchoPath(150, -12, 300)),
    ("-12 dB, 400 ms, overdriven", EchoPath(400, -12, 150, clipped=True)),
    ("-6 dB, 120 ms", EchoPath(120, -6)),
)
OVER_ECHO = EchoPath(150, -20, 150)


def plans(studio: Studio, sounds: Iterable[Sound], seed: int, label: str = "") -> list[tuple[str, Plan]]:
    """A call for each sound, at an instant between 0.8 and 6 s into the message."""
    rng = random.Random(seed)
    return [
        (
            label or sound.kind,
            Plan(rng.randrange(2**31), studio.voices[i % len(studio.voices)], sound, rng.uniform(0.8, 6.0)),
        )
        for i, sound in enumerate(sounds)
    ]


def all_plans(studio: Studio, seed: int, understand: bool) -> list[tuple[str, Plan]]:
    callers = interruptions()
    said = embedded(callers) if understand else callers
    out = plans(studio, said, seed, "interruption, clean line")
    noisy = plans(studio, said, seed + 1, "interruption, line noise -41 dBFS")
    out += [(label, replace(plan, noise_db=-41.0)) for label, plan in noisy]
    echoed = plans(studio, said, seed + 2, "interruption over an echo of -20 dB")
    out += [(label, replace(plan, echo=OVER_ECHO)) for label, plan in echoed]
    out += plans(studio, backchannels(studio), seed + 3)
    out += plans(studio, background(said), seed + 4)
    out += plans(studio, noises(callers, seed), seed + 5)
    rng = random.Random(seed + 6)
    for label, path in ECHOES:
        for voice in studio.voices:
            plan = Plan(rng.randrange(2**31), voice, None, 0.0, LINE_NOISE_DB, path)
            out.append((f"echo {label}", plan))
    return out


def embedded(sounds: list[Sound]) -> list[Sound]:
    """The same sounds with the words that the embedded recogniser makes of them."""
    from pipeline.providers.pocketsphinx import model
    from pipeline.providers.pocketsphinx.recogniser import OpenSearch, PhraseSearch
    from pipeline.providers.pocketsphinx.segment import Segment
    from pipeline.providers.pocketsphinx.wire import Begin, Final

    loaded = model.load()
    search, phrases = OpenSearch(loaded), PhraseSearch(loaded)
    out = []
    for sound in sounds:
        audio = np.concatenate([np.zeros(RATE_HZ // 4), sound.audio, np.zeros(RATE_HZ // 4)])
        pcm = ulaw_decode(ulaw_encode(np.rint(audio * 32768).astype(np.int16)))
        segment = Segment(Begin(1, RATE_HZ, (), None), search, phrases)
        for at in range(0, len(pcm), RATE_HZ // 50):
            segment.feed(pcm[at : at + RATE_HZ // 50])
        final: Final = segment.end()
        words = tuple((word.start_s - 0.25, word.end_s - 0.25, word.word) for word in final.words)
        out.append(replace(sound, words=words))
    return out


def table(results: Sequence[tuple[str, Outcome]]) -> list[str]:
    lines = [
        "| heard over the bot | calls | `speech.started` | paused | went on | cut off "
        "| silence after, median (p90, worst) | words lost | said twice | taken for the user's |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for label in dict.fromkeys(label for label, _ in results):
        group = [outcome for name, outcome in results if name == label]
        silences = sorted(ms for outcome in group if (ms := outcome.silence_ms) is not None)
        spared = [outcome for outcome in group if not outcome.cut and outcome.finished]
        went_on = sum(outcome.paused and outcome.finished for outcome in spared)
        cells = [
            label,
            str(len(group)),
            str(sum(outcome.speech_started for outcome in group)),
            str(sum(outcome.paused for outcome in group)),
            str(went_on),
            str(sum(outcome.cut for outcome in group)),
            f"{median(silences):.0f} ({_p90(silences):.0f}, {silences[-1]:.0f}) ms" if silences else "-",
            str(sum(outcome.words_lost for outcome in spared)),
            str(sum(outcome.words_twice for outcome in spared)),
            str(sum(bool(outcome.heard_as_user) for outcome in group)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def score(results: Sequence[tuple[str, Outcome]]) -> list[str]:
    """Precision and recall of cutting off, and of silencing at all."""
    wanted = [o for _, o in results if o.plan.sound is not None and o.plan.sound.interrupts]
    unwanted = [o for _, o in results if o.plan.sound is None or not o.plan.sound.interrupts]
    hit, false = sum(o.cut for o in wanted), sum(o.cut for o in unwanted)
    stopped = sum(o.cut or o.paused for o in unwanted)
    return [
        f"Cut off: recall {_share(hit, len(wanted))}, precision {_share(hit, hit + false)}; "
        f"of {len(unwanted)} other sounds {false} cut the bot off and {stopped} made it pause or stop.",
    ]


def _p90(values: Sequence[float]) -> float:
    return values[min(len(values) - 1, int(0.9 * len(values)))]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part} of {whole})" if whole else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description="Barge-in: precision and recall")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recogniser", choices=("true", "embedded"), default="true")
    parser.add_argument("--only", default="", help="kinds of sounds that begin with this")
    parser.add_argument("--each", action="store_true", help="a line for each call that went wrong")
    options = parser.parse_args()
    if not (SPEECH / "manifest.json").exists():
        raise SystemExit(f"no recorded speech in {SPEECH}: set TALKWIRE_SPEECH_DIR")
    began = time.perf_counter()
    results: list[tuple[str, Outcome]] = []
    with Studio() as studio:
        for label, plan in all_plans(studio, options.seed, options.recogniser == "embedded"):
            if label.startswith(options.only):
                outcome = hold(plan, studio)
                results.append((label, outcome))
                if options.each:
                    _tell(label, outcome)
    print("\n".join([*table(results), "", *score(results)]))
    print(f"\n{len(results)} calls in {time.perf_counter() - began:.0f} s, seed {options.seed}.")


def _tell(label: str, outcome: Outcome) -> None:
    sound = outcome.plan.sound
    wanted = sound is not None and sound.interrupts
    if outcome.cut == wanted and (wanted or not outcome.paused):
        return
    events = [
        f"{at - outcome.onset_s:.2f} {type(event).__name__}"
        for at, event in outcome.log
        if type(event).__name__
        in ("SpeechStarted", "SpeechEnded", "BotPaused", "BotResumed", "BotInterrupted", "UserMessage")
    ]
    print(f"{label}: {sound.name if sound else outcome.plan.voice[1]}: {', '.join(events)}")


if __name__ == "__main__":
    main()
