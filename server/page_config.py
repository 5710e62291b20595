"""What a page may say about the call that it begins. Pure.

A page is not trusted: of its configuration only what changes how the call sounds is taken, and what the token says of
the caller wins over what the page says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from server.protocol import Configuration
from server.protocol.faults import faults_of

MAX_METADATA = 2048
"""Bytes of JSON, of each of the two sides."""
_TAKEN = {"voice": "voice", "tts": "voice", "language": "language", "stt": "stt", "greeting": "greeting"}
"""Key of a page to key of ours."""
_SILENT = frozenset({"flash"})
"""Taken, without effect."""


class PageConfigError(ValueError):
    """A key that a page may set has a value that it may not have."""


def filtered(config: Mapping[str, Any]) -> tuple[Configuration, list[str]]:
    """What of a page's configuration is taken, and the keys that are not. Raises ``PageConfigError``."""
    taken = {_TAKEN[key]: value for key, value in config.items() if key in _TAKEN and value is not None}
    refused = [key[:60] for key in config if key not in _TAKEN and key not in _SILENT]
    try:
        return Configuration.model_validate(taken), refused
    except ValidationError as error:
        first = faults_of(error)[0]
        where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("<"))
        raise PageConfigError(f"config.{where}: {first['msg']}") from None


def joined(page: Mapping[str, Any], sealed: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the caller."""
    return {**page, **sealed}
