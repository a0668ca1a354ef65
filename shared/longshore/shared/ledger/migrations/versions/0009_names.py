"""Tables and columns under the names of the glossary. Every row is kept.

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-28
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from psycopg.errors import DeadlockDetected, LockNotAvailable

from longshore.shared.errors import ServiceUnavailable

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: Table, column, new name; the table is named as it is before the upgrade.
COLUMNS = (
    ("jobs", "rows_before", "rows_before_retry"),
    ("shards", "task", "action"),
    ("shards", "company", "batch_key"),
    ("shards", "part", "output_file"),
    ("shards", "message", "message_id"),
    ("links", "after", "depends_on"),
    ("links", "broken", "upstream_failed"),
    ("checkpoints", "size", "size_bytes"),
    ("batch_sizes", "rows", "batch_size"),
    ("batch_sizes", "rate", "rows_per_second"),
)
INDEXES = (
    ("shards_company_idx", "shards_batch_key_idx"),
    ("shards_waiting_idx", "shards_queued_idx"),
    ("links_after_idx", "job_dependencies_depends_on_idx"),
    ("links_pkey", "job_dependencies_pkey"),
)
LOCK_ATTEMPTS, LOCK_TIMEOUT_S, RETRY_INTERVAL_S = 100, 2.0, 1.0


def upgrade() -> None:
    _lock("links")
    for table, column, name in COLUMNS:
        op.alter_column(table, column, new_column_name=name)
    op.rename_table("links", "job_dependencies")
    for index, name in INDEXES:
        op.execute(f"ALTER INDEX {index} RENAME TO {name}")


def downgrade() -> None:
    _lock("job_dependencies")
    for index, name in INDEXES:
        op.execute(f"ALTER INDEX {name} RENAME TO {index}")
    op.rename_table("job_dependencies", "links")
    for table, column, name in COLUMNS:
        op.alter_column(table, name, new_column_name=column)


def _lock(dependencies: str) -> None:
    """Take every lock first, in the order in which attempts take them, and never keep others waiting for long.

    :raises ServiceUnavailable: the tables are in use all the time.
    """
    connection = op.get_bind()
    for _ in range(LOCK_ATTEMPTS):
        try:
            with connection.begin_nested():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
                connection.execute(sa.text(f"LOCK TABLE shards, jobs, {dependencies}, checkpoints, batch_sizes"))
            return
        except sa.exc.OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
            time.sleep(RETRY_INTERVAL_S)
    raise ServiceUnavailable("Postgres: shards are written all the time; stop the workers, and migrate again")
