"""Shards that share forward passes, output files, rows tried again, learned batch sizes.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    notes = sa.Column("notes", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False)
    op.add_column("jobs", notes)
    op.add_column("shards", sa.Column("company", sa.Text(), nullable=True))
    op.add_column("shards", sa.Column("part", sa.Text(), nullable=True))
    op.add_column("shards", sa.Column("only_failed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(
        "shards_company_idx",
        "shards",
        ["company", "queue"],
        postgresql_where=sa.text("state = 'queued' AND company IS NOT NULL"),
    )
    op.create_table(
        "batch_sizes",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", "device", "length", name=op.f("batch_sizes_pkey")),
    )


def downgrade() -> None:
    op.drop_table("batch_sizes")
    op.drop_index("shards_company_idx", "shards")
    for column in ("only_failed", "part", "company"):
        op.drop_column("shards", column)
    op.drop_column("jobs", "notes")
