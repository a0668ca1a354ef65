"""What must hold at every moment, and what must have happened at the end: read from the tables by SQL alone."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from longshore.shared.ledger.database import Connection
from tests.simulation.producer import Acknowledged
from tests.simulation.worker import Store

#: One sentence for each violation. Every row of a shard that has succeeded has one result or one error, by an attempt
#: that has passed the fence; counters are what the tables hold; states of a job and of its shards go together.
SAFETY: Final = """
WITH infer AS (
    SELECT jobs.*, spec ? 'output' AS files FROM jobs WHERE kind = 'infer'
), per_job AS (
    SELECT job_id, count(*) AS shards, count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state IN ('waiting', 'queued', 'running')) AS open,
           count(*) FILTER (WHERE state = 'waiting') AS waiting,
           count(*) FILTER (WHERE state = 'running') AS running,
           sum(stop - start) FILTER (WHERE state = 'succeeded') AS rows
    FROM shards GROUP BY job_id
), written AS (
    SELECT shards.job_id, index, shards.state, only_failed, output_file, start, stop, shards.rows_done,
           (SELECT count(*) FROM results WHERE results.job_id = shards.job_id AND row >= start AND row < stop)
               AS results,
           (SELECT count(*) FROM row_errors WHERE row_errors.job_id = shards.job_id AND row >= start AND row < stop)
               AS errors,
           infer.files
    FROM shards JOIN infer ON infer.id = shards.job_id WHERE action = 'infer'
)
SELECT what FROM simulation.violations
UNION ALL
SELECT format('job %s is %s and has %s open shards', id, state, open) FROM jobs JOIN per_job ON job_id = id
WHERE (state IN ('succeeded', 'failed', 'cancelled')) <> (open = 0)
UNION ALL
SELECT format('job %s is %s and has %s waiting shards', id, state, waiting) FROM jobs JOIN per_job ON job_id = id
WHERE (state = 'waiting') <> (waiting > 0) OR state = 'waiting' AND waiting < shards
UNION ALL
SELECT format('job %s is %s and has %s running shards', id, state, running) FROM jobs JOIN per_job ON job_id = id
WHERE running > 0 AND state <> 'running'
UNION ALL
SELECT format('job %s has %s shards, and counts %s', id, shards, shards_total) FROM jobs JOIN per_job ON job_id = id
WHERE shards <> shards_total
UNION ALL
SELECT format('job %s: %s shards succeeded and %s failed, and it counts %s and %s', id, succeeded, failed, shards_done,
              shards_failed)
FROM jobs JOIN per_job ON job_id = id WHERE succeeded <> shards_done OR failed <> shards_failed
UNION ALL
SELECT format('job %s has no shards', id) FROM jobs WHERE NOT EXISTS (SELECT FROM shards WHERE job_id = id)
UNION ALL
SELECT format('shards of %s, which does not exist', job_id) FROM per_job
WHERE NOT EXISTS (SELECT FROM jobs WHERE id = job_id)
UNION ALL
SELECT format('job %s counts %s rows done, and %s are', id, infer.rows_done, sum(
           CASE WHEN infer.files THEN CASE WHEN written.state = 'succeeded' THEN stop - start - errors ELSE 0 END
                ELSE results END))
FROM infer JOIN written ON job_id = id GROUP BY id, infer.rows_done
HAVING infer.rows_done <> sum(
    CASE WHEN infer.files THEN CASE WHEN written.state = 'succeeded' THEN stop - start - errors ELSE 0 END
         ELSE results END)
UNION ALL
SELECT format('job %s counts %s rows failed, and %s have', id, rows_failed, sum(
           CASE WHEN written.state = 'succeeded' THEN errors ELSE 0 END))
FROM infer JOIN written ON job_id = id GROUP BY id, rows_failed
HAVING rows_failed <> sum(CASE WHEN written.state = 'succeeded' THEN errors ELSE 0 END)
UNION ALL
SELECT format('shard %s of %s is %s and has %s results and %s errors for %s rows', index, job_id, state, results,
              errors, stop - start)
FROM written
WHERE CASE
    WHEN files THEN results > 0 OR errors > 0 AND output_file IS NULL
    WHEN state = 'succeeded' THEN results + errors <> stop - start OR rows_done <> results
    WHEN only_failed THEN results + errors <> stop - start OR errors = 0
    ELSE results + errors > 0
END
UNION ALL
SELECT format('row %s of %s has a result and an error', results.row, results.job_id)
FROM results JOIN row_errors USING (job_id, row)
UNION ALL
SELECT format('row %s of %s has a result of attempt %s, which has not committed', row, results.job_id,
              output->>'attempt')
FROM results JOIN shards ON shards.job_id = results.job_id AND row >= start AND row < stop AND action = 'infer'
WHERE (output->>'row')::int <> row OR NOT EXISTS (
    SELECT FROM simulation.commits
    WHERE commits.job_id = results.job_id AND commits.index = shards.index
      AND commits.attempt = (output->>'attempt')::int)
UNION ALL
SELECT format('row %s of %s has an error of an attempt that has not committed', row, row_errors.job_id)
FROM row_errors JOIN shards ON shards.job_id = row_errors.job_id AND row >= start AND row < stop AND action = 'infer'
WHERE NOT EXISTS (
    SELECT FROM simulation.commits
    WHERE commits.job_id = row_errors.job_id AND commits.index = shards.index
      AND error = 'bad at attempt ' || commits.attempt)
UNION ALL
SELECT format('job %s is %s, and its rows do not add up', id, state) FROM infer
WHERE state = 'succeeded' AND rows_done + rows_failed <> rows_total
UNION ALL
SELECT format('%s of %s, with one key, has led to %s jobs', request_digest, producer, count(*)) FROM jobs
WHERE request_digest IS NOT NULL GROUP BY request_digest, producer HAVING count(*) > 1
"""
OPEN_JOBS: Final = "SELECT id, state FROM jobs WHERE state IN ('waiting', 'queued', 'running') ORDER BY id"
_OPEN_SHARDS: Final = """
    SELECT format('%s/%s %s attempt %s of %s, published %s', right(job_id::text, 6), index, state, attempt,
                  attempt_limit, published_at IS NOT NULL)
    FROM shards WHERE state IN ('waiting', 'queued', 'running') ORDER BY job_id, index
"""
_FILES: Final = """
    SELECT job_id, index, output_file FROM shards
    WHERE output_file IS NOT NULL AND output_file <> '' AND state = 'succeeded'
"""


def check_safety(conn: Connection) -> list[str]:
    """The violations at this moment. Nobody else may run."""
    return [what for (what,) in conn.execute(SAFETY)]


def check_end(conn: Connection, known: Acknowledged, accepted: set[UUID], store: Store) -> list[str]:
    """The violations of what must have happened when faults have stopped and some time has passed."""
    found = check_safety(conn)
    if any_open := [f"job {id_} is still {state}" for id_, state in conn.execute(OPEN_JOBS)]:
        found += any_open + [what for (what,) in conn.execute(_OPEN_SHARDS)]
    jobs = {id_ for (id_,) in conn.execute("SELECT id FROM jobs")}
    found += [f"job {id_} was acknowledged, and does not exist" for id_ in known.jobs if id_ not in jobs]
    found += [
        f"the relay has marked message {message} as published, which Redis never got"
        for (message,) in conn.execute("SELECT DISTINCT message_id FROM simulation.marked WHERE by_relay")
        if message is not None and message not in accepted
    ]
    for job, index, name in conn.execute(_FILES):
        if store.published.get((job, index)) != name:
            found.append(f"shard {index} of {job} has decided on {name}, and its file is another one")
    return found
