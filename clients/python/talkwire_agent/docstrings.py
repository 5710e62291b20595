"""What a docstring says of a function and of its parameters, in the three usual styles."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

_SPHINX = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*?\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_FIELD = re.compile(r"^:\w+[^:]*:")
_GOOGLE = re.compile(
    r"^(args|arguments|parameters|params|returns?|yields?|raises|examples?|notes?|attributes)\s*:\s*$",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_ENTRY = re.compile(r"^\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_PARAMETERS = ("args", "arguments", "parameters", "params", "other parameters")


def read(docstring: str | None) -> tuple[str, dict[str, str]]:
    """The text before the first section, and what is said of each parameter: under ``Args:`` (Google),
    ``:param name:`` (Sphinx) or an underlined ``Parameters`` (numpy)."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    text: list[str] = []
    parameters: dict[str, str] = {}
    at = 0
    while at < len(lines):
        title, body = _section(lines, at)
        if title is None and not _FIELD.match(lines[at]):
            text.append(lines[at])
            at += 1
            continue
        end = _end(lines, body)
        if title is None:
            parameters |= _joined(_fields(lines[at:end]))
        elif title in _PARAMETERS:
            underlined = body == at + 2
            parameters |= _joined((_numpy if underlined else _google)(lines[body:end]))
        at = end
    return "\n".join(text).strip(), parameters


def _section(lines: list[str], at: int) -> tuple[str | None, int]:
    """The section that begins in a line, and where its body does."""
    line = lines[at]
    if at + 1 < len(lines) and line.strip() and re.fullmatch(r"\s*-{3,}\s*", lines[at + 1]):
        return line.strip().lower(), at + 2
    if found := _GOOGLE.match(line):
        return found[1].lower(), at + 1
    return None, at + 1


def _end(lines: list[str], at: int) -> int:
    """Where the next section begins."""
    while at < len(lines) and _section(lines, at)[0] is None and not _FIELD.match(lines[at]):
        at += 1
    return at


Piece = tuple[str | None, str]
"""A parameter that begins, or None for more of the one before; and a line of text."""


def _fields(lines: list[str]) -> Iterator[Piece]:
    for line in lines:
        if found := _SPHINX.match(line):
            yield found[1], found[2]
        elif not _FIELD.match(line):
            yield None, line


def _google(lines: list[str]) -> Iterator[Piece]:
    indent = min((_indent(line) for line in lines if line.strip()), default=0)
    for line in lines:
        found = _ENTRY.match(line.strip()) if _indent(line) == indent else None
        yield (found[1], found[2]) if found else (None, line)


def _numpy(lines: list[str]) -> Iterator[Piece]:
    for line in lines:
        found = _NUMPY_ENTRY.match(line) if line.strip() and not _indent(line) else None
        yield (found[1], "") if found else (None, line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(pieces: Iterator[Piece]) -> dict[str, str]:
    said: dict[str, list[str]] = {}
    current: list[str] = []
    for name, text in pieces:
        if name is not None:
            current = said[name] = []
        current.append(text.strip())
    told = {names: " ".join(filter(None, words)) for names, words in said.items() if any(words)}
    return {name.strip(): text for names, text in told.items() for name in names.split(",")}
