"""Calls with their events, messages, recordings and waveforms; tokens used; the servers that write them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("node", sa.String(32), nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("from_ref", sa.Text, nullable=False),
        sa.Column("to_ref", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("ended_at", sa.Float(53)),
        sa.Column("reason", sa.Text),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.Column("lost_to", sa.Integer, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text),
    )
    op.create_index("calls_by_end", "calls", ["state", "ended_at", "call_id"])
    op.create_index("calls_by_agent", "calls", ["slug", "state", "ended_at", "call_id"])
    op.create_index("calls_by_caller", "calls", ["caller"])
    op.create_index("calls_by_node", "calls", ["state", "node"])
    op.create_table(
        "events",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ts", sa.Float(53), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table(
        "messages",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "recordings",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("node", sa.String(32)),
        sa.Column("started_at", sa.Float(53)),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("sample_rate_hz", sa.Integer),
        sa.Column("channels", sa.Text),
    )
    op.create_table(
        "waveforms",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("hop_ms", sa.SmallInteger, nullable=False),
        sa.Column("until_ms", sa.Integer, nullable=False),
        sa.Column("starts_at", sa.Float(53), nullable=False),
        sa.Column("until_at", sa.Float(53), nullable=False),
        sa.Column("user_peaks", sa.LargeBinary, nullable=False),
        sa.Column("bot_peaks", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "tokens_used",
        sa.Column("token_id", sa.Text, primary_key=True),
        sa.Column("until", sa.Float(53), nullable=False),
    )
    op.create_index("tokens_by_end", "tokens_used", ["until"])
    op.create_table(
        "nodes",
        sa.Column("node", sa.String(32), primary_key=True),
        sa.Column("began_at", sa.Float(53), nullable=False),
        sa.Column("seen_at", sa.Float(53), nullable=False),
    )


def downgrade() -> None:
    for table in ("nodes", "tokens_used", "waveforms", "recordings", "messages", "events", "calls"):
        op.drop_table(table)
