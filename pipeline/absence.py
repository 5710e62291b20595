"""What the caller hears while the agent's process is away, and what he does not hear twice when it is back.

Pure: time is an argument, in seconds of any monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.message import Message

AwayMode = Literal["wait", "line", "message"]
FAREWELL_S = 8.0
"""How long the last word to a caller whose agent stayed away may take, until the call ends."""
GREETED_AGAIN_S = 5.0
"""An agent that is told of a call once more greets within this time, if its greeting is made by a handler."""


@dataclass(frozen=True, slots=True)
class Away:
    """How an absence is dealt with."""

    mode: AwayMode = "wait"
    """``wait``: nothing is said. ``line``: a word that it takes a while, once. ``message``: a last word, where
    the agent stays away."""
    text: str = ""
    """Empty: nothing."""
    after_s: float | None = None
    """When the line is said although nobody waits for an answer; None: then it is not."""
    grace_s: float | None = None
    """How long the call waits for the agent; None: as long as the server says."""


class Absence:
    """Of the agent of one call."""

    def __init__(self, away: Away, answer_s: float) -> None:
        self._away = away
        self._answer_s = answer_s
        """How long a caller who waits for an answer hears nothing."""
        self._since: float | None = None
        self._owed_since: float | None = None
        self._quiet = True
        self._line_said = False

    def change(self, away: Away, answer_s: float) -> None:
        """Deal otherwise with it from now on."""
        self._away, self._answer_s = away, answer_s

    def left(self, now: float) -> None:
        self._since, self._owed_since, self._line_said = now, None, False

    def back(self) -> None:
        self._since = None

    @property
    def lasts(self) -> bool:
        """The agent is away."""
        return self._since is not None

    @property
    def farewell(self) -> str:
        """What is said where the agent stays away; empty: nothing."""
        return self._away.text if self._away.mode == "message" else ""

    @property
    def deadline(self) -> float | None:
        """When ``line`` is to be asked; None where that waits for something to happen."""
        return self._due() if self._quiet else None

    def _due(self) -> float | None:
        away = self._away
        if self._since is None or self._line_said or away.mode != "line" or not away.text:
            return None
        times = []
        if self._owed_since is not None:
            times.append(self._owed_since + self._answer_s)
        if away.after_s is not None:
            times.append(self._since + away.after_s)
        return min(times, default=None)

    def line(self, now: float, *, owed: bool, quiet: bool) -> str:
        """What is to be said now; empty: nothing. ``owed``: the caller waits for an answer that only the agent
        has. ``quiet``: nobody speaks, or is about to."""
        if self._since is None:
            return ""
        self._quiet = quiet
        if not owed:
            self._owed_since = None
        elif self._owed_since is None:
            self._owed_since = now
        due = self._due()
        if due is None or now < due or not quiet:
            return ""
        self._line_said = True
        return self._away.text


class Greeted:
    """The first words of a call. An agent that is told of the call once more, and does not see that, says them
    again."""

    def __init__(self) -> None:
        self._first: Message | None = None
        self._until = 0.0

    def said(self, message: Message) -> None:
        """A message is going to be said."""
        if self._first is None and not message.holding:
            self._first = message

    def unheard(self, message_id: str) -> None:
        """A message was dropped. One of which nothing was heard was no greeting."""
        first = self._first
        if first is not None and first.message_id == message_id and not first.audible:
            self._first = None

    def announced_again(self, now: float) -> None:
        """The agent was told of the call once more."""
        self._until = now + GREETED_AGAIN_S

    def repeats(self, message: Message, now: float) -> bool:
        """The agent says its first words once more, unasked. Once; who says them a third time means it."""
        first = self._first
        if first is None or now >= self._until or message.in_reply_to:
            return False
        if _plain(message.text) != _plain(first.text):
            return False
        self._until = now
        return True


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
