"""Of which call a request is, as far as that can be told without looking anything up. Pure.

Nothing here is believed: whoever has the call checks signature and token himself.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from server.cluster.ids import made_at
from server.tokens import MAX_TOKEN

MEDIA = "/twilio/media/"
OFFER = "/webrtc/offer"
VOICE = "/twilio/voice"
DIAL, CALLS, LIVE = "/v1/calls", "/v1/calls/", "/live/"
FOLLOWED = {"/v1/tap": "call", "/v1/attach": "call", "/ws/stream": "session"}
"""Sockets that follow the call which their query names, and what that calls it."""
OF_A_NODE = ("/metrics", "/v1/stats")
"""Figures of one process: ``?node=`` says of which."""


@dataclass(frozen=True, slots=True)
class Belongs:
    """To a call, or to the node that made what it holds; ``in_body``: that is said in its body. ``new``: where no node
    has the call, it begins with this."""

    node: str = ""
    call_id: str = ""
    in_body: bool = False
    new: bool = False


def belongs(method: str, path: str, query: str) -> Belongs | None:
    """``method``: ``WS`` for a socket. None: to no call in particular."""
    if path.startswith(MEDIA):
        return Belongs(node=_node_in(path.removeprefix(MEDIA)))
    if path.startswith("/twilio/") and method == "POST":
        return Belongs(node=made_at(path.rpartition("/")[2]) or "", in_body=True)
    for calls in (CALLS, LIVE):
        if path.startswith(calls):
            return Belongs(call_id=unquote(path.removeprefix(calls).partition("/")[0]))
    if path in FOLLOWED:
        return Belongs(call_id=dict(parse_qsl(query)).get(FOLLOWED[path], ""))
    if path in OF_A_NODE:
        return Belongs(node=dict(parse_qsl(query)).get("node", ""))
    if path == DIAL and method == "POST":
        return Belongs(new=True)
    if path == OFFER and method == "POST":
        return Belongs(in_body=True)
    return None


def belongs_by_body(path: str, body: bytes) -> Belongs:
    """The same of one that says it in its body."""
    if path == OFFER:
        told = _object(body) if b'"resume"' in body else {}
        resume = told.get("resume")
        return Belongs(node=_node_in(resume) if isinstance(resume, str) else "", new=resume is None)
    call_id = dict(parse_qsl(body.decode("utf-8", "replace"))).get("CallSid", "")
    return Belongs(call_id=call_id, new=path == VOICE)


def _node_in(token: str) -> str:
    """The node that says to have made a token; empty: none does."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN:
        return ""
    try:
        claims = _object(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return ""
    node = claims.get("node")
    return node if isinstance(node, str) else ""


def _object(data: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
