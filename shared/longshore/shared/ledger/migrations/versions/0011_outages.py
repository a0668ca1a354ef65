"""Shards that wait for the end of an outage, or for their next attempt.

Revision ID: 0011
Revises: 0010
Create Date: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

COLUMNS = ("not_before", "outages", "waits_for", "missing_since")


def upgrade() -> None:
    # Workers of the release before go on beside these columns: they claim such a shard a little early.
    lock_tables("shards")
    op.add_column("shards", sa.Column("not_before", sa.DateTime(timezone=True)))
    op.add_column("shards", sa.Column("outages", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("shards", sa.Column("waits_for", sa.Text))
    op.add_column("shards", sa.Column("missing_since", sa.DateTime(timezone=True)))
    op.create_index(
        "shards_not_before_idx",
        "shards",
        ["not_before"],
        postgresql_where=sa.text("state = 'queued' AND not_before IS NOT NULL"),
    )


def downgrade() -> None:
    lock_tables("shards")
    op.drop_index("shards_not_before_idx", "shards")
    for column in COLUMNS:
        op.drop_column("shards", column)
