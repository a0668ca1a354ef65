"""The database of a simulation: a clock that the simulation sets, and triggers that check every change of a state.

``now()`` in a statement resolves to ``simulation.now()``, because the search path names that schema before
``pg_catalog``. The clock is a sequence: setting it is one cheap statement that no transaction hides. Within a
transaction ``now()`` does not change, as in Postgres.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate

#: When every simulation begins, in seconds since 1970: a Monday.
EPOCH_S: Final = 1_893_456_000 + 6 * 86_400

_CLOCK: Final = """
CREATE SCHEMA simulation;
CREATE SEQUENCE simulation.clock;
CREATE FUNCTION simulation.now() RETURNS timestamptz STABLE LANGUAGE plpgsql AS $$
DECLARE
    started text := current_setting('simulation.started', true);
BEGIN
    IF started IS NULL OR started = '' THEN
        SELECT last_value::text INTO started FROM simulation.clock;
        PERFORM set_config('simulation.started', started, true);
    END IF;
    RETURN to_timestamp(0) + started::bigint * interval '1 microsecond';
END $$;
-- In place of that of Postgres, so that a seed repeats itself.
CREATE FUNCTION simulation.random() RETURNS float8 VOLATILE LANGUAGE sql
    AS 'SELECT (hashint8(last_value)::bigint + 2147483648) / 4294967296.0::float8 FROM simulation.clock';
CREATE FUNCTION simulation.transaction_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
    AS 'SELECT simulation.now()';
CREATE FUNCTION simulation.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS $$SELECT to_timestamp(0) + last_value * interval '1 microsecond' FROM simulation.clock$$;
CREATE FUNCTION simulation.statement_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS 'SELECT simulation.clock_timestamp()';
"""

#: What is recorded, by whom, while a simulation runs. A transaction that is rolled back records nothing.
_RECORDS: Final = """
CREATE UNLOGGED TABLE simulation.violations (what text NOT NULL);
CREATE UNLOGGED TABLE simulation.commits (job_id uuid, index int, attempt int, files boolean);
CREATE UNLOGGED TABLE simulation.marked (message_id uuid, by_relay boolean);

CREATE FUNCTION simulation.check_shard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change text := OLD.state || ' -> ' || NEW.state;
    failures int := jsonb_array_length(NEW.errors) - jsonb_array_length(OLD.errors);
    wrong text;
BEGIN
    wrong := CASE
        WHEN NEW.state <> OLD.state AND change NOT IN (
            'waiting -> queued', 'waiting -> cancelled', 'queued -> running', 'queued -> cancelled',
            'running -> queued', 'running -> succeeded', 'running -> failed', 'running -> cancelled',
            'succeeded -> queued', 'failed -> queued', 'cancelled -> queued', 'cancelled -> waiting')
        THEN 'a state that does not follow'
        WHEN change = 'queued -> running' AND NEW.attempt <> OLD.attempt + 1 THEN 'a claim without a new attempt'
        WHEN change <> 'queued -> running' AND NEW.attempt <> OLD.attempt THEN 'a new attempt without a claim'
        WHEN change = 'queued -> running' AND NEW.attempt > NEW.attempt_limit THEN 'an attempt beyond the limit'
        WHEN (NEW.lease_until IS NOT NULL) <> (NEW.state = 'running') THEN 'a lease that nobody holds, or none'
        WHEN change = 'running -> running' AND NEW.lease_until < OLD.lease_until THEN 'a shorter lease'
        WHEN change = 'running -> queued' AND NOT (
            failures = 1 AND NEW.attempt_limit = OLD.attempt_limit
            OR failures = 0 AND NEW.attempt_limit = OLD.attempt_limit + 1)
        THEN 'neither a failure nor a release'
        WHEN change = 'running -> failed' AND failures <> 1 THEN 'a failure that is not recorded'
        WHEN change NOT IN ('running -> queued', 'running -> failed') AND failures <> 0 THEN 'errors of nothing'
        WHEN OLD.state = 'running' AND failures = 1 AND NEW.errors->-1->>'error' LIKE '%lease ran out%'
            AND OLD.lease_until >= simulation.now() THEN 'a lease that had not run out'
        WHEN change = 'succeeded -> queued' AND NOT NEW.only_failed THEN 'rows that had results run again'
        WHEN OLD.output_file IS NOT NULL AND NEW.output_file IS DISTINCT FROM OLD.output_file THEN 'a second file'
        WHEN OLD.output_file IS DISTINCT FROM NEW.output_file AND (
            NEW.state <> 'running' OR NEW.output_file NOT IN ('', NEW.job_id || '/' || NEW.index || '/' || NEW.attempt))
        THEN 'a file of an attempt that is not current'
        WHEN NEW.rows_done < 0 OR NEW.rows_done > NEW.stop - NEW.start THEN 'more rows than the shard has'
    END;
    IF wrong IS NOT NULL THEN
        INSERT INTO simulation.violations VALUES (format(
            'shard %s of %s: %s (%s, attempt %s -> %s, limit %s)',
            NEW.index, NEW.job_id, wrong, change, OLD.attempt, NEW.attempt, NEW.attempt_limit));
    END IF;
    IF change = 'running -> succeeded' OR OLD.output_file IS NULL AND NEW.output_file IS NOT NULL THEN
        INSERT INTO simulation.commits
        VALUES (NEW.job_id, NEW.index, NEW.attempt, NEW.output_file IS NOT NULL AND NEW.state = 'running');
    END IF;
    IF NEW.message_id IS DISTINCT FROM OLD.message_id THEN
        INSERT INTO simulation.marked
        VALUES (NEW.message_id, current_setting('application_name') LIKE '%relay%');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER simulation AFTER UPDATE ON shards FOR EACH ROW EXECUTE FUNCTION simulation.check_shard();

CREATE FUNCTION simulation.check_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change text := OLD.state || ' -> ' || NEW.state;
    wrong text;
BEGIN
    wrong := CASE
        WHEN NEW.state <> OLD.state AND change NOT IN (
            'waiting -> queued', 'waiting -> failed', 'waiting -> cancelled', 'queued -> running', 'queued -> failed',
            'queued -> cancelled', 'running -> succeeded', 'running -> failed', 'running -> cancelled',
            'succeeded -> queued', 'failed -> queued', 'cancelled -> queued', 'failed -> waiting',
            'cancelled -> waiting')
        THEN 'a state that does not follow'
        WHEN (NEW.finished_at IS NOT NULL) <> (NEW.state IN ('succeeded', 'failed', 'cancelled'))
        THEN 'an end without a moment, or a moment without an end'
        WHEN NEW.shards_done + NEW.shards_failed > NEW.shards_total THEN 'more shards than it has'
        WHEN NEW.rows_done + NEW.rows_failed > NEW.rows_total THEN 'more rows than it has'
        WHEN least(NEW.shards_done, NEW.shards_failed, NEW.rows_done, NEW.rows_failed) < 0 THEN 'a negative counter'
    END;
    IF wrong IS NOT NULL THEN
        INSERT INTO simulation.violations VALUES (format('job %s: %s (%s)', NEW.id, wrong, change));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER simulation AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION simulation.check_job();
"""

#: The tables that a simulation fills.
_FILLED: Final = (
    *("jobs", "shards", "job_dependencies", "results", "row_errors", "metrics"),
    *("simulation.violations", "simulation.commits", "simulation.marked"),
)
#: Not TRUNCATE, which makes a new file for each table, partition and index, and takes a hundred times as long.
EMPTY: Final = f"""
    WITH {", ".join(f"deleted{number} AS (DELETE FROM {table})" for number, table in enumerate(_FILLED))} SELECT
"""
#: Rows of the next simulation lie where those of a fresh database would, so that a seed repeats itself.
VACUUM: Final = "VACUUM (PARALLEL 0, SKIP_DATABASE_STATS) jobs, shards, job_dependencies"
SET_CLOCK: Final = "SELECT setval('simulation.clock', %s)"
#: Connections to this database that wait for a lock. Postgres removes a lock from the list when it grants it.
WAITING_FOR_LOCK: Final = "SELECT pid FROM pg_locks WHERE NOT granted"
#: Those of some connections that are to this database, and not to that of another simulation.
OF_THIS_DATABASE: Final = """
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid = ANY(%s)
"""


def create(server_url: str, name: str) -> str:
    """Create the database of one process that simulates, and return its URL.

    :param server_url: any database of the server, with a user that may create others.
    """
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_CLOCK)
        conn.execute(SET_CLOCK, [EPOCH_S * 1_000_000])
        conn.execute(_RECORDS)
        _use_clock_in_defaults(conn)
        _write_fast(conn)
        for setting, value in (
            ("search_path", "simulation, pg_catalog, public"),
            ("synchronous_commit", "off"),
            ("deadlock_timeout", "20ms"),
            # The tables stay tiny: planning a statement each time would take longer than executing it.
            ("plan_cache_mode", "force_generic_plan"),
        ):
            command = sql.SQL("ALTER DATABASE {} SET {} = {}")
            schemas = sql.SQL(", ").join(sql.Identifier(part) for part in value.split(", "))
            conn.execute(command.format(sql.Identifier(name), sql.SQL(setting), schemas))
    with Ledger(url) as ledger:
        # The weeks from the virtual present on, so that no relay of a simulation has to.
        ledger.partitions.create_missing()
    with psycopg.connect(url, autocommit=True) as conn:
        tables = conn.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'simulation'::regnamespace"
        )
        for (table,) in tables.fetchall():
            if table not in ("violations", "commits", "marked"):
                conn.execute(sql.SQL("ALTER TABLE simulation.{} SET SCHEMA public").format(sql.Identifier(table)))
    return url


def _use_clock_in_defaults(conn: Connection) -> None:
    columns = conn.execute(
        """SELECT adrelid::regclass::text, attname FROM pg_attrdef JOIN pg_attribute
           ON attrelid = adrelid AND attnum = adnum WHERE pg_get_expr(adbin, adrelid) = 'now()'"""
    )
    for table, column in columns.fetchall():
        command = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT simulation.now()")
        conn.execute(command.format(sql.Identifier(table), sql.Identifier(column)))


def _write_fast(conn: Connection) -> None:
    """Nothing of a simulation has to survive, and statistics that change with time would change plans."""
    for table in ("jobs", "shards", "job_dependencies"):
        conn.execute(sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(sql.Identifier(table)))
