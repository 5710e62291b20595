"""Ids that say which node made them: who is asked about one knows whom to ask. Pure."""

from __future__ import annotations

import re
import secrets

_MADE_AT = re.compile(r"(?:dial|transfer)-([0-9a-f]{8})-[0-9a-f]{24}", re.ASCII)


def new_id(kind: str, node: str) -> str:
    """``dial`` or ``transfer``. A node that is alone has no name."""
    chance = secrets.token_hex(12)
    return f"{kind}-{node}-{chance}" if node else f"{kind}-{chance}"


def made_at(made: str) -> str | None:
    """The node that made an id; None: it does not say."""
    found = _MADE_AT.fullmatch(made)
    return found[1] if found is not None else None
