"""Tokens, with which callers of the HTTP gateway prove who they are.

Revision ID: 0017
Revises: 0016
Create Date: 2026-11-30
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

#: The token with an id, if it is valid now. It acts with the rights of the tables' owner.
_READ_TOKEN = """
DO $do$ BEGIN
    EXECUTE format($text$
        CREATE FUNCTION %1$I.longshore_read_token(token text) RETURNS SETOF %1$I.tokens
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
        'SELECT * FROM %1$I.tokens
         WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())'
    $text$, current_schema());
    REVOKE ALL ON FUNCTION longshore_read_token(text) FROM PUBLIC;
END $do$"""


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("producer", sa.Text, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("models", ARRAY(sa.Text), nullable=False),
        sa.Column("note", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("rows_per_day", sa.BigInteger),
        sa.Column("tokens_per_day", sa.BigInteger),
        sa.Column("queued_jobs", sa.Integer),
    )
    op.execute(_READ_TOKEN)


def downgrade() -> None:
    op.execute("DROP FUNCTION longshore_read_token(text)")
    op.drop_table("tokens")
