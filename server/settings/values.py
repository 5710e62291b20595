"""The kinds of values that settings have: how each is read from text, and what is refused."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from server.providers import DEFAULT, HOSTED, LOCAL


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _split(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _names(value: Any) -> Any:
    return _split(value.lower()) if isinstance(value, str) else value


def _row(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) < len(value):
        raise ValueError("an engine once each, and one at least")
    if len(value) > 1 and {"auto", "none"} & set(value):
        raise ValueError("auto and none stand alone")
    return value


def _pairs(value: Any) -> Any:
    """``name=value`` between commas; a name alone has an empty value."""
    if not isinstance(value, str):
        return value
    parts = (part.partition("=") for part in _split(value))
    return tuple((name.strip().lower(), what.strip()) for name, _, what in parts)


def _llm_endpoints(value: Any) -> Any:
    """A server that one runs oneself may be named without its address: it has a usual one."""
    return tuple((name, url or LOCAL.get(name, "")) for name, url in _pairs(value))


def _once_each(value: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    if len({name for name, _ in value}) < len(value):
        raise ValueError("a name once each")
    return value


def _other_than_default(value: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    if {DEFAULT, "auto", "none"} & {name for name, _ in value}:
        raise ValueError("these names have a meaning already")
    return value


def _llm_row(value: Any) -> Any:
    """Of ``provider/model`` only the provider may be written in any case."""
    if not isinstance(value, str):
        return value
    parts = (entry.partition("/") for entry in _split(value))
    return tuple(f"{name.strip().lower()}{slash}{model.strip()}" for name, slash, model in parts)


def _known_providers(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if "llm_providers" not in info.data:
        return value  # That setting is at fault, and told.
    known = {"auto", "none", DEFAULT, *HOSTED, *(name for name, _ in info.data["llm_providers"])}
    if any(entry.partition("/")[0] not in known or entry.endswith("/") for entry in value):
        raise ValueError("a provider that is not known")
    return value


def _keys_of_known(value: tuple[tuple[str, Any], ...], info: ValidationInfo) -> tuple[tuple[str, Any], ...]:
    if "llm_providers" in info.data:
        known = {*HOSTED, *(name for name, _ in info.data["llm_providers"])}
        if {name for name, _ in value} - known:
            raise ValueError("the key of nobody")
    return value


def _host(value: str) -> str:
    if not value or any(sign in value for sign in "/ @"):
        raise ValueError("not a host")
    return value


def _ports(value: Any) -> Any:
    """``40000-40100``, or one port."""
    if isinstance(value, str):
        first, hyphen, last = (part.strip() for part in value.partition("-"))
        return first, last if hyphen else first
    return value


def _in_order(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError("the first port is behind the last one")
    return value


def _address(value: str) -> str:
    return str(ip_address(value))


def _network(value: str) -> str:
    return str(ip_network(value))


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(sign.isspace() for sign in value):
        raise ValueError("no http(s) origin")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("more than an origin and a path")
    # Asking for the port raises ValueError where it is not one.
    if parts.port == 0:
        raise ValueError("no port to connect to")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _database_url(value: SecretStr) -> SecretStr:
    """What a database is named by; that there is one is found out later."""
    url = value.get_secret_value()
    if url.strip().lower() == MEMORY:
        return SecretStr(MEMORY)
    scheme, _, rest = url.partition("://")
    if any(sign.isspace() for sign in url):
        raise ValueError("no URL")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return value
    if scheme in ("postgres", "postgresql") and urlsplit(url).path.strip("/"):
        return value
    raise ValueError("no database of a known kind")


def _redis_url(value: SecretStr) -> SecretStr:
    """``redis://``, ``rediss://`` (TLS) or ``unix://``; it may hold a password."""
    parts = urlsplit(value.get_secret_value().strip())
    there = parts.path if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not there:
        raise ValueError("no Redis")
    return SecretStr(value.get_secret_value().strip())


def host_and_port(value: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:9092`` or ``[::1]:9092``. Raises ``ValueError``."""
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise ValueError("no host and port")
    bracketed = host.startswith("[") and host.endswith("]")
    if (":" in host) != bracketed:
        raise ValueError("an IPv6 address without its brackets")
    return _host(host[1:-1] if bracketed else host), int(port)


def _host_port(value: str) -> str:
    host_and_port(value)
    return value


MEMORY = "memory"
"""The database that is none."""

Word = BeforeValidator(_lower)
DatabaseUrl = Annotated[SecretStr, Field(max_length=2000), AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, Field(max_length=2000), AfterValidator(_redis_url)]
HostPort = Annotated[str, AfterValidator(_host_port)]
Host = Annotated[str, AfterValidator(_host)]
Url = Annotated[str, AfterValidator(_url)]
Keys = Annotated[tuple[Annotated[SecretStr, Field(max_length=512)], ...], BeforeValidator(_split)]
File = Annotated[Path, AfterValidator(Path.expanduser)]
Directory = Annotated[Path, AfterValidator(Path.expanduser)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35)]
IceUrl = Annotated[
    str,
    Field(max_length=300, pattern=r"^(stun|turn|turns):[A-Za-z0-9.\-\[\]:]+(\?transport=(udp|tcp))?$"),
]
Port = Annotated[int, Field(ge=1024, le=65535)]
Ports = Annotated[tuple[Port, Port], BeforeValidator(_ports), AfterValidator(_in_order)]
Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...], Field(max_length=10), BeforeValidator(_split)
]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...], Field(max_length=100), BeforeValidator(_split)
]
IceUrls = Annotated[tuple[IceUrl, ...], Field(max_length=10), BeforeValidator(_split)]
Row = (BeforeValidator(_names), AfterValidator(_row))
JournalSkip = Annotated[
    tuple[Literal["audio.metrics", "bot.word", "user.speaking", "agent.state", "llm.reasoning", "none"], ...],
    BeforeValidator(_names),
    AfterValidator(_row),
]
"""Events that only lead up to others, or measure."""
Model = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=50)]
LlmRow = Annotated[
    tuple[Annotated[str, Field(max_length=200)], ...],
    BeforeValidator(_llm_row),
    AfterValidator(_row),
    AfterValidator(_known_providers),
]
LlmEndpoints = Annotated[
    tuple[tuple[Name, Url], ...],
    Field(max_length=50),
    BeforeValidator(_llm_endpoints),
    AfterValidator(_once_each),
    AfterValidator(_other_than_default),
]
LlmKeys = Annotated[
    tuple[tuple[Name, Annotated[SecretStr, Field(min_length=1, max_length=512)]], ...],
    BeforeValidator(_pairs),
    AfterValidator(_once_each),
    AfterValidator(_keys_of_known),
]
Aliases = Annotated[
    tuple[tuple[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]], ...],
    Field(max_length=1000),
    BeforeValidator(_pairs),
    AfterValidator(_once_each),
]
Seconds = Annotated[float, Field(ge=0.1, le=120)]
Line = Annotated[str, Field(max_length=500)]
ConsolePassword = Annotated[SecretStr, Field(min_length=8, max_length=512)]
