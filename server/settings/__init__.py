"""What can be set, read once from the environment and from ``.env`` (the environment wins).

Each setting is declared in this package and nowhere else, with its unit, its default and what is allowed; from that come
the errors, ``talkwire config``, ``.env.example`` and ``docs/configuration.md``. Nothing else in the server
reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from server.providers import DEFAULT, HOSTED
from server.secrets import API_KEY_FILE, SIGNING_FILE, load_or_create_secret, new_api_key
from server.settings.browser import Browser
from server.settings.calls import Calls
from server.settings.carriers import Pbx, Twilio
from server.settings.declaring import OFF, Stage
from server.settings.endpoints import OpenAiShaped, Providers
from server.settings.engines import Engines
from server.settings.keeping import DATABASE, REDIS, Cluster, Journal, Recording
from server.settings.serving import Access, Logs, Network, Traces
from server.settings.texts import Declared, Source, declared_in, faults, misspelt

__all__ = ["OFF", "Settings", "SettingsError", "Stage", "declared"]

DATABASE_FILE = "talkwire.db"


class SettingsError(Exception):
    """The server cannot start with these settings. The text names each as the user writes it, says what is
    allowed, and holds no secret.
    """


# Fields come in the order of the bases from the last to the first: what is told of the settings begins with the last.
class Settings(
    Browser,
    Pbx,
    Twilio,
    Providers,
    OpenAiShaped,
    Engines,
    Cluster,
    Journal,
    Recording,
    Calls,
    Traces,
    Logs,
    Access,
    Network,
    BaseSettings,
):
    """All settings. One made by hand, in a test, does not read the environment: only ``load`` does."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        case_sensitive=True,
        # An empty variable is what compose files make of one that is not set.
        env_ignore_empty=True,
        enable_decoding=False,
        defer_build=False,
    )

    sources: Mapping[str, Source] = Field(default_factory=dict)
    """By key, for the settings that are not at their default."""
    warnings: tuple[str, ...] = ()
    """What is odd about the environment but stops nothing, for the log."""

    @property
    def database(self) -> str:
        """The URL of the database, which may hold a password, or ``memory``."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / DATABASE_FILE}"

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
