"""Where changes are announced.

A job's state on ``longshore_jobs`` (payload: the ids of jobs, joined by commas), shards that wait to be published on
``longshore_tickets`` (no payload). Both reach listeners when the transaction commits.
"""

from __future__ import annotations

from typing import Final

JOBS_CHANNEL: Final = "longshore_jobs"
TICKETS_CHANNEL: Final = "longshore_tickets"
LISTEN_JOBS: Final = f"LISTEN {JOBS_CHANNEL}"
LISTEN_TICKETS: Final = f"LISTEN {TICKETS_CHANNEL}"
UNLISTEN: Final = "UNLISTEN *"
#: Postgres takes less than 8000 bytes in one notice.
IDS_PER_NOTICE: Final = 200
