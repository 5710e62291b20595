"""What a language model can be taught in the course of a call: skills, each with instructions and tools, of which
some are loaded and the others are known by name only.

Pure. The model itself loads and unloads those that are made for it, by two tools that the server runs; the agent any
of them. Where several tools have one name, the agent's own wins over the two of the server, and these over a
skill's; among skills the one that is declared first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.events import SkillBy as By
from pipeline.ports import ToolSpec
from pipeline.tools import Tool

LOAD, UNLOAD = "loadSkill", "unloadSkill"
NOTE = (
    f"You have skills that are not loaded, and their tools are not there before they are: load one with {LOAD} as "
    f"soon as the conversation needs it, and unload it with {UNLOAD} when it is no longer needed."
)
"""What is added to a prompt where the model may load skills."""

Activation = Literal["model", "manual", "always"]


@dataclass(frozen=True, slots=True)
class Skill:
    """As an agent declares it."""

    name: str
    description: str = ""
    """When it is needed, for the model."""
    instructions: str = ""
    """What the model is told while it is loaded; a template as the prompt is."""
    tools: tuple[Tool, ...] = ()
    activation: Activation = "model"
    """``model``: the model loads it, or the agent; ``manual``: the agent; ``always``: it is loaded from the start."""


@dataclass(frozen=True, slots=True)
class Change:
    """A skill was loaded, or unloaded."""

    skill: str
    loaded: bool
    by: By


class UnknownSkill(ValueError):
    """No skill has this name; the text lists those that there are."""


class Skills:
    """Of one call."""

    def __init__(self, declared: Sequence[Skill] = ()) -> None:
        self._declared: dict[str, Skill] = {}
        self._loaded: set[str] = set()
        self.declare(declared)

    def declare(self, declared: Sequence[Skill]) -> list[Change]:
        """These are the skills from now on: what is loaded stays so, as far as it is among them."""
        before, self._declared = self._declared, {skill.name: skill for skill in declared}
        always = {skill.name for skill in before.values() if skill.activation == "always"}
        gone = [name for name in before if name in self._loaded and name not in self._declared]
        new = [s.name for s in declared if s.activation == "always" and s.name not in always | self._loaded]
        self._loaded = self._loaded.difference(gone).union(new)
        changes = [Change(name, loaded=False, by="manual") for name in gone]
        return changes + [Change(name, loaded=True, by="manual") for name in new]

    @property
    def loaded(self) -> tuple[Skill, ...]:
        """In the order in which they are declared."""
        return tuple(skill for skill in self._declared.values() if skill.name in self._loaded)

    def load(self, name: str, by: By) -> Change | None:
        """None: it is loaded already. Raises ``UnknownSkill``."""
        self._check(name, by)
        if name in self._loaded:
            return None
        self._loaded.add(name)
        return Change(name, loaded=True, by=by)

    def unload(self, name: str, by: By) -> Change | None:
        """None: it is not loaded. Raises ``UnknownSkill``."""
        self._check(name, by)
        if name not in self._loaded:
            return None
        self._loaded.discard(name)
        return Change(name, loaded=False, by=by)

    def _check(self, name: str, by: By) -> None:
        names = [skill.name for skill in (self._declared.values() if by == "manual" else self._loadable())]
        if name not in names:
            shown = name[:100].encode(errors="replace").decode()
            there = f"the skills are: {', '.join(names)}" if names else "there are none"
            raise UnknownSkill(f"there is no skill {shown!r}; {there}")

    def _loadable(self) -> list[Skill]:
        """Those that the model may load and unload."""
        return [skill for skill in self._declared.values() if skill.activation == "model"]

    # --- what the model is told ---------------------------------------------------------------------------

    @property
    def instructions(self) -> tuple[str, ...]:
        """Of those that are loaded, as templates."""
        return tuple(skill.instructions for skill in self.loaded if skill.instructions)

    @property
    def note(self) -> str:
        """About the two tools; empty where they are not offered."""
        return NOTE if self._loadable() else ""

    def tools(self, own: Iterable[Tool], changed: Callable[[Change], None]) -> tuple[Tool, ...]:
        """All that the model may ask for now: the agent's own, the two of the server, and those of what is loaded.
        ``changed`` is called where the model loads or unloads a skill."""
        found: dict[str, Tool] = {tool.name: tool for tool in own}
        for tool in self._server_tools(changed):
            found.setdefault(tool.name, tool)
        for skill in self.loaded:
            for tool in skill.tools:
                found.setdefault(tool.name, tool)
        return tuple(found.values())

    def _server_tools(self, changed: Callable[[Change], None]) -> list[Tool]:
        loadable = self._loadable()
        if not loadable:
            return []
        listed = "\n".join(f"- {skill.name}: {skill.description}" for skill in loadable)
        wanted = {
            "type": "object",
            "properties": {"name": {"type": "string", "enum": [skill.name for skill in loadable]}},
            "required": ["name"],
        }

        def load(arguments: Mapping[str, Any]) -> object:
            change = self.load(_name(arguments), "model")
            if change is not None:
                changed(change)
            return {"loaded": _name(arguments)}

        def unload(arguments: Mapping[str, Any]) -> object:
            change = self.unload(_name(arguments), "model")
            if change is not None:
                changed(change)
            return {"unloaded": _name(arguments)}

        return [
            Tool(
                ToolSpec(LOAD, f"Loads a skill: its tools are there from then on. Skills:\n{listed}", wanted),
                run=load,
            ),
            Tool(ToolSpec(UNLOAD, "Unloads a skill that is no longer needed.", wanted), run=unload),
        ]


def _name(arguments: Mapping[str, Any]) -> str:
    name = arguments.get("name")
    if not isinstance(name, str):
        raise UnknownSkill("the argument name must be the name of a skill")
    return name
