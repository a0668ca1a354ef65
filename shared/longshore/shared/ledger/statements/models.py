"""Versions and aliases."""

from __future__ import annotations

from typing import Final

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
LIST_MODELS: Final = f"""
    SELECT m.name, m.created_at, count(v.version) AS versions, max(v.version) AS newest,
           coalesce((SELECT jsonb_object_agg(p.alias, p.version) FROM ({_ALIASES}) p WHERE p.model = m.name), '{{}}')
               AS aliases
    FROM models m LEFT JOIN model_versions v ON v.model = m.name
    GROUP BY m.name ORDER BY m.name
"""
ANY_VERSION: Final = "SELECT EXISTS (SELECT FROM model_versions)"
LIST_VERSIONS: Final = f"""
    SELECT v.model, v.version, v.digest, v.manifest, v.job_id, v.created_at,
           ARRAY(SELECT p.alias FROM ({_ALIASES}) p WHERE p.model = v.model AND p.version = v.version) AS aliases
    FROM model_versions v WHERE v.model = %(model)s ORDER BY v.version
"""
ALIAS_HISTORY: Final = """
    SELECT alias, version, set_by, set_at FROM model_aliases WHERE model = %(model)s AND alias = %(alias)s ORDER BY id
"""
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
    INSERT INTO model_aliases (model, alias, version, set_by) VALUES (%(model)s, %(alias)s, %(version)s, %(by)s)
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
JOBS_OF_VERSION: Final = """
    SELECT count(*) FROM jobs WHERE model = %(model)s AND version = %(version)s AND state IN ('queued', 'running')
"""
DELETE_VERSION: Final = "DELETE FROM model_versions WHERE model = %(model)s AND version = %(version)s"
