"""The doors are what they are declared to be: ``openapi.json`` and ``asyncapi.json`` against their specifications, the
routes of the application, and what the doors say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from server.app import create_app
from server.protocol.asyncapi import (
    ASYNCAPI,
    CHANNELS,
    NO_SOCKET,
    SOCKETS_OF_CARRIERS,
    asyncapi,
    asyncapi_json,
)
from server.protocol.export import SCHEMA
from server.protocol.openapi import DOCS, OPENAPI, docs_html, openapi, openapi_json
from server.protocol.routes import CARRIERS, INTERNAL, ROUTES
from tests.fakes.asgi import Reply
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, site

SPECS = Path(__file__).parents[2] / "clients/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
DOCUMENT = openapi()


def test_what_is_committed_is_what_is_declared() -> None:
    again = "run: python -m server.protocol.export"
    assert OPENAPI.read_text(encoding="utf-8") == openapi_json(), again
    assert ASYNCAPI.read_text(encoding="utf-8") == asyncapi_json(), again
    assert DOCS.read_text(encoding="utf-8") == docs_html(), again


def test_the_openapi_document_is_one() -> None:
    assert not list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())


def test_the_asyncapi_document_is_one() -> None:
    if not SPECS.is_file():
        pytest.skip("AsyncAPI's schema is not installed: cd clients && npm ci --ignore-scripts")
    validator = Draft202012Validator(json.loads(SPECS.read_text()))
    assert not [error.message for error in validator.iter_errors(asyncapi())]
    assert list(validator.iter_errors({**asyncapi(), "channels": []})), "it finds something"


def test_all_messages_of_the_sockets_are_declared() -> None:
    definitions = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    messages = asyncapi()["components"]["messages"]
    own = {model.__name__ for channel in CHANNELS for model in (*channel.own, *channel.heard)}
    assert set(messages) - own <= set(definitions)
    assert not own & set(definitions)
    unions = {"Command": "agent", "Event": "agent", "PageAction": "page", "PageEvent": "page"}
    for union, name in unions.items():
        (channel,) = (channel for channel in CHANNELS if channel.name == name)
        told = {choice["$ref"].rpartition("/")[2] for choice in definitions[union]["oneOf"]}
        assert told == set(channel.says if "Event" in union else channel.hears)


# --- which doors there are --------------------------------------------------------------------------------


def routes(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, APIRoute):
            for method in (route.methods or set()) - {"HEAD", "OPTIONS"}:
                yield method.lower(), route.path.replace(":path}", "}")
        elif isinstance(route, APIWebSocketRoute):
            yield "socket", route.path


@pytest.mark.parametrize("webrtc", [True, False])
def test_every_route_is_declared_and_every_declared_one_is_there(tmp_path: Path, webrtc: bool) -> None:
    import_module("server.doors.webrtc")  # Reads files, which must not be done on the loop.

    async def main() -> None:
        async with site(tmp_path, webrtc=webrtc) as made:
            found = set(routes(create_app(made.services)))
            there = {
                (method, path)
                for method, path in found
                if method != "socket" and path not in INTERNAL and not path.startswith(CARRIERS)
            }
            declared = {(route.method, route.path) for route in ROUTES}
            only_with = {path for path in declared if path[1] in ("/webrtc/ice-servers", "/webrtc/offer")}
            assert there - declared == set(), "declare it in server/protocol/routes.py"
            assert declared - there == (set() if webrtc else only_with)
            sockets = {path for method, path in found if method == "socket" and path != NO_SOCKET}
            ours = {path for path in sockets if not path.startswith(SOCKETS_OF_CARRIERS)}
            assert ours == {channel.address for channel in CHANNELS} - {None}, (
                "see server/protocol/asyncapi.py"
            )

    run_virtual(main())


# --- what they say ----------------------------------------------------------------------------------------


def faults(template: str, method: str, reply: Reply) -> list[str]:
    """What is not declared of an answer."""
    declared = DOCUMENT["paths"][template][method]["responses"].get(str(reply.status))
    if declared is None:
        return [f"{method} {template} answers {reply.status}, which is not declared"]
    kind = reply.headers.get("content-type", "").partition(";")[0]
    if "content" not in declared:
        return [] if not reply.body else [f"{method} {template} {reply.status} has a body"]
    media = declared["content"].get(kind)
    if media is None:
        return [f"{method} {template} answers {kind}, and {set(declared['content'])} is declared"]
    if kind != "application/json":
        return []
    schema = {**media["schema"], "components": DOCUMENT["components"]}
    found = Draft202012Validator(schema).iter_errors(reply.json())
    return [f"{method} {template} {reply.status}: {error.json_path} {error.message}" for error in found]


def test_the_doors_say_what_is_declared(tmp_path: Path) -> None:
    told: set[tuple[str, int]] = set()

    async def main() -> None:
        async with site(tmp_path) as made:

            async def ask(
                template: str, path: str = "", method: str = "get", body: bytes = b"", **how: str
            ) -> None:
                reply = await made.web.ask(path or template, method.upper(), body, **{**BEARER, **how})
                assert faults(template, method, reply) == []
                told.add((template, reply.status))

            call = made.begin(transport="webrtc", metadata={"a": 1})
            made.ring("CA2")
            for path in ("/healthz", "/readyz", "/metrics", "/v1/stats", "/v1/agents", "/v1/calls", "/docs"):
                await ask(path)
            for path in ("/openapi.json", "/asyncapi.json", "/schema.json"):
                reply = await made.web.get(path)
                assert reply.json() == json.loads((OPENAPI.parent / path[1:]).read_text())
            await ask("/healthz", "/healthz?nonce=abc")
            await ask("/v1/calls", "/v1/calls?state=nonsense")
            for path in ("", "/events", "/waveform", "/recording", "/transcript"):
                await ask("/v1/calls/{call_id}" + path, "/v1/calls/CA1" + path)
                await ask("/v1/calls/{call_id}" + path, "/v1/calls/gone" + path)
                await ask("/v1/calls/{call_id}" + path, "/v1/calls/gone" + path, authorization="Bearer wrong")
            await ask("/v1/calls/{call_id}/events", "/v1/calls/CA1/events?format=wire")
            for how in ("text", "vtt", "nonsense"):
                await ask("/v1/calls/{call_id}/transcript", f"/v1/calls/CA1/transcript?format={how}")
            for body in (b'{"verb": "say", "text": "x"}', b'{"verb": "jump"}', b"[]"):
                await ask("/v1/calls/{call_id}/supervise", "/v1/calls/CA1/supervise", "post", body)
            await ask("/v1/agents/{agent_id}/calls", "/v1/agents/tester/calls")
            await ask("/live/{call_id}/player", "/live/CA1/player")
            await ask("/live/{call_id}/player", "/live/gone/player")
            for path in ("agents", "phone-numbers", "voices", "twilio-balance"):
                await ask(f"/api/sdk/{path}")
            await ask("/api/sdk/voice-preview", "/api/sdk/voice-preview?lang=-")
            made.end(call)
            await asyncio.sleep(1.0)
            await ask("/v1/calls")
            await ask("/v1/calls/{call_id}", "/v1/calls/CA1")
            for kind in ("chat", "stream"):
                await ask(f"/{kind}/token", f"/{kind}/token?agent_id=Tester")
                await ask(f"/{kind}/token", f"/{kind}/token?agent_id=nobody")
            await ask("/webrtc/token")
            await ask("/api/sdk/agent-info/{agent_id}", "/api/sdk/agent-info/Tester")
            await ask("/api/sdk/agent-info/{agent_id}", "/api/sdk/agent-info/nobody")
            for body in (
                b"{}",
                b"nonsense",
                b'{"agent_id": "Tester", "to": "+15550001111"}',
                b'{"agent_id": "x", "to": "y"}',
            ):
                await ask("/v1/calls", method="post", body=body)
            await ask("/v1/callers/{caller}", "/v1/callers/+15550001111", "delete")
            await ask("/v1/callers/{caller}", "/v1/callers/-", "delete")
            await ask("/v1/audiosocket/calls", method="post", body=b"{}")
            await ask("/v1/calls/{call_id}/events", "/v1/calls/CA1/events?after=1000")
            await ask("/api/sdk/agents/{agent_id}", "/api/sdk/agents/tester", "delete")
            await ask("/api/sdk/agents/{agent_id}", "/api/sdk/agents/tester", "delete")
            made.calls.draining = True
            await ask("/readyz")

    run_virtual(main())
    assert {status for _, status in told} >= {200, 400, 401, 404, 503}
    assert len({path for path, status in told if status == 200}) >= 20
