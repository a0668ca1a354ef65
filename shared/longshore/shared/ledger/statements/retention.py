"""The removal of old results, and of inline rows and blobs that nothing uses."""

from __future__ import annotations

from typing import Final

ENDED: Final = "state IN ('succeeded', 'failed', 'cancelled')"
#: Jobs that are old enough, and in no week that stays because of another job. What has ended before ``ended_before``
#: was submitted before it, too: the bound by id is for the index.
_PRUNABLE: Final = f"""
    jobs.id < %(cut)s AND jobs.pruned_at IS NULL AND jobs.{ENDED} AND jobs.finished_at < %(ended_before)s
    AND NOT EXISTS (
        SELECT FROM unnest(%(lowers)s::uuid[], %(uppers)s::uuid[]) AS staying (lower, upper)
        WHERE jobs.id >= staying.lower AND jobs.id < staying.upper
    )
"""
COUNT_PRUNABLE: Final = f"SELECT count(*) FROM jobs WHERE {_PRUNABLE}"
#: The jobs of a week for which it stays.
COUNT_YOUNG: Final = f"""
    SELECT count(*) FROM jobs
    WHERE id >= %(lower)s AND id < %(upper)s AND pruned_at IS NULL
      AND ({ENDED} AND finished_at < %(ended_before)s) IS NOT TRUE
"""
#: Waits for a retry of one of them. The job counts as young then.
MARK_WEEK_PRUNED: Final = f"""
    UPDATE jobs SET pruned_at = now()
    WHERE id >= %(lower)s AND id < %(upper)s AND pruned_at IS NULL AND {ENDED} AND finished_at < %(ended_before)s
"""
MARK_JOBS_PRUNED: Final = f"""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM jobs WHERE {_PRUNABLE} ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs SET pruned_at = now() FROM chosen WHERE jobs.id = chosen.id RETURNING jobs.id
"""
DELETE_WEEK: Final = """
    DELETE FROM {name} USING jobs
    WHERE job_id >= %(lower)s AND job_id < %(upper)s AND jobs.id = job_id AND jobs.pruned_at IS NOT NULL
"""
DELETE_JOBS: Final = "DELETE FROM {name} WHERE job_id = ANY(%(jobs)s)"
#: The logs of attempts, which are in no partition.
DELETE_LOGS_OF_WEEK: Final = """
    DELETE FROM attempt_logs USING jobs
    WHERE job_id >= %(lower)s AND job_id < %(upper)s AND jobs.id = job_id AND jobs.pruned_at IS NOT NULL
"""
DELETE_LOGS: Final = "DELETE FROM attempt_logs WHERE job_id = ANY(%(jobs)s)"
#: The texts that were being generated when jobs ended without success.
DELETE_TEXTS_OF_WEEK: Final = """
    DELETE FROM partial_texts USING jobs
    WHERE job_id >= %(lower)s AND job_id < %(upper)s AND jobs.id = job_id AND jobs.pruned_at IS NOT NULL
"""
DELETE_TEXTS: Final = "DELETE FROM partial_texts WHERE job_id = ANY(%(jobs)s)"

#: Blocks of inline rows, wherever in a spec they are named. A block is committed together with the jobs that use it.
_USED: Final = (
    "SELECT DISTINCT jsonb_path_query(spec, '$.**.block') #>> '{}' AS block FROM jobs WHERE pruned_at IS NULL"
)
_UNUSED: Final = "id < %(cut)s AND NOT EXISTS (SELECT FROM used WHERE used.block = inputs.id::text)"
FIND_UNUSED_INPUTS: Final = f"""
    WITH used AS MATERIALIZED ({_USED} AND NOT ({_PRUNABLE})) SELECT blob FROM inputs WHERE {_UNUSED}
"""
DELETE_UNUSED_INPUTS: Final = f"""
    WITH used AS MATERIALIZED ({_USED}) DELETE FROM inputs WHERE {_UNUSED} RETURNING blob
"""

#: Jobs with checkpoints that have ended, and that were pruned or are old enough. Those stay from which a training goes
#: on that has not succeeded.
_USELESS: Final = f"""
    FROM jobs AS ended
    WHERE ended.id IN (SELECT job_id FROM checkpoints) AND ended.{ENDED}
      AND (ended.pruned_at IS NOT NULL OR ended.finished_at < %(ended_before)s) AND NOT EXISTS (
          SELECT FROM jobs AS extending
          WHERE extending.kind = 'train' AND extending.spec->>'extends' = ended.id::text
            AND extending.state <> 'succeeded' AND extending.pruned_at IS NULL
      )
"""
FIND_USELESS_CHECKPOINTS: Final = f"""
    SELECT blob, size_bytes FROM checkpoints WHERE job_id IN (SELECT ended.id {_USELESS})
"""
#: A job that is retried in the same moment goes on from its checkpoint: it is locked, and is left out.
DELETE_USELESS_CHECKPOINTS: Final = f"""
    WITH useless AS MATERIALIZED (SELECT ended.id {_USELESS} FOR NO KEY UPDATE OF ended SKIP LOCKED)
    DELETE FROM checkpoints USING useless WHERE job_id = useless.id RETURNING blob, size_bytes
"""
#: Blobs that are in use: blocks of inline rows, manifests, every digest in a manifest, checkpoints, uploaded files,
#: parts of uploads, and what batches need until they have ended. The manifest of a trial counts as long as its job has
#: not succeeded, and so can still choose it.
NAMED_BLOBS: Final = """
    SELECT blob FROM inputs WHERE blob IS NOT NULL
    UNION SELECT digest FROM model_versions
    UNION SELECT matches[1] FROM model_versions, regexp_matches(manifest::text, 'sha256:[0-9a-f]{64}', 'g') AS matches
    UNION SELECT blob FROM checkpoints
    UNION SELECT digest FROM files
    UNION SELECT digest FROM upload_parts
    UNION SELECT unnest(blobs) FROM batches
    UNION SELECT matches[1] FROM trials JOIN jobs ON jobs.id = job_id,
        regexp_matches(trials.manifest::text || trials.digest, 'sha256:[0-9a-f]{64}', 'g') AS matches
    WHERE jobs.state <> 'succeeded'
"""
#: The digests of versions that jobs run or can run again, compare, or train from, even if the versions were deleted
#: since. A job of a chain that is not ready yet will run the version of the job before.
DIGESTS_OF_JOBS: Final = """
    SELECT digest FROM jobs
    WHERE digest IS NOT NULL AND pruned_at IS NULL AND (state <> 'succeeded' OR rows_failed > 0)
    UNION
    SELECT named.digest FROM jobs CROSS JOIN LATERAL (VALUES
        (spec->>'base_digest'), (spec->>'teacher_digest'), (spec->>'tokenizer_digest'),
        (spec->>'against_digest'), (spec->>'judge_digest'),
        (spec#>>'{train,base_digest}'), (spec#>>'{train,teacher_digest}'), (spec#>>'{train,tokenizer_digest}')
    ) AS named (digest)
    WHERE named.digest IS NOT NULL AND kind IN ('train', 'tune', 'cross_validate', 'evaluate') AND pruned_at IS NULL
      AND state <> 'succeeded'
    UNION
    SELECT named.digest FROM jobs
    JOIN job_dependencies AS dependency ON dependency.job_id = jobs.id
    JOIN jobs AS upstream ON upstream.id = dependency.depends_on
    CROSS JOIN LATERAL (VALUES (upstream.digest), (upstream.outcome->>'digest')) AS named (digest)
    WHERE named.digest IS NOT NULL AND jobs.digest IS NULL AND jobs.pruned_at IS NULL AND jobs.state <> 'succeeded'
"""
