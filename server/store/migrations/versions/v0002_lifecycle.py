"""How the calls of each agent come and go, in one order for all servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lifecycle",
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
    )
    op.create_index("lifecycle_once", "lifecycle", ["call_id", "seq"], unique=True)
    op.create_index("lifecycle_by_agent", "lifecycle", ["slug", "place"])


def downgrade() -> None:
    op.drop_table("lifecycle")
