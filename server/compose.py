"""The composition root: the only place that names an engine, and where everything is put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from media.ports import VoiceDetector
from pipeline.errors import ProviderUnavailable
from pipeline.ports import Engine, SpeechToText, TextToSpeech
from pipeline.session import Engines
from server.agents import AgentRegistry
from server.auth import KeyRing, open_door
from server.calls import CallLimits, CallRegistry
from server.clock import Clock
from server.looplag import LoopLag
from server.resolve import Defaults
from server.secrets import load_or_create_secret
from server.services import Services
from server.settings import Settings
from server.tokens import Tokens

log = structlog.get_logger(__name__)


def voice_detector(name: str) -> VoiceDetector:
    """``silero``, ``webrtc``, or the better one that is installed (``auto``)."""
    if name in ("auto", "silero"):
        from media.vad.silero import SileroUnavailable, SileroVad

        try:
            return SileroVad()
        except SileroUnavailable as error:
            if name == "silero":
                raise ProviderUnavailable("silero", "vad", str(error)) from None
            log.info("vad.fallback", used="webrtc", reason=str(error))
    from media.vad.webrtc import WebrtcVad

    return WebrtcVad()


def recogniser(settings: Settings) -> SpeechToText | None:
    if settings.stt == "none":
        return None
    from pipeline.providers.pocketsphinx.engine import PocketsphinxStt

    return PocketsphinxStt(workers=settings.stt_workers)


def synthesiser(name: str) -> TextToSpeech:
    if name == "flite":
        from pipeline.providers.flite.engine import FliteTts

        return FliteTts()
    from pipeline.providers.espeak.engine import EspeakTts

    return EspeakTts()


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Engines]:
    """The engines of this process, loaded; freed on the way out."""
    stt, tts = recogniser(settings), synthesiser(settings.tts)
    vad = await asyncio.to_thread(voice_detector, settings.vad)
    async with AsyncExitStack() as stack:
        # The recogniser first: what it preloads must be known before the first worker is forked.
        for engine in (stt, tts):
            if engine is not None:
                await _start(engine, stack)
        yield Engines(vad, stt, tts)


LoadEngines = Callable[[Settings], AbstractAsyncContextManager[Engines]]


async def _start(engine: Engine, stack: AsyncExitStack) -> None:
    stack.push_async_callback(engine.aclose)
    await engine.start()


@asynccontextmanager
async def services(settings: Settings, load: LoadEngines = started) -> AsyncIterator[Services]:
    """All that the doors share, alive until the context ends. ``load`` gives the engines."""
    loop = asyncio.get_running_loop()
    secret = await asyncio.to_thread(load_or_create_secret, settings.data_dir / "secret")
    keys = await asyncio.to_thread(settings.load_api_keys)
    clock = Clock(loop)
    async with load(settings) as engines, asyncio.TaskGroup() as tasks:
        lag = LoopLag()
        try:
            limits = CallLimits(settings.max_calls, settings.agent_grace_s)
            calls = CallRegistry(engines, limits, clock, settings.data_dir / "recordings", tasks)
            yield Services(
                settings=settings,
                keys=KeyRing(keys),
                tokens=Tokens(secret),
                clock=clock,
                agents=AgentRegistry(),
                calls=calls,
                defaults=_defaults(settings, engines),
                lag=lag,
                open_door=partial(open_door, settings.host, settings.public_url),
            )
            await calls.drain(0.0)
        finally:
            lag.close()


def _defaults(settings: Settings, engines: Engines) -> Defaults:
    return Defaults(
        stt=engines.stt.name if engines.stt else "",
        tts=engines.tts.name,
        stt_languages=engines.stt.capabilities.languages if engines.stt else (),
        tts_languages=engines.tts.capabilities.languages,
        language=settings.language,
        voice=settings.voice,
        recording=settings.recording,
        media_timeout_s=settings.media_timeout_s,
        max_duration_s=settings.max_call_s,
    )
