"""Alembic's way in. The connection is given by :mod:`longshore.shared.ledger.migrate`; there is no ini file."""

from __future__ import annotations

from alembic import context

from longshore.shared.ledger.migrate import leave_out_partitions
from longshore.shared.ledger.tables import metadata

connection = context.config.attributes["connection"]
include_name = leave_out_partitions(connection)
# What it asked has begun a transaction, and Alembic must begin its own.
connection.rollback()
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_server_default=True,
    include_name=include_name,
    # Each holds the locks that it needs, and no longer.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
