"""Holds values against ``server/protocol/schema.json``, as any client in any language could, and makes values from it.

It knows the words of JSON Schema that stand in that file, and refuses a file with others.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from server.protocol.export import SCHEMA

Json = dict[str, Any]

DEFINITIONS: dict[str, Json] = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
SAYS_NOTHING = {
    "description",
    "default",
    "title",
    "format",
    "discriminator",
    "$defs",
    "writeOnly",
    "readOnly",
}
KINDS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
ODD_VALUES: tuple[Any, ...] = (True, 7, -1, 1.5, "", "no such word", [], [1], {}, {"x": 1}, [{"x": 1}])
"""Some of these are wrong, whatever is wanted."""


def faults(value: Any, schema: Json, path: str = "") -> Iterator[str]:
    """All that is wrong with a value, in words."""
    for word, wanted in schema.items():
        if word not in SAYS_NOTHING:
            yield from _CHECKS[word](value, wanted, schema, path)


def fits(value: Any, schema: Json) -> bool:
    return next(faults(value, schema), None) is None


def _ref(value: Any, wanted: str, _: Json, path: str) -> Iterator[str]:
    yield from faults(value, DEFINITIONS[wanted.rpartition("/")[2]], path)


def _type(value: Any, wanted: str, _: Json, path: str) -> Iterator[str]:
    if not KINDS[wanted](value):
        yield f"{path or 'it'} must be {wanted}, not {value!r}"


def _words(value: Any, wanted: Any, _: Json, path: str) -> Iterator[str]:
    if value not in (wanted if isinstance(wanted, list) else [wanted]):
        yield f"{path} must be {wanted!r}, not {value!r}"


def _any(value: Any, wanted: list[Json], _: Json, path: str) -> Iterator[str]:
    if not any(fits(value, choice) for choice in wanted):
        yield f"{path} is none of what it may be: {value!r}"


def _bound(
    compare: Callable[[Any, Any], bool], measured: Callable[[Any], Any]
) -> Callable[..., Iterator[str]]:
    def check(value: Any, wanted: Any, schema: Json, path: str) -> Iterator[str]:
        kind = schema.get("type", "number")
        if KINDS[kind](value) and not compare(measured(value), wanted):
            yield f"{path} is beyond {wanted}: {value!r}"

    return check


def _pattern(value: Any, wanted: str, _: Json, path: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(wanted, value):
        yield f"{path} does not fit {wanted}: {value!r}"


def _required(value: Any, wanted: list[str], _: Json, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{path}.{name} is missing" for name in wanted if name not in value)


def _properties(value: Any, wanted: Json, _: Json, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in wanted.keys() & value.keys():
            yield from faults(value[name], wanted[name], f"{path}.{name}")


def _others(value: Any, wanted: Any, schema: Json, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    patterns = schema.get("patternProperties", {})
    for name in value.keys() - schema.get("properties", {}).keys():
        if any(re.search(pattern, name) for pattern in patterns):
            continue
        if wanted is False:
            yield f"{path}.{name} is not declared"
        elif isinstance(wanted, dict):
            yield from faults(value[name], wanted, f"{path}.{name}")


def _by_pattern(value: Any, wanted: Json, _: Json, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            for pattern, schema in wanted.items():
                if re.search(pattern, name):
                    yield from faults(each, schema, f"{path}.{name}")


def _names(value: Any, wanted: Json, _: Json, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in value:
            yield from faults(name, wanted, f"{path}.{name}")


def _items(value: Any, wanted: Json, _: Json, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from faults(each, wanted, f"{path}.{index}")


_CHECKS: dict[str, Callable[..., Iterator[str]]] = {
    "$ref": _ref,
    "type": _type,
    "const": _words,
    "enum": _words,
    "anyOf": _any,
    "oneOf": _any,
    "minimum": _bound(lambda a, b: a >= b, lambda value: value),
    "maximum": _bound(lambda a, b: a <= b, lambda value: value),
    "minLength": _bound(lambda a, b: a >= b, len),
    "maxLength": _bound(lambda a, b: a <= b, len),
    "minItems": _bound(lambda a, b: a >= b, len),
    "maxItems": _bound(lambda a, b: a <= b, len),
    "minProperties": _bound(lambda a, b: a >= b, len),
    "maxProperties": _bound(lambda a, b: a <= b, len),
    "pattern": _pattern,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _others,
    "patternProperties": _by_pattern,
    "propertyNames": _names,
    "items": _items,
}


# --- values -----------------------------------------------------------------------------------------------


def sample(schema: Json, name: str = "", *, full: bool = False, values: Json | None = None) -> Any:
    """A value that fits: of an object what it must have, or with ``full`` all that it may have. ``values`` are taken
    for fields of these names."""
    if values and name in values:
        return values[name]
    if "$ref" in schema:
        return sample(DEFINITIONS[schema["$ref"].rpartition("/")[2]], name, full=full, values=values)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return sample(schema[word][0], name, full=full, values=values)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    return _plain(schema, full, values)


def _plain(schema: Json, full: bool, values: Json | None) -> Any:
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            wanted = {n: s for n, s in schema.get("properties", {}).items() if full or n in required}
            return {n: sample(s, n, full=full, values=values) for n, s in wanted.items()}
        case "array":
            return (
                [sample(schema["items"], full=full, values=values)] if schema.get("minItems") or full else []
            )
        case "integer" | "number":
            low, high = schema.get("minimum", 0), schema.get("maximum", math.inf)
            return low if high == math.inf else min(high, math.ceil((low + high) / 2))
        case "boolean":
            return True
        case "string":
            return "en" if "pattern" in schema else "text"
        case _:
            return {}


def wrong_values(schema: Json) -> list[Any]:
    """Values that do not fit, of every kind that does not."""
    return [value for value in ODD_VALUES if not fits(value, schema)]
