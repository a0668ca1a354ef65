"""Results in partitions by week, so that old ones are dropped at once; aliases that can be taken away.

The tables that hold results become the first partition as they are: nothing is copied. They are read once, because
Postgres checks that every row belongs there. Rows of ids that lie further in the future are moved to the default
partition: a producer's clock is wrong.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-24
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from psycopg.errors import DeadlockDetected, LockNotAvailable

from longshore.shared.errors import ServiceUnavailable

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: The tables that are partitioned, with their column beside (job_id, row).
TABLES = {"results": "output jsonb NOT NULL", "row_errors": "error text NOT NULL"}
WEEK = timedelta(weeks=1)
#: Weeks that get a partition, after the one that ends the first partition.
AHEAD = 2
#: How often the locks are tried for: seconds for each try, and between two.
TRIES, TRY, PAUSE = 100, 2.0, 1.0


def upgrade() -> None:
    _lock()
    op.add_column("jobs", sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("model_aliases", "version", existing_type=sa.Integer(), nullable=True)
    now = op.get_bind().execute(sa.text("SELECT now()")).scalar_one().astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    weeks = [midnight - timedelta(days=midnight.weekday()) + number * WEEK for number in range(1, AHEAD + 2)]
    for table, column in TABLES.items():
        _partition(table, column, weeks)


def downgrade() -> None:
    for table, column in TABLES.items():
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_partitioned")
        op.execute(f"ALTER TABLE {table}_partitioned RENAME CONSTRAINT {table}_pkey TO {table}_partitioned_pkey")
        op.execute(f"CREATE TABLE {table} (job_id uuid NOT NULL, row bigint NOT NULL, {column})")
        op.execute(f"INSERT INTO {table} SELECT * FROM {table}_partitioned")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (job_id, row)")
        op.execute(f"DROP TABLE {table}_partitioned")
    op.execute("DELETE FROM model_aliases WHERE version IS NULL")
    op.alter_column("model_aliases", "version", existing_type=sa.Integer(), nullable=False)
    op.drop_column("jobs", "pruned_at")


def _lock() -> None:
    """Take every lock first, in the order in which attempts take them, and never wait long with others behind.

    :raises ServiceUnavailable: somebody writes without a pause.
    """
    connection = op.get_bind()
    for _ in range(TRIES):
        try:
            with connection.begin_nested():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{TRY}s'"))
                connection.execute(sa.text("LOCK TABLE results, row_errors, model_aliases, jobs"))
            return
        except sa.exc.OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
            time.sleep(PAUSE)
    raise ServiceUnavailable("Postgres: results are being written all the time; stop the workers, and migrate again")


def _partition(table: str, column: str, weeks: list[datetime]) -> None:
    """Partition a table: up to the first of ``weeks``, then by week up to the last of them."""
    end = _bound(weeks[0])
    first = f"{table}_first"
    op.execute(f"ALTER TABLE {table} RENAME TO {first}")
    op.execute(f"ALTER TABLE {first} RENAME CONSTRAINT {table}_pkey TO {first}_pkey")
    op.execute(
        f"""CREATE TABLE {table} (
                job_id uuid NOT NULL, row bigint NOT NULL, {column}, CONSTRAINT {table}_pkey PRIMARY KEY (job_id, row)
            ) PARTITION BY RANGE (job_id)"""
    )
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    op.execute(
        f"""WITH later AS (DELETE FROM {first} WHERE job_id >= '{end}' RETURNING *)
            INSERT INTO {table}_default SELECT * FROM later"""
    )
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{end}')")
    for week in weeks[:-1]:
        _add_week(table, week)


def _add_week(table: str, week: datetime) -> None:
    year, number, _ = week.isocalendar()
    name = f"{table}_{year}w{number:02d}"
    lower, upper = _bound(week), _bound(week + WEEK)
    op.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    op.execute(
        f"""WITH moved AS (DELETE FROM {table}_default WHERE job_id >= '{lower}' AND job_id < '{upper}' RETURNING *)
            INSERT INTO {name} SELECT * FROM moved"""
    )
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{lower}') TO ('{upper}')")


def _bound(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a millisecond."""
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80)
