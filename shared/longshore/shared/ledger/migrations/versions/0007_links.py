"""Chains: jobs that wait for another to succeed.

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BEFORE = "'queued', 'running', 'succeeded', 'failed', 'cancelled'"


def upgrade() -> None:
    op.create_table(
        "links",
        sa.Column("job_id", sa.Uuid, primary_key=True),
        sa.Column("after", sa.Uuid, nullable=False),
        sa.Column("timeout", sa.Double),
        sa.Column("ready_at", sa.DateTime(timezone=True)),
        sa.Column("broken", sa.Boolean, nullable=False, server_default=sa.text("false")),
    )
    op.create_index("links_after_idx", "links", ["after"])
    op.create_index("jobs_evaluations_idx", "jobs", ["model", "version"], postgresql_where=sa.text("kind = 'evaluate'"))
    _allow(f"'waiting', {_BEFORE}")


def downgrade() -> None:
    """Jobs that wait are lost: an older Longshore does not know them."""
    op.execute("DELETE FROM shards WHERE state = 'waiting'")
    op.execute("DELETE FROM jobs WHERE state = 'waiting'")
    _allow(_BEFORE)
    op.drop_index("jobs_evaluations_idx", "jobs")
    op.drop_table("links")


def _allow(states: str) -> None:
    for table in ("jobs", "shards"):
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_state_check")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_state_check CHECK (state IN ({states}))")
