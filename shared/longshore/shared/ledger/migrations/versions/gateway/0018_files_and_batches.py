"""Uploaded files, and batches of requests in the format of OpenAI.

Revision ID: 0018
Revises: 0017
Create Date: 2026-11-30
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_OPEN = "state IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
_STATES = (
    "state IN ('validating', 'in_progress', 'finalizing', 'completed', 'failed', 'expired', 'cancelling', 'cancelled')"
)
#: Finds work of all producers, and says no more of it than whose it is: what a gateway does then, it does as that
#: producer. A batch whose jobs run needs nothing. The producer with the fewest batches in work comes first.
_TAKE_BATCHES = """
DO $do$ BEGIN
    EXECUTE format($text$
        CREATE FUNCTION %1$I.longshore_take_batches(taker text, seconds float8, most int)
        RETURNS TABLE (id text, producer text)
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
            UPDATE %1$I.batches SET leased_by = taker, lease_until = now() + make_interval(secs => seconds)
            WHERE batches.id IN (
                WITH in_work AS (
                    SELECT held.producer, count(*) AS batches FROM %1$I.batches AS held
                    WHERE held.state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
                      AND held.leased_by IS NOT NULL AND held.lease_until >= now()
                    GROUP BY held.producer
                ), due AS (
                    SELECT open.id, coalesce(in_work.batches, 0)
                        + row_number() OVER (PARTITION BY open.producer ORDER BY open.created_at, open.id) AS turn
                    FROM %1$I.batches AS open LEFT JOIN in_work ON in_work.producer = open.producer
                    WHERE open.state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
                      AND (open.lease_until IS NULL OR open.lease_until < now())
                      AND NOT (open.state = 'in_progress' AND open.jobs IS NOT NULL AND open.expires_at > now()
                               AND EXISTS (
                                   SELECT FROM %1$I.jobs
                                   WHERE jobs.id = ANY(open.jobs) AND jobs.state IN ('waiting', 'queued', 'running')
                               ))
                )
                SELECT waiting.id FROM %1$I.batches AS waiting JOIN due ON due.id = waiting.id
                WHERE waiting.lease_until IS NULL OR waiting.lease_until < now()
                ORDER BY due.turn, waiting.created_at, waiting.id LIMIT most FOR UPDATE OF waiting SKIP LOCKED
            )
            RETURNING batches.id, batches.producer
        $body$
    $text$, current_schema());
    REVOKE ALL ON FUNCTION longshore_take_batches(text, float8, int) FROM PUBLIC;
END $do$"""


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("producer", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
    )
    op.create_index("files_producer_idx", "files", ["producer", "created_at", "id"])
    op.create_index("files_expiry_idx", "files", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL"))
    moments = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    op.create_table(
        "batches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("producer", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'validating'")),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("input_file_id", sa.Text, nullable=False),
        sa.Column("completion_window", sa.Text, nullable=False),
        sa.Column("output_expires_after", sa.Integer),
        sa.Column("metadata", JSONB),
        sa.Column("token_id", sa.Text),
        sa.Column("model_patterns", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("models", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(f"{state}_at", sa.DateTime(timezone=True)) for state in moments),
        sa.Column("total", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("completed", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("failed", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("usage", JSONB),
        sa.Column("errors", JSONB),
        sa.Column("output_file_id", sa.Text),
        sa.Column("error_file_id", sa.Text),
        sa.Column("plan", sa.Text),
        sa.Column("blobs", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("jobs", ARRAY(sa.Uuid)),
        sa.Column("job_errors", ARRAY(sa.Text)),
        sa.Column("leased_by", sa.Text),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.CheckConstraint(_STATES, name="batches_state_check"),
    )
    op.create_index("batches_producer_idx", "batches", ["producer", "created_at", "id"])
    op.create_index("batches_open_idx", "batches", ["created_at", "id"], postgresql_where=sa.text(_OPEN))
    op.create_index("batches_input_idx", "batches", ["input_file_id"], postgresql_where=sa.text(_OPEN))
    op.execute(_TAKE_BATCHES)


def downgrade() -> None:
    op.execute("DROP FUNCTION longshore_take_batches(text, float8, int)")
    op.drop_table("batches")
    op.drop_table("files")
