"""Small shards of one company in the order in which they are taken.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_WAITING = sa.text("state = 'queued' AND company IS NOT NULL")


def upgrade() -> None:
    op.drop_index("shards_company_idx", "shards")
    op.create_index(
        "shards_company_idx",
        "shards",
        ["company", "queue", sa.text("priority DESC"), "job_id", "index"],
        postgresql_where=_WAITING,
    )


def downgrade() -> None:
    op.drop_index("shards_company_idx", "shards")
    op.create_index("shards_company_idx", "shards", ["company", "queue"], postgresql_where=_WAITING)
