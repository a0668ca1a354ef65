"""Settings and locks of a connection, and what it listens to: time limits, its name, advisory locks, channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Plan each statement for the tables as they are when it runs; see :class:`~longshore.shared.ledger.database.Database`.
PLAN_EVERY_TIME: Final[Mapping[str, str]] = {"plan_cache_mode": "force_custom_plan"}
#: How long a transaction may wait for its client. None does anything between two statements, but that of an attempt,
#: which computes: it has no limit until it passes the fence, and locks nothing until then.
IDLE_TIMEOUT: Final = "10s"
#: Settings of a session, by name; and the process that serves it.
BEGIN_SESSION: Final = """
    SELECT pg_backend_pid(), count(set_config(name, value, false))
    FROM unnest(%(names)s::text[], %(values)s::text[]) AS setting (name, value)
"""
READ_BACKEND: Final = "SELECT pg_backend_pid()"
#: Whether a process works on a statement, rather than wait for its client to send something.
IS_BUSY: Final = """
    SELECT FROM pg_stat_activity
    WHERE pid = %(pid)s AND state = 'active' AND wait_event IS DISTINCT FROM 'ClientRead'
"""
#: Ends a process that waits for a client which has given it up, and frees what it has locked.
END_FORSAKEN: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = %(pid)s AND usename = current_user AND (state <> 'active' OR wait_event = 'ClientRead')
"""
#: The number of the present transaction, NULL if it has changed nothing; and what has become of a transaction.
READ_TRANSACTION: Final = "SELECT pg_current_xact_id_if_assigned()::text"
READ_OUTCOME: Final = "SELECT pg_xact_status(%(transaction)s::xid8)"

# The settings below hold until the transaction ends.
LIMIT_WAITING: Final = """
    SELECT set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(step)s, true)
"""
LIMIT_IDLING: Final = f"set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT}', true)"
BEGIN_WRITING: Final = """
    SELECT set_config('application_name', %(name)s, true), set_config('idle_in_transaction_session_timeout', '0', true)
"""
#: Ends what an earlier attempt at a shard still has open: its half-written rows would make the new attempt wait.
END_SESSIONS: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND starts_with(application_name, %(prefix)s)
"""

# Locks of a session, by the numbers in :mod:`longshore.shared.ledger.locks`.
#: Locks are those of a database, which can have a cluster in each of several schemas: changes the number by the schema,
#: but for ``public``, and not the last four bits.
_OF_SCHEMA: Final = """
    CASE WHEN current_schema() = 'public' THEN 0
         ELSE coalesce(hashtext(current_schema())::bigint & x'fffffff0'::bigint, 0) END
"""
LOCK: Final = f"SELECT pg_advisory_lock(%(key)s::bigint # ({_OF_SCHEMA}))"
LOCK_TRANSACTION: Final = f"SELECT pg_advisory_xact_lock(%(key)s::bigint # ({_OF_SCHEMA}))"
TRY_LOCK: Final = f"SELECT pg_try_advisory_lock(%(key)s::bigint # ({_OF_SCHEMA}))"
#: Who holds a lock, and for how many seconds they have asked nothing; NULL if this user may not know. A lock on one
#: 64-bit number is shown in two halves.
_LOCK_HOLDERS: Final = f"""
    SELECT activity.pid, extract(epoch FROM clock_timestamp() - greatest(query_start, state_change)) AS silent_s
    FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND classid = %(high)s::oid AND objid = (%(low)s::bigint # ({_OF_SCHEMA}))::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
LIST_LOCK_HOLDERS: Final = f"SELECT silent_s FROM ({_LOCK_HOLDERS}) AS holders"
#: One that has asked in the future is silent since the clock was set back.
END_SILENT_LOCK_HOLDERS: Final = f"""
    SELECT pg_terminate_backend(pid) FROM ({_LOCK_HOLDERS}) AS holders WHERE abs(silent_s) > %(timeout)s
"""
PROVE_LIFE: Final = "SELECT 1"

# Where changes are announced: a job's state on ``longshore_jobs`` (payload: the ids of jobs, joined by commas), shards
# that wait to be published on ``longshore_tickets`` (no payload). Both reach listeners when the transaction commits.
JOBS_CHANNEL: Final = "longshore_jobs"
TICKETS_CHANNEL: Final = "longshore_tickets"
LISTEN_JOBS: Final = f"LISTEN {JOBS_CHANNEL}"
LISTEN_TICKETS: Final = f"LISTEN {TICKETS_CHANNEL}"
UNLISTEN: Final = "UNLISTEN *"
#: Postgres takes less than 8000 bytes in one notice.
IDS_PER_NOTICE: Final = 200
