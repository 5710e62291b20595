"""What is kept of calls, and by several processes together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from server.settings.declaring import OFF, Group, setting
from server.settings.values import DatabaseUrl, JournalSkip, Line, RedisUrl, Url, Word

RECORDING, JOURNAL, CLUSTER = "Recording", "Calls that are kept", "Several processes"
REDIS = "TALKWIRE_REDIS_URL"
DATABASE = "TALKWIRE_DATABASE_URL"


class Recording(Group):
    """Their sound."""

    recording: bool = setting(
        RECORDING,
        "TALKWIRE_RECORDING",
        False,
        "Record calls whose agent does not say whether to (`recording`).",
    )
    recording_format: Annotated[Literal["wav", "opus"], Word] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_FORMAT",
        "wav",
        "Kind of file. `opus` takes a tenth of the space of `wav`, and some 0.3 % of a core for each call.",
    )
    recording_channels: Annotated[Literal["stereo", "mono", "user", "bot"], Word] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_CHANNELS",
        "stereo",
        "What is kept: the user left and the bot right, both in one channel, or one of them.",
    )
    recording_consent: Line = setting(
        RECORDING,
        "TALKWIRE_RECORDING_CONSENT",
        OFF,
        "What a caller hears first when he begins to be recorded: your words; `on`: the usual ones, in the language of "
        "the call; `tone`: a tone; `off`: nothing.",
        allowed="text of at most 500 characters",
    )
    recording_inline_bytes: Annotated[int, Field(ge=0, le=20 << 20)] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_INLINE_BYTES",
        8 << 20,
        "Largest file that `call.recording` holds; of a larger one, and of one that the client does not take "
        "(`max_message_bytes` of `connect`), it tells the address alone. 0: never.",
        unit="bytes",
    )
    recording_url_s: Annotated[float, Field(ge=60, le=31_536_000)] = setting(
        RECORDING,
        "TALKWIRE_RECORDING_URL_S",
        86_400.0,
        "How long the address of a recording is good. With an API key it can be fetched for as long as it is kept.",
        unit="s",
    )
    recordings_days: Annotated[float, Field(ge=0, le=36_500)] = setting(
        RECORDING,
        "TALKWIRE_RECORDINGS_DAYS",
        30.0,
        "How long recordings are kept in the data directory; then they are deleted. 0: for ever.",
        unit="days",
    )
    recordings_max_bytes: Annotated[int, Field(ge=0, le=10**15)] = setting(
        RECORDING,
        "TALKWIRE_RECORDINGS_MAX_BYTES",
        0,
        "How much they may take together; of more the oldest are deleted. 0: any.",
        unit="bytes",
    )


class Journal(Group):
    """What happened in them."""

    database_url: DatabaseUrl | None = setting(
        JOURNAL,
        "TALKWIRE_DATABASE_URL",
        None,
        "Where calls are kept. Unset: what `DATABASE_URL` says, else SQLite, in `talkwire.db` in the data directory, "
        "which needs no set-up. PostgreSQL needs the extra `postgres` and, once for each version, `talkwire migrate`. "
        "`memory`: nothing outlives the process.",
        allowed="sqlite:///path, postgresql://user:password@host/name or memory (where it is unset, DATABASE_URL counts)",
    )
    journal_skip: JournalSkip = setting(
        JOURNAL,
        "TALKWIRE_JOURNAL_SKIP",
        ("audio.metrics",),
        "Events that are told and not kept, for they only lead up to others: calls that are over do not have them.",
        allowed="names out of audio.metrics, bot.word, user.speaking, agent.state and llm.reasoning separated by "
        "commas, or none",
    )
    calls_days: Annotated[float, Field(ge=0, le=36_500)] = setting(
        JOURNAL,
        "TALKWIRE_CALLS_DAYS",
        30.0,
        "Days after which a call and all its events are deleted; its recording has a setting of its own. 0: never.",
        unit="days",
    )
    spool_max_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = setting(
        JOURNAL,
        "TALKWIRE_SPOOL_MAX_BYTES",
        256 << 20,
        "Room in the data directory for what happens in calls while the database is away: an hour of forty calls takes "
        "about 300 MB.",
        unit="bytes",
    )
    keep_calls: Annotated[int, Field(ge=0, le=10_000)] = setting(
        JOURNAL,
        "TALKWIRE_KEEP_CALLS",
        200,
        "Without a database (`memory`): ended calls that are kept, with their events, to be looked at; fewer where they "
        "are large.",
        unit="calls",
    )


class Cluster(Group):
    """What several servers share."""

    redis_url: RedisUrl | None = setting(
        CLUSTER,
        REDIS,
        None,
        "The Redis by which several servers act as one: each is then a node. Unset: what `REDIS_URL` says; without "
        "either this process is alone. Needs the extra `redis`.",
        allowed="redis://, rediss:// or unix:// (where it is unset, REDIS_URL counts)",
    )
    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,60}$")] = setting(
        CLUSTER,
        "TALKWIRE_REDIS_PREFIX",
        "talkwire",
        "What the names of its keys in Redis begin with: the same for all nodes, another one for another "
        "installation in the same Redis.",
        allowed="1 to 60 letters, digits, dots, hyphens and underscores",
    )
    node_url: Url | None = setting(
        CLUSTER,
        "TALKWIRE_NODE_URL",
        None,
        "How the other nodes reach this one, by a private network. Unset: `http://HOST:PORT` of TALKWIRE_HOST and "
        "TALKWIRE_PORT, where that is an address of this machine.",
        allowed="an http or https URL with nothing behind its path, for example http://10.0.0.5:8080",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = setting(
        CLUSTER,
        "TALKWIRE_WORKERS",
        1,
        "Server processes on this machine that share TALKWIRE_PORT (also `talkwire serve --workers N`): each is a node "
        "with engines of its own, and `TALKWIRE_MAX_CALLS` is for each. More than one need a Redis.",
        unit="processes",
    )
    secret: Annotated[SecretStr, Field(min_length=32, max_length=512)] | None = setting(
        CLUSTER,
        "TALKWIRE_SECRET",
        None,
        "What tokens and cookies are signed with, at least 32 characters: the same for all nodes. Unset: the file "
        "`secret` in the data directory, made at the first start.",
        allowed="32 to 512 characters",
    )
