"""What can be set, read once from the environment and from ``.env`` (the environment wins).

Each setting is declared here and nowhere else, with its unit, its default and what is allowed; from that come
the errors, ``talkwire config``, ``.env.example`` and ``docs/configuration.md``. Nothing else in the server
reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from server.auth import is_loopback
from server.providers import DEFAULT, HOSTED
from server.secrets import API_KEY_FILE, SIGNING_FILE, load_or_create_secret, new_api_key
from server.setting_texts import Declared, Source, declared_in, faults, misspelt
from server.setting_values import (
    Addresses,
    Aliases,
    ConsolePassword,
    DatabaseUrl,
    Directory,
    File,
    Host,
    HostPort,
    IceUrls,
    JournalSkip,
    Keys,
    Language,
    Line,
    LlmEndpoints,
    LlmKeys,
    LlmRow,
    Model,
    Networks,
    Ports,
    RedisUrl,
    Row,
    Seconds,
    Url,
    Word,
    host_and_port,
)

Stage = Literal["stt", "tts", "llm"]
REDIS = "TALKWIRE_REDIS_URL"
DATABASE, DATABASE_FILE = "TALKWIRE_DATABASE_URL", "talkwire.db"
OFF = "off"
"""What switches a text off: an empty variable counts as unset."""


class SettingsError(Exception):
    """The server cannot start with these settings. The text names each as the user writes it, says what is
    allowed, and holds no secret.
    """


NETWORK, ACCESS, LOGS = "Network", "Access and data", "Logs"
TRACES = "Traces (OpenTelemetry)"
CALLS, ENGINES, OPENAI, TWILIO = "Calls", "Engines", "OpenAI-shaped endpoints", "Twilio"
PBX, CLUSTER = "Asterisk (AudioSocket)", "Several processes"
BROWSER, RECORDING, JOURNAL = "Browser calls", "Recording", "Calls that are kept"
PROVIDERS = "Language model providers"
ROW = "or engines in the order in which they are asked, separated by commas:"
ENDPOINT = "an http or https URL with its version, for example http://127.0.0.1:8000/v1"


def setting(section: str, key: str, default: Any, text: str, *, unit: str = "", allowed: str = "") -> Any:
    """Declare one setting. ``allowed`` is told where the type does not say it."""
    known: dict[str, Any] = {
        "validation_alias": key,
        "description": text,
        "json_schema_extra": {"section": section, "unit": unit, "allowed": allowed},
    }
    return Field(default_factory=default, **known) if callable(default) else Field(default=default, **known)


def _own_url(settings: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{settings['port']}"


def _some_places(settings: dict[str, Any]) -> int:
    return int(max(2, settings["max_calls"] // 4))


# --- the declaration --------------------------------------------------------------------------------------


class Settings(BaseSettings):
    """All settings. One made by hand, in a test, does not read the environment: only ``load`` does."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        case_sensitive=True,
        # An empty variable is what compose files make of one that is not set.
        env_ignore_empty=True,
        enable_decoding=False,
    )

    host: Host = setting(
        NETWORK,
        "TALKWIRE_HOST",
        "127.0.0.1",
        "Address to listen on. Only a loopback address may leave a door open without credentials; "
        "`0.0.0.0` listens everywhere.",
        allowed="an IP address or a host name",
    )
    port: Annotated[int, Field(ge=1, le=65535)] = setting(
        NETWORK, "TALKWIRE_PORT", 8080, "TCP port to listen on."
    )
    public_url: Url = setting(
        NETWORK,
        "TALKWIRE_PUBLIC_URL",
        _own_url,
        "How carriers and browsers reach the server from outside; unset: `http://127.0.0.1:PORT`. Carriers "
        "sign their requests with it, and the address of the media stream is made from it (`ws` for `http`, "
        "`wss` for `https`).",
        allowed="an http or https URL with nothing behind its path, for example https://voice.example.org",
    )

    trusted_proxies: Networks = setting(
        NETWORK,
        "TALKWIRE_TRUSTED_PROXIES",
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
        "Networks of reverse proxies whose `X-Forwarded-For` is believed, where it is counted what one address asks "
        "for.",
        allowed="networks separated by commas, for example 10.0.0.0/8",
    )

    api_keys: Keys = setting(
        ACCESS,
        "TALKWIRE_API_KEYS",
        (),
        "Keys that agents connect with. Unset: one is made at the first start and kept in `api-key` in the "
        "data directory.",
        allowed="keys separated by commas, each of at most 512 characters",
    )

    console: bool = setting(
        ACCESS,
        "TALKWIRE_CONSOLE",
        True,
        "Serve the console at `/`, and measure the waveforms of calls for it. Who is to see calls there needs an API key "
        "or the console's password, except on this machine.",
    )
    console_password: ConsolePassword | None = setting(
        ACCESS,
        "TALKWIRE_CONSOLE_PASSWORD",
        None,
        "Opens the console to people who are not to have an API key.",
        allowed="text of 8 to 512 characters",
    )

    live_listening: bool = setting(
        ACCESS,
        "TALKWIRE_LIVE_LISTENING",
        True,
        "Let those who may see calls listen to live ones, unless the agent says `media: {live: false}`.",
    )
    supervising: bool = setting(
        ACCESS,
        "TALKWIRE_SUPERVISING",
        True,
        "Let those who may see calls speak in live ones, take them over and end them.",
    )

    data_dir: Directory = setting(
        ACCESS,
        "TALKWIRE_DATA_DIR",
        Path("data"),
        "Directory for generated keys and all that is stored. It is made where it is missing.",
        allowed="a path",
    )

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Word] = setting(
        LOGS, "TALKWIRE_LOG_LEVEL", "info", "Least severe lines that are written."
    )
    log_format: Annotated[Literal["console", "json"], Word] = setting(
        LOGS, "TALKWIRE_LOG_FORMAT", "console", "Lines for a human or, one JSON object each, for a machine."
    )

    log_transcripts: bool = setting(
        LOGS,
        "TALKWIRE_LOG_TRANSCRIPTS",
        False,
        "Write what callers and bots say into the log, and into traces. Without it nothing that was said is in either.",
    )

    otlp_endpoint: Url | None = setting(
        TRACES,
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "Collector of OpenTelemetry that gets the traces of calls, by OTLP over HTTP: `http://127.0.0.1:4318`. Needs the "
        "extra `otel`. Unset, like the next one: there are none.",
        allowed="an http or https URL",
    )
    otlp_traces_endpoint: Url | None = setting(
        TRACES,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        None,
        "The same for traces alone, with its path, as it is: `http://127.0.0.1:4318/v1/traces`.",
        allowed="an http or https URL",
    )
    otlp_headers: SecretStr | None = setting(
        TRACES,
        "OTEL_EXPORTER_OTLP_HEADERS",
        None,
        "Sent with the traces, mostly a key: `authorization=Bearer%20abc`.",
        allowed="name=value, separated by commas, values URL-encoded",
    )
    otlp_protocol: Annotated[str, Field(max_length=100), Word] = setting(
        TRACES, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "How they are sent.", allowed="http/protobuf"
    )
    otel_traces: Annotated[str, Field(max_length=100), Word] = setting(
        TRACES,
        "OTEL_TRACES_EXPORTER",
        "otlp",
        "`none`: no traces, whatever the endpoint is.",
        allowed="otlp, none",
    )
    otel_service: Annotated[str, Field(min_length=1, max_length=200)] | None = setting(
        TRACES,
        "OTEL_SERVICE_NAME",
        None,
        "What the server is called in traces; unset: `talkwire`.",
        allowed="text of at most 200 characters",
    )
    otel_disabled: bool = setting(TRACES, "OTEL_SDK_DISABLED", False, "`true`: no traces.")

    max_calls: Annotated[int, Field(ge=1, le=10_000)] = setting(
        CALLS, "TALKWIRE_MAX_CALLS", 40, "Calls at the same time; a further one is rejected.", unit="calls"
    )
    max_lag_ms: Annotated[float, Field(ge=0, le=10_000)] = setting(
        CALLS,
        "TALKWIRE_MAX_LAG_MS",
        150.0,
        "How late the event loop may be, in one of a hundred looks at the clock within ten seconds: beyond, further "
        "calls are refused, as with `TALKWIRE_MAX_CALLS`, until it is half of that. Live ones go on. 0: no such bound.",
        unit="ms",
    )
    max_agents: Annotated[int, Field(ge=0, le=100_000)] = setting(
        CALLS,
        "TALKWIRE_MAX_AGENTS",
        1000,
        "Agents online at the same time; a further one is refused with `SERVER_AT_CAPACITY`. 0: any number.",
        unit="agents",
    )
    max_call_s: Annotated[float, Field(ge=10, le=86_400)] = setting(
        CALLS,
        "TALKWIRE_MAX_CALL_S",
        3600.0,
        "Longest call, whatever its agent allows (`session_limits`; 600 s where it says nothing); then it ends with "
        "`max_duration`.",
        unit="s",
    )
    idle_timeout_s: Annotated[float, Field(ge=0, le=86_400)] = setting(
        CALLS,
        "TALKWIRE_IDLE_TIMEOUT_S",
        60.0,
        "How long the caller may say nothing, where the agent does not say (`session_limits`); then he is warned, and "
        "the call ends with `idle_timeout`. 0: for as long as the call lasts.",
        unit="s",
    )
    farewell_s: Annotated[float, Field(ge=0, le=60)] = setting(
        CALLS,
        "TALKWIRE_FAREWELL_S",
        8.0,
        "How long, at most, the caller hears what the agent says to a timeout before the call ends.",
        unit="s",
    )
    agent_grace_s: Annotated[float, Field(ge=0, le=300)] = setting(
        CALLS,
        "TALKWIRE_AGENT_GRACE_S",
        15.0,
        "How long a call waits for its agent to connect again.",
        unit="s",
    )
    agent_away: Literal["wait", "line", "message"] = setting(
        CALLS,
        "TALKWIRE_AGENT_AWAY",
        "line",
        "What the caller hears meanwhile, where the agent does not say: `wait`: nothing; `line`: the holding line, "
        "once, where the agent owes him an answer; `message`: an apology, when the time is over and the call ends.",
        allowed="wait, line or message",
    )
    hold_music: Annotated[str, Field(min_length=1, max_length=1000)] | None = setting(
        CALLS,
        "TALKWIRE_HOLD_MUSIC",
        None,
        "What a caller hears on hold: a WAV file of at most 10 MB, played again and again; unset: music that the server "
        "makes itself; `off`: silence.",
        allowed="a path, or off",
    )
    media_timeout_s: Annotated[float, Field(ge=1, le=120)] = setting(
        CALLS,
        "TALKWIRE_MEDIA_TIMEOUT_S",
        10.0,
        "Silence of a media connection after which it counts as lost.",
        unit="s",
    )
    ringing_s: Annotated[float, Field(ge=0, le=10)] = setting(
        CALLS,
        "TALKWIRE_RINGING_S",
        5.0,
        "How long a call of a channel with `ringing` rings until it is answered although its agent has said nothing. "
        "0: it is answered at once. Carriers wait 15 s at most for an answer.",
        unit="s",
    )
    max_bridges: Annotated[int, Field(ge=0, le=5000)] = setting(
        CALLS,
        "TALKWIRE_MAX_BRIDGES",
        10,
        "Agents that speak with other agents at the same time (`call.bridge`); each counts as two calls. 0: none may.",
        unit="bridges",
    )
    dials_per_s: Annotated[float, Field(ge=0.05, le=100)] = setting(
        CALLS,
        "TALKWIRE_DIALS_PER_S",
        1.0,
        "Calls that are dialled each second, those of transfers among them; more of them wait. Twilio allows an account "
        "1 where nothing else is agreed.",
        unit="1/s",
    )
    dial_queue: Annotated[int, Field(ge=1, le=100_000)] = setting(
        CALLS,
        "TALKWIRE_DIAL_QUEUE",
        100,
        "Dials that may wait for their turn; a further one is refused with `DIAL_QUEUE_FULL`.",
        unit="dials",
    )
    nobody_text: Line | None = setting(
        CALLS,
        "TALKWIRE_NOBODY_TEXT",
        None,
        "What a caller hears whose number no agent answers, spoken by the carrier, which then bills the call; unset: "
        "the call is refused unanswered.",
        allowed="text of at most 500 characters",
    )
    drain_s: Annotated[float, Field(ge=0, le=3600)] = setting(
        CALLS, "TALKWIRE_DRAIN_S", 30.0, "How long SIGTERM lets calls in progress go on.", unit="s"
    )
    recording: bool = setting(
        RECORDING,
        "TALKWIRE_RECORDING",
        False,
        "Record calls whose agent does not say whether to (`recording`).",
    )
    recording_format: Annotated[Literal["wav", "opus"], Word] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_FORMAT",
        "wav",
        "Kind of file. `opus` takes a tenth of the space of `wav`, and some 0.3 % of a core for each call.",
    )
    recording_channels: Annotated[Literal["stereo", "mono", "user", "bot"], Word] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_CHANNELS",
        "stereo",
        "What is kept: the user left and the bot right, both in one channel, or one of them.",
    )
    recording_consent: Line = setting(
        RECORDING,
        "TALKWIRE_RECORDING_CONSENT",
        OFF,
        "What a caller hears first when he begins to be recorded: your words; `on`: the usual ones, in the language of "
        "the call; `tone`: a tone; `off`: nothing.",
        allowed="text of at most 500 characters",
    )
    recording_inline_bytes: Annotated[int, Field(ge=0, le=20 << 20)] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_INLINE_BYTES",
        8 << 20,
        "Largest file that `call.recording` holds; of a larger one, and of one that the client does not take "
        "(`max_message_bytes` of `connect`), it tells the address alone. 0: never.",
        unit="bytes",
    )
    recording_url_s: Annotated[float, Field(ge=60, le=31_536_000)] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_URL_S",
        86_400.0,
        "How long the address of a recording is good. With an API key it can be fetched for as long as it is kept.",
        unit="s",
    )
    recordings_days: Annotated[float, Field(ge=0, le=36_500)] = setting(
        RECORDING,
        "TALKWIRE_RECORDINGS_DAYS",
        30.0,
        "How long recordings are kept in the data directory; then they are deleted. 0: for ever.",
        unit="days",
    )
    recordings_max_bytes: Annotated[int, Field(ge=0, le=10**15)] = setting(
        RECORDING,
        "TALKWIRE_RECORDINGS_MAX_BYTES",
        0,
        "How much they may take together; of more the oldest are deleted. 0: any.",
        unit="bytes",
    )

    database_url: DatabaseUrl | None = setting(
        JOURNAL,
        "TALKWIRE_DATABASE_URL",
        None,
        "Where calls are kept. Unset: what `DATABASE_URL` says, else SQLite, in `talkwire.db` in the data directory, "
        "which needs no set-up. PostgreSQL needs the extra `postgres` and, once for each version, `talkwire migrate`. "
        "`memory`: nothing outlives the process.",
        allowed="sqlite:///path, postgresql://user:password@host/name or memory (where it is unset, DATABASE_URL counts)",
    )
    journal_skip: JournalSkip = setting(
        JOURNAL,
        "TALKWIRE_JOURNAL_SKIP",
        ("audio.metrics",),
        "Events that are told and not kept, for they only lead up to others: calls that are over do not have them.",
        allowed="names out of audio.metrics, bot.word, user.speaking, agent.state and llm.reasoning separated by "
        "commas, or none",
    )
    calls_days: Annotated[float, Field(ge=0, le=36_500)] = setting(
        JOURNAL,
        "TALKWIRE_CALLS_DAYS",
        30.0,
        "Days after which a call and all its events are deleted; its recording has a setting of its own. 0: never.",
        unit="days",
    )
    spool_max_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = setting(
        JOURNAL,
        "TALKWIRE_SPOOL_MAX_BYTES",
        256 << 20,
        "Room in the data directory for what happens in calls while the database is away: an hour of forty calls takes "
        "about 300 MB.",
        unit="bytes",
    )
    keep_calls: Annotated[int, Field(ge=0, le=10_000)] = setting(
        JOURNAL,
        "TALKWIRE_KEEP_CALLS",
        200,
        "Without a database (`memory`): ended calls that are kept, with their events, to be looked at; fewer where they "
        "are large.",
        unit="calls",
    )

    redis_url: RedisUrl | None = setting(
        CLUSTER,
        REDIS,
        None,
        "The Redis by which several servers act as one: each is then a node. Unset: what `REDIS_URL` says; without "
        "either this process is alone. Needs the extra `redis`.",
        allowed="redis://, rediss:// or unix:// (where it is unset, REDIS_URL counts)",
    )
    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,60}$")] = setting(
        CLUSTER,
        "TALKWIRE_REDIS_PREFIX",
        "talkwire",
        "What the names of its keys in Redis begin with: the same for all nodes, another one for another "
        "installation in the same Redis.",
        allowed="1 to 60 letters, digits, dots, hyphens and underscores",
    )
    node_url: Url | None = setting(
        CLUSTER,
        "TALKWIRE_NODE_URL",
        None,
        "How the other nodes reach this one, by a private network. Unset: `http://HOST:PORT` of TALKWIRE_HOST and "
        "TALKWIRE_PORT, where that is an address of this machine.",
        allowed="an http or https URL with nothing behind its path, for example http://10.0.0.5:8080",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = setting(
        CLUSTER,
        "TALKWIRE_WORKERS",
        1,
        "Server processes on this machine that share TALKWIRE_PORT (also `talkwire serve --workers N`): each is a node "
        "with engines of its own, and `TALKWIRE_MAX_CALLS` is for each. More than one need a Redis.",
        unit="processes",
    )
    secret: Annotated[SecretStr, Field(min_length=32, max_length=512)] | None = setting(
        CLUSTER,
        "TALKWIRE_SECRET",
        None,
        "What tokens and cookies are signed with, at least 32 characters: the same for all nodes. Unset: the file "
        "`secret` in the data directory, made at the first start.",
        allowed="32 to 512 characters",
    )

    language: Language = setting(
        ENGINES,
        "TALKWIRE_LANGUAGE",
        "en",
        "Language of agents that name none.",
        allowed="a BCP-47 language tag, for example en or es-PE",
    )
    vad: Annotated[Literal["auto", "silero", "webrtc"], Word] = setting(
        ENGINES, "TALKWIRE_VAD", "auto", "Voice detector. `auto`: the best one that is installed."
    )
    turn_model: File | None = setting(
        ENGINES,
        "TALKWIRE_TURN_MODEL",
        None,
        "A model file that hears whether a turn is over: Smart Turn, version 3, as ONNX. Without it that is judged "
        "by silence, words and the caller's pauses.",
        allowed="a path",
    )
    stt: Annotated[tuple[Literal["auto", "openai", "pocketsphinx", "none"], ...], *Row] = setting(
        ENGINES,
        "TALKWIRE_STT",
        ("auto",),
        "Recogniser. `auto`: `openai` where a key or base URL is set, else the embedded one. Of several the "
        "next one hears again what the one before it lost.",
        allowed=f"auto, none, {ROW} openai, pocketsphinx",
    )
    stt_workers: Annotated[int, Field(ge=1, le=32)] = setting(
        ENGINES,
        "TALKWIRE_STT_WORKERS",
        2,
        "Processes that recognise speech; one for each core is enough.",
        unit="processes",
    )
    tts: Annotated[tuple[Literal["auto", "openai", "espeak", "flite"], ...], *Row] = setting(
        ENGINES,
        "TALKWIRE_TTS",
        ("auto",),
        "Speech engine. `auto`: `openai,espeak` where a key or base URL is set, else `espeak`. Of several the "
        "next one says what the one before it could not.",
        allowed=f"auto, {ROW} openai, espeak, flite",
    )
    llm_providers: LlmEndpoints = setting(
        ENGINES,
        "TALKWIRE_LLM_PROVIDERS",
        (),
        "Further endpoints of OpenAI's shape, by the names that agents use for them: "
        "`mine=https://llm.example.org/v1`. `ollama`, `vllm`, `llamacpp` and `lmstudio` may stand without an "
        "address: it is then their usual one on this machine. The name of a hosted service gives it another address.",
        allowed="name=base URL, separated by commas",
    )
    llm: LlmRow = setting(
        ENGINES,
        "TALKWIRE_LLM",
        ("auto",),
        "Language model of agents that have `llm` set and name none that is here. `auto`: `openai` where a key or "
        "base URL is set, else none; an agent process may always do the thinking itself. Of several the next one "
        "answers where the one before it failed. `none`: none at all, whatever agents name.",
        allowed=f"auto, none, {ROW} openai, openai/MODEL, or the same with a provider that has a key or is in "
        "TALKWIRE_LLM_PROVIDERS",
    )
    aliases: Aliases = setting(
        ENGINES,
        "TALKWIRE_ALIASES",
        (),
        "What stands for a provider, model or voice that agents name: `elevenlabs/sarah=openai/nova`, "
        "`deepgram/flux=openai/whisper-1`, `claude=groq/llama-3.3-70b-versatile`. With `stt.`, `tts.` or `llm.` "
        "before it, a name is meant for that stage alone.",
        allowed="name=provider, name=provider/model or name=provider/voice, separated by commas",
    )
    strict_providers: bool = setting(
        ENGINES,
        "TALKWIRE_STRICT_PROVIDERS",
        False,
        "Refuse agents that ask for a provider, model or voice that is not to be had (`PROVIDER_KEY_REQUIRED`), "
        "instead of giving them the configured one.",
    )
    stt_patience_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_STT_PATIENCE_S",
        1.5,
        "Wait for a recogniser's text after the end of speech until the next engine, or the same one once "
        "more, is asked as well.",
        unit="s",
    )
    stt_timeout_s: Seconds = setting(
        ENGINES, "TALKWIRE_STT_TIMEOUT_S", 10.0, "The same where nobody is left to ask.", unit="s"
    )
    llm_patience_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_LLM_PATIENCE_S",
        1.5,
        "Wait for a language model's first word until the next engine, or the same one once more, is asked "
        "as well; between two words until it counts as broken off.",
        unit="s",
    )
    llm_timeout_s: Seconds = setting(
        ENGINES, "TALKWIRE_LLM_TIMEOUT_S", 15.0, "The same where nobody is left to ask.", unit="s"
    )
    tts_patience_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_TTS_PATIENCE_S",
        1.5,
        "Wait for a voice's first audio until the next engine, or the same one once more, is asked as well; "
        "within a sentence until the voice counts as broken off.",
        unit="s",
    )
    tts_timeout_s: Seconds = setting(
        ENGINES, "TALKWIRE_TTS_TIMEOUT_S", 5.0, "The same where nobody is left to ask.", unit="s"
    )
    holding_after_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_HOLDING_AFTER_S",
        2.0,
        "How long after the end of a turn the caller of an agent with `llm` hears nothing before he hears the "
        "holding line.",
        unit="s",
    )
    holding_text: Line | None = setting(
        ENGINES,
        "TALKWIRE_HOLDING_TEXT",
        None,
        'The holding line; unset: "One moment, please." in the language of the call, where the server knows '
        "it; `off`: none.",
        allowed="text of at most 500 characters",
    )
    trouble_text: Line | None = setting(
        ENGINES,
        "TALKWIRE_TROUBLE_TEXT",
        None,
        "What the caller hears where no language model answers; unset: an apology in the language of the "
        "call; `off`: nothing.",
        allowed="text of at most 500 characters",
    )
    tool_timeout_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_TOOL_TIMEOUT_S",
        30.0,
        "How long the result of a tool is waited for that says nothing else (`timeout_ms`); then the language "
        "model goes on without.",
        unit="s",
    )
    voice: Annotated[str, Field(max_length=200)] | None = setting(
        ENGINES,
        "TALKWIRE_VOICE",
        None,
        "Voice of agents that name none, by the engine's own name; unset: the engine's default.",
        allowed="text of at most 200 characters",
    )

    openai_api_key: SecretStr | None = setting(
        OPENAI,
        "OPENAI_API_KEY",
        None,
        "Opens the hosted service, or the one behind `OPENAI_BASE_URL`.",
        allowed="a key",
    )
    openai_base_url: Url | None = setting(
        OPENAI,
        "OPENAI_BASE_URL",
        None,
        "A service of the same shape that you run yourself (vLLM, Ollama, llama.cpp, Speaches, Kokoro, "
        "LocalAI); unset, with a key: the hosted one.",
        allowed=ENDPOINT,
    )
    stt_base_url: Url | None = setting(
        OPENAI,
        "TALKWIRE_STT_BASE_URL",
        None,
        "The endpoint for speech to text, where it is another one.",
        allowed=ENDPOINT,
    )
    stt_api_key: SecretStr | None = setting(
        OPENAI, "TALKWIRE_STT_API_KEY", None, "Its key, where it is another one.", allowed="a key"
    )
    stt_model: Model | None = setting(
        OPENAI,
        "TALKWIRE_STT_MODEL",
        None,
        "Model of agents that name none; unset: the engine's default.",
        allowed="the model's name",
    )
    stt_early: bool = setting(
        OPENAI,
        "TALKWIRE_STT_EARLY",
        True,
        "Ask for the text at the first short pause (96 ms), and again where the speech goes on. Answers come "
        "about 200 ms sooner; of requests there are about twice as many.",
    )
    stt_partials_ms: Annotated[int, Field(ge=0, le=10_000)] = setting(
        OPENAI,
        "TALKWIRE_STT_PARTIALS_MS",
        0,
        "Transcribe the growing utterance this often while it is spoken, for interim text (each time costs a "
        "request); 0: never.",
        unit="ms",
    )
    tts_base_url: Url | None = setting(
        OPENAI,
        "TALKWIRE_TTS_BASE_URL",
        None,
        "The endpoint for text to speech, where it is another one.",
        allowed=ENDPOINT,
    )
    tts_api_key: SecretStr | None = setting(
        OPENAI, "TALKWIRE_TTS_API_KEY", None, "Its key, where it is another one.", allowed="a key"
    )
    tts_model: Model | None = setting(
        OPENAI,
        "TALKWIRE_TTS_MODEL",
        None,
        "Model of agents that name none; unset: the engine's default.",
        allowed="the model's name",
    )
    tts_sample_rate_hz: Annotated[int, Field(ge=8000, le=48_000)] = setting(
        OPENAI,
        "TALKWIRE_TTS_SAMPLE_RATE_HZ",
        24_000,
        "Rate of the raw samples that the endpoint gives, where its answer does not say.",
        unit="Hz",
    )
    llm_base_url: Url | None = setting(
        OPENAI,
        "TALKWIRE_LLM_BASE_URL",
        None,
        "The endpoint for the language model, where it is another one.",
        allowed=ENDPOINT,
    )
    llm_api_key: SecretStr | None = setting(
        OPENAI, "TALKWIRE_LLM_API_KEY", None, "Its key, where it is another one.", allowed="a key"
    )
    llm_model: Model | None = setting(
        OPENAI,
        "TALKWIRE_LLM_MODEL",
        None,
        "Model of agents that name none; unset: the engine's default.",
        allowed="the model's name",
    )

    anthropic_api_key: SecretStr | None = setting(
        PROVIDERS,
        "ANTHROPIC_API_KEY",
        None,
        "Opens the models of Anthropic (`anthropic/...`, `claude/...`).",
        allowed="a key",
    )
    cerebras_api_key: SecretStr | None = setting(
        PROVIDERS, "CEREBRAS_API_KEY", None, "Opens the models of Cerebras (`cerebras/...`).", allowed="a key"
    )
    deepseek_api_key: SecretStr | None = setting(
        PROVIDERS, "DEEPSEEK_API_KEY", None, "Opens the models of DeepSeek (`deepseek/...`).", allowed="a key"
    )
    google_api_key: SecretStr | None = setting(
        PROVIDERS,
        "GEMINI_API_KEY",
        None,
        "Opens the models of Google's Gemini (`google/...`, `gemini/...`).",
        allowed="a key",
    )
    groq_api_key: SecretStr | None = setting(
        PROVIDERS,
        "GROQ_API_KEY",
        None,
        "Opens the models of Groq (`groq/...`), for language and speech to text.",
        allowed="a key",
    )
    mistral_api_key: SecretStr | None = setting(
        PROVIDERS, "MISTRAL_API_KEY", None, "Opens the models of Mistral (`mistral/...`).", allowed="a key"
    )
    openrouter_api_key: SecretStr | None = setting(
        PROVIDERS,
        "OPENROUTER_API_KEY",
        None,
        "Opens the models of OpenRouter (`openrouter/...`).",
        allowed="a key",
    )
    together_api_key: SecretStr | None = setting(
        PROVIDERS, "TOGETHER_API_KEY", None, "Opens the models of Together (`together/...`).", allowed="a key"
    )
    xai_api_key: SecretStr | None = setting(
        PROVIDERS, "XAI_API_KEY", None, "Opens the models of xAI (`xai/...`, `grok/...`).", allowed="a key"
    )
    llm_keys: LlmKeys = setting(
        PROVIDERS,
        "TALKWIRE_LLM_KEYS",
        (),
        "Keys of the endpoints in `TALKWIRE_LLM_PROVIDERS` that want one. Each is sent to its own endpoint only.",
        allowed="name=key, separated by commas; the names are those in TALKWIRE_LLM_PROVIDERS",
    )

    twilio_account_sid: Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")] | None = setting(
        TWILIO,
        "TWILIO_ACCOUNT_SID",
        None,
        "The account whose calls are taken; those of another one are refused.",
        allowed="AC and 32 hexadecimal digits",
    )
    twilio_auth_token: SecretStr | None = setting(
        TWILIO,
        "TWILIO_AUTH_TOKEN",
        None,
        "With it every webhook and media connection must be signed by Twilio; without it they are refused "
        "(but see `TALKWIRE_TWILIO_UNSIGNED`).",
        allowed="the account's auth token",
    )
    twilio_auth_token_secondary: SecretStr | None = setting(
        TWILIO,
        "TWILIO_AUTH_TOKEN_SECONDARY",
        None,
        "A second token whose signatures are taken as well, while the account's token is rotated: the new one before "
        "it is promoted, or the old one after. Leave it unset at all other times.",
        allowed="another auth token of the account, besides TWILIO_AUTH_TOKEN",
    )
    twilio_api_url: Url = setting(
        TWILIO,
        "TWILIO_API_BASE_URL",
        "https://api.twilio.com",
        "Where calls are dialled and ended, for another region of Twilio's or a stand-in for it.",
        allowed="an http or https URL",
    )
    twilio_unsigned: Annotated[Literal["never", "loopback"], Word] = setting(
        TWILIO,
        "TALKWIRE_TWILIO_UNSIGNED",
        "never",
        "`loopback`: without an auth token, take unsigned requests of this machine, for trying out.",
    )
    twilio_lead_ms: Annotated[int, Field(ge=100, le=500)] = setting(
        TWILIO,
        "TALKWIRE_TWILIO_LEAD_MS",
        300,
        "How far ahead of its being heard audio is sent. More bridges longer stalls of the server.",
        unit="ms",
    )

    audiosocket_allow: Networks = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_ALLOW",
        (),
        "Whose connections are taken. The protocol has no credentials, so that an address other than loopback is "
        "listened on only where this says who may come. Unset: everybody who reaches the loopback address.",
        allowed="IP addresses and networks separated by commas, for example 10.0.0.5,192.168.1.0/24",
    )
    audiosocket: HostPort | None = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET",
        None,
        "Where a PBX connects with the audio of its calls: `127.0.0.1:9092`. Unset: it cannot. An address other than "
        "loopback needs `TALKWIRE_AUDIOSOCKET_ALLOW`.",
        allowed="an address and a port, and with an address that others reach TALKWIRE_AUDIOSOCKET_ALLOW, too",
    )
    audiosocket_to: Annotated[str, Field(min_length=1, max_length=200)] | None = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_TO",
        None,
        "The number that a call counts as made to which the PBX did not announce (`POST /v1/audiosocket/calls`); the "
        "agent of that number answers it. Unset: such calls are refused.",
        allowed="a number, an extension, or whatever the agent's channel has as its ref",
    )
    audiosocket_lead_ms: Annotated[int, Field(ge=40, le=300)] = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_LEAD_MS",
        60,
        "How far ahead of its being heard audio is sent. It waits in the caller's telephone, and cannot be taken back: "
        "so much is heard more of a bot that is interrupted.",
        unit="ms",
    )
    audiosocket_way_ms: Annotated[int, Field(ge=0, le=500)] = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_WAY_MS",
        0,
        "How long audio takes from the PBX to the caller's ear: the network and the telephone's buffer, often 50 to "
        "150 ms. Nothing on this connection tells it, and words are told so much too early where it is not set.",
        unit="ms",
    )
    twilio_resume_s: Annotated[float, Field(ge=0, le=60)] = setting(
        TWILIO,
        "TALKWIRE_TWILIO_RESUME_S",
        10.0,
        "How long a call whose media stream broke off waits for Twilio to open another one. 0: it ends at once.",
        unit="s",
    )

    webrtc: bool = setting(
        BROWSER,
        "TALKWIRE_WEBRTC",
        True,
        "Take calls from browsers (WebRTC). Their audio comes by UDP.",
    )
    webrtc_ports: Ports | None = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_PORTS",
        None,
        "UDP ports on which it comes, for a firewall to let through and a container to publish: one for each call and "
        "address of this machine. Unset: the system chooses.",
        allowed="two ports from 1024 to 65535 with a hyphen between them, for example 40000-40099",
    )
    webrtc_address: Addresses = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_ADDRESS",
        (),
        "IP addresses by which browsers reach those ports, where they are not those of this machine's network cards: "
        "behind a NAT that maps each port to the same port, or in a container. Then no STUN server is asked.",
        allowed="IP addresses separated by commas, for example 203.0.113.5",
    )
    webrtc_lead_ms: Annotated[int, Field(ge=0, le=200)] = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_LEAD_MS",
        80,
        "How far ahead of its being heard audio is sent to a page without Talkwire's client (with it: 160 ms). More "
        "bridges longer stalls of the server; so much is heard more of a bot that is interrupted.",
        unit="ms",
    )
    webrtc_opening_ms: Annotated[int, Field(ge=0, le=5000)] = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_OPENING_MS",
        600,
        "How long the greeting of a call whose token carries metadata waits for the agent to configure that call "
        "(`session.configure`); it goes on with the first. Agents that never do are not waited for after three calls. "
        "0: nobody is.",
        unit="ms",
    )
    webrtc_resume_s: Annotated[float, Field(ge=0, le=300)] = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_RESUME_S",
        15.0,
        "How long a call whose network is gone waits for the browser to come back.",
        unit="s",
    )
    page_tokens_per_minute: Annotated[int, Field(ge=0, le=100_000)] = setting(
        BROWSER,
        "TALKWIRE_PAGE_TOKENS_PER_MINUTE",
        30,
        "Tokens that pages in `allowed_origins`, without a key, get from one address; one origin gets ten times as many. "
        "0: any number.",
        unit="tokens",
    )
    page_calls: Annotated[int, Field(ge=0, le=10_000)] = setting(
        BROWSER,
        "TALKWIRE_PAGE_CALLS",
        _some_places,
        "Calls at the same time of such pages from one address; unset: a quarter of `TALKWIRE_MAX_CALLS`, and two at "
        "least. 0: any number.",
        unit="calls",
    )
    page_connecting: Annotated[int, Field(ge=0, le=10_000)] = setting(
        BROWSER,
        "TALKWIRE_PAGE_CONNECTING",
        4,
        "Of these, those that were answered and have not connected yet, which may take 15 s; to one agent five times as "
        "many from all addresses. 0: any number.",
        unit="calls",
    )
    ice_servers: IceUrls = setting(
        BROWSER,
        "TALKWIRE_ICE_SERVERS",
        (),
        "STUN and TURN servers that browsers are given, and that the server asks for its own address: "
        "`stun:stun.example.org:3478`, `turn:turn.example.org:3478?transport=udp`. Without any a call needs a server "
        "that the browser reaches by an address of its own network card.",
        allowed="stun:, turn: and turns: addresses separated by commas",
    )
    turn_secret: SecretStr | None = setting(
        BROWSER,
        "TALKWIRE_TURN_SECRET",
        None,
        "The secret that is shared with the TURN server (coturn: `static-auth-secret`): each browser gets "
        "credentials of its own, that expire.",
        allowed="text",
    )
    turn_username: Annotated[str, Field(max_length=500)] | None = setting(
        BROWSER,
        "TALKWIRE_TURN_USERNAME",
        None,
        "User of the TURN server, where it has no shared secret. All browsers get it.",
        allowed="text of at most 500 characters",
    )
    turn_password: SecretStr | None = setting(
        BROWSER, "TALKWIRE_TURN_PASSWORD", None, "The password of `TALKWIRE_TURN_USERNAME`.", allowed="text"
    )

    sources: Mapping[str, Source] = Field(default_factory=dict)
    """By key, for the settings that are not at their default."""
    warnings: tuple[str, ...] = ()
    """What is odd about the environment but stops nothing, for the log."""

    @field_validator("audiosocket")
    @classmethod
    def _closed(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Nobody shows who he is there: it is open to loopback, or to those that were named."""
        if (
            value is not None
            and not info.data.get("audiosocket_allow", True)
            and not is_loopback(host_and_port(value)[0])
        ):
            raise ValueError("nobody is allowed there")
        return value

    @field_validator("twilio_auth_token_secondary")
    @classmethod
    def _besides(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A second token alone would be the first one, misspelt."""
        if value is not None and info.data.get("twilio_auth_token", value) is None:
            raise ValueError("there is no first one")
        return value

    @property
    def twilio_auth_tokens(self) -> dict[str, str]:
        """The tokens that Twilio may sign with, by the names of their settings."""
        tokens = {
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token,
            "TWILIO_AUTH_TOKEN_SECONDARY": self.twilio_auth_token_secondary,
        }
        return {name: token.get_secret_value() for name, token in tokens.items() if token is not None}

    @property
    def database(self) -> str:
        """The URL of the database, which may hold a password, or ``memory``."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / DATABASE_FILE}"

    @property
    def stream_url(self) -> str:
        """``public_url`` for WebSockets: ``ws://`` for ``http://``, ``wss://`` for ``https://``."""
        return "ws" + self.public_url.removeprefix("http")

    def endpoint(self, stage: Stage) -> tuple[str | None, str] | None:
        """Base URL (None: the hosted service) and key (may be empty) of a stage; None: nothing is set.

        A key given for everything is not shown to an endpoint that was named for one stage alone.
        """
        own_url: str | None = getattr(self, f"{stage}_base_url")
        own_key: SecretStr | None = getattr(self, f"{stage}_api_key")
        url = own_url or self.openai_base_url
        key = own_key or (None if own_url else self.openai_api_key)
        if url is None and key is None:
            return None
        return url, key.get_secret_value() if key else ""

    def llm_endpoints(self) -> dict[str, tuple[str | None, str]]:
        """Base URL and key of each language model provider that can be asked, by its name. A key goes to the
        endpoint of its name, and nowhere else."""
        own, keys = dict(self.llm_providers), dict(self.llm_keys)
        default = self.endpoint("llm")
        found: dict[str, tuple[str | None, str]] = {} if default is None else {DEFAULT: default}
        for name in {**HOSTED, **own}:
            usual: SecretStr | None = getattr(self, f"{name}_api_key") if name in HOSTED else None
            key = keys.get(name, usual)
            if name in own or key is not None:
                url = own.get(name) or HOSTED[name].url
                found[name] = url, key.get_secret_value() if key is not None else ""
        return found

    def secrets(self) -> Iterator[str]:
        """Whatever is not to be shown to anybody."""

        def found(value: Any) -> Iterator[str]:
            if isinstance(value, SecretStr):
                yield value.get_secret_value()
            elif isinstance(value, tuple):
                for part in value:
                    yield from found(part)

        for setting in declared():
            yield from found(getattr(self, setting.name))
        if password := urlsplit(self.database).password:
            yield password
        if self.otlp_headers is not None:
            yield from (
                unquote(part.partition("=")[2]) for part in self.otlp_headers.get_secret_value().split(",")
            )

    def with_workers(self, workers: int) -> Self:
        """The same with another number of processes. Raises ``SettingsError``."""
        if not 1 <= workers <= 64:
            raise SettingsError("--workers must be between 1 and 64")
        return self.model_copy(update={"workers": workers})

    def load_secret(self) -> str:
        """What tokens are signed with: as configured, else out of the data directory, made if need be.

        Reads and writes files. Raises ``server.secrets.DataDirError``.
        """
        if self.secret is not None:
            return self.secret.get_secret_value()
        return load_or_create_secret(self.data_dir / SIGNING_FILE)

    def load_api_keys(self) -> tuple[str, ...]:
        """The configured keys; where there are none, the one in the data directory, made if need be.

        Reads and writes files. Raises ``server.secrets.DataDirError``.
        """
        if self.api_keys:
            return tuple(key.get_secret_value() for key in self.api_keys)
        return (load_or_create_secret(self.data_dir / API_KEY_FILE, new_api_key),)

    @classmethod
    def load(cls, env_file: Path | None = Path(".env")) -> Self:
        """Read the environment and, where it exists, ``env_file``.

        Raises ``SettingsError`` naming every setting that is wrong.
        """
        try:
            file = DotEnvSettingsSource(cls, env_file=env_file, env_file_encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{env_file} cannot be read: {error}") from error
        known = [setting.key for setting in declared()]
        from_file, from_environment = file(), EnvSettingsSource(cls)()
        for given, variables in ((from_environment, os.environ), (from_file, file.env_vars)):
            # What many platforms name a database by, and a Redis.
            for key, usual in ((DATABASE, "DATABASE_URL"), (REDIS, "REDIS_URL")):
                if key not in {**from_file, **from_environment} and variables.get(usual):
                    given[key] = variables[usual]
        values = {key: value for key, value in {**from_file, **from_environment}.items() if key in known}
        sources: dict[str, Source] = {
            key: "environment" if key in from_environment else ".env" for key in values
        }
        warnings = misspelt({*os.environ, *file.env_vars}, known)
        try:
            return cls.model_validate({**values, "sources": sources, "warnings": warnings})
        except ValidationError as error:
            raise SettingsError("\n".join(faults(error, declared(), values, sources))) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def declared() -> Iterator[Declared]:
    """All settings in the order of their declaration."""
    return declared_in(Settings)
