"""Where the server listens, who may come, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from server.settings.declaring import Group, setting
from server.settings.values import ConsolePassword, Directory, Host, Keys, Networks, Url, Word

NETWORK, ACCESS, LOGS = "Network", "Access and data", "Logs"
TRACES = "Traces (OpenTelemetry)"


def _own_url(settings: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{settings['port']}"


class Network(Group):
    """Addresses and ports."""

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

    @property
    def stream_url(self) -> str:
        """``public_url`` for WebSockets: ``ws://`` for ``http://``, ``wss://`` for ``https://``."""
        return "ws" + self.public_url.removeprefix("http")


class Access(Group):
    """Keys, the console, and what is stored where."""

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


class Logs(Group):
    """What is written."""

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


class Traces(Group):
    """What is sent to a collector: by the names that OpenTelemetry has for it."""

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
