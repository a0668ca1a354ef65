"""The tokens of jobs that generate text, and jobs that are past their deadline.

Revision ID: 0016
Revises: 0015
Create Date: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The release before leaves these columns alone. No row is rewritten: the default is a constant.
    lock_tables("jobs")
    op.add_column("jobs", sa.Column("usage", JSONB))
    op.add_column("jobs", sa.Column("expired", sa.Boolean, nullable=False, server_default=sa.text("false")))


def downgrade() -> None:
    lock_tables("jobs")
    op.drop_column("jobs", "expired")
    op.drop_column("jobs", "usage")
