"""Configuration keys as clients in other languages spell them: ``sessionLimits`` for ``session_limits``.

Only the keys that a message declares are respelled. What is within a dictionary of the developer's own, as
the parameters of a tool, is passed on as it came.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
OTHER_NAMES = {"prompt_vars": "vars", "tts": "voice"}
"""Keys that have another name in client libraries."""


def respelled(fields: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """``fields`` with the known keys in the wire's spelling. Where a key comes in both, the wire's own counts."""
    if all(key in known for key in fields):
        return fields
    found = {}
    for key, value in fields.items():
        name = _wire_name(key, known)
        if name == key or name not in fields:
            found[name] = value
    return found


def _wire_name(key: str, known: Collection[str]) -> str:
    if key in known or len(key) > 100:
        return key
    name = _HUMP.sub("_", key).lower()
    name = OTHER_NAMES.get(name, name)
    return name if name in known else key
