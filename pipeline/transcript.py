"""What was said in a call, as it was heard: the user's turns in their last wording, the bot's messages as
far as they were played."""

from __future__ import annotations

from pipeline.events import Utterance


class Transcript:
    """The conversation so far."""

    def __init__(self) -> None:
        self._lines: list[Utterance] = []
        self._user_turn: int | None = None
        """The turn of the last line, where that is the user's: its next wording replaces it."""

    def user(self, turn_id: int, text: str) -> None:
        """The user's turn, all of it so far."""
        line = Utterance("user", text)
        if self._user_turn == turn_id:
            self._lines[-1] = line
        else:
            self._lines.append(line)
            self._user_turn = turn_id

    def bot(self, text: str) -> None:
        """What was heard of a message."""
        self._lines.append(Utterance("assistant", text))
        self._user_turn = None

    def lines(self) -> tuple[Utterance, ...]:
        return tuple(self._lines)
