"""How many jobs a producer may have at a time, and an index to count those that have not ended.

Revision ID: 0012
Revises: 0011
Create Date: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    lock_tables("jobs", mode="SHARE")
    op.create_table(
        "producer_limits",
        sa.Column("producer", sa.Text, nullable=False),
        sa.Column("max_jobs", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("producer", name="producer_limits_pkey"),
        sa.CheckConstraint("max_jobs >= 0", name="producer_limits_max_jobs_check"),
    )
    op.create_index(
        "jobs_open_idx", "jobs", ["producer"], postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')")
    )


def downgrade() -> None:
    lock_tables("jobs")
    # Made when the first limit was set.
    op.execute("DROP TRIGGER IF EXISTS jobs_check_limits ON jobs")
    op.execute("DROP FUNCTION IF EXISTS longshore_check_limits()")
    op.drop_index("jobs_open_idx", "jobs")
    op.drop_table("producer_limits")
