"""How a setting is declared."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Stage = Literal["stt", "tts", "llm"]
OFF: Final = "off"
"""What switches a text off: an empty variable counts as unset."""


class Group(BaseModel):
    """Settings that belong together: a part of ``Settings``, and never made by itself."""

    model_config = ConfigDict(frozen=True, defer_build=True)


def setting(section: str, key: str, default: Any, text: str, *, unit: str = "", allowed: str = "") -> Any:
    """Declare one setting. ``allowed`` is told where the type does not say it."""
    known: dict[str, Any] = {
        "validation_alias": key,
        "description": text,
        "json_schema_extra": {"section": section, "unit": unit, "allowed": allowed},
    }
    return Field(default_factory=default, **known) if callable(default) else Field(default=default, **known)
