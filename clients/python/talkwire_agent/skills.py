"""Skills: instructions and tools that the server's language model has when it needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from talkwire_agent.tools import Toolbox

if TYPE_CHECKING:
    from talkwire_agent.agent import Agent

Activation = Literal["model", "manual", "always"]


class Skill(Toolbox):
    """Made by ``Agent.skill``. Its tools are shown to the model while it is active::

    booking = agent.skill("booking", "Tables: free ones, booking, cancelling.")

    @booking.tool
    def free_tables(day: str) -> list[str]: ...
    """

    def __init__(
        self,
        agent: Agent,
        call_type: type,
        name: str,
        description: str,
        instructions: str | None,
        activation: Activation,
    ) -> None:
        super().__init__(call_type)
        self.name = name
        self.description = description
        self.instructions = instructions
        self.activation: Activation = activation
        """Who makes it active: the ``model``, when it wants to; the agent by ``Call.load_skill`` (``manual``);
        or it is so ``always``."""
        self._agent = agent

    def __repr__(self) -> str:
        return f"<Skill {self.name!r} of {self._agent.id!r}>"

    def declaration(self) -> dict[str, Any]:
        """As in ``agent.create``."""
        fields: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.instructions is not None:
            fields["instructions"] = self.instructions
        tools = [tool.declaration() for tool in self._tools.values()]
        return {**fields, "tools": tools, "activation": self.activation}

    def _check_name(self, name: str) -> None:
        self._agent.check_tool_name(name)

    def _tools_changed(self) -> None:
        self._agent.skills_changed()
