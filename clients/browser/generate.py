"""Makes ``src/wire.ts`` from the schema of the server's protocol: what a page is told, and what it may say.

``python generate.py`` rewrites it; a test says when that was forgotten.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMA = HERE.parents[1] / "server" / "protocol" / "schema.json"
WIRE = HERE / "src" / "wire.ts"

WIDTH = 116
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
UNIONS = {
    "PageEvent": "Whatever a page is told, by its `event`.",
    "PageAction": "Whatever a page may say, by its `action`.",
}

Json = dict[str, Any]


def wire(schema: Json) -> str:
    """The text of ``wire.ts``."""
    definitions = schema["$defs"]
    members = {union: [_target(choice) for choice in definitions[union]["oneOf"]] for union in UNIONS}
    names = [name for union in members.values() for name in union]
    parts = [
        "/** What travels on the data channel of a call. Made by generate.py from the server's schema; do not edit. */",
        "",
        *(
            line
            for name in _reached(definitions, names)
            for line in _definition(name, definitions[name], definitions)
        ),
    ]
    for union, found in members.items():
        parts += [*_comment(UNIONS[union]), f"export type {union} =", *(f"  | {name}" for name in found)]
        parts[-1] += ";"
        parts.append("")
    return "\n".join(parts)


def _target(value: Json) -> str:
    name: str = value["$ref"].rpartition("/")[2]
    return name


def _reached(definitions: Json, names: Iterable[str]) -> list[str]:
    """``names`` and all that they refer to, each once, what is referred to first."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name in found:
            return
        for inner in re.findall(r'"#/\$defs/(\w+)"', json.dumps(definitions[name])):
            visit(inner)
        found.append(name)

    for name in names:
        visit(name)
    return found


def _definition(name: str, definition: Json, definitions: Json) -> Iterator[str]:
    yield from _comment(definition.get("description", ""))
    if "enum" in definition:
        yield f"export type {name} ="
        words = [f"  | {json.dumps(word)}" for word in definition["enum"]]
        yield from [*words[:-1], words[-1] + ";", ""]
        return
    yield f"export interface {name} {{"
    required = definition.get("required", ())
    for key, value in definition["properties"].items():
        yield from _comment(value.get("description", ""), "  ")
        yield f"  {key}{'' if key in required else '?'}: {_type(value)};"
    if definition.get("additionalProperties") is True:
        yield "  [key: string]: unknown;"
    yield from ["}", ""]


def _type(value: Json) -> str:
    return " | ".join(dict.fromkeys(_kinds(value)))


def _kinds(value: Json) -> Iterator[str]:
    if "$ref" in value:
        yield _target(value)
    elif choices := value.get("anyOf") or value.get("oneOf"):
        for choice in choices:
            yield from _kinds(choice)
    elif "const" in value or "enum" in value:
        for word in value.get("enum") or [value["const"]]:
            yield json.dumps(word)
    elif value.get("type") == "array":
        inner = _type(value.get("items", {}))
        yield f"({inner})[]" if "|" in inner else f"{inner}[]"
    elif value.get("type") == "object":
        yield "Record<string, unknown>"
    elif isinstance(value.get("type"), str):
        yield PLAIN[value["type"]]
    else:
        yield "unknown"


def _comment(text: str, indent: str = "") -> list[str]:
    text = " ".join(text.split()).replace("*/", "* /")
    if not text:
        return []
    if len(indent) + len(text) + 7 <= WIDTH:
        return [f"{indent}/** {text} */"]
    lines = textwrap.wrap(text, WIDTH - len(indent) - 3, break_long_words=False)
    return [f"{indent}/**", *(f"{indent} * {line}" for line in lines), f"{indent} */"]


def main() -> None:
    WIRE.write_text(wire(json.loads(SCHEMA.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
