"""What the user is told of a setting: as what it is declared, what of his is wrong, and what he may have misspelt."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

PREFIX = "TALKWIRE_"
ELSEWHERE = frozenset({"TALKWIRE_URL", "TALKWIRE_SPEECH_DIR", "TALKWIRE_DEMO_LLM", "TALKWIRE_PBX_KEY"})
"""Variables of agents, examples, containers and tests, which are no settings of the server."""
Source = Literal["default", ".env", "environment"]


@dataclass(frozen=True, slots=True)
class Declared:
    """One setting as its user sees it."""

    key: str
    name: str
    """Name in ``Settings``."""
    section: str
    description: str
    unit: str
    allowed: str
    default: str
    """As one would write it; empty: unset."""
    secret: bool

    def value_in(self, settings: BaseSettings) -> str:
        """As one would write it; of a secret only ``set`` or ``unset``."""
        value = getattr(settings, self.name)
        if self.secret:
            return "set" if value else "unset"
        return _written(value)


def declared_in(settings: type[BaseSettings]) -> Iterator[Declared]:
    """All settings in the order of their declaration."""
    for name, field in settings.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            secret = "SecretStr" in str(field.annotation)
            yield Declared(
                key=str(field.validation_alias),
                name=name,
                section=str(extra["section"]),
                description=field.description or "",
                unit=str(extra["unit"]),
                allowed=str(extra["allowed"]) or _allowed(field),
                default="" if secret or field.default_factory else _written(field.default),
                secret=secret,
            )


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        if value and isinstance(value[0], int):
            return "-".join(map(str, value))
        return ",".join("=".join(part) if isinstance(part, tuple) else part for part in value)
    if isinstance(value, Path) and not value.is_absolute():
        return f"./{value}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(choice for choice in get_args(kind) if choice is not type(None))
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    if kind is bool:
        return "true or false"
    low, high = (
        next(getattr(mark, bound) for mark in field.metadata if hasattr(mark, bound))
        for bound in ("ge", "le")
    )
    return f"{'a whole number' if kind is int else 'a number'} from {low} to {high}"


def faults(
    error: ValidationError,
    settings: Iterable[Declared],
    values: Mapping[str, Any],
    sources: Mapping[str, Source],
) -> Iterator[str]:
    """What is wrong with the values that were given, one sentence for each setting."""
    told = {setting.key: setting for setting in settings}
    for key in dict.fromkeys(str(fault["loc"][0]) for fault in error.errors(include_input=False)):
        if key not in values:
            continue  # Its default hangs on another one, which is told.
        allowed = told[key].allowed
        if "," in allowed and " " not in allowed.replace(", ", ""):
            allowed = f"one of {allowed}"
        given = str(values[key])[:80]
        # A URL with a password in it is refused, and not repeated either.
        shown = f"got {given!r} " if not told[key].secret and "@" not in given else ""
        place = "the environment" if sources[key] == "environment" else "the file .env"
        yield f"{key} must be {allowed} ({shown}from {place})"


def misspelt(given: set[str], known: Sequence[str]) -> tuple[str, ...]:
    """An unknown setting stops nothing, since it may be meant for another program; it is told."""
    unknown = given.difference(known)
    warnings = []
    for key in sorted(unknown - ELSEWHERE):
        if key.startswith(PREFIX):
            close = get_close_matches(key, known, n=2, cutoff=0.8)
            advice = (
                f"did you mean {' or '.join(close)}?" if close else "`talkwire config` lists all settings"
            )
            warnings.append(f"{key} is no setting and has no effect: {advice}")
    return tuple(warnings)
