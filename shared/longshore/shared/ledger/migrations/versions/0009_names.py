"""Tables and columns under the names of the glossary. Every row is kept.

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-28
"""

from __future__ import annotations

from alembic import op

from longshore.shared.ledger.migrations.locking import lock_tables

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


def upgrade() -> None:
    lock_tables("shards", "jobs", "links", "checkpoints", "batch_sizes")
    for table, column, name in COLUMNS:
        op.alter_column(table, column, new_column_name=name)
    op.rename_table("links", "job_dependencies")
    for index, name in INDEXES:
        op.execute(f"ALTER INDEX {index} RENAME TO {name}")


def downgrade() -> None:
    lock_tables("shards", "jobs", "job_dependencies", "checkpoints", "batch_sizes")
    for index, name in INDEXES:
        op.execute(f"ALTER INDEX {name} RENAME TO {index}")
    op.rename_table("job_dependencies", "links")
    for table, column, name in COLUMNS:
        op.alter_column(table, name, new_column_name=column)
