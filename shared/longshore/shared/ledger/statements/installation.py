"""What is asked about the whole cluster."""

from __future__ import annotations

from typing import Final

COUNT_JOBS: Final = "SELECT state, count(*) FROM jobs GROUP BY state"
SERVER_VERSION: Final = "SHOW server_version"
SCHEMA_REVISION: Final = "SELECT version_num FROM alembic_version"
#: A lock on one 64-bit number is shown in two halves.
COUNT_LOCK_HOLDERS: Final = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND classid = %(high)s::oid AND objid = %(low)s::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
