"""How many calls there may be, how long they last, and what their callers hear of the server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from server.settings.declaring import Group, setting
from server.settings.values import Line

CALLS = "Calls"


class Calls(Group):
    """Of all kinds of calls."""

    max_calls: Annotated[int, Field(ge=1, le=10_000)] = setting(
        CALLS, "TALKWIRE_MAX_CALLS", 40, "Calls at the same time; a further one is rejected.", unit="calls"
    )
    max_lag_ms: Annotated[float, Field(ge=0, le=10_000)] = setting(
        CALLS,
        "TALKWIRE_MAX_LAG_MS",
        150.0,
        "How late the event loop may be, in one of a hundred looks at the clock within ten seconds: beyond, further "
        "calls are refused, as with `TALKWIRE_MAX_CALLS`, until it is half of that. Live ones go on. 0: no such bound.",
        unit="ms",
    )
    max_agents: Annotated[int, Field(ge=0, le=100_000)] = setting(
        CALLS,
        "TALKWIRE_MAX_AGENTS",
        1000,
        "Agents online at the same time; a further one is refused with `SERVER_AT_CAPACITY`. 0: any number.",
        unit="agents",
    )
    max_call_s: Annotated[float, Field(ge=10, le=86_400)] = setting(
        CALLS,
        "TALKWIRE_MAX_CALL_S",
        3600.0,
        "Longest call, whatever its agent allows (`session_limits`; 600 s where it says nothing); then it ends with "
        "`max_duration`.",
        unit="s",
    )
    idle_timeout_s: Annotated[float, Field(ge=0, le=86_400)] = setting(
        CALLS,
        "TALKWIRE_IDLE_TIMEOUT_S",
        60.0,
        "How long the caller may say nothing, where the agent does not say (`session_limits`); then he is warned, and "
        "the call ends with `idle_timeout`. 0: for as long as the call lasts.",
        unit="s",
    )
    farewell_s: Annotated[float, Field(ge=0, le=60)] = setting(
        CALLS,
        "TALKWIRE_FAREWELL_S",
        8.0,
        "How long, at most, the caller hears what the agent says to a timeout before the call ends.",
        unit="s",
    )
    agent_grace_s: Annotated[float, Field(ge=0, le=300)] = setting(
        CALLS,
        "TALKWIRE_AGENT_GRACE_S",
        15.0,
        "How long a call waits for its agent to connect again.",
        unit="s",
    )
    agent_away: Literal["wait", "line", "message"] = setting(
        CALLS,
        "TALKWIRE_AGENT_AWAY",
        "line",
        "What the caller hears meanwhile, where the agent does not say: `wait`: nothing; `line`: the holding line, "
        "once, where the agent owes him an answer; `message`: an apology, when the time is over and the call ends.",
        allowed="wait, line or message",
    )
    hold_music: Annotated[str, Field(min_length=1, max_length=1000)] | None = setting(
        CALLS,
        "TALKWIRE_HOLD_MUSIC",
        None,
        "What a caller hears on hold: a WAV file of at most 10 MB, played again and again; unset: music that the server "
        "makes itself; `off`: silence.",
        allowed="a path, or off",
    )
    media_timeout_s: Annotated[float, Field(ge=1, le=120)] = setting(
        CALLS,
        "TALKWIRE_MEDIA_TIMEOUT_S",
        10.0,
        "Silence of a media connection after which it counts as lost.",
        unit="s",
    )
    ringing_s: Annotated[float, Field(ge=0, le=10)] = setting(
        CALLS,
        "TALKWIRE_RINGING_S",
        5.0,
        "How long a call of a channel with `ringing` rings until it is answered although its agent has said nothing. "
        "0: it is answered at once. Carriers wait 15 s at most for an answer.",
        unit="s",
    )
    max_bridges: Annotated[int, Field(ge=0, le=5000)] = setting(
        CALLS,
        "TALKWIRE_MAX_BRIDGES",
        10,
        "Agents that speak with other agents at the same time (`call.bridge`); each counts as two calls. 0: none may.",
        unit="bridges",
    )
    dials_per_s: Annotated[float, Field(ge=0.05, le=100)] = setting(
        CALLS,
        "TALKWIRE_DIALS_PER_S",
        1.0,
        "Calls that are dialled each second, those of transfers among them; more of them wait. Twilio allows an account "
        "1 where nothing else is agreed.",
        unit="1/s",
    )
    dial_queue: Annotated[int, Field(ge=1, le=100_000)] = setting(
        CALLS,
        "TALKWIRE_DIAL_QUEUE",
        100,
        "Dials that may wait for their turn; a further one is refused with `DIAL_QUEUE_FULL`.",
        unit="dials",
    )
    nobody_text: Line | None = setting(
        CALLS,
        "TALKWIRE_NOBODY_TEXT",
        None,
        "What a caller hears whose number no agent answers, spoken by the carrier, which then bills the call; unset: "
        "the call is refused unanswered.",
        allowed="text of at most 500 characters",
    )
    drain_s: Annotated[float, Field(ge=0, le=3600)] = setting(
        CALLS, "TALKWIRE_DRAIN_S", 30.0, "How long SIGTERM lets calls in progress go on.", unit="s"
    )
