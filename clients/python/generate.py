"""Makes ``talkwire_agent/events.py``, ``config.py`` and the README's table of events from the schema of the
server's protocol.

``python generate.py`` rewrites them; a test says when that was forgotten. The text comes out as ruff formats
it.
"""

from __future__ import annotations

import json
import keyword
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMA = HERE.parents[1] / "server" / "protocol" / "schema.json"
EVENTS = HERE / "talkwire_agent" / "events.py"
CONFIG = HERE / "talkwire_agent" / "config.py"
README = HERE / "README.md"
BEGIN, END = "<!-- generated: events -->", "<!-- end: events -->"

WIDTH = 108
SHORT = 70
"""A choice of words whose text is longer gets a name of its own."""
CALL_FIELDS = ("agent_id", "call_id", "session_id", "seq", "ts", "turn_id", "correlation_id")
ABLE = {"CallRecording": "RecordedEvent"}
"""Events that can do something have a base of their own."""
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
REGISTRATION = ("event", "ack", "agent_id", "session_id", "type", "ref")
"""Fields of the commands with configuration keys that are none."""

Json = dict[str, Any]


class Module:
    """Writes the classes of one module. ``open_words``: a text that the schema does not list is let pass."""

    def __init__(self, definitions: Json, *, open_words: bool, sequence: str) -> None:
        self._definitions = definitions
        self._open = open_words
        self._sequence = sequence
        self.aliases: dict[str, list[str]] = {}

    def type(self, value: Json, owner: str, field: str) -> str:
        return " | ".join(dict.fromkeys(self._kinds(value, owner, field)))

    def _kinds(self, value: Json, owner: str, field: str) -> Iterator[str]:
        if "$ref" in value:
            name = value["$ref"].rpartition("/")[2]
            if "enum" in self._definitions[name]:
                yield from self._words(self._definitions[name]["enum"], name)
            else:
                yield name
        elif choices := value.get("anyOf") or value.get("oneOf"):
            for choice in choices:
                yield from self._kinds(choice, owner, field)
        elif "const" in value or "enum" in value:
            words = value.get("enum") or [value["const"]]
            yield from self._words(words, None, f"{owner}{_camel(field)}")
        elif value.get("type") == "array":
            ends = ", ...]" if self._sequence == "tuple" else "]"
            yield f"{self._sequence}[{self.type(value.get('items', {}), owner, field)}{ends}"
        elif value.get("type") == "object":
            yield self._mapping(value, owner, field)
        elif isinstance(value.get("type"), str):
            yield PLAIN[value["type"]]
        else:
            yield "Any"

    def _mapping(self, value: Json, owner: str, field: str) -> str:
        of = next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))
        return f"dict[str, {self.type(of, owner, field) if isinstance(of, dict) else 'Any'}]"

    def _words(self, words: list[str], name: str | None, hoisted: str = "") -> Iterator[str]:
        inline = f"Literal[{', '.join(json.dumps(word) for word in words)}]"
        if name is None and len(inline) > SHORT:
            name = hoisted
        if name is not None:
            self.aliases[name] = words
        yield name or inline
        if self._open:
            yield "str"


def events(schema: Json) -> str:
    """The text of ``events.py``."""
    definitions = schema["$defs"]
    module = Module(definitions, open_words=True, sequence="tuple")
    names = [choice["$ref"].rpartition("/")[2] for choice in definitions["Event"]["oneOf"]]
    objects = [name for name in _reached(definitions, names) if name not in names]
    classes = [
        *(_model(module, definitions, name, "Part") for name in objects),
        *(_model(module, definitions, name, _base(name, definitions[name])) for name in names),
    ]
    table = [f'    "{definitions[name]["properties"]["event"]["const"]}": {name},' for name in names]
    bases = {"Event", "Part", *(_base(name, definitions[name]) for name in names)} - set(ABLE.values())
    return "\n".join(
        [
            '"""All that a server says, as classes. Made by ``generate.py``; do not edit."""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Any, Literal",
            "",
            "from pydantic import Field",
            "",
            f"from talkwire_agent.base import {', '.join(sorted(bases, key=str.lower))}",
            "from talkwire_agent.recorded import RecordedEvent",
            *_aliases(module, definitions),
            *classes,
            "",
            "",
            "EVENTS: dict[str, type[Event]] = {",
            *table,
            "}",
            '"""By the name on the wire, in the order of the protocol\'s page."""',
            "",
        ]
    )


def config(schema: Json) -> str:
    """The text of ``config.py``."""
    definitions = schema["$defs"]
    module = Module(definitions, open_words=False, sequence="list")
    common = _keys(definitions["AgentConfigure"])
    roots = ["AgentCreate", "ChannelAdd", "SessionConfigure", "LineCreate"]
    objects = [name for name in _reached(definitions, roots) if name not in roots]
    classes = [
        _typed_dict(module, name, definitions[name].get("description", ""), definitions[name]["properties"])
        for name in objects
        if "properties" in definitions[name]
    ]
    classes.append(_typed_dict(module, "Config", "What agents and channels may configure.", common))
    for name, command, text in (
        ("AgentConfig", "AgentCreate", "The keys of ``Talkwire.agent``."),
        ("ChannelConfig", "ChannelAdd", "The keys of ``Agent.phone``: they override those of the agent."),
        ("CallConfig", "SessionConfigure", "The keys of ``Call.configure``."),
    ):
        keys = _keys(definitions[command])
        if common.items() <= keys.items():
            own = {key: value for key, value in keys.items() if key not in common}
            classes.append(_typed_dict(module, name, text, own, base="Config"))
        else:
            classes.append(_typed_dict(module, name, text, keys))
    body = "\n".join(classes)
    names = [name for name in ("Any", "Literal", "TypedDict") if re.search(rf"\b{name}\b", body)]
    if module.aliases and "Literal" not in names:
        names.insert(-1, "Literal")
    return "\n".join(
        [
            '"""Configuration keys, for type checkers and editors. Made by ``generate.py``; do not edit."""',
            "",
            "from __future__ import annotations",
            "",
            f"from typing import {', '.join(names)}",
            *_aliases(module, definitions),
            *classes,
            "",
        ]
    )


def readme(schema: Json, current: str) -> str:
    """``current`` with its table of events made anew. Raises ``ValueError`` where its markers are missing."""
    definitions = schema["$defs"]
    rows = ["| Event | Class | When |", "| --- | --- | --- |"]
    for choice in definitions["Event"]["oneOf"]:
        name = choice["$ref"].rpartition("/")[2]
        definition = definitions[name]
        event = definition["properties"]["event"]["const"]
        if event not in ("ping", "pong"):
            first = re.split(r"(?<=[.:])\s", " ".join(definition["description"].split()))[0]
            first = re.sub(":$", ".", first).replace("|", r"\|")
            rows.append(f"| `{event}` | `{name}` | {first} |")
    head, found, rest = current.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{README.name} lacks the markers {BEGIN} and {END}")
    return "\n".join([f"{head}{BEGIN}", "", *rows, "", f"{END}{tail}"])


# --- pieces of text ---------------------------------------------------------------------------------------


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _keys(command: Json) -> Json:
    return {name: value for name, value in command["properties"].items() if name not in REGISTRATION}


def _base(name: str, definition: Json) -> str:
    if name in ABLE:
        return ABLE[name]
    required = set(definition.get("required", ()))
    if {"call_id", "seq", "ts", "agent_id", "session_id"} <= required:
        return "TurnEvent" if {"turn_id", "correlation_id"} <= required else "CallEvent"
    return "Event"


def _reached(definitions: Json, names: Iterable[str]) -> list[str]:
    """The objects that these refer to, and themselves; what is referred to comes first."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name in found or "enum" in definitions[name]:
            return
        for target in re.findall(r'"#/\$defs/(\w+)"', json.dumps(definitions[name])):
            visit(target)
        found.append(name)

    for name in names:
        visit(name)
    return found


def _model(module: Module, definitions: Json, name: str, base: str) -> str:
    definition = definitions[name]
    required = definition.get("required", ())
    prose = _docstring(definition.get("description", ""), "    ")
    lines = ["", "", f"class {name}({base}):", *prose]
    fields: list[str] = []
    for field, value in definition["properties"].items():
        if base in ("CallEvent", "TurnEvent", *ABLE.values()) and field in CALL_FIELDS:
            continue
        if field == "event" and base != "Part":
            fields += [f'    event: Literal["{value["const"]}"] = "{value["const"]}"']
            continue
        text = module.type(value, name, field)
        if field not in required:
            text = text.removesuffix(" | None")
        python = f"{field}_" if keyword.iskeyword(field) else field
        default = "" if field in required else "None"
        if not default and (text == "Any" or python == field):
            declared = f"    {python}: {text}"
        elif python == field:
            declared = f"    {python}: {text} | None = None"
        elif default:
            declared = f'    {python}: {text} | None = Field(default=None, alias="{field}")'
        else:
            declared = f'    {python}: {text} = Field(alias="{field}")'
        fields += [declared, *_docstring(value.get("description", ""), "    ")]
    return "\n".join([*lines, *([""] if fields and prose else []), *fields])


def _typed_dict(module: Module, name: str, text: str, properties: Json, base: str = "TypedDict") -> str:
    prose = _docstring(text, "    ")
    lines = ["", "", f"class {name}({base}, total=False):", *prose]
    if properties and prose:
        lines.append("")
    for field, value in properties.items():
        lines.append(f"    {field}: {module.type(value, name, field)}")
        lines += _docstring(value.get("description", ""), "    ")
    return "\n".join(lines)


def _aliases(module: Module, definitions: Json) -> list[str]:
    lines = [""] if module.aliases else []
    for name, words in module.aliases.items():
        lines += [f"{name} = Literal[", *(f"    {json.dumps(word)}," for word in words), "]"]
        lines += _docstring(definitions.get(name, {}).get("description", ""), "")
    return lines


def _docstring(text: str, indent: str) -> list[str]:
    """A string of its own lines; paragraphs stay apart."""
    if not text:
        return []
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    lines: list[str] = []
    for number, paragraph in enumerate(paragraphs):
        first = '"""' if number == 0 else ""
        lines += [""] if number else []
        lines += textwrap.wrap(
            first + paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
    if len(lines) == 1 and len(lines[0]) + 3 <= WIDTH + 2:
        return [lines[0] + (' """' if lines[0].endswith('"') else '"""')]
    return [*lines, f'{indent}"""']


def main() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    page = readme(schema, README.read_text(encoding="utf-8"))
    for path, text in ((EVENTS, events(schema)), (CONFIG, config(schema)), (README, page)):
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
