"""${message}.

Revision ID: ${up_revision}
Revises: ${down_revision or ""}
Create Date: ${create_date.date()}
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades or "pass"}
