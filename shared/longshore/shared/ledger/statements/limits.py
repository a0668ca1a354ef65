"""How many jobs a producer may have that have not ended.

Postgres itself refuses the jobs beyond a limit, whatever a client does: by a trigger on ``jobs`` that is there as long
as a limit is set, so that a cluster without limits has no cost.
"""

from __future__ import annotations

from typing import Final

#: The SQLSTATE of a submission beyond the limit.
BEYOND_LIMIT: Final = "LS001"

LIST_LIMITS: Final = """
    SELECT producer_limits.producer, max_jobs,
           (SELECT count(*) FROM jobs
            WHERE jobs.producer = producer_limits.producer AND state IN ('waiting', 'queued', 'running'))
    FROM producer_limits ORDER BY producer
"""
#: The limit that holds for a producer, and how many jobs it has, counted up to the limit.
READ_LIMIT: Final = """
    SELECT max_jobs, (
        SELECT count(*) FROM (
            SELECT FROM jobs WHERE producer = %(producer)s AND state IN ('waiting', 'queued', 'running')
            LIMIT producer_limits.max_jobs
        ) AS counted
    )
    FROM producer_limits WHERE producer IN (%(producer)s, '*') ORDER BY producer = '*' LIMIT 1
"""
SET_LIMIT: Final = """
    INSERT INTO producer_limits (producer, max_jobs) VALUES (%(producer)s, %(max_jobs)s)
    ON CONFLICT (producer) DO UPDATE SET max_jobs = excluded.max_jobs
"""
REMOVE_LIMIT: Final = "DELETE FROM producer_limits WHERE producer = %(producer)s"

#: Acts with the rights of the tables' owner and names the schema of each table, so that no producer can get around it.
#: It counts no further than to the limit.
CREATE_CHECK: Final = f"""
DO $do$ BEGIN
    EXECUTE format($text$
        CREATE OR REPLACE FUNCTION %1$I.longshore_check_limits() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE beyond record;
        BEGIN
            SELECT added.producer, limits.max_jobs INTO beyond
            FROM (SELECT DISTINCT added_jobs.producer FROM added_jobs) AS added
            CROSS JOIN LATERAL (
                SELECT max_jobs FROM %1$I.producer_limits
                WHERE producer_limits.producer IN (added.producer, '*')
                ORDER BY producer_limits.producer = '*' LIMIT 1
            ) AS limits
            WHERE (
                SELECT count(*) FROM (
                    SELECT FROM %1$I.jobs
                    WHERE jobs.producer = added.producer AND state IN ('waiting', 'queued', 'running')
                    LIMIT limits.max_jobs::bigint + 1
                ) AS counted
            ) > limits.max_jobs;
            IF FOUND THEN
                RAISE EXCEPTION USING ERRCODE = '{BEYOND_LIMIT}', MESSAGE = format(
                    '%%L would have more than %%s jobs that have not ended', beyond.producer, beyond.max_jobs);
            END IF;
            RETURN NULL;
        END $body$
    $text$, current_schema());
    REVOKE ALL ON FUNCTION longshore_check_limits() FROM PUBLIC;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'jobs'::regclass AND tgname = 'jobs_check_limits') THEN
        CREATE TRIGGER jobs_check_limits AFTER INSERT ON jobs REFERENCING NEW TABLE AS added_jobs
        FOR EACH STATEMENT EXECUTE FUNCTION longshore_check_limits();
    END IF;
END $do$"""
REMOVE_CHECK: Final = """
DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM producer_limits) THEN
        DROP TRIGGER IF EXISTS jobs_check_limits ON jobs;
        DROP FUNCTION IF EXISTS longshore_check_limits();
    END IF;
END $do$"""
