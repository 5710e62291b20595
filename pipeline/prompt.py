"""What the language model of a call is told beside the conversation: its prompt with the variables in it filled in,
how one speaks, the skills that are loaded, and what the agent has added in the course of the call.

Pure: the time of day is an argument. ``{{name}}`` in a prompt stands for a variable: of the call, else as
configured, else one of ours (``BUILT_IN``). What is filled in is never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

BUILT_IN = ("date", "time", "day", "datetime", "date_block", "RAG_CONTEXT", "MEMORY")
MAX_VARS = 200
MAX_CHARS = 400_000
"""Of all that is made from templates."""
MAX_CONTEXT_CHARS = 400_000
"""Of what is added in the course of a call, together."""
MAX_CONTEXTS = 1000
MAX_TOLD = 100
"""Unknown names that are told in one call."""

VOICE_STYLE = (
    "You are speaking with a person on a live voice call. Everything that you write is read aloud as it is: "
    "answer in one to three short spoken sentences, without markdown, lists, headings, emoji or links. "
    "Write numbers, dates and abbreviations as one would say them. If what you were told is unclear, "
    "remember that it was transcribed from speech and may hold mistakes; ask when it matters."
)
"""What is added to an agent's prompt, unless it wants its prompt verbatim."""

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_VARIABLE = re.compile(r"\{\{\s{0,20}([^\s{}]{1,64})\s{0,20}\}\}")


@dataclass(frozen=True, slots=True)
class Filled:
    """A text made from templates."""

    text: str
    unknown: tuple[str, ...] = ()
    """Names in it that nobody knows, each told once in a call: they are left empty."""
    cut: bool = False
    """It was too long, and that was not told yet in this call."""


class Prompt:
    """Of one call."""

    def __init__(self) -> None:
        self._configured = self._text = ""
        self._raw = False
        self._style = VOICE_STYLE
        self._zone: tzinfo = UTC
        self._wider: Mapping[str, str] = {}
        self._vars: dict[str, str] = {}
        self._contexts: list[str] = []
        self._blocks: dict[str, str] = {}
        self._told: set[str] = set()
        self._cut_told = False

    # --- what an agent says -------------------------------------------------------------------------------

    def configure(self, text: str, *, raw: bool, variables: Mapping[str, str], zone: tzinfo) -> None:
        """What is configured for the call. A prompt that was given by ``instruct`` stays until another one is
        configured. ``raw``: nothing is added about how one speaks."""
        if text != self._configured:
            self._configured = self._text = text
        self._raw = raw
        self._wider = variables
        self._zone = zone

    def instruct(self, text: str) -> None:
        """Another prompt from now on."""
        self._text = text

    def set_vars(self, variables: Mapping[str, str | None]) -> None:
        """Set variables of the call; None takes one back. Raises ``ValueError`` where there are too many."""
        found = {**self._vars, **variables}
        kept = {name: value for name, value in found.items() if value is not None}
        if len(kept) > MAX_VARS:
            raise ValueError(f"a call has at most {MAX_VARS} variables (these would be {len(kept)})")
        self._vars = kept

    def add_context(self, text: str) -> None:
        """Something more to know, behind what was added before. Raises ``ValueError`` where that is too much."""
        self._check(len(text), len(self._contexts) + len(self._blocks) + 1)
        self._contexts.append(text)

    def put(self, key: str, text: str | None) -> None:
        """Something to know under a name, in place of what stood there; None takes it away. Raises
        ``ValueError`` where that is too much."""
        before = self._blocks.get(key, "")
        more = int(text is not None and key not in self._blocks)
        self._check(len(text or "") - len(before), len(self._contexts) + len(self._blocks) + more)
        if text is None:
            self._blocks.pop(key, None)
        else:
            self._blocks[key] = text

    @property
    def named(self) -> dict[str, str]:
        """What is to be known under a name."""
        return dict(self._blocks)

    def _check(self, more_chars: int, contexts: int) -> None:
        chars = more_chars + sum(map(len, self._contexts)) + sum(map(len, self._blocks.values()))
        if chars > MAX_CONTEXT_CHARS:
            text = f"the contexts of a call have at most {MAX_CONTEXT_CHARS} characters together"
            raise ValueError(f"{text} (these would have {chars})")
        if contexts > MAX_CONTEXTS:
            raise ValueError(f"a call has at most {MAX_CONTEXTS} contexts")

    # --- what the model is told ---------------------------------------------------------------------------

    def render(self, epoch_s: float, skills: Sequence[str] = (), note: str = "") -> Filled:
        """The system message of a request that is made now. ``skills`` are the instructions of those that are
        loaded; ``note`` is added unless the prompt is wanted verbatim."""
        filler = _Filler(self._lookup(epoch_s))
        parts = [filler.fill(self._text)]
        if not self._raw:
            parts += [self._style, note]
        parts += [filler.fill(text) for text in skills]
        parts += [*self._contexts, *self._blocks.values()]
        text = "\n\n".join(part.strip() for part in parts if part.strip())
        return self._news(text, filler)

    def fill(self, template: str, epoch_s: float) -> Filled:
        """Another text with variables in it."""
        filler = _Filler(self._lookup(epoch_s))
        return self._news(filler.fill(template), filler)

    def _lookup(self, epoch_s: float) -> Callable[[str], str | None]:
        def find(name: str) -> str | None:
            for values in (self._vars, self._wider):
                if name in values:
                    return values[name]
            return _built_in(name, datetime.fromtimestamp(epoch_s, self._zone), str(self._zone))

        return find

    def _news(self, text: str, filler: _Filler) -> Filled:
        unknown = [name for name in filler.unknown if name not in self._told]
        unknown = unknown[: MAX_TOLD - len(self._told)]
        self._told.update(unknown)
        cut = filler.cut and not self._cut_told
        self._cut_told = self._cut_told or filler.cut
        return Filled(text, tuple(unknown), cut)


class _Filler:
    """Fills templates, all of them together within the bound."""

    def __init__(self, find: Callable[[str], str | None]) -> None:
        self._find = find
        self._room = MAX_CHARS
        self.unknown: dict[str, None] = {}
        self.cut = False

    def fill(self, template: str) -> str:
        found: list[str] = []
        at = 0
        for match in _VARIABLE.finditer(template):
            self._take(template[at : match.start()], found)
            self._take(self._value(match[1]), found)
            at = match.end()
        self._take(template[at:], found)
        return "".join(found)

    def _value(self, name: str) -> str:
        value = self._find(name)
        if value is None:
            self.unknown[name] = None
        return value or ""

    def _take(self, text: str, found: list[str]) -> None:
        if len(text) > self._room:
            self.cut = True
            text = text[: self._room]
        self._room -= len(text)
        found.append(text)


def _built_in(name: str, now: datetime, zone: str) -> str | None:
    match name:
        case "date":
            return f"{now:%Y-%m-%d}"
        case "time":
            return f"{now:%H:%M}"
        case "day":
            return _DAYS[now.weekday()]
        case "datetime":
            return f"{now:%Y-%m-%d %H:%M}"
        case "date_block":
            coming = ", ".join(_day(now + timedelta(days=ahead)) for ahead in range(1, 8))
            return (
                f"Today is {_day(now)} {now.year}, and it is {now:%H:%M} ({zone}). The next days: {coming}."
            )
        case "RAG_CONTEXT" | "MEMORY":
            return ""
    return None


def _day(day: datetime) -> str:
    return f"{_DAYS[day.weekday()]}, {day.day} {_MONTHS[day.month - 1]}"
