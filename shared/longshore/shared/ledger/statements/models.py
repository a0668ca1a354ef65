"""Versions and aliases."""

from __future__ import annotations

from typing import Final

#: The SQLSTATE of a submission that uses a version which was deleted, and of a deletion of one that a job uses. Both
#: are of triggers, which migration 0015 makes.
VERSION_DELETED: Final = "LS002"
VERSION_USED: Final = "LS003"
#: Where each alias points: its newest move. A move to no version has removed the alias.
_ALIASES: Final = """
    SELECT * FROM (
        SELECT DISTINCT ON (model, alias) model, alias, version FROM model_aliases ORDER BY model, alias, id DESC
    ) AS newest WHERE version IS NOT NULL
"""
RESOLVE_VERSION: Final = """
    SELECT model, version, digest, manifest, job_id, created_at FROM model_versions
    WHERE model = %(model)s AND version = %(version)s
"""
RESOLVE_ALIAS: Final = """
    SELECT v.model, v.version, v.digest, v.manifest, v.job_id, v.created_at FROM model_versions v
    JOIN (SELECT version FROM model_aliases WHERE model = %(model)s AND alias = %(alias)s ORDER BY id DESC LIMIT 1) a
      USING (version)
    WHERE v.model = %(model)s
"""
RESOLVE_NEWEST: Final = """
    SELECT model, version, digest, manifest, job_id, created_at FROM model_versions
    WHERE model = %(model)s ORDER BY version DESC LIMIT 1
"""
#: A file that several versions of a model have counts once.
LIST_MODELS: Final = f"""
    WITH files AS (
        SELECT model, digest, max(size_bytes) AS size, count(*) OVER (PARTITION BY digest) > 1 AS is_shared
        FROM version_blobs GROUP BY model, digest
    ), sizes AS (
        SELECT model, sum(size)::bigint AS size, coalesce(sum(size) FILTER (WHERE is_shared), 0)::bigint AS shared
        FROM files GROUP BY model
    )
    SELECT m.name, m.created_at, count(v.version) AS versions, max(v.version) AS newest,
           coalesce((SELECT jsonb_object_agg(p.alias, p.version) FROM ({_ALIASES}) p WHERE p.model = m.name), '{{}}')
               AS aliases,
           coalesce((SELECT size FROM sizes WHERE sizes.model = m.name), 0) AS size_bytes,
           coalesce((SELECT shared FROM sizes WHERE sizes.model = m.name), 0) AS shared_bytes
    FROM models m LEFT JOIN model_versions v ON v.model = m.name
    GROUP BY m.name ORDER BY m.name
"""
ANY_VERSION: Final = "SELECT EXISTS (SELECT FROM model_versions)"
#: The bytes of the files of a version, and of those that others have, too.
_SIZES: Final = """
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(size_bytes), 0)::bigint AS size_bytes,
               coalesce(sum(size_bytes) FILTER (WHERE EXISTS (
                   SELECT FROM version_blobs AS other
                   WHERE other.digest = own.digest AND (other.model, other.version) <> (own.model, own.version)
               )), 0)::bigint AS shared_bytes
        FROM version_blobs AS own WHERE own.model = v.model AND own.version = v.version
    ) AS sizes
"""
LIST_VERSIONS: Final = f"""
    SELECT v.model, v.version, v.digest, v.manifest, v.job_id, v.created_at,
           ARRAY(SELECT p.alias FROM ({_ALIASES}) p WHERE p.model = v.model AND p.version = v.version) AS aliases,
           sizes.size_bytes, sizes.shared_bytes
    FROM model_versions v {_SIZES} WHERE v.model = %(model)s ORDER BY v.version
"""
READ_SIZES: Final = f"""
    SELECT sizes.size_bytes, sizes.shared_bytes FROM model_versions v {_SIZES}
    WHERE v.model = %(model)s AND v.version = %(version)s
"""
#: A move by a training has the time of the version that it made: so it is found for workers of earlier releases, too.
_MOVES: Final = """
    SELECT alias, version, lag(version) OVER (PARTITION BY alias ORDER BY id) AS previous, set_by, set_at,
           coalesce(job_id, (SELECT made.job_id FROM model_versions AS made WHERE made.model = moved.model
                             AND made.version = moved.version AND made.created_at = moved.set_at)) AS job_id,
           gate, id,
           CASE WHEN version IS NULL THEN 'removed' WHEN is_rollback THEN 'rolled back' ELSE 'moved' END AS action
    FROM model_aliases AS moved WHERE model = %(model)s
"""
ALIAS_HISTORY: Final = f"""
    SELECT alias, version, previous, set_by, set_at, job_id, gate, action
    FROM ({_MOVES} AND alias = %(alias)s) AS moves ORDER BY id
"""
#: Of all aliases, with the versions that were deleted.
MODEL_HISTORY: Final = f"""
    SELECT alias, version, previous, set_by, set_at, job_id, gate, action FROM (
        {_MOVES}
        UNION ALL
        SELECT NULL, version, NULL, deleted_by, deleted_at, NULL, NULL, 0, 'deleted'
        FROM deleted_versions WHERE model = %(model)s
    ) AS changes ORDER BY set_at, id
"""
#: Who has deleted a version.
READ_DELETED: Final = """
    SELECT deleted_by, deleted_at FROM deleted_versions WHERE model = %(model)s AND version = %(version)s
"""
LIST_DELETED: Final = "SELECT model, version, digest FROM deleted_versions"
#: Takes the next number. The lock on the row makes two commits of one model wait for each other.
TAKE_VERSION: Final = """
    INSERT INTO models (name, next_version) VALUES (%(model)s, 2)
    ON CONFLICT (name) DO UPDATE SET next_version = models.next_version + 1
    RETURNING next_version - 1
"""
ADD_VERSION: Final = """
    INSERT INTO model_versions (model, version, digest, manifest, job_id)
    VALUES (%(model)s, %(version)s, %(digest)s, %(manifest)s, %(job)s)
"""
MOVE_ALIAS: Final = """
    INSERT INTO model_aliases (model, alias, version, set_by, gate, is_rollback)
    VALUES (%(model)s, %(alias)s, %(version)s, %(by)s, %(gate)s, %(is_rollback)s)
"""
#: By a worker. No producer can say that a job has moved an alias.
MOVE_ALIAS_BY_JOB: Final = """
    INSERT INTO model_aliases (model, alias, version, set_by, gate, job_id)
    VALUES (%(model)s, %(alias)s, %(version)s, %(by)s, %(gate)s, %(job)s)
"""
#: No row: the alias does not exist. Two removals at once would both be in the history.
REMOVE_ALIAS: Final = f"""
    INSERT INTO model_aliases (model, alias, version, set_by)
    SELECT model, alias, NULL, %(by)s FROM ({_ALIASES}) AS pointed WHERE model = %(model)s AND alias = %(alias)s
    RETURNING 1
"""
#: Aliases of a model move one at a time, because a condition can compare what they point at, and no version of it is
#: deleted meanwhile. Locking a version instead would take the right to change versions.
LOCK_MODEL: Final = "SELECT 1 FROM models WHERE name = %(model)s FOR NO KEY UPDATE"
#: The newest evaluation on the given data and target, or on any.
NEWEST_EVALUATION: Final = """
    SELECT outcome->'metrics' AS metrics, spec->'data' AS data, spec->>'target' AS target FROM jobs
    WHERE kind = 'evaluate' AND model = %(model)s AND version = %(version)s AND state = 'succeeded'
      AND (%(target)s::text IS NULL OR (spec->>'target' = %(target)s AND spec->'data' = %(data)s::jsonb))
    ORDER BY finished_at DESC LIMIT 1
"""
ALIASES_OF_VERSION: Final = f"""
    SELECT p.alias FROM ({_ALIASES}) p WHERE p.model = %(model)s AND p.version = %(version)s ORDER BY p.alias
"""
#: Jobs that have not ended and run a version, compare with it or by it, train from it or with its tokenizer, or come
#: after a job that has run or made it.
JOBS_OF_VERSION: Final = """
    SELECT id, state FROM jobs WHERE state IN ('queued', 'running') AND model = %(model)s AND version = %(version)s
    UNION
    SELECT id, state FROM jobs
    WHERE state IN ('waiting', 'queued', 'running') AND kind IN ('train', 'tune', 'cross_validate', 'evaluate')
      AND %(digest)s IN (spec->>'base_digest', spec->>'teacher_digest', spec->>'tokenizer_digest',
                         spec->>'against_digest', spec->>'judge_digest',
                         spec#>>'{train,base_digest}', spec#>>'{train,teacher_digest}',
                         spec#>>'{train,tokenizer_digest}')
    UNION
    SELECT jobs.id, jobs.state FROM jobs
    JOIN job_dependencies AS dependency ON dependency.job_id = jobs.id
    JOIN jobs AS upstream ON upstream.id = dependency.depends_on
    WHERE jobs.state = 'waiting' AND upstream.model = %(model)s
      AND coalesce(upstream.version, (upstream.outcome->>'version')::int) = %(version)s
    ORDER BY id
"""
#: Versions whose training began with a version, learned from it, took its tokenizer, or went on from its training; and
#: adapters of it.
VERSIONS_TRAINED_FROM: Final = """
    SELECT model, version FROM model_versions
    WHERE %(digest)s IN (manifest#>>'{lineage,spec,base_digest}', manifest#>>'{lineage,spec,teacher_digest}',
                         manifest#>>'{lineage,spec,tokenizer_digest}', manifest#>>'{lineage,base,digest}')
       OR manifest#>>'{lineage,spec,extends}' = %(job)s::text
    ORDER BY model, version
"""
#: Keeps jobs that use a version from being submitted until the transaction ends: see migration 0015.
LOCK_VERSION: Final = "SELECT pg_advisory_xact_lock(1280265799, hashtext(%(digest)s))"
#: Who deletes a version, for the trigger that records it.
SET_ACTOR: Final = "SELECT set_config('longshore.set_by', %(by)s, true)"
DELETE_VERSION: Final = "DELETE FROM model_versions WHERE model = %(model)s AND version = %(version)s"
