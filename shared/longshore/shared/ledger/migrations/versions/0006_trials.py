"""Trials of jobs that search for the best training, and folds of cross-validation.

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("job_id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("parameters", JSONB, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("metrics", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("history", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("error", sa.Text),
        sa.Column("manifest", JSONB),
        sa.Column("digest", sa.Text),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('running', 'complete', 'pruned', 'failed')", name="trials_state_check"),
    )


def downgrade() -> None:
    op.drop_table("trials")
