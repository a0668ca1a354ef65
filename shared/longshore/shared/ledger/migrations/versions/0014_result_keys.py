"""The keys of results and row errors: columns of the input that a job keeps.

Revision ID: 0014
Revises: 0013
Create Date: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a default: no partition is rewritten.
    lock_tables("results", "row_errors")
    op.add_column("results", sa.Column("key", JSONB))
    op.add_column("row_errors", sa.Column("key", JSONB))


def downgrade() -> None:
    lock_tables("results", "row_errors")
    op.drop_column("row_errors", "key")
    op.drop_column("results", "key")
