"""The answers over HTTP, and which door gives which: what ``openapi.json`` is made from, and what the tests hold the
doors against.

A further door is one more ``Route`` in ``ROUTES``; a route of the application that is neither here nor in ``INTERNAL``
fails a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from server.protocol.commands import CallDial


class Answer(BaseModel):
    """What a door says. There are no other fields than these."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Refusal(Answer):
    """Why a request was not served, and what to do."""

    detail: str = Field(description="For a human.")
    code: str | None = Field(default=None, description="For a program, where there is one (see PROTOCOL.md).")
    key: str | None = Field(default=None, description="The field at fault.")
    retry_after_s: float | None = Field(default=None, description="When to try again, seconds.")
    dial_id: str | None = Field(default=None, description="Of a dial that the carrier refused.")
    agent_id: str | None = Field(default=None, description="Of a dial that the carrier refused.")


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str = Field(description="Of the server.")
    proof: str | None = Field(default=None, description="With `nonce`: by this the doctor knows its server.")


class Readiness(Answer):
    """Whether a load balancer should send calls here: with `ready` 200, else 503."""

    status: Literal["ready", "lagging", "draining"] = Field(description="Why not.")
    database: Literal["ok", "away", "none"] = Field(description="`away`: events are spooled; calls go on.")


class Lag(Answer):
    """Milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Lateness(Answer):
    """Milliseconds; null: nothing was written yet."""

    p50: float | None
    p99: float | None
    max: float | None


class JournalFigures(Answer):
    """What is kept; with `TALKWIRE_DATABASE_URL=memory` `database` alone."""

    database: bool = Field(description="False: it is away, or there is none.")
    queued: int | None = Field(default=None, description="Events that are to be written.")
    spooled_bytes: int | None = Field(default=None, description="Of the file that they go to meanwhile.")
    written: int | None = Field(default=None, description="Events since the start.")
    commits: int | None = Field(default=None, description="Transactions since the start.")
    lost: int | None = Field(default=None, description="Events that could not be kept.")
    outages: int | None = Field(default=None, description="How often it was away.")
    late_ms: Lateness | None = Field(default=None, description="How old the oldest event of a commit was.")


class Stats(Answer):
    """A glance at the process."""

    calls: int = Field(description="That are not over.")
    tasks: int = Field(description="Of the event loop.")
    loop_lag: Lag = Field(description="How late the event loop was in the last minute.")
    journal: JournalFigures


class OnlineChannel(Answer):
    """By what an agent is reached."""

    type: str
    ref: str


class OnlineAgent(Answer):
    """An agent that is connected."""

    agent_id: str
    channels: list[OnlineChannel]
    online_since: float = Field(description="Epoch seconds.")
    live_calls: int
    language: str


class OnlineAgents(Answer):
    """Those that are connected."""

    agents: list[OnlineAgent]


class CallRow(Answer):
    """A call as lists show it. Times are epoch seconds, null where that has not been."""

    call_id: str
    agent_id: str
    transport: str
    direction: Literal["inbound", "outbound"]
    from_: str = Field(alias="from")
    to: str
    state: Literal["ringing", "dialing", "live", "ended"]
    created_at: float
    started_at: float | None
    ended_at: float | None
    duration_ms: int
    reason: str | None = Field(description="As in `call.ended`.")
    detail: str | None
    language: str | None
    answered_by: str | None
    agent_state: str | None
    turns: int
    interruptions: int = Field(description="Of the bot by the user.")
    errors: int
    last_seq: int = Field(description="How many events it has.")
    recording: bool = Field(description="There is one, or will be.")
    response_ms_p50: int | None = Field(
        description="From the end of the user's voice to the first sound of the answer."
    )
    response_ms_p95: int | None
    last_user_text: str | None
    last_bot_text: str | None


class CallRows(Answer):
    """Live calls first, each kind with the newest first."""

    calls: list[CallRow]
    next: str | None = Field(description="`cursor` of the following page; null: there is none.")


class AgentStanding(Answer):
    """The agent of a call."""

    agent_id: str
    online: bool


class CallDetails(CallRow):
    """One call."""

    agent: AgentStanding
    metadata: dict[str, Any]


class LogPage(Answer):
    """Events behind a cursor, as the call's agent gets them (``Event`` in schema.json)."""

    events: list[dict[str, Any]]
    last_seq: int
    ended: bool = Field(description="The call is over, and this is its last page.")
    lost: int = Field(description="Events behind the cursor that are not kept.")


class Waveform(Answer):
    """The loudness of both sides, a byte for each `hop_ms`, as base64."""

    hop_ms: int
    start_ts: float | None = Field(description="When 0 ms was, epoch seconds.")
    until_ts: float | None
    from_ms: int
    until_ms: int
    settled_ms: int = Field(description="What lies behind it may still change.")
    user: str
    bot: str
    ended: bool


class Forgotten(Answer):
    """What was deleted of one caller."""

    caller: str
    calls: int
    events: int
    recordings: int
    bytes: int
    live: int = Field(description="Calls with him that go on, and are kept.")


class Placed(Answer):
    """201: the carrier has taken the call. 202: it waits for its turn, without `call_id`."""

    dial_id: str
    agent_id: str
    call_id: str | None = None
    queue_length: int | None = Field(default=None, description="Dials that wait.")


class PageToken(Answer):
    """For a page."""

    token: str
    server: str = Field(description="The server's public address.")
    expires_in: int = Field(description="Seconds.")


class IceServer(Answer):
    """As in `RTCConfiguration`."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class IceServers(Answer):
    """For `RTCPeerConnection`."""

    ice_servers: list[IceServer] = Field(alias="iceServers")


class Offer(BaseModel):
    """A browser's call, or its way back to one (`resume`)."""

    sdp: str
    type: Literal["offer"]
    token: str | None = Field(default=None, description="From `/webrtc/token`, for one call.")
    config: dict[str, Any] | None = Field(default=None, description="`voice`, `stt`, `language`.")
    metadata: dict[str, Any] | None = Field(default=None, description="For the agent.")
    resume: str | None = Field(default=None, description="`resume_token` of `session.connected`.")
    last_seq: int | None = Field(default=None, description="With `resume`: of the last event that it has.")


class SdpAnswer(Answer):
    """The server's side of the connection."""

    type: Literal["answer"]
    sdp: str
    call_id: str


class ReachedBy(Answer):
    """A way to an agent."""

    type: Literal["webrtc", "phone"]
    numbers: list[str] | None = None
    phone: str | None = None


class AgentInfo(Answer):
    """By which ways an agent can be reached."""

    agent: str
    channels: list[ReachedBy]


class Announcement(BaseModel):
    """A call that a PBX is about to connect."""

    to: str = Field(description="The extension or number that was called.")
    from_: str | None = Field(default=None, alias="from")
    uuid: str | None = Field(default=None, description="Absent: the server makes one.")
    metadata: dict[str, Any] | None = None


class Announced(Answer):
    """What its AudioSocket connection names itself by."""

    uuid: str
    call_id: str


class NotAnnounced(Answer):
    """Why it is not taken."""

    error: str
    code: str


# --- the doors --------------------------------------------------------------------------------------------

JSON, TEXT, SSE, HTML = "application/json", "text/plain", "text/event-stream", "text/html"
Access = Literal["open", "key", "page", "link"]
"""``key``: an API key, the console's cookie, or the open door. ``page``: pages of allowed origins as well. ``link``: a
key, or the token in an address that was given out."""


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
    """One door. ``answers``: by status, a model, or the media type of what is none."""

    method: Literal["get", "post", "put", "patch", "delete"]
    path: str
    text: str
    answers: dict[int, type[BaseModel] | str]
    access: Access = "key"
    params: tuple[Param, ...] = ()
    body: type[BaseModel] | None = None
    streams: str = ""
    """It is server-sent events where these are accepted: which."""
    refuses: tuple[int, ...] = field(default=())
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
        {200: LogPage},
        params=(
            Param("after", "Events behind this `seq`; 0.", "integer"),
            Param("limit", "How many, at most 1000.", "integer"),
            Param("Last-Event-ID", "As `after`, for a stream that was cut off.", "integer", "header"),
        ),
        streams="each event by its name, its `seq` as `id`; `lost`, `end`, `closed`",
        refuses=(400, 404, 503),
    ),
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
