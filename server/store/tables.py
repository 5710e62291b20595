"""The tables, as the newest migration leaves them.

What is looked for is a column; the rest of a call is the JSON that is told of it, so that one more figure of it is no
migration. ``messages`` and ``recordings`` are drawn from the log when it is written. There are no foreign keys: what
belongs to a call has its id, and may be written before it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

HEAD: Final = "0002"
"""The migration that these tables are of."""
VERSION_TABLE: Final = "talkwire_version"

metadata: Final = MetaData()

calls: Final = Table(
    "calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("node", String(32), nullable=False),
    Column("slug", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("caller", Text, nullable=False),
    Column("from_ref", Text, nullable=False),
    Column("to_ref", Text, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("ended_at", Float(53)),
    Column("reason", Text),
    Column("last_seq", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("lost_to", Integer, nullable=False),
    Column("summary", Text, nullable=False),
    Column("metadata", Text),
    Index("calls_by_end", "state", "ended_at", "call_id"),
    Index("calls_by_agent", "slug", "state", "ended_at", "call_id"),
    Index("calls_by_caller", "caller"),
    Index("calls_by_node", "state", "node"),
)

events: Final = Table(
    "events",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("ts", Float(53), nullable=False),
    Column("event", Text, nullable=False),
    Column("data", Text, nullable=False),
)

lifecycle: Final = Table(
    "lifecycle",
    metadata,
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("slug", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Index("lifecycle_once", "call_id", "seq", unique=True),
    Index("lifecycle_by_agent", "slug", "place"),
)
"""The log of each agent: which events of its calls it has, in the order in which they came into this table."""

messages: Final = Table(
    "messages",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
)

recordings: Final = Table(
    "recordings",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("node", String(32)),
    Column("started_at", Float(53)),
    Column("duration_ms", Integer, nullable=False),
    Column("format", Text, nullable=False),
    Column("sample_rate_hz", Integer),
    Column("channels", Text),
)

waveforms: Final = Table(
    "waveforms",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("hop_ms", SmallInteger, nullable=False),
    Column("until_ms", Integer, nullable=False),
    Column("starts_at", Float(53), nullable=False),
    Column("until_at", Float(53), nullable=False),
    Column("user_peaks", LargeBinary, nullable=False),
    Column("bot_peaks", LargeBinary, nullable=False),
)

tokens_used: Final = Table(
    "tokens_used",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("until", Float(53), nullable=False),
    Index("tokens_by_end", "until"),
)

nodes: Final = Table(
    "nodes",
    metadata,
    Column("node", String(32), primary_key=True),
    Column("began_at", Float(53), nullable=False),
    Column("seen_at", Float(53), nullable=False),
)

OF_A_CALL: Final = (events, lifecycle, messages, recordings, waveforms)
