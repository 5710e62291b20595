"""Lines: numbers that code answers, call for call, and no language model. To calls a line is an agent with a key of its
own."""

from __future__ import annotations

from telephony.numbers import normalise

PREFIX = "line:"
WINDOW_MS = 2500
"""How long a caller may dial an extension, where a line says nothing else."""


def key_of(number: str) -> str:
    """By which a line is known: no agent's slug has a colon."""
    return PREFIX + normalise(number)


def is_line(key: str) -> bool:
    """By its key, somebody who has a call is a line."""
    return key.startswith(PREFIX)


def user_of(address: str) -> str | None:
    """The user of a SIP address; None: it is none, or has no user."""
    text = normalise(address)
    scheme, _, rest = text.partition(":")
    user, found, _ = rest.partition("@")
    return user or None if found and scheme in ("sip", "sips") else None


def host_of(address: str) -> str | None:
    """The SIP address of all users of the same host; None: it is no SIP address, or has no user."""
    text = normalise(address)
    if user_of(text) is None:
        return None
    scheme, _, rest = text.partition(":")
    return f"{scheme}:{rest.partition('@')[2]}"
