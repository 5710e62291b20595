"""What the call's own language model is told beside the history: its prompt, with the variables filled in, and its
skills, with their tools.

Like the session it acts and does not decide: ``pipeline.prompt`` and ``pipeline.skills`` do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pipeline import turns
from pipeline.config import SessionConfig
from pipeline.events import Event, SkillBy, SkillLoaded, SkillUnloaded, TurnRef, Warned
from pipeline.prompt import MAX_CHARS, Filled, Prompt
from pipeline.skills import Change, Skills, UnknownSkill
from pipeline.thinking import Manner


class Briefed(Protocol):
    """The call, as far as that is concerned."""

    def epoch(self) -> float:
        """The time of day, epoch seconds."""

    def emit(self, event: Event) -> None: ...


class Briefing:
    """Of one call."""

    def __init__(self, call: Briefed, machine: turns.TurnMachine, config: SessionConfig) -> None:
        self._call = call
        self._machine = machine
        self._config = config
        self.prompt = Prompt()
        self._instruct()
        self._skills = Skills(config.skills)
        self._changes: list[Change] = []
        """What the model has changed of its skills, and was not told yet."""

    def change(self, config: SessionConfig) -> None:
        """Tell it other things from now on."""
        self._config = config
        self._instruct()
        self._changed(self._skills.declare(config.skills))

    def _instruct(self) -> None:
        config = self._config
        self.prompt.configure(
            config.prompt, raw=config.raw_prompt, variables=config.variables, zone=config.timezone
        )

    def manner(self) -> Manner:
        """How the next generation is made."""
        config, skills = self._config, self._skills
        system = self._told(self.prompt.render(self._call.epoch(), skills.instructions, skills.note))
        tools = skills.tools(config.tools, self._changes.append)
        return Manner(config.temperature, config.max_tokens, tools, system)

    def fill(self, template: str) -> str:
        """A text with the call's variables in it."""
        return self._told(self.prompt.fill(template, self._call.epoch()))

    def _told(self, filled: Filled) -> str:
        """What was filled in; what of it could not be is told to the agent."""
        turn = self._machine.turn
        if filled.unknown:
            names = ", ".join(filled.unknown)
            text = (
                f"the prompt names variables that nobody has set, and they are left empty: {names}. Set them "
                "by vars or history.set_vars"
            )
            self._call.emit(Warned(turn, "UNKNOWN_VARIABLE", text, filled.unknown))
        if filled.cut:
            text = f"with its variables filled in the prompt is longer than {MAX_CHARS} characters: it is cut there"
            self._call.emit(Warned(turn, "PROMPT_TOO_LONG", text))
        return filled.text

    # --- skills -------------------------------------------------------------------------------------------

    def load_skill(self, name: str) -> bool:
        """The agent has a skill loaded. False: there is none of this name, which it is told."""
        return self._change_skill(self._skills.load, name)

    def unload_skill(self, name: str) -> bool:
        """The agent has a skill unloaded. False as above."""
        return self._change_skill(self._skills.unload, name)

    def _change_skill(self, act: Callable[[str, SkillBy], Change | None], name: str) -> bool:
        try:
            change = act(name, "manual")
        except UnknownSkill as error:
            self._call.emit(Warned(self._machine.turn, "SKILL_UNKNOWN", str(error), (name,)))
            return False
        self._changed([change] if change is not None else [], self._machine.turn)
        return True

    def settled(self, turn: TurnRef) -> None:
        """A tool has ended: tell what the model changed by it."""
        changes, self._changes = self._changes, []
        self._changed(changes, turn)

    def _changed(self, changes: Sequence[Change], turn: TurnRef | None = None) -> None:
        for change in changes:
            kind = SkillLoaded if change.loaded else SkillUnloaded
            self._call.emit(kind(turn, change.skill, change.by))
