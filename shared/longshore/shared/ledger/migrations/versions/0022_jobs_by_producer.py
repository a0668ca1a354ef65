"""An index of the jobs of each producer, so that a list of its newest ones does not read those of all others.

Revision ID: 0022
Revises: 0021
Create Date: 2026-11-30
"""

from __future__ import annotations

from alembic import op

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    lock_tables("jobs", mode="SHARE")
    op.create_index("jobs_producer_idx", "jobs", ["producer", "id"])


def downgrade() -> None:
    lock_tables("jobs")
    op.drop_index("jobs_producer_idx", "jobs")
