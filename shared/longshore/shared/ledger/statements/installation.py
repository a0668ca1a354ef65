"""The database as a whole."""

from __future__ import annotations

from typing import Final

FIND_DATABASE: Final = "SELECT FROM pg_database WHERE datname = %(name)s"
CREATE_DATABASE: Final = "CREATE DATABASE longshore"
COUNT_JOBS: Final = "SELECT state, count(*) FROM jobs GROUP BY state"
SERVER_VERSION: Final = "SHOW server_version"
#: What tells one cluster from another: the server (the same after a failover), the database and the schema.
IDENTITY: Final = (
    "SELECT concat_ws('/', system_identifier, current_database(), current_schema()) FROM pg_control_system()"
)
SCHEMA_REVISION: Final = "SELECT version_num FROM alembic_version"
