"""The answers over HTTP, and what is sent to get them. Which door gives which stands in ``routes.py``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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


class ClusterHealth(Answer):
    """With `REDIS_URL`: how this node stands among the others."""

    node: str
    redis: bool = Field(description="False: it serves on by itself.")
    why: str | None = Field(default=None, description="What is wrong with Redis, where it is away.")
    nodes: int
    others: list[str]
    room: int = Field(description="Calls that the others would take.")
    waiting: int = Field(description="Messages that wait for a link.")


class Readiness(Answer):
    """Whether a load balancer should send calls here: with `ready` 200, else 503."""

    status: Literal["ready", "lagging", "draining"] = Field(description="Why not.")
    database: Literal["ok", "away", "none"] = Field(description="`away`: events are spooled; calls go on.")
    cluster: ClusterHealth | None = Field(default=None, description="With `REDIS_URL`.")


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
    cluster: ClusterHealth | None = Field(default=None, description="With `REDIS_URL`.")


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


class ToldRecording(Answer):
    """What was told of a recording."""

    duration_ms: int
    format: str
    sample_rate: int
    channels: str
    started_at: float | None = None
    url: str = Field(description="Its path on this server.")


class CallDetails(CallRow):
    """One call."""

    agent: AgentStanding
    metadata: dict[str, Any]
    recordings: list[ToldRecording] = Field(description="Of a call that is over.")


class Line(Answer):
    """Something that was said; of the bot, what the caller heard."""

    role: Literal["user", "assistant"]
    text: str
    start_ms: int | None = Field(description="From `call.started`; null: nobody knows.")
    end_ms: int | None


class Transcript(Answer):
    """What was said in a call."""

    call_id: str
    ended: bool
    lines: list[Line]


class LogEnvelope(Answer):
    """An entry of a log (docs/log.md)."""

    seq: int = Field(description="Cursor and dedupe key; grows, and may have holes.")
    ts: float = Field(description="Epoch seconds.")
    call: str | None = Field(description="Null in the log of an agent.")
    agent: str
    type: str = Field(description="What `data` is; ignore types that you do not know.")
    ephemeral: bool
    data: dict[str, Any]


class LogEntries(Answer):
    """Entries behind a cursor."""

    entries: list[LogEnvelope]
    live: bool = Field(description="The call goes on.")
    next: int | None = Field(default=None, description="`after` of the following page, where there is one.")


class LogPage(Answer):
    """With `format=wire`: events behind a cursor, as the call's agent gets them (`Event` in schema.json)."""

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


# --- a person beside the bot ------------------------------------------------------------------------------


class SupervisorVerb(BaseModel):
    """What a person wants to be done in a live call (docs/api.md)."""

    verb: Literal["say", "whisper", "takeover", "release", "transfer", "end"]
    text: str | None = Field(default=None, description="Of `say` and `whisper`.")
    interrupt: bool = Field(
        default=False, description="Of `say` and `takeover`: cut off what the bot is saying."
    )
    to: str | None = Field(default=None, description="Of `transfer`.")
    message: str | None = Field(default=None, description="Of `transfer`: said to the caller before.")
    announcement: str | None = Field(default=None, description="Of `transfer`: told to who picks up.")
    by: str | None = Field(default=None, description="Who asks, for the log and the agent.")


class Supervised(Answer):
    """200: it is done. 202: it goes on."""

    verb: str
    status: Literal["done", "processing"]
    message_id: str | None = Field(default=None, description="Of `say`: its events have it.")


# --- what goes over sockets, beside the wire --------------------------------------------------------------


class VerbDone(Answer):
    """Answers a verb on `/v1/attach`."""

    type: Literal["verb"]
    verb: str
    status: Literal["done", "processing"]
    message_id: str | None = None


class VerbRefused(Answer):
    """A verb on `/v1/attach` that had no effect."""

    type: Literal["error"]
    verb: str | None = None
    code: str
    error: str


class StreamPing(BaseModel):
    """Asks whether the server is alive."""

    action: Literal["ping"]


class StreamPong(Answer):
    """Answers `ping`."""

    event: Literal["pong"]


class LiveMetadata(Answer):
    """First of all, when the call has audio."""

    type: Literal["metadata"]
    sample_rate: int = Field(alias="sampleRate", description="8000 or 16000.")
    channels: Literal[1]
    bit_depth: Literal[16] = Field(alias="bitDepth")
    session_id: str = Field(alias="sessionId", description="The call.")


# --- directories of other makers --------------------------------------------------------------------------


class ChannelCount(Answer):
    """An agent's channels of one type."""

    count: int
    refs: list[str]


class ListedAgent(Answer):
    """An agent that is online."""

    slug: str
    org_id: str
    phones: list[str]
    channels: dict[str, ChannelCount]
    active: bool


class AgentDirectory(Answer):
    """Who is online."""

    success: bool
    agents: list[ListedAgent]
    total: int
    phone_map: dict[str, str]
    dev_overrides: Any


class Removed(Answer):
    """An agent was taken from its process."""

    success: bool
    displaced: int
    org_id: str


class OwnNumber(Answer):
    """A number of the account."""

    number: str
    name: str | None
    sid: str | None
    is_sdk: bool = Field(alias="isSdk", description="Somebody answers it here.")


class OwnNumbers(Answer):
    """The numbers of the account."""

    success: bool
    phones: list[OwnNumber]
    error: str | None = None


class SpokenLanguage(Answer):
    """That a voice speaks."""

    code: str
    name: str
    flag: str
    native_name: str = Field(alias="nativeName")
    region: str


class ListedVoice(Answer):
    """A voice of this server."""

    id: str
    voice_id: str
    name: str
    alias: str
    provider: str
    gender: str | None
    style: str | None
    languages: list[SpokenLanguage]
    description: str
    preview_url: str | None


class Voices(Answer):
    """The voices of this server."""

    success: bool
    total: int
    voices: list[ListedVoice]


class Balance(Answer):
    """What is left on the account."""

    success: bool
    balance: Any = None
    currency: str | None = None
    error: str | None = None
