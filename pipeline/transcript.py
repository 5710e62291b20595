"""What was said in a call, as it was heard: the user's turns in their last wording, the bot's messages as
far as they were played. Where a call is handed over, whoever has it from then on begins a part of his own. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.events import BotSpeaking, Event, MessageConfirmed, Said, SpeechStarted, UserMessage, Utterance


@dataclass(slots=True)
class _Line:
    utterance: Utterance
    at: float
    """When its sound began."""


class Transcript:
    """The conversation so far."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._parts: list[tuple[int, str]] = []
        """Of those that had the call before: behind which line each ended, and who that was."""
        self._user_turn: int | None = None
        """The turn of the last line, where that is the user's: its next wording replaces it."""
        self._voice: tuple[int, float] = (0, 0.0)
        """The turn that was begun last, and when."""
        self._bot_at = 0.0

    def note(self, event: Event, now: float) -> None:
        """See whether something was said."""
        match event:
            case SpeechStarted() if event.turn.turn_id != self._voice[0]:
                self._voice = (event.turn.turn_id, event.at)
            case UserMessage():
                turn_id = event.turn.turn_id
                self.user(turn_id, event.text, self._voice[1] if self._voice[0] == turn_id else now)
            case BotSpeaking():
                self._bot_at = now if event.heard_at is None else event.heard_at
            case MessageConfirmed() if event.text:
                self.bot(event.text, self._bot_at)

    def user(self, turn_id: int, text: str, at: float = 0.0) -> None:
        """The user's turn, all of it so far."""
        utterance = Utterance("user", text)
        if self._user_turn == turn_id:
            self._lines[-1].utterance = utterance
        else:
            self._lines.append(_Line(utterance, at))
            self._user_turn = turn_id

    def bot(self, text: str, at: float = 0.0) -> None:
        """What was heard of a message."""
        self._lines.append(_Line(Utterance("assistant", text), at))
        self._user_turn = None

    def lines(self) -> tuple[Utterance, ...]:
        """What was said since the call was handed over last."""
        first = self._parts[-1][0] if self._parts else 0
        return tuple(line.utterance for line in self._lines[first:])

    # --- handed over --------------------------------------------------------------------------------------

    def hand_over(self, owner: str) -> None:
        """Who has had the call so far has it no longer."""
        self._parts.append((len(self._lines), owner))
        self._user_turn = None

    def said(self, began_at: float) -> tuple[Said, ...]:
        """All that was said before the call was handed over last."""
        return tuple(self._said(began_at))

    def _said(self, began_at: float) -> Iterator[Said]:
        first = 0
        for end, owner in self._parts:
            for line in self._lines[first:end]:
                at_ms = max(0, round((line.at - began_at) * 1000))
                yield Said(line.utterance.role, line.utterance.content, at_ms, owner)
            first = end
