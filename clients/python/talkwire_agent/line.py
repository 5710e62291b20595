"""A line: a phone number that code answers, and no language model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, Unpack, cast

from talkwire_agent.agent import Agent
from talkwire_agent.config import AgentConfig, LineSettings
from talkwire_agent.connection import Connection
from talkwire_agent.names import LINE
from talkwire_agent.pending import Pending
from talkwire_agent.transport import encoded

if TYPE_CHECKING:
    from talkwire_agent.client import Talkwire


def normalised(number: str) -> str:
    """A number without what people write between its digits; a ``sip:`` address as it is."""
    text = number.strip()
    bare = re.sub(r"[\s().\-/]", "", text)
    return bare if re.fullmatch(r"\+?[0-9]+", bare) else text


class Line(Agent):
    """Made by ``Talkwire.line``. Its calls are as those of an agent, and events are heard on it in the same way; but code
    alone decides what is said, and there are no tools and no skills. It hands calls over with ``Call.route``."""

    def __init__(self, client: Talkwire, number: str, config: LineSettings) -> None:
        self.number = normalised(number)
        self._destroyed = False
        super().__init__(client, LINE + self.number, cast(AgentConfig, config))
        self.slug = self.id

    def __repr__(self) -> str:
        return f"<Line {self.number!r}{'' if self.registered else ', not registered'}>"

    def configure(self, **changed: Unpack[LineSettings]) -> Pending[None]:  # type: ignore[override]
        """Change keys of the line, for future calls. Awaiting it raises ``Refused`` where the server does not take
        them."""
        self.config.update(cast(dict[str, Any], changed))
        frame = self._created()
        encoded(frame)
        return self._registered if not self.registered else self.ask(frame, "line.created")

    def destroy(self) -> Pending[None]:
        """Answer the number no longer; calls go on."""
        self.client.lines.pop(self.number, None)
        self._destroyed = True
        if self.registered:
            return self.ask(self._end(), "line.destroyed")
        gone: Pending[None] = Pending()
        gone.settle(None)
        return gone

    def _end(self) -> dict[str, Any]:
        return {"event": "line.destroy", "number": self.number}

    def created(self, connection: Connection, generation: int) -> None:
        """The server has it."""
        super().created(connection, generation)
        if self._destroyed:
            # It was being registered when that was said.
            self.send(self._end())

    async def create(self, connection: Connection) -> None:
        """Ask for it. Raises ``Refused`` and ``ConnectionLost``."""
        await connection.ask(encoded(self._created()), "line.created")

    def _created(self) -> dict[str, Any]:
        more = {"config": self.config} if self.config else {}
        return {"event": "line.create", "number": self.number, **more}

    # --- what only an agent has ---------------------------------------------------------------------------

    def _none(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "a line has one number, and neither tools nor skills: hand the call over to an agent for them"
        )

    phone = configure_phone = remove_phone = skill = tool = dial = bridge = pause = resume = _none
