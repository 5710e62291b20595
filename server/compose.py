"""The composition root: the only place that names an engine, and where everything is put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypedDict

import structlog

from media.ports import VoiceDetector
from pipeline.chain import Deadlines
from pipeline.errors import ProviderUnavailable
from pipeline.ports import Engine, LanguageModel, Probe, SpeechToText, TextToSpeech
from server import logs
from server.addresses import Proxies
from server.admission import Admission
from server.agents import AgentRegistry
from server.auth import KeyRing, open_door
from server.book import CallBook
from server.bridging import Bridging
from server.calls import CallLimits, CallRegistry
from server.clock import Clock
from server.cluster.observing import Observing
from server.cluster.port import Alone, Cluster
from server.control import Control
from server.dialling import Dialling, DialRules
from server.doors.audiosocket import listening
from server.doors.recording import linker
from server.engines import EnginePool
from server.hold_music import hold_music
from server.looplag import LoopLag
from server.metrics import Metrics, Standing
from server.providers import DEFAULT, HOSTED, remedy
from server.recordings import Keep, Recordings
from server.resolve import Defaults
from server.resolve_recording import RecordingDefaults
from server.ringing import Ringing, RingingRules
from server.routing import Routing
from server.selection import Available, Offer
from server.services import Services
from server.settings import OFF, Settings, SettingsError, Stage
from server.store.opened import opened, preload
from server.strangers import AGENT_FACTOR, Allowed, Strangers
from server.supervising import Supervising
from server.tokens import Tokens
from server.tracing import traced
from server.transfers import Transfers

if TYPE_CHECKING:
    from pipeline.endpointing.smart_turn import AudioTurnModel
    from pipeline.providers.openai import Endpoint
    from telephony.ports import Carrier

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


def turn_model(settings: Settings) -> AudioTurnModel | None:
    if settings.turn_model is None:
        return None
    from pipeline.endpointing.smart_turn import SmartTurn

    return SmartTurn(settings.turn_model)


def browser_media() -> None:
    """Load what browser calls need, before the first one comes. Reads files: not for the event loop. Raises
    ``SettingsError``."""
    from media.rtc.opus import OpusUnavailable, library

    try:
        import_module("media.rtc.peer")
        library()
    except (ImportError, OpusUnavailable) as error:
        raise SettingsError(
            f"browser calls cannot be taken: {error}. TALKWIRE_WEBRTC=0 does without"
        ) from None


class OpenAiHow(TypedDict):
    partials_ms: int
    early: bool


def recogniser(name: str, settings: Settings) -> SpeechToText:
    if name in HOSTED:
        from pipeline.providers.openai import Endpoint, OpenAiStt

        return OpenAiStt(Endpoint(*settings.llm_endpoints()[name]), "", name, early=settings.stt_early)
    if name == DEFAULT:
        from pipeline.providers.openai import OpenAiStt

        how: OpenAiHow = {"partials_ms": settings.stt_partials_ms, "early": settings.stt_early}
        endpoint = _endpoint(settings, "stt")
        if settings.stt_model is not None:
            return OpenAiStt(endpoint, settings.stt_model, **how)
        return OpenAiStt(endpoint, **how)
    from pipeline.providers.pocketsphinx.engine import PocketsphinxStt

    return PocketsphinxStt(workers=settings.stt_workers)


def synthesiser(name: str, settings: Settings) -> TextToSpeech:
    if name == "openai":
        from pipeline.providers.openai import OpenAiTts

        endpoint, rate_hz = _endpoint(settings, "tts"), settings.tts_sample_rate_hz
        if settings.tts_model is not None:
            return OpenAiTts(endpoint, settings.tts_model, sample_rate_hz=rate_hz)
        return OpenAiTts(endpoint, sample_rate_hz=rate_hz)
    if name == "flite":
        from pipeline.providers.flite.engine import FliteTts

        return FliteTts()
    from pipeline.providers.espeak.engine import EspeakTts

    return EspeakTts()


def language_model(name: str, settings: Settings) -> LanguageModel:
    """The engine of one provider: all its models are asked by one pool of connections."""
    from pipeline.providers.openai import Endpoint, OpenAiLlm

    if name == DEFAULT:
        endpoint, model = _endpoint(settings, "llm"), dict(_llm_row(settings)).get(name)
        return OpenAiLlm(endpoint) if model is None else OpenAiLlm(endpoint, model)
    found = settings.llm_endpoints().get(name)
    if found is None:
        raise ProviderUnavailable(name, "llm", f"TALKWIRE_LLM names it: {remedy('llm', name)}")
    return OpenAiLlm(Endpoint(*found), "", name)


def _further(settings: Settings, row: Sequence[str]) -> list[str]:
    """The language model providers that can be asked and are not in the operator's row."""
    if settings.llm == ("none",):
        return []
    # By itself the default one is in the row, unless it was found to have no language model.
    known = {*row, DEFAULT} if settings.llm == ("auto",) else set(row)
    return [name for name in settings.llm_endpoints() if name not in known]


def _further_ears(settings: Settings) -> list[str]:
    """The hosted services that hear as well, where their key is set."""
    if settings.stt == ("none",):
        return []
    return [name for name in settings.llm_endpoints() if name in HOSTED and HOSTED[name].hears]


def _llm_row(settings: Settings) -> list[tuple[str, str | None]]:
    """Provider and model of each language model in the operator's row."""
    entries = [entry.partition("/") for entry in _row(settings, "llm", settings.llm)]
    first = settings.llm_model
    return [(name, model or (None if index else first)) for index, (name, _, model) in enumerate(entries)]


def _endpoint(settings: Settings, stage: Stage) -> Endpoint:
    from pipeline.providers.openai import Endpoint

    base_url, key = settings.endpoint(stage) or (None, "")
    return Endpoint(base_url, key)


def rows(settings: Settings) -> dict[Stage, tuple[str, ...]]:
    """The engines of each kind, in the order in which they are asked."""
    names = {stage: _row(settings, stage, getattr(settings, stage)) for stage in EMBEDDED}
    return {**names, "llm": tuple(dict.fromkeys(name for name, _ in _llm_row(settings)))}


EMBEDDED: dict[Stage, tuple[str, ...]] = {"stt": ("pocketsphinx",), "tts": ("espeak",), "llm": ()}
"""What works without a key or a network."""


def _row(settings: Settings, stage: Stage, names: tuple[str, ...]) -> tuple[str, ...]:
    if names == ("none",):
        return ()
    if DEFAULT in names and settings.endpoint(stage) is None:
        raise SettingsError(
            f"TALKWIRE_{stage.upper()}: openai needs OPENAI_API_KEY, or the address of an endpoint of your own in "
            f"OPENAI_BASE_URL or TALKWIRE_{stage.upper()}_BASE_URL"
        )
    if names != ("auto",):
        return names
    if settings.endpoint(stage) is None:
        return EMBEDDED[stage]
    # A voice of our own is better than none. A recogniser of our own is not: it mishears more than it hears.
    return ("openai", *EMBEDDED[stage]) if stage == "tts" else ("openai",)


def _deadlines(settings: Settings, stage: Stage) -> Deadlines:
    patience_s: float = getattr(settings, f"{stage}_patience_s")
    # An answer that stops in the middle is heard as silence as soon as one that does not begin.
    return Deadlines(patience_s, getattr(settings, f"{stage}_timeout_s"), gap_s=patience_s)


def _wanted(settings: Settings) -> dict[tuple[str, str], str | None]:
    """The operator's model of each engine in his rows."""
    # Of a provider that is there twice the first model counts.
    llm = {("llm", name): model for name, model in reversed(_llm_row(settings))}
    return {("stt", DEFAULT): settings.stt_model, ("tts", DEFAULT): settings.tts_model, **llm}


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[EnginePool]:
    """The engines of this process, loaded; freed on the way out."""
    vad = await asyncio.to_thread(voice_detector, settings.vad)
    music = await asyncio.to_thread(hold_music, settings)
    async with AsyncExitStack() as stack:
        row = rows(settings)
        spare = (*_further(settings, row["llm"]), *_further_ears(settings))
        if spare or row["llm"] or any(DEFAULT in names for names in row.values()):
            # Half a second of reading files: not on the loop.
            await asyncio.to_thread(import_module, "pipeline.providers.openai")
        probes = await _without_what_is_missing(settings, row)
        pool = EnginePool(
            vad,
            stt=tuple(recogniser(name, settings) for name in (*row["stt"], *_further_ears(settings))),
            tts=tuple(synthesiser(name, settings) for name in row["tts"]),
            llm=tuple(
                language_model(name, settings) for name in (*row["llm"], *_further(settings, row["llm"]))
            ),
            turn_model=turn_model(settings),
            hold_music=music,
            deadlines={stage: _deadlines(settings, stage) for stage in EMBEDDED},
            wanted=_wanted(settings),
        )
        # The recognisers first: what they preload must be known before the first worker is forked.
        for engine in (*pool.stt, *pool.tts, *pool.llm):
            stack.push_async_callback(engine.aclose)
            await engine.start()
        if pool.turn_model is not None:
            stack.push_async_callback(pool.turn_model.aclose)
            await pool.turn_model.start()
        for key, probe in probes.items():
            pool.note(*key, probe)
        yield pool


async def _without_what_is_missing(
    settings: Settings, row: dict[Stage, tuple[str, ...]]
) -> dict[tuple[Stage, str], Probe]:
    """Ask the endpoints how they are. One that has language alone does not take the embedded ears and voice
    away, unless somebody asked for it by name: ``row`` is changed."""
    makers: dict[Stage, Callable[[str, Settings], Engine]] = {
        "stt": recogniser,
        "tts": synthesiser,
        "llm": language_model,
    }
    found: dict[tuple[Stage, str], Probe] = {}

    async def ask(stage: Stage) -> None:
        engine = makers[stage]("openai", settings)
        await engine.start()
        try:
            probe = await engine.probe()  # type: ignore[attr-defined]
        finally:
            await engine.aclose()
        if probe.missing and getattr(settings, stage) == ("auto",):
            row[stage] = EMBEDDED[stage]
            instead = ",".join(row[stage]) or "none"
            log.warning("provider.missing", stage=stage, instead=instead, reason=probe.problem.cause)
        else:
            found[(stage, "openai")] = probe

    async with asyncio.TaskGroup() as tasks:
        for stage, names in row.items():
            if "openai" in names:
                tasks.create_task(ask(stage), name=f"probe {stage}")
    return found


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[dict[str, Carrier]]:
    """The phone networks; let go of when all calls are over."""
    networks = carriers(settings)
    try:
        yield networks
    finally:
        for network in networks.values():
            await network.aclose()


def carriers(settings: Settings) -> dict[str, Carrier]:
    """The phone networks, by their names. Opens nothing yet."""
    from telephony.carriers.audiosocket.carrier import AudioSocketCarrier
    from telephony.carriers.twilio.carrier import TwilioCarrier
    from telephony.carriers.twilio.rest import Rest

    rest = None
    if settings.twilio_account_sid is not None and settings.twilio_auth_tokens:
        tokens = list(settings.twilio_auth_tokens.values())
        rest = Rest(settings.twilio_account_sid, tokens, settings.twilio_api_url)
    networks: list[Carrier] = [TwilioCarrier(rest, settings.public_url)]
    if settings.audiosocket is not None:
        networks.append(AudioSocketCarrier())
    return {network.name: network for network in networks}


LoadEngines = Callable[[Settings], AbstractAsyncContextManager[EnginePool]]


@asynccontextmanager
async def services(settings: Settings, load: LoadEngines = started) -> AsyncIterator[Services]:
    """All that the doors share, alive until the context ends. ``load`` gives the engines."""
    loop = asyncio.get_running_loop()
    secret = await asyncio.to_thread(settings.load_secret)
    keys = await asyncio.to_thread(settings.load_api_keys)
    logs.hide((secret, *keys))
    # The engines are waited for, mostly: meanwhile a thread loads what else is large.
    libraries = loop.run_in_executor(None, _load_libraries, settings)
    cluster = await _cluster(settings, secret, keys)
    clock, tokens = Clock(loop), Tokens(secret, cluster.node)
    recordings = await _recordings(settings, tokens, clock)
    async with (
        load(settings) as engines,
        _done(libraries),
        connected(settings) as networks,
        opened(settings, clock, recordings, tokens) as kept,
        asyncio.TaskGroup() as tasks,
    ):
        admission = Admission(settings.max_lag_ms)
        lag = LoopLag(partial(_sampled, admission))
        watching = tasks.create_task(engines.watch(), name="watch providers")
        sweeping: asyncio.Task[None] | None = None
        try:
            limits = CallLimits(settings.max_calls, settings.agent_grace_s)
            book = CallBook(kept.calls, clock, drawn=settings.console)
            kept.on_closed = book.closed_for_another
            sweeping = tasks.create_task(recordings.keep_house(clock.epoch), name="delete old recordings")
            book.elsewhere, book.tell_noted, book.woken = cluster.listed, cluster.noted, cluster.wakes
            seen = Observing(book, cluster)
            calls = CallRegistry(engines.for_call, limits, clock, recordings, tasks, seen)
            calls.lagging = lambda: admission.lagging
            calls.owners.archive = book if kept.calls.durable else None
            agents, defaults = AgentRegistry(settings.max_agents), _defaults(settings, engines)
            rules = RingingRules(settings.ringing_s, settings.nobody_text or "")
            control = Control(calls, tasks)
            pace = DialRules(settings.dials_per_s, settings.dial_queue)
            ringing = Ringing(agents, calls, defaults, rules)
            dialling = Dialling(agents, calls, networks, defaults, pace, tasks, cluster.node)
            metrics = Metrics(
                Standing(calls, agents, ringing, dialling, lag, settings.max_calls, kept, book, cluster)
            )
            calls.watch(metrics, None)
            if settings.log_transcripts:
                calls.watch(logs.Spoken(), None)
            transfers = Transfers(control, calls, dialling, tasks, cluster.node)
            found = Services(
                settings=settings,
                keys=KeyRing(keys),
                tokens=tokens,
                strangers=Strangers(
                    Allowed(
                        settings.page_tokens_per_minute,
                        settings.page_calls,
                        settings.page_connecting,
                        settings.page_connecting * AGENT_FACTOR,
                    )
                ),
                proxies=Proxies(settings.trusted_proxies),
                clock=clock,
                agents=agents,
                calls=calls,
                book=book,
                kept=kept,
                ringing=ringing,
                dialling=dialling,
                control=control,
                routing=Routing(agents, calls, control, defaults, tasks),
                transfers=transfers,
                bridging=Bridging(agents, calls, defaults, settings.max_bridges),
                supervising=Supervising(calls, agents, transfers, tasks),
                carriers=networks,
                defaults=defaults,
                hold_music=engines.hold_music,
                voices=engines.tts,
                lag=lag,
                metrics=metrics,
                tasks=tasks,
                cluster=cluster,
                open_door=partial(open_door, settings.host, settings.public_url),
            )
            async with listening(found), cluster.opened(found), traced(settings, calls, clock):
                yield found
                await calls.drain(0.0)
                book.close()
        finally:
            watching.cancel()
            if sweeping is not None:
                sweeping.cancel()
            lag.close()


def _sampled(admission: Admission, late_s: float) -> None:
    before = admission.lagging
    admission.sample(late_s)
    if admission.lagging is not before:
        now = "calls are taken again" if before else "no further call is taken"
        log.warning("server.caught_up" if before else "server.lagging", late_ms=round(late_s * 1000), now=now)


def _load_libraries(settings: Settings) -> None:
    """Raises ``SettingsError``."""
    if settings.webrtc:
        browser_media()
    preload(settings)


@asynccontextmanager
async def _done(loading: asyncio.Future[None]) -> AsyncIterator[None]:
    await loading
    yield


async def _cluster(settings: Settings, secret: str, keys: Sequence[str]) -> Cluster:
    if settings.redis_url is None:
        return Alone()
    try:
        await asyncio.to_thread(import_module, "redis.asyncio")
    except ImportError:
        raise SettingsError(
            "TALKWIRE_REDIS_URL: the client is not installed: pip install 'talkwire[redis]'"
        ) from None
    await asyncio.to_thread(import_module, "server.cluster.node")
    from server.cluster.node import RedisCluster

    return RedisCluster(settings, secret, keys)


async def _recordings(settings: Settings, tokens: Tokens, clock: Clock) -> Recordings:
    """What the last process left unfinished is made whole first."""
    link = linker(settings.public_url, tokens, clock.epoch, settings.recording_url_s)
    made = Recordings(
        settings.data_dir / "recordings",
        link=link,
        inline_bytes=settings.recording_inline_bytes,
        keep=Keep(settings.recordings_days, settings.recordings_max_bytes),
    )
    await asyncio.to_thread(made.repair)
    return made


def voiced(engines: list[Available], settings: Settings) -> list[Available]:
    """``engines``, unless the first of them is known not to have the operator's voice: then nobody would hear
    anything. Raises ``SettingsError``; where the engine stands in for another one, the name was meant for that."""
    first = next(iter(engines), None)
    if first is None or first.has_voice(settings.voice):
        return engines
    if first.name == rows(settings)["tts"][0]:
        raise SettingsError(f"TALKWIRE_VOICE: {first.name} has no voice {settings.voice!r}")
    log.warning("voice.missing", voice=settings.voice, provider=first.name, instead="its default")
    return [replace(first, voice=None), *engines[1:]]


def _defaults(settings: Settings, pool: EnginePool) -> Defaults:
    """What a call gets where nobody says otherwise."""
    stt, tts, llm = _offers(settings, pool)
    return Defaults(
        stt=stt,
        tts=tts,
        llm=llm,
        language=settings.language,
        recording=RecordingDefaults(
            settings.recording,
            settings.recording_format,
            settings.recording_channels,
            settings.recording_consent,
        ),
        media_timeout_s=settings.media_timeout_s,
        max_duration_s=settings.max_call_s,
        idle_timeout_s=settings.idle_timeout_s,
        farewell_s=settings.farewell_s,
        holding_text="" if settings.holding_text == OFF else settings.holding_text,
        holding_after_s=settings.holding_after_s,
        trouble_text="" if settings.trouble_text == OFF else settings.trouble_text,
        tool_timeout_s=settings.tool_timeout_s,
        away=settings.agent_away,
    )


def _offers(settings: Settings, pool: EnginePool) -> tuple[Offer, Offer, Offer]:
    """Of ears, voices and minds. The voice is that of the engine that is asked first: another one does not know
    its name."""

    def offer(
        stage: Stage, engines: Sequence[Available], further: Sequence[Available] = (), *, off: bool = False
    ) -> Offer:
        return Offer(
            stage,
            tuple(engines),
            tuple(further),
            aliases=_aliases(settings, stage),
            off=off,
            strict=settings.strict_providers,
            problem=pool.problem,
            models=pool.models,
            model=pool.model,
        )

    def speech(engines: Sequence[SpeechToText | TextToSpeech], voice: str | None = None) -> list[Available]:
        return [
            Available(
                engine.name,
                engine.capabilities.languages,
                None if index else voice,
                voices=frozenset(name.lower() for name in getattr(engine, "voices", ())),
            )
            for index, engine in enumerate(engines)
        ]

    ears = [name for name in _further_ears(settings) if name in {engine.name for engine in pool.stt}]
    loaded = [engine.name for engine in pool.llm]
    row = [(name, model) for name, model in _llm_row(settings) if name in loaded]
    further = [name for name in _further(settings, [name for name, _ in row]) if name in loaded]
    row += [(name, None) for name in loaded if name not in {*dict(row), *further}]
    return (
        offer(
            "stt",
            speech([engine for engine in pool.stt if engine.name not in ears]),
            [Available(name, usual=False) for name in ears],
        ),
        offer("tts", voiced(speech(pool.tts, settings.voice), settings)),
        offer(
            "llm",
            [Available(name, model=model, usual=name == DEFAULT) for name, model in row],
            [Available(name, usual=name == DEFAULT) for name in further],
            off=settings.llm == ("none",),
        ),
    )


def _aliases(settings: Settings, stage: Stage) -> dict[str, str]:
    """Those that are meant for this stage, or for any."""
    found: dict[str, str] = {}
    for name, target in settings.aliases:
        head, dot, rest = name.partition(".")
        scoped = dot and head in EMBEDDED
        if not scoped or head == stage:
            found[rest if scoped else name] = target
    return found
