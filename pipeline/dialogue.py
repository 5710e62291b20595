"""What a language model is told of a conversation: what was really said and heard, and which tools were asked for
with what result. Its prompt is ``pipeline.prompt``'s.

Pure. The user's turns stand in their last wording; of the bot's messages only what the caller heard is there,
so that the model never believes it has said what was cut off. While a message is still being heard the model
may be asked on, and is told all of it: what is not heard in the end is taken away again. Each call of a tool has
exactly one result in every request, for a model's endpoint refuses all of a history where one is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.ports import ChatMessage, ToolCall

MAX_MESSAGES = 400
MAX_CHARS = 200_000
"""The model is told of the last ones within both; the prompt comes beside them."""
MAX_KEPT = 10_000
"""Messages: the oldest are forgotten beyond this; the prompt never is."""
MAX_KEPT_CHARS = 2_000_000
"""Of what an agent adds, together with what is there."""
PENDING = '{"status":"pending"}'
"""The result of a tool that still runs."""


@dataclass(slots=True)
class _Line:
    """A message of one side, or of whoever else is quoted."""

    message: ChatMessage
    turn_id: int | None = None
    """Of the user's turn whose wording it is."""
    message_id: str = ""
    """Of the bot's message that is still being heard; empty: it has been."""

    @property
    def count(self) -> int:
        return 0 if self.message_id else 1

    @property
    def chars(self) -> int:
        return len(self.message.content)

    def messages(self) -> list[ChatMessage]:
        return [self.message] if self.message.content or not self.message_id else []


@dataclass(slots=True)
class _Result:
    text: str
    ephemeral: bool
    revision: int


@dataclass(slots=True)
class _Calls:
    """What was asked for at once. Several may have the same id where the history is an agent's."""

    msg_id: str
    calls: list[ToolCall]
    text: str = ""
    """Said with them, where an agent tells of it in one message."""
    results: dict[str, _Result] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return 1 + len(self.calls)

    @property
    def chars(self) -> int:
        told = sum(len(result.text) for result in self.results.values())
        return len(self.text) + told + sum(len(call.name) + len(call.arguments) for call in self.calls)

    def messages(self) -> list[ChatMessage]:
        found = [ChatMessage("assistant", self.text, tuple(self.calls))]
        for call in self.calls:
            result = self.results.get(call.id)
            text = PENDING if result is None else result.text
            found.append(ChatMessage("tool", text, tool_call_id=call.id))
        return found


class Dialogue:
    """The history of one call."""

    def __init__(self) -> None:
        self._entries: deque[_Line | _Calls] = deque()
        self._count = 0
        self.revision = 0
        """Grows with each change of the history."""

    # --- what happens -------------------------------------------------------------------------------------

    def user(self, turn_id: int, text: str) -> None:
        """The user's turn, all of it so far."""
        last = self._entries[-1] if self._entries else None
        line = _Line(ChatMessage("user", text), turn_id)
        if isinstance(last, _Line) and last.turn_id == turn_id:
            self._entries[-1] = line
            self._changed()
        else:
            self._append(line)

    def saying(self, message_id: str) -> None:
        """A message begins to be spoken: ``bot`` or ``unheard`` tells what becomes of it."""
        self._append(_Line(ChatMessage("assistant", ""), message_id=message_id))

    def said(self, message_id: str, text: str) -> None:
        """All of a message was given to be spoken. Where it is asked on before that is heard, the model takes it
        for said."""
        for entry in self._entries:
            if isinstance(entry, _Line) and entry.message_id == message_id:
                entry.message = ChatMessage("assistant", text)
                self._changed()

    def bot(self, text: str, message_id: str = "") -> None:
        """What was heard of a message."""
        heard = _Line(ChatMessage("assistant", text))
        unheard = [
            (i, e.message_id) for i, e in enumerate(self._entries) if isinstance(e, _Line) and e.message_id
        ]
        if not unheard:
            self._append(heard)
            return
        place = next((i for i, waiting in unheard if waiting == message_id), None)
        if place is None:
            self._entries.insert(unheard[0][0], heard)  # Those that are still to be heard come behind it.
        else:
            self._entries[place] = heard
        self._changed(1)

    def unheard(self, message_id: str) -> None:
        """Nothing of a message was heard."""
        for place, entry in enumerate(self._entries):
            if message_id and isinstance(entry, _Line) and entry.message_id == message_id:
                del self._entries[place]
                self._changed()
                return

    def call(self, msg_id: str, calls: Sequence[ToolCall]) -> None:
        """Tools were asked for. They are pending until there is a result of each. ``msg_id`` is used once."""
        self._append(_Calls(msg_id, list(calls)))

    def result(self, msg_id: str, tool_call_id: str, text: str, *, ephemeral: bool = False) -> bool:
        """What a tool has given; a later one replaces it in its place. ``ephemeral``: it is forgotten, with its
        call, after the answer that was given in its knowledge. False: nobody remembers the call any more."""
        for entry in reversed(self._entries):
            if isinstance(entry, _Calls) and entry.msg_id == msg_id:
                if all(call.id != tool_call_id for call in entry.calls):
                    return False
                self._changed()
                entry.results[tool_call_id] = _Result(text, ephemeral, self.revision)
                return True
        return False

    def answered(self, revision: int) -> None:
        """An answer is complete that was given in the knowledge of this revision: what was to be known for one
        answer only is forgotten."""
        for entry in [e for e in self._entries if isinstance(e, _Calls)]:
            gone = {i for i, r in entry.results.items() if r.ephemeral and r.revision <= revision}
            if not gone:
                continue
            kept = [call for call in entry.calls if call.id not in gone]
            self._changed(len(kept) - len(entry.calls))
            entry.calls = kept
            if not kept:
                self._entries = deque(e for e in self._entries if e is not entry)
                self._count -= 1

    # --- what an agent asks -------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Messages of the history, without the prompt."""
        return self._count

    def get(self) -> tuple[ChatMessage, ...]:
        """The history as it stands, without the prompt and without what was not heard yet."""
        found: list[ChatMessage] = []
        for entry in self._entries:
            if isinstance(entry, _Calls):
                found += entry.messages()
            elif not entry.message_id:
                found.append(entry.message)
        return tuple(found)

    def add(self, messages: Iterable[ChatMessage]) -> int:
        """Add to the history. Returns ``count``.

        A call of a tool that has no result behind it, and a result without a call, are left out: no model takes
        them. Raises ``ValueError``, and adds nothing, where the history would be too long.
        """
        entries = _entries(messages)
        self._check(entries, self._count, self._chars)
        for entry in entries:
            self._append(entry)
        return self._count

    def set(self, messages: Iterable[ChatMessage]) -> int:
        """Replace the history; tools that run are forgotten with it. As ``add`` otherwise. Where it still ends with
        the user's last turn, that may go on."""
        entries = _entries(messages)
        self._check(entries, 0, 0)
        said = [entry for entry in self._entries if isinstance(entry, _Line) and entry.turn_id is not None]
        if entries and said and entries[-1] == _Line(said[-1].message):
            entries[-1] = said[-1]
        self.clear()
        for entry in entries:
            self._append(entry)
        return self._count

    @property
    def _chars(self) -> int:
        return sum(entry.chars for entry in self._entries)

    @staticmethod
    def _check(more: Sequence[_Line | _Calls], count: int, chars: int) -> None:
        count += sum(entry.count for entry in more)
        chars += sum(entry.chars for entry in more)
        if count > MAX_KEPT:
            raise ValueError(f"a history has at most {MAX_KEPT} messages (this would have {count})")
        if chars > MAX_KEPT_CHARS:
            raise ValueError(f"a history has at most {MAX_KEPT_CHARS} characters (this would have {chars})")

    def note(self, text: str) -> None:
        """Something that the model is to know from its next answer on, and nobody has said. It stands before the user's
        last turn where that may still go on. Raises ``ValueError`` as ``add``."""
        line = _Line(ChatMessage("system", text))
        self._check([line], self._count, self._chars)
        last = self._entries[-1] if self._entries else None
        if isinstance(last, _Line) and last.turn_id is not None:
            self._entries.insert(len(self._entries) - 1, line)
            self._changed(line.count)
        else:
            self._append(line)

    def clear(self) -> int:
        """Forget the history; the prompt stays."""
        self._entries.clear()
        self._changed(-self._count)
        return self._count

    # --- what the model is told ---------------------------------------------------------------------------

    def messages(self, system: str = "") -> tuple[ChatMessage, ...]:
        """The prompt, where there is one, then the history. Lines of one side that follow one another are one
        message: some models take them only in turns."""
        found: list[ChatMessage] = [ChatMessage("system", system)] if system else []
        for entry in self._latest():
            for message in entry.messages():
                last = found[-1] if found else None
                if last is None or last.role != message.role or last.tool_calls or message.role == "tool":
                    found.append(message)
                    continue
                text = "\n".join(part for part in (last.content, message.content) if part)
                found[-1] = ChatMessage(message.role, text, message.tool_calls)
        return tuple(found)

    def _latest(self) -> list[_Line | _Calls]:
        """As much of the end of the history as the model is told of: the last entry in any case."""
        found: list[_Line | _Calls] = []
        count = chars = 0
        for entry in reversed(self._entries):
            count += max(1, entry.count)
            chars += entry.chars
            if found and (count > MAX_MESSAGES or chars > MAX_CHARS):
                break
            found.append(entry)
        return found[::-1]

    def _append(self, entry: _Line | _Calls) -> None:
        self._entries.append(entry)
        self._changed(entry.count)
        while self._count > MAX_KEPT and len(self._entries) > 1:
            self._count -= self._entries.popleft().count

    def _changed(self, more: int = 0) -> None:
        self.revision += 1
        self._count += more


def _entries(messages: Iterable[ChatMessage]) -> list[_Line | _Calls]:
    """Messages as an agent has them, without what no model takes."""
    found: list[_Line | _Calls] = []
    asked: _Calls | None = None
    for message in messages:
        if message.role == "tool":
            if asked is not None:
                _give(asked, message)
            continue
        asked = None
        if message.tool_calls and message.role == "assistant":
            asked = _Calls("", list(message.tool_calls), message.content)
            found.append(asked)
        else:
            found.append(_Line(ChatMessage(message.role, message.content)))
    return [kept for entry in found if (kept := _settled(entry)) is not None]


def _give(asked: _Calls, result: ChatMessage) -> None:
    """A result; of two for one call the first counts."""
    wanted = any(call.id == result.tool_call_id for call in asked.calls)
    if wanted and result.tool_call_id is not None:
        asked.results.setdefault(result.tool_call_id, _Result(result.content, ephemeral=False, revision=0))


def _settled(entry: _Line | _Calls) -> _Line | _Calls | None:
    """Without the calls that have no result, and those whose id another one has."""
    if isinstance(entry, _Line):
        return entry
    first: dict[str, ToolCall] = {}
    for call in entry.calls:
        first.setdefault(call.id, call)
    entry.calls = [call for call in first.values() if call.id in entry.results]
    if entry.calls:
        return entry
    return _Line(ChatMessage("assistant", entry.text)) if entry.text else None
