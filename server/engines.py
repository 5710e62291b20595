"""The engines of this process, what is known of them, and what a call is given of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from media.music import HoldMusic
from media.ports import VoiceDetector
from pipeline.chain import Choice, Deadlines, Health, LlmChain, SttChain, TtsChain
from pipeline.config import Engines
from pipeline.endpointing.smart_turn import AudioTurnModel
from pipeline.errors import ProviderError
from pipeline.ports import Engine, LanguageModel, Probe, Probed, SpeechToText, TextToSpeech

log = structlog.get_logger(__name__)

AGAIN_S = 30.0
"""How often a provider that had a problem is asked whether it still has it."""


@dataclass(frozen=True, slots=True)
class Pick:
    """An engine, by name, and what is wanted of it."""

    engine: str
    model: str | None = None
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class Picks:
    """What one call uses: of each kind the engines in the order in which they are asked."""

    stt: tuple[Pick, ...] = ()
    tts: tuple[Pick, ...] = ()
    llm: tuple[Pick, ...] = ()


@dataclass(frozen=True)
class EnginePool:
    """All that was loaded, shared by all calls, each once; which of them a call gets is not decided here."""

    vad: VoiceDetector
    stt: tuple[SpeechToText, ...]
    tts: tuple[TextToSpeech, ...]
    llm: tuple[LanguageModel, ...] = ()
    """Also those that only agents who name them get."""
    turn_model: AudioTurnModel | None = None
    hold_music: HoldMusic | None = None
    """None: silence."""
    deadlines: Mapping[str, Deadlines] = field(default_factory=dict)
    """By stage."""
    health: Health = field(default_factory=Health)
    wanted: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """The operator's model, by stage and name; None: the engine's default."""
    probes: dict[tuple[str, str], Probe] = field(default_factory=dict)
    """By stage and name, of those that lie behind a network."""

    def for_call(self, picks: Picks) -> Engines:
        """Raises ``ValueError`` for an engine that was not loaded."""
        stt, llm = _choices(self.stt, picks.stt), _choices(self.llm, picks.llm)
        return Engines(
            vad=self.vad,
            stt=SttChain(stt, self._deadlines("stt"), self.health) if stt else None,
            tts=TtsChain(_choices(self.tts, picks.tts), self._deadlines("tts"), self.health),
            llm=LlmChain(llm, self._deadlines("llm"), self.health) if llm else None,
            turn_model=self.turn_model,
            hold_music=self.hold_music,
        )

    def _deadlines(self, stage: str) -> Deadlines:
        return self.deadlines.get(stage) or Deadlines()

    # --- what lies behind a network -----------------------------------------------------------------------

    def remote(self) -> list[tuple[str, str, Probed]]:
        """Stage, name and engine of those that can be asked how they are."""
        kinds: tuple[tuple[str, Sequence[Any]], ...] = (
            ("stt", self.stt),
            ("tts", self.tts),
            ("llm", self.llm),
        )
        return [(stage, e.name, e) for stage, engines in kinds for e in engines if hasattr(e, "probe")]

    async def probe(self, *, again: bool = True) -> None:
        """Ask all that were not asked yet or, ``again``, have a problem, at once, and log what is new: a problem
        as an error, its end as a relief."""
        async with asyncio.TaskGroup() as tasks:
            for stage, name, engine in self.remote():
                known = self.probes.get((stage, name))
                if known is None or (again and known.problem is not None):
                    tasks.create_task(self._probe(stage, name, engine), name=f"probe {stage}")

    async def _probe(self, stage: str, name: str, engine: Probed) -> None:
        self.note(stage, name, await engine.probe())

    def note(self, stage: str, name: str, found: Probe) -> None:
        """Take in what a provider answered."""
        before = self.probes.get((stage, name))
        self.probes[(stage, name)] = found
        if found.problem is None and (missing := self._missing_model(stage, name, found.models)):
            self.probes[(stage, name)] = found = replace(found, problem=missing)
        if found.problem is not None:
            if before is None or str(before.problem) != str(found.problem):
                log.error("provider.problem", stage=stage, provider=name, problem=found.problem.cause)
        elif before is not None and before.problem is not None:
            log.info("provider.recovered", stage=stage, provider=name)

    def model(self, stage: str, name: str) -> str | None:
        """What an engine uses where nobody says otherwise; None: its own default.

        The operator's word counts. Without it, an endpoint that does not have the default is used by the one
        model of its list that is made for this stage, as far as names tell.
        """
        wanted = self.wanted.get((stage, name)) if self._is_remote(stage, name) else None
        models = self.models(stage, name)
        usual = self._usual_model(stage, name)
        if wanted is not None or not models or usual is None or usual in models:
            return wanted
        fitting = [model for model in models if _FITS[stage](model.lower())]
        if len(models) == 1 or len(fitting) == 1:
            return next(iter(fitting or models))
        return None

    def _is_remote(self, stage: str, name: str) -> bool:
        return any((stage, name) == (s, n) for s, n, _ in self.remote())

    def _usual_model(self, stage: str, name: str) -> str | None:
        usual: str | None = next(
            (getattr(e, "model", None) for s, n, e in self.remote() if (s, n) == (stage, name)), None
        )
        return usual

    def _missing_model(self, stage: str, name: str, models: frozenset[str] | None) -> ProviderError | None:
        wanted = self.model(stage, name) or self._usual_model(stage, name)
        if not models or wanted is None or lists(models, wanted):
            return None
        some = ", ".join(sorted(models)[:10])
        if not wanted:
            if (stage, name) not in self.wanted:
                return None  # Whoever asks for it names a model.
            cause = f"it has several models: set TALKWIRE_LLM={name}/MODEL with one of {some}"
            return ProviderError(name, stage, cause, retryable=False)
        cause = f"there is no model {wanted!r}: set TALKWIRE_{stage.upper()}_MODEL to one of {some}"
        return ProviderError(name, stage, cause, retryable=False)

    async def watch(self) -> None:
        """Ask those that the start did not wait for, and go on asking while there is a problem. Runs until it is
        cancelled."""
        again = False
        while True:
            try:
                await self.probe(again=again)
            except Exception:
                # In the server's task group it would end the server.
                log.exception("provider.not_asked")
            again = True
            await asyncio.sleep(AGAIN_S)

    def problem(self, stage: str, name: str) -> str:
        """What is known to be wrong with an engine; empty: nothing."""
        probe = self.probes.get((stage, name))
        return probe.problem.cause if probe is not None and probe.problem is not None else ""

    def models(self, stage: str, name: str) -> frozenset[str] | None:
        """What its endpoint lists; None where that is not known."""
        probe = self.probes.get((stage, name))
        return probe.models if probe is not None else None


def lists(models: frozenset[str], model: str) -> bool:
    """Whether it is among them. Some are listed with a variant, some asked for with one, behind a colon."""
    return model in models or f"{model}:latest" in models or model.partition(":")[0] in models


_SPEECH_TO_TEXT = ("whisper", "transcri", "parakeet", "canary", "asr", "stt")
_TEXT_TO_SPEECH = ("tts", "kokoro", "piper", "voice", "orpheus")


def _hears(model: str) -> bool:
    return any(word in model for word in _SPEECH_TO_TEXT)


def _speaks(model: str) -> bool:
    return any(word in model for word in _TEXT_TO_SPEECH)


_FITS: dict[str, Callable[[str], bool]] = {
    "stt": _hears,
    "tts": lambda model: _speaks(model) and not _hears(model),
    "llm": lambda model: not _hears(model) and not _speaks(model) and "embed" not in model,
}


def _choices(engines: Sequence[Any], picks: Sequence[Pick]) -> list[Choice[Any]]:
    by_name: dict[str, Engine] = {engine.name: engine for engine in engines}
    for pick in picks:
        if pick.engine not in by_name:
            raise ValueError(f"{pick.engine} was not loaded")
    return [Choice(by_name[pick.engine], pick.model, pick.voice) for pick in picks]


EnginesFor = Callable[[Picks], Engines]
