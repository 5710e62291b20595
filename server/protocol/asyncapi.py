"""Makes ``asyncapi.json``, the sockets' counterpart of ``openapi.json``, from the declaration of the wire. AsyncAPI 3.0.
The messages themselves stand in ``schema.json`` beside it, and are pointed at.

A further socket is one more ``Channel`` in ``CHANNELS``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from server.protocol.acks import Ack
from server.protocol.base import PROTOCOL, VERSION
from server.protocol.commands import COMMANDS, Connect
from server.protocol.events import EVENTS
from server.protocol.page import ACTIONS, FIELDS, OWN
from server.protocol.replies import Connected, ErrorEvent
from server.protocol.rest import (
    LiveMetadata,
    LogEnvelope,
    StreamPing,
    StreamPong,
    SupervisorVerb,
    VerbDone,
    VerbRefused,
)

ASYNCAPI: Final = Path(__file__).parent / "asyncapi.json"
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """A socket, and what goes over it: definitions of ``schema.json``, by their names."""

    name: str
    address: str | None
    """None: no address of its own."""
    text: str
    hears: tuple[str, ...] = ()
    """What the server is told."""
    says: tuple[str, ...] = ()
    binary: str = ""
    """Frames that are no messages."""
    params: tuple[tuple[str, str], ...] = ()
    """Of the query."""
    own: tuple[type[BaseModel], ...] = ()
    """What the server says besides, which is not in ``schema.json``."""
    heard: tuple[type[BaseModel], ...] = ()
    """What it is told besides."""


def _names(models: tuple[type[BaseModel], ...]) -> tuple[str, ...]:
    return tuple(model.__name__ for model in models)


_EVENTS: Final = _names(EVENTS)
_OF_PAGES: Final = tuple(
    f"Page{event.__name__}" for event in EVENTS if event.model_fields["event"].default in FIELDS
)

CHANNELS: tuple[Channel, ...] = (
    Channel(
        "agent",
        "/client",
        "An agent process: it registers agents, is told all events of their calls, and says what they shall do. The "
        "first message is `connect`, with an API key.",
        hears=_names(COMMANDS),
        says=_EVENTS,
    ),
    Channel(
        "page",
        None,
        "The data channel of a browser call, which `POST /webrtc/offer` begins. Bare `ping`, each second, is a sign of "
        "life.",
        hears=_names(ACTIONS),
        says=(*_OF_PAGES, *_names((*OWN, Ack))),
    ),
    Channel(
        "tap",
        "/v1/tap",
        "The events of calls as their agents get them, for somebody who only watches. The first message is `connect`, "
        "with an API key.",
        hears=_names((Connect,)),
        says=tuple(dict.fromkeys((*_names((Connected, ErrorEvent)), *_EVENTS))),
        params=(("call", "That call, also one that is yet to come; absent: all."),),
    ),
)

_READING: Final = (
    ("token", "An API key or a stream token; or `Authorization: Bearer`."),
    ("after", "Entries behind this `seq`."),
)
CHANNELS += (
    Channel(
        "attach",
        "/v1/attach",
        "The log of a call, or of an agent (docs/log.md). With a token of `scope=supervise` it hears verbs as well.",
        heard=(StreamPing, SupervisorVerb),
        own=(LogEnvelope, StreamPong, VerbDone, VerbRefused),
        params=(
            ("call", "The log of this call; or"),
            ("agent", "that of this agent."),
            *_READING,
            ("types", "Only these, separated by commas."),
            ("durable", "1: without ephemeral entries."),
        ),
    ),
    Channel(
        "stream",
        "/ws/stream",
        "The calls of several agents as they come (docs/log.md).",
        heard=(StreamPing,),
        own=(LogEnvelope, StreamPong),
        params=(*_READING, ("agent", "Of this agent alone."), ("session", "Of this call alone.")),
    ),
    Channel(
        "live",
        "/live/{call_id}/ws",
        "What both sides of a live call hear (docs/api.md).",
        own=(LiveMetadata,),
        binary="Then binary frames of 50 ms, 16-bit PCM; two zero bytes where there is no audio; an empty one last.",
        params=(_READING[0],),
    ),
)

SOCKETS_OF_CARRIERS: Final = "/twilio/"
NO_SOCKET: Final = "/{path:path}"
"""Says that there is none."""


def asyncapi() -> JsonObject:
    """The document."""
    used = sorted({name for channel in CHANNELS for name in (*channel.hears, *channel.says)})
    ours = {model.__name__: model for channel in CHANNELS for model in (*channel.heard, *channel.own)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Talkwire",
            "version": VERSION,
            "description": f"What goes over sockets ({PROTOCOL}); PROTOCOL.md says it in words. HTTP is in openapi.json.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "127.0.0.1:8080",
                "protocol": "ws",
                "description": "With TLS, wss; the server's own address is TALKWIRE_PUBLIC_URL.",
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            key: operation for channel in CHANNELS for key, operation in _operations(channel).items()
        },
        "components": {
            "messages": {
                name: {
                    "name": name,
                    "contentType": "application/json",
                    "payload": {
                        "schemaFormat": "application/schema+json;version=draft-2020-12",
                        "schema": {"$ref": f"schema.json#/$defs/{name}"},
                    },
                }
                for name in used
            }
            | {name: _own_message(name, model) for name, model in sorted(ours.items())}
        },
    }


def _own_message(name: str, model: type[BaseModel]) -> JsonObject:
    schema = model.model_json_schema()
    return {"name": name, "contentType": "application/json", "payload": schema}


def _channel(channel: Channel) -> JsonObject:
    told: JsonObject = {
        "address": channel.address,
        "description": f"{channel.text} {channel.binary}".strip(),
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for name in dict.fromkeys((*_all(channel.hears, channel.heard), *_all(channel.says, channel.own)))
        },
    }
    if channel.address is not None:
        told["servers"] = [{"$ref": "#/servers/here"}]
    if "{" in (channel.address or ""):
        told["parameters"] = {"call_id": {"description": "The call."}}
    if channel.params:
        query = {name: {"type": "string", "description": text} for name, text in channel.params}
        told["bindings"] = {
            "ws": {"query": {"type": "object", "properties": query}, "bindingVersion": "0.1.0"}
        }
    return told


def _operations(channel: Channel) -> JsonObject:
    found: JsonObject = {}
    for action, names in (
        ("receive", _all(channel.hears, channel.heard)),
        ("send", _all(channel.says, channel.own)),
    ):
        if names:
            found[f"{channel.name}.{action}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel.name}"},
                "messages": [{"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in names],
            }
    return found


def _all(names: tuple[str, ...], models: tuple[type[BaseModel], ...]) -> tuple[str, ...]:
    return (*names, *_names(models))


def asyncapi_json() -> str:
    return json.dumps(asyncapi(), indent=2, ensure_ascii=False) + "\n"
