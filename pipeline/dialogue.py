"""What a language model is told of a conversation: the prompt, and what was really said and heard.

Pure. The user's turns stand in their last wording; of the bot's messages only what the caller heard is there,
so that the model never believes it has said what was cut off.
"""

from __future__ import annotations

from collections import deque

from pipeline.ports import ChatMessage

MAX_MESSAGES = 400
"""The oldest are forgotten beyond this; the prompt never is."""

VOICE_STYLE = (
    "You are speaking with a person on a live voice call. Everything that you write is read aloud as it is: "
    "answer in one to three short spoken sentences, without markdown, lists, headings, emoji or links. "
    "Write numbers, dates and abbreviations as one would say them. If what you were told is unclear, "
    "remember that it was transcribed from speech and may hold mistakes; ask when it matters."
)
"""What is added to an agent's prompt, unless it wants its prompt verbatim."""


class Dialogue:
    """The history of one call."""

    def __init__(self, prompt: str, *, verbatim: bool = False) -> None:
        self.instruct(prompt, verbatim=verbatim)
        self._lines: deque[ChatMessage] = deque(maxlen=MAX_MESSAGES)
        self._user_turn: int | None = None
        """The turn of the last line, where that is the user's: its next wording replaces it."""

    def instruct(self, prompt: str, *, verbatim: bool = False) -> None:
        """Change the prompt; the history stays. ``verbatim``: nothing is added about how one speaks."""
        parts = [prompt.strip()] if verbatim else [prompt.strip(), VOICE_STYLE]
        self._prompt = "\n\n".join(part for part in parts if part)

    def user(self, turn_id: int, text: str) -> None:
        """The user's turn, all of it so far."""
        line = ChatMessage("user", text)
        if self._user_turn == turn_id:
            self._lines[-1] = line
        else:
            self._lines.append(line)
            self._user_turn = turn_id

    def bot(self, text: str) -> None:
        """What was heard of a message."""
        self._lines.append(ChatMessage("assistant", text))
        self._user_turn = None

    def messages(self) -> tuple[ChatMessage, ...]:
        """The prompt, then the history. Lines of one side that follow one another are one message: some
        models take them only in turns."""
        found: list[ChatMessage] = [ChatMessage("system", self._prompt)] if self._prompt else []
        for line in self._lines:
            if found and found[-1].role == line.role:
                found[-1] = ChatMessage(line.role, f"{found[-1].content}\n{line.content}")
            else:
                found.append(line)
        return tuple(found)
