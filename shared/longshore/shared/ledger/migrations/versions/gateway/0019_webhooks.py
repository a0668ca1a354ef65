"""Webhooks: where events are sent, the outbox, and each delivery.

Revision ID: 0019
Revises: 0018
Create Date: 2026-11-30
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

FUNCTIONS = ("longshore_record_job_events()", "longshore_watch_jobs()", "longshore_fan_out_events()")
#: They act with the rights of the tables' owner: whoever ends a job needs no right on webhooks.
_FUNCTION = """
DO $do$ BEGIN
    EXECUTE format($text$
        CREATE FUNCTION %1$I.{name} RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {settings} AS $body${body}$body$
    $text$, current_schema());
    REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
END $do$"""
#: Whether an endpoint has subscribed to a type, by patterns such as ``job.*``; none for all types. No text makes it an
#: error, which would keep a job from ending.
_SUBSCRIBED = """
    (endpoint.types = '{}' OR EXISTS (
        SELECT FROM unnest(endpoint.types) AS pattern
        WHERE %(type)s = pattern OR (right(pattern, 1) = '*' AND starts_with(%(type)s, left(pattern, -1)))))
"""
_TIME = """to_char(ended.{0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
#: Events of the jobs that a statement has ended. The tables of one statement are joined with the plan that was made for
#: the first; without nested loops it is a good one for a thousand jobs, too.
_RECORD_JOB_EVENTS = f"""
BEGIN
    IF NOT EXISTS (SELECT FROM new_jobs WHERE state IN ('succeeded', 'failed', 'cancelled')) THEN
        RETURN NULL;
    END IF;
    INSERT INTO %1$I.webhook_events (id, producer, type, data)
    SELECT 'evt_' || replace(gen_random_uuid()::text, '-', ''), ended.producer, ended.type, json_build_object(
        'id', ended.id, 'kind', ended.kind, 'state', ended.state, 'model', ended.model, 'version', ended.version,
        'rows_total', ended.rows_total, 'rows_done', ended.rows_done, 'rows_failed', ended.rows_failed,
        'created_at', {_TIME.format("created_at")}, 'finished_at', {_TIME.format("finished_at")})
    FROM (
        SELECT new_jobs.*, 'job.' || CASE WHEN new_jobs.expired THEN 'expired' ELSE new_jobs.state END AS type
        FROM new_jobs JOIN old_jobs USING (id)
        WHERE new_jobs.state IN ('succeeded', 'failed', 'cancelled')
          AND old_jobs.state NOT IN ('succeeded', 'failed', 'cancelled')
    ) AS ended
    WHERE EXISTS (
        SELECT FROM %1$I.webhook_endpoints AS endpoint
        WHERE endpoint.producer = ended.producer AND {_SUBSCRIBED % {"type": "ended.type"}}
    );
    RETURN NULL;
END"""
#: The trigger on ``jobs`` exists as long as there is an endpoint, so that a cluster without webhooks has no cost. It
#: stays after the last endpoint if the table is in use all the time, which does no harm.
_WATCH_JOBS = """
DECLARE watched boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(x'4C4F4E470004'::bigint);
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = '%1$I.jobs'::regclass AND tgname = 'jobs_record_events')
    INTO watched;
    IF TG_OP = 'INSERT' AND NOT watched THEN
        CREATE TRIGGER jobs_record_events AFTER UPDATE ON %1$I.jobs
        REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs
        FOR EACH STATEMENT EXECUTE FUNCTION %1$I.longshore_record_job_events();
    ELSIF TG_OP = 'DELETE' AND watched AND NOT EXISTS (SELECT FROM %1$I.webhook_endpoints) THEN
        BEGIN
            SET LOCAL lock_timeout = '200ms';
            DROP TRIGGER jobs_record_events ON %1$I.jobs;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN NULL;
        END;
    END IF;
    RETURN NULL;
END"""
#: Each event is for the endpoints that exist now. A test is for one endpoint, and who makes it adds the delivery.
_FAN_OUT_EVENTS = f"""
BEGIN
    INSERT INTO %1$I.webhook_deliveries (event_id, endpoint_id, state, next_try_at)
    SELECT event.id, endpoint.id, 'pending', now()
    FROM new_events AS event JOIN %1$I.webhook_endpoints AS endpoint ON endpoint.producer = event.producer
    WHERE endpoint.disabled_at IS NULL AND event.type <> 'webhook.test' AND {_SUBSCRIBED % {"type": "event.type"}};
    RETURN NULL;
END"""
_NOW = sa.text("now()")


def _moment(name: str, *, required: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not required, server_default=_NOW if required else None)


def upgrade() -> None:
    # Nothing is added to the tables of the release before, whose processes end jobs as ever: the trigger sees it.
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("producer", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("description", sa.Text, nullable=False, server_default=sa.text("''")),
        _moment("created_at", required=True),
        _moment("disabled_at"),
        sa.Column("disabled_reason", sa.Text),
        _moment("failing_since"),
    )
    op.create_index("webhook_endpoints_producer_idx", "webhook_endpoints", ["producer"])
    op.create_table(
        "webhook_secrets",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("endpoint_id", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        _moment("created_at", required=True),
        _moment("expires_at"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.id"], name="webhook_secrets_endpoint_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("webhook_secrets_endpoint_id_idx", "webhook_secrets", ["endpoint_id"])
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("producer", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("data", JSON, nullable=False),
        _moment("created_at", required=True),
    )
    op.create_index("webhook_events_producer_idx", "webhook_events", ["producer", "created_at"])
    op.create_index("webhook_events_created_at_idx", "webhook_events", ["created_at"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("endpoint_id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("claims", sa.Integer, nullable=False, server_default=sa.text("0")),
        _moment("next_try_at"),
        sa.Column("tries", JSONB, nullable=False, server_default=sa.text("'[]'")),
        _moment("created_at", required=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="webhook_deliveries_state_check"),
        sa.ForeignKeyConstraint(
            ["event_id"], ["webhook_events.id"], name="webhook_deliveries_event_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "webhook_deliveries_due_idx",
        "webhook_deliveries",
        ["endpoint_id", "next_try_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("webhook_deliveries_listed_idx", "webhook_deliveries", ["endpoint_id", "created_at", "event_id"])
    bodies = (_RECORD_JOB_EVENTS, _WATCH_JOBS, _FAN_OUT_EVENTS)
    settings = ("SET enable_nestloop = off", "SET lock_timeout = '2s'", "")
    for name, body, each in zip(FUNCTIONS, bodies, settings, strict=True):
        op.execute(_FUNCTION.format(name=name, body=body, settings=each))
    op.execute(
        "CREATE TRIGGER webhook_endpoints_watch_jobs AFTER INSERT OR DELETE ON webhook_endpoints "
        "FOR EACH STATEMENT EXECUTE FUNCTION longshore_watch_jobs()"
    )
    op.execute(
        "CREATE TRIGGER webhook_events_fan_out AFTER INSERT ON webhook_events REFERENCING NEW TABLE AS new_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION longshore_fan_out_events()"
    )


def downgrade() -> None:
    lock_tables("jobs")
    op.execute("DROP TRIGGER IF EXISTS jobs_record_events ON jobs")
    for table in ("webhook_deliveries", "webhook_events", "webhook_secrets", "webhook_endpoints"):
        op.drop_table(table)
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
