"""Which door over HTTP gives which answer: what ``openapi.json`` is made from, and what the tests hold the doors against.

A further door is one more ``Route`` in ``ROUTES``; a route of the application that is neither here nor in ``INTERNAL``
fails a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from server.protocol.commands import CallDial
from server.protocol.rest import (
    AgentDirectory,
    AgentInfo,
    Announced,
    Announcement,
    Balance,
    CallDetails,
    CallRows,
    Forgotten,
    Health,
    IceServers,
    LogEntries,
    LogPage,
    NotAnnounced,
    Offer,
    OnlineAgents,
    OwnNumbers,
    PageToken,
    Placed,
    Readiness,
    Removed,
    SdpAnswer,
    Stats,
    Supervised,
    SupervisorVerb,
    Transcript,
    Voices,
    Waveform,
)

NOTHING = ""
"""An answer without a body."""
JSON, TEXT, SSE, HTML = "application/json", "text/plain", "text/event-stream", "text/html"
Access = Literal["open", "key", "page", "link", "stream"]
"""``key``: an API key, the console's cookie, or the open door. ``page``: pages of allowed origins as well. ``link``: a
key, or the token in an address that was given out. ``stream``: a key, or a stream token."""


Shape = type[BaseModel] | tuple[type[BaseModel], ...] | str
"""A model, one of several, or the media type of what is none."""


@dataclass(frozen=True, slots=True)
class Param:
    """Of a query or a header."""

    name: str
    text: str
    type: Literal["string", "integer", "number", "boolean"] = "string"
    where: Literal["query", "header"] = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One door. ``answers``: by status."""

    method: Literal["get", "post", "put", "patch", "delete"]
    path: str
    text: str
    answers: dict[int, Shape]
    access: Access = "key"
    params: tuple[Param, ...] = ()
    body: type[BaseModel] | None = None
    streams: str = ""
    """It is server-sent events where these are accepted: which."""
    also: tuple[str, ...] = ()
    """Media types in which the same is told where they are asked for."""
    refuses: tuple[int, ...] = ()
    """Statuses whose answer is a ``Refusal``, besides those of its access."""


_PAGE = (
    Param("agent_id", "The agent; several with commas for a stream.", required=True),
    Param("metadata", "A JSON object for the agent, sealed in the token. With an API key."),
    Param("scope", "`observe`, `participate` or `supervise`. With an API key."),
    Param("call_id", "For this call alone. With an API key."),
)
_LIST = (
    Param("state", "`live` or `ended`."),
    Param("agent_id", "Of this agent."),
    Param("from", "With this caller."),
    Param("to", "To this number."),
    Param("reason", "That ended so."),
    Param("since", "Taken on then or later, epoch seconds.", "number"),
    Param("until", "Taken on before then, epoch seconds.", "number"),
    Param("limit", "How many, at most 1000; 100.", "integer"),
    Param("cursor", "What `next` of the page before was."),
)

ROUTES: tuple[Route, ...] = (
    Route(
        "get",
        "/healthz",
        "Whether the process answers.",
        {200: Health},
        "open",
        params=(Param("nonce", "Of the doctor."),),
    ),
    Route("get", "/readyz", "Whether it takes calls.", {200: Readiness, 503: Readiness}, "open"),
    Route("get", "/metrics", "Figures for Prometheus.", {200: TEXT}),
    Route("get", "/v1/stats", "A glance at the process.", {200: Stats}),
    Route("get", "/v1/agents", "The agents that are connected.", {200: OnlineAgents}),
    Route(
        "get",
        "/v1/calls",
        "Calls, live and past.",
        {200: CallRows},
        params=_LIST,
        streams="`calls` (the list), `call` (one that has changed), `gone` (`call_id`), `closed` (`reason`)",
        refuses=(400, 503),
    ),
    Route(
        "post",
        "/v1/calls",
        "Have an agent call somebody. The body is `call.dial` without `event`.",
        {201: Placed, 202: Placed},
        body=CallDial,
        refuses=(400, 403, 404, 413, 422, 429, 501, 502, 503),
    ),
    Route("get", "/v1/calls/{call_id}", "One call.", {200: CallDetails}, refuses=(404, 503)),
    Route(
        "get",
        "/v1/calls/{call_id}/events",
        "Its log.",
        {200: (LogEntries, LogPage), 204: NOTHING},
        "stream",
        params=(
            Param("after", "Entries behind this `seq`; 0.", "integer"),
            Param("limit", "How many, at most 1000.", "integer"),
            Param("types", "Only these, separated by commas."),
            Param("durable", "1: without ephemeral entries.", "integer"),
            Param("format", "`wire`: the raw events."),
            Param("Last-Event-ID", "As `after`, for a stream that was cut off.", "integer", "header"),
        ),
        streams="each entry by its type, its `seq` as `id`; raw: each event, `lost`, `end`, `closed`",
        refuses=(400, 403, 404, 503),
    ),
    Route(
        "get",
        "/v1/calls/{call_id}/transcript",
        "What was said.",
        {200: Transcript},
        params=(
            Param("format", "`json`, `text` or `vtt`."),
            Param("download", "1: named for saving.", "integer"),
        ),
        also=(TEXT, "text/vtt"),
        refuses=(400, 404, 503),
    ),
    Route(
        "post",
        "/v1/calls/{call_id}/supervise",
        "A person beside the bot: speak, whisper, take over, release, transfer, end.",
        {200: Supervised, 202: Supervised},
        "stream",
        body=SupervisorVerb,
        refuses=(400, 403, 404, 409, 413, 422, 500, 501),
    ),
    Route(
        "get",
        "/v1/calls/{call_id}/stream",
        "One call for a page: server-sent events.",
        {200: SSE},
        "stream",
        params=(Param("after", "Events behind this `seq`; 0.", "integer"),),
        refuses=(400, 403, 404, 503),
    ),
    Route(
        "get",
        "/v1/agents/{agent_id}/stream",
        "What happens in the calls of an agent, for a page: server-sent events.",
        {200: SSE},
        "stream",
        refuses=(400, 403, 503),
    ),
    Route(
        "get",
        "/v1/agents/{agent_id}/calls",
        "The calls of an agent.",
        {200: CallRows},
        "stream",
        params=_LIST,
        refuses=(400, 403, 503),
    ),
    Route(
        "get",
        "/live/{call_id}/player",
        "A page that plays a live call.",
        {200: HTML},
        "stream",
        refuses=(403, 404),
    ),
    Route(
        "get",
        "/api/sdk/agents",
        "Who is online, for command lines of other makers.",
        {200: AgentDirectory},
        params=(Param("include_lines", "1: lines as well.", "integer"),),
    ),
    Route(
        "delete",
        "/api/sdk/agents/{agent_id}",
        "Take an agent from its process for good.",
        {200: Removed},
        refuses=(403, 404),
    ),
    Route("get", "/api/sdk/phone-numbers", "The numbers of the account.", {200: OwnNumbers}),
    Route(
        "get",
        "/api/sdk/voices",
        "The voices of this server.",
        {200: Voices},
        "open",
        params=(Param("provider", "Of this one."), Param("language", "That speak this.")),
    ),
    Route(
        "get",
        "/api/sdk/voice-preview",
        "A sentence, as MP3.",
        {200: "audio/mpeg"},
        params=(Param("provider", "Whose."), Param("voice", "Which."), Param("lang", "In which language.")),
        refuses=(400, 404, 502, 503, 504),
    ),
    Route("get", "/api/sdk/twilio-balance", "What is left on the account.", {200: Balance}),
    Route(
        "get",
        "/v1/calls/{call_id}/waveform",
        "What it looks like.",
        {200: Waveform},
        params=(Param("after_ms", "What is behind that; 0.", "integer"),),
        refuses=(400, 404, 503),
    ),
    Route(
        "get",
        "/v1/calls/{call_id}/recording",
        "What it sounds like; byte ranges.",
        {200: "audio/*", 206: "audio/*"},
        "link",
        params=(
            Param("token", "As in the `url` of `call.recording`."),
            Param("download", "1: named for saving.", "integer"),
        ),
        refuses=(403, 404, 409, 416),
    ),
    Route(
        "delete",
        "/v1/callers/{caller}",
        "Forget all that is kept of one caller.",
        {200: Forgotten},
        refuses=(400, 403, 503),
    ),
    *(
        Route(
            "get",
            f"/{kind}/token",
            f"A token for a page: {what}.",
            {200: PageToken},
            "page",
            params=_PAGE,
            refuses=(400, 403, 404, 429),
        )
        for kind, what in (
            ("webrtc", "one call"),
            ("chat", "one conversation in writing"),
            ("stream", "an hour of looking on"),
        )
    ),
    Route(
        "get",
        "/webrtc/ice-servers",
        "STUN servers for everybody, TURN servers for whoever may have a token.",
        {200: IceServers},
        "page",
        params=(Param("token", "From `/webrtc/token`."),),
    ),
    Route(
        "post",
        "/webrtc/offer",
        "Begin a browser call, or come back to one.",
        {200: SdpAnswer},
        "page",
        body=Offer,
        refuses=(400, 403, 404, 409, 410, 413, 429, 503),
    ),
    Route(
        "get",
        "/api/sdk/agent-info/{agent_id}",
        "By which ways an agent is reached.",
        {200: AgentInfo},
        "open",
        refuses=(404,),
    ),
    Route(
        "post",
        "/v1/audiosocket/calls",
        "Announce a call that a PBX is about to connect; a form is answered in text.",
        {
            200: Announced,
            400: NotAnnounced,
            401: NotAnnounced,
            403: NotAnnounced,
            404: NotAnnounced,
            409: NotAnnounced,
            410: NotAnnounced,
            413: NotAnnounced,
            503: NotAnnounced,
        },
        body=Announcement,
    ),
    Route("get", "/openapi.json", "This document.", {200: JSON}, "open"),
    Route("get", "/asyncapi.json", "The same for the WebSockets and the data channel.", {200: JSON}, "open"),
    Route("get", "/schema.json", "All their messages, as JSON schema.", {200: JSON}, "open"),
    Route("get", "/docs", "A page that leads to these.", {200: HTML}, "open"),
)

INTERNAL: frozenset[str] = frozenset(
    {
        "/",  # The console's page, its sign-in and its calls.
        "/console/session",
        "/console/token",
        "/console/login",
        "/console/logout",
        "/talkwire.js",
        "/client",  # Says that it is a WebSocket.
    }
)
"""Doors of our own pages, which change with them."""
CARRIERS = "/twilio/"
"""Below it are the doors of a carrier, whose words are its own."""
