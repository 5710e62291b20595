"""``talkwire tune``: where each setting would have ended the turns of a recorded call, and at what price."""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from media import wav
from media.frames import Pcm
from media.ports import VoiceDetector
from media.resample import resample
from media.vad.pool import CallLater
from pipeline.endpointing import EndOfTurn, Endpointing, Evidence, judge_of
from pipeline.endpointing.prosody import measure
from pipeline.endpointing.tune import Pause, Survey, Voice, Word, survey, voices
from pipeline.errors import ProviderError
from pipeline.listening import ASK_MS, SOUND_MS
from pipeline.ports import SpeechToText, SttEvent, SttFailed, SttFinal, SttOptions
from server.compose import recogniser, rows, turn_model, voice_detector
from server.settings import Settings, SettingsError

SILENCES_MS = (300, 500, 700, 1000)
PATIENCES = (0.5, 1.0, 1.5, 2.0)
APART_MS = 2000
TOGETHER_MS = 300
"""Voice with shorter silences in it is one utterance to the recogniser."""
PRE_ROLL_MS, TAIL_MS = 300, 300
FRAME_MS = 20
ANSWER_S = 60.0
SAID_CHARS = 38
COLUMN = 13


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recording",
        type=Path,
        help="a WAV file; of two channels the left is the caller's, the right the bot's",
    )
    parser.add_argument(
        "--silence", type=_numbers(int, 50, 10_000), default=SILENCES_MS, metavar="MS,...",
        help=f"turn_detection.silence_ms to try (default: {','.join(map(str, SILENCES_MS))})",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=_numbers(float, 0.25, 4), default=PATIENCES, metavar="X,...",
        help=f"turn_detection.patience to try (default: {','.join(map(str, PATIENCES))})",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=_numbers(float, 0.05, 0.95), default=(0.5,), metavar="P",
        help="turn_detection.smart_turn_threshold to try with each patience (default: 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--apart-ms", type=int, default=APART_MS,
        help=f"so long a silence is the end of a turn, and so is one in which the bot began (default: {APART_MS})",
    )  # fmt: skip
    parser.add_argument(
        "--words-lag-ms", type=int, default=200, help="how late the words come in a call (default: 200)"
    )
    parser.add_argument("--language", help="what is spoken, BCP-47 (default: TALKWIRE_LANGUAGE)")
    parser.add_argument("--no-words", action="store_true", help="judge without a recogniser")


def _numbers(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], tuple[float, ...]]:
    def read(text: str) -> tuple[float, ...]:
        try:
            values = tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers, such as 300,500") from None
        if any(not least <= value <= most for value in values):
            raise argparse.ArgumentTypeError(f"{text!r}: allowed is {least:g} to {most:g}")
        return values

    return read


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Read the recording, have it understood, and print the table."""
    caller, bot, rate_hz = await asyncio.to_thread(_read, args.recording)
    language = args.language or settings.language
    detector = await asyncio.to_thread(_detectors, settings)
    heard = await asyncio.to_thread(voices, caller, rate_hz, detector)
    if not heard:
        raise SettingsError(
            f"{args.recording}: no voice in it" + (" (left channel)" if bot is not None else "")
        )
    words: list[Word] = []
    if not args.no_words and (engine := await asyncio.to_thread(_engine, settings)) is not None:
        words = await _understood(engine, caller, rate_hz, heard, language)

    scores = await _scores(settings, caller, rate_hz, heard)

    def sound(at: int) -> Evidence:
        return Evidence(prosody=measure(caller[:at], rate_hz).prosody, model=scores.get(at))

    def look() -> Survey:
        return survey(
            caller,
            rate_hz,
            detector,
            _judges(args),
            words=words,
            words_lag_ms=args.words_lag_ms,
            bot=voices(bot, rate_hz, detector) if bot is not None else (),
            apart_ms=args.apart_ms,
            language=language,
            sound=sound,
        )

    found = await asyncio.to_thread(look)
    print("\n".join(report(found, words, heard)))
    return 0


def _read(path: Path) -> tuple[Pcm, Pcm | None, int]:
    """The caller, the bot where it has a channel of its own, and a rate that detectors take."""
    try:
        channels, rate_hz = wav.read_channels(path)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise SettingsError(str(error)) from None
    wanted_hz = 8000 if rate_hz < 16000 else 16000
    caller, *rest = (resample(np.ascontiguousarray(pcm), rate_hz, wanted_hz) for pcm in channels)
    return caller, rest[0] if rest else None, wanted_hz


def _detectors(settings: Settings) -> Callable[[CallLater], VoiceDetector]:
    from media.vad.silero import SileroVad

    # A recording is read faster than it was spoken: the detector's ticks are driven by hand.
    used = type(voice_detector(settings.vad))
    return (lambda later: SileroVad(call_later=later)) if used is SileroVad else (lambda _: used())


def _engine(settings: Settings) -> SpeechToText | None:
    names = rows(settings)["stt"]
    return recogniser(names[0], settings) if names else None


def _judges(args: argparse.Namespace) -> dict[str, EndOfTurn]:
    judges = {
        f"silence {ms:g}": judge_of(Endpointing("silence", silence_ms=round(ms))) for ms in args.silence
    }
    for threshold in args.threshold:
        for patience in args.patience:
            name = f"patience {patience:g}" + (f" @{threshold:g}" if len(args.threshold) > 1 else "")
            judges[name] = judge_of(Endpointing("local", patience=patience, threshold=threshold))
    return judges


async def _understood(
    engine: SpeechToText, pcm: Pcm, rate_hz: int, heard: Sequence[Voice], language: str
) -> list[Word]:
    """What the configured recogniser makes of each utterance. Where it gives no times, all words of an utterance
    are known at its end."""
    answers: asyncio.Queue[SttEvent] = asyncio.Queue()
    words: list[Word] = []
    try:
        await engine.start()
        stream = engine.open(SttOptions(rate_hz, language), answers.put_nowait)
    except (ProviderError, ValueError, RuntimeError) as error:
        await engine.aclose()
        raise SettingsError(f"{error}; --no-words judges without a recogniser") from None
    try:
        for number, voice in enumerate(_utterances(heard)):
            first = max(0, round((voice.start_ms - PRE_ROLL_MS) * rate_hz / 1000))
            last = round((voice.end_ms + TAIL_MS) * rate_hz / 1000)
            stream.begin(number)
            for at in range(first, min(last, len(pcm)), rate_hz * FRAME_MS // 1000):
                stream.feed(pcm[at : min(at + rate_hz * FRAME_MS // 1000, last)])
            stream.end()
            final = await _final(engine, answers)
            start_ms = first * 1000 / rate_hz
            if final.words:
                words += [Word(word.word, start_ms + word.end_s * 1000) for word in final.words]
            else:
                words += [Word(text, voice.end_ms) for text in final.text.split()]
    finally:
        await stream.aclose()
        await engine.aclose()
    return words


async def _final(engine: SpeechToText, answers: asyncio.Queue[SttEvent]) -> SttFinal:
    try:
        async with asyncio.timeout(ANSWER_S):
            while not isinstance(event := await answers.get(), SttFinal | SttFailed):
                pass
    except TimeoutError:
        raise SettingsError(f"{engine.name} gave no text for {ANSWER_S:g} s") from None
    if isinstance(event, SttFailed):
        raise SettingsError(f"{event.error}; --no-words judges without a recogniser")
    return event


async def _scores(settings: Settings, pcm: Pcm, rate_hz: int, heard: Sequence[Voice]) -> dict[int, float]:
    """What the operator's audio model, where there is one, says of the end of each stretch of voice."""
    model = turn_model(settings)
    if model is None:
        return {}
    scores: dict[int, float] = {}
    await model.start()
    try:
        for voice in heard:
            at = int(voice.end_ms * rate_hz / 1000)
            until = at + ASK_MS * rate_hz // 1000
            answer: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            model.ask(
                None, pcm[max(0, until - SOUND_MS * rate_hz // 1000) : until], rate_hz, answer.set_result
            )
            score = await answer
            if score is not None:
                scores[at] = score
    finally:
        await model.aclose()
    return scores


def _utterances(heard: Sequence[Voice]) -> list[Voice]:
    joined: list[Voice] = []
    for voice in heard:
        if joined and voice.start_ms - joined[-1].end_ms < TOGETHER_MS:
            joined[-1] = replace(joined[-1], end_ms=voice.end_ms)
        else:
            joined.append(voice)
    return joined


# --- the table --------------------------------------------------------------------------------------------


def report(found: Survey, words: Sequence[Word], heard: Sequence[Voice]) -> list[str]:
    """The lines that are printed."""
    names = list(found.ended_ms)
    turns = len({pause.turn for pause in found.pauses if pause.ends})
    held = sum(pause.cuttable for pause in found.pauses)
    voice_s = sum(voice.end_ms - voice.start_ms for voice in heard) / 1000
    lines = [
        f"{voice_s:.1f} s of voice, {turns} turns, {held} pauses within them; {len(words)} words understood",
        "In ms of silence: when each setting would have ended the turn. CUT: he had not finished.",
        "",
        _line("at s", "pause", "said before it", *names),
    ]
    for number, pause in enumerate(found.pauses):
        length = "end" if pause.ends else f"{pause.length_ms:.0f}"
        if math.isfinite(pause.length_ms) and pause.ends:
            length = f"end {pause.length_ms:.0f}"
        said = pause.looks[-1].evidence.text
        cells = [_cell(pause, found.ended_ms[name][number]) for name in names]
        lines.append(_line(f"{pause.at_ms / 1000:.2f}", length, _tail(said), *cells))
    outcomes = [found.outcomes[name] for name in names]
    dead_air = [f"{o.mean_dead_air_ms:.0f}" if o.dead_air_ms else "-" for o in outcomes]
    lines += [
        "",
        _line("", "", "dead air, mean ms", *dead_air),
        _line("", "", "turns cut off", *(f"{o.turns_cut} of {o.turns}" for o in outcomes)),
        _line("", "", "pauses cut off", *(f"{sum(o.cut)} of {len(o.cut)}" for o in outcomes)),
    ]
    return lines


def _cell(pause: Pause, ended_ms: float | None) -> str:
    if ended_ms is None:
        return "-"
    return f"{ended_ms:.0f}" if pause.ends else f"CUT {ended_ms:.0f}"


def _tail(said: str) -> str:
    return said if len(said) <= SAID_CHARS else f"…{said[1 - SAID_CHARS :]}"


def _line(at: str, length: str, said: str, *cells: str) -> str:
    return f"{at:>7} {length:>9}  {said:<{SAID_CHARS}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells)
