"""Skills: instructions and tools that the server's language model has for a part of a call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from server.protocol.base import Allowed, CallEvent, Part
from server.protocol.tools import Tools

SkillName = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[^\n\r]*$"), Allowed("text of 1 to 64 characters")
]
When = Annotated[str, Field(max_length=2000), Allowed("text of at most 2000 characters")]
Instructions = Annotated[str, Field(max_length=100_000), Allowed("text of at most 100000 characters")]


class SkillDefinition(Part):
    """Instructions and tools that the language model has only while the skill is loaded."""

    name: SkillName = Field(description="What it is called by.")
    description: When | None = Field(
        default=None, description="What it is for and when it is needed, for the model."
    )
    instructions: Instructions | None = Field(
        default=None,
        description="What the model is told while it is loaded, behind the prompt, also with `raw_prompt`; "
        "variables as in the prompt.",
    )
    tools: Tools = Field(
        default=(),
        description="What the model may ask the agent process to do while it is loaded. Where the agent has a tool "
        "of the same name, that one is meant; among skills the one that is declared first.",
    )
    activation: Literal["model", "manual", "always"] = Field(
        default="model",
        description="`model`: the model loads it when it needs it, by the tools `loadSkill` and `unloadSkill`, "
        "which the server runs; or the agent does (`skill.load`). `manual`: only the agent does. `always`: it is "
        "loaded from the start.",
    )


def _own_names(skills: tuple[SkillDefinition, ...]) -> tuple[SkillDefinition, ...]:
    seen: set[str] = set()
    for skill in skills:
        if skill.name in seen:
            raise ValueError(f"skills must have names of their own (got {skill.name!r} twice)")
        seen.add(skill.name)
    return skills


Skills = Annotated[
    tuple[SkillDefinition, ...], Field(max_length=64, strict=False), AfterValidator(_own_names)
]


class SkillLoaded(CallEvent):
    """The language model has the instructions and the tools of a skill, from its next generation on. Those that
    are loaded from the start are not told.
    """

    event: Literal["skill.loaded"] = "skill.loaded"
    skill: str = Field(description="Its name.")
    by: Literal["model", "manual"] = Field(description="Who did it: the model, or the agent.")


class SkillUnloaded(CallEvent):
    """The language model has them no more: it was unloaded, or the call was given other skills."""

    event: Literal["skill.unloaded"] = "skill.unloaded"
    skill: str = Field(description="Its name.")
    by: Literal["model", "manual"] = Field(description="Who did it: the model, or the agent.")
