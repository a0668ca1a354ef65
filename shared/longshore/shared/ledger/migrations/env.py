"""Alembic's way in. The connection is given by :mod:`longshore.shared.ledger.migrate`; there is no ini file."""

from __future__ import annotations

from alembic import context

from longshore.shared.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
