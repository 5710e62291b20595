"""From layers of configuration to what a call's own language model is, is told and may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.config import SessionConfig
from pipeline.ports import ToolSpec
from pipeline.preparing import MAX_MS, OPTED_IN_MS, Preparing
from pipeline.skills import Skill
from pipeline.tools import Tool
from server.layers import Layers, values
from server.protocol import LlmSettings, PreparingSettings, SkillDefinition, ToolDefinition


def llm_of(layers: Layers) -> LlmSettings | None:
    """The language model, its parts joined key by key: a nearer level may change the temperature alone."""
    given: list[str | LlmSettings] = list(values(layers, "llm"))
    if not given:
        return None
    parts = [LlmSettings(enabled=True, model=value) if isinstance(value, str) else value for value in given]
    named = next((part for part in parts if part.provider or part.model or part.llm), LlmSettings())

    def first(name: str) -> Any:
        return next((value for part in parts if (value := getattr(part, name)) is not None), None)

    return LlmSettings(
        enabled=first("enabled"),
        provider=named.provider,
        model=named.model or named.llm,
        temperature=first("temperature"),
        max_tokens=first("max_tokens"),
        fallback=first("fallback"),
    )


def prompt_of(layers: Layers) -> str:
    """The nearest level that has one decides, wherever in it that stands."""
    for layer in layers:
        inner = (getattr(part, "prompt", None) for part in values([layer], "llm"))
        for prompt in (layer.get("prompt"), *inner):
            if prompt is not None:
                return str(prompt)
    return ""


def variables_of(layers: Layers) -> dict[str, str]:
    """Those of the nearer level win."""
    found: dict[str, str] = {}
    for layer in reversed(layers):
        found.update(layer.get("vars") or {})
    return found


def skills_of(layers: Layers) -> tuple[Skill, ...]:
    declared: Sequence[SkillDefinition] = next(
        (skills for layer in layers if (skills := layer.get("skills")) is not None), ()
    )
    return tuple(
        Skill(
            skill.name,
            skill.description or "",
            skill.instructions or "",
            tuple(tool_of(tool) for tool in skill.tools),
            skill.activation,
        )
        for skill in declared
    )


def zone_of(name: str | None) -> tzinfo:
    return UTC if name is None else ZoneInfo(name)


def preparing_of(value: bool | PreparingSettings | None) -> Preparing | None:
    if value is None:
        return Preparing()
    if isinstance(value, bool):
        return Preparing(OPTED_IN_MS, opted_in=True) if value else None
    if value.enabled is False:
        return None
    return Preparing(min(value.timeout_ms or OPTED_IN_MS, MAX_MS), opted_in=True)


def tool_of(tool: ToolDefinition) -> Tool:
    """One that the agent's process runs, or the caller's page."""
    function = tool.function
    spec = ToolSpec(function.name, function.description or "", function.parameters or {})
    timeout_s = None if function.timeout_ms is None else function.timeout_ms / 1000
    return Tool(spec, timeout_s, function.filler or "", page=bool(function.page))


def without_page(config: SessionConfig) -> SessionConfig:
    """The same for a caller who has no page: nobody could run its tools."""
    skills = tuple(
        replace(skill, tools=tuple(tool for tool in skill.tools if not tool.page)) for skill in config.skills
    )
    return replace(config, tools=tuple(tool for tool in config.tools if not tool.page), skills=skills)


def thinks(llm: str | LlmSettings | None) -> bool:
    """The server is to answer by its language model."""
    return llm is not None and not (isinstance(llm, LlmSettings) and llm.enabled is False)
