"""Makes ``openapi.json`` from the declaration of the doors: OpenAPI 3.1, whose schemas are JSON schema 2020-12."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from server.protocol.base import VERSION
from server.protocol.rest import Refusal
from server.protocol.routes import JSON, ROUTES, SSE, Access, Param, Route, Shape

OPENAPI: Final = Path(__file__).parent / "openapi.json"
DOCS: Final = OPENAPI.with_name("docs.html")
ACCESS: Final[dict[Access, str]] = {
    "open": "",
    "key": "An API key; the console's cookie; or a request from this machine to a server on loopback.",
    "page": "An API key, or a page of an origin that the agent allows.",
    "link": "An API key, or `token`.",
    "stream": "An API key, or a stream token, as `token` or bearer; the console's cookie.",
}
_SECURITY: Final[dict[Access, list[dict[str, list[str]]]]] = {
    "open": [{}],
    "key": [{"key": []}, {"cookie": []}, {}],
    "page": [{"key": []}, {}],
    "link": [{"key": []}, {"cookie": []}, {}],
    "stream": [{"key": []}, {"token": []}, {"cookie": []}, {}],
}
JsonObject = dict[str, Any]


def openapi() -> JsonObject:
    """The document."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Refusal, "serialization")]
    for route in ROUTES:
        wanted += [(model, "serialization") for shape in route.answers.values() for model in _models(shape)]
        if route.body is not None:
            wanted.append((route.body, "validation"))
    refs, document = models_json_schema(
        list(dict.fromkeys(wanted)), ref_template="#/components/schemas/{model}"
    )
    paths: JsonObject = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Talkwire",
            "version": VERSION,
            "summary": "Calls over HTTP.",
            "description": "What goes over WebSockets is in asyncapi.json. Carriers' webhooks are not here.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8080"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(document.get("$defs", {}).items())),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "talkwire_console"},
            },
        },
    }


def _operation(route: Route, refs: Any) -> JsonObject:
    operation: JsonObject = {
        "operationId": _operation_id(route),
        "summary": route.text,
        "security": _SECURITY[route.access],
        "responses": _responses(route, refs),
    }
    if ACCESS[route.access]:
        operation["description"] = f"For: {ACCESS[route.access]}"
    parameters = [_parameter(param) for param in route.params]
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {JSON: {"schema": refs[route.body, "validation"]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(route: Route) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "_", route.path).strip("_")
    return f"{route.method}_{words}"


def _parameter(param: Param) -> JsonObject:
    return {
        "name": param.name,
        "in": param.where,
        "description": param.text,
        "required": param.required,
        "schema": {"type": param.type},
    }


def _responses(route: Route, refs: Any) -> JsonObject:
    found: JsonObject = {}
    for status, model in route.answers.items():
        content: JsonObject = {kind: {"schema": {"type": "string"}} for kind in route.also}
        schemas = [refs[one, "serialization"] for one in _models(model)]
        if schemas:
            content[JSON] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        elif isinstance(model, str) and model:
            content[model] = {"schema": {} if model == JSON else {"type": "string"}}
        if route.streams and status == HTTPStatus.OK:
            content[SSE] = {"schema": {"type": "string", "description": f"Events: {route.streams}."}}
        told: JsonObject = {"description": HTTPStatus(status).phrase}
        found[str(status)] = {**told, "content": content} if content else told
    # A key that is wrong is told to be so wherever one is looked at.
    refusals = {*route.refuses, *({401} if route.access != "open" else ())} - set(route.answers)
    for status in sorted(refusals):
        refused = {JSON: {"schema": refs[Refusal, "serialization"]}}
        found[str(status)] = {"description": HTTPStatus(status).phrase, "content": refused}
    return dict(sorted(found.items()))


def _models(shape: Shape) -> tuple[type[BaseModel], ...]:
    if isinstance(shape, str):
        return ()
    return shape if isinstance(shape, tuple) else (shape,)


def openapi_json() -> str:
    return json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n"


def docs_html() -> str:
    """A page without scripts: which doors there are, and where the documents are."""
    rows = "\n".join(
        f"<tr><td><code>{route.method.upper()} {route.path}</code></td><td>{route.text.replace('`', '')}</td></tr>"
        for route in ROUTES
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Talkwire: interfaces</title>'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
        "color-scheme:light dark}td{padding:.2rem 1rem .2rem 0;vertical-align:top}</style>"
        "<h1>Talkwire</h1><p>HTTP: <a href=openapi.json>openapi.json</a>. WebSockets and data channel: "
        "<a href=asyncapi.json>asyncapi.json</a>. Their messages: <a href=schema.json>schema.json</a>.</p>"
        f"<table>\n{rows}\n</table></html>\n"
    )
