"""Since when the rows of a job are computed, so that its speed does not count the time before, such as loading a model;
and when a lease was granted, so that it lasts no longer because the clock was set back.

Revision ID: 0024
Revises: 0023
Create Date: 2026-11-30
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The release before leaves these columns alone. No row is rewritten: the default is a constant.
    lock_tables("jobs", "shards")
    op.add_column("jobs", sa.Column("computing_since", sa.DateTime(timezone=True)))
    op.add_column("jobs", sa.Column("computing_rows", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column("jobs", sa.Column("rows_at", sa.DateTime(timezone=True)))
    op.add_column("shards", sa.Column("rows_at", sa.DateTime(timezone=True)))
    op.add_column("shards", sa.Column("leased_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    lock_tables("jobs", "shards")
    op.drop_column("shards", "leased_at")
    op.drop_column("shards", "rows_at")
    op.drop_column("jobs", "rows_at")
    op.drop_column("jobs", "computing_rows")
    op.drop_column("jobs", "computing_since")
