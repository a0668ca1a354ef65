"""Indexes of queued shards by priority, so that the relay and workers read only those that are next.

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    lock_tables("shards")
    op.create_index(
        "shards_published_idx",
        "shards",
        ["queue", "priority", "published_at"],
        postgresql_where=sa.text("state = 'queued' AND published_at IS NOT NULL"),
    )
    op.create_index(
        "shards_unpublished_idx",
        "shards",
        [sa.text("priority DESC"), "job_id", "index"],
        postgresql_where=sa.text("state = 'queued' AND published_at IS NULL"),
    )
    op.drop_index("shards_queued_idx", "shards")


def downgrade() -> None:
    lock_tables("shards")
    op.create_index(
        "shards_queued_idx", "shards", ["queue", "published_at"], postgresql_where=sa.text("state = 'queued'")
    )
    op.drop_index("shards_published_idx", "shards")
    op.drop_index("shards_unpublished_idx", "shards")
