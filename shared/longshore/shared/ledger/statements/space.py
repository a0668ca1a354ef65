"""What takes how much space. The sizes by job are of a sample of pages, so that they take the same time at any size."""

from __future__ import annotations

from typing import Final

#: Each table with its indexes, its TOAST and its partitions, and the pages of the table alone. Others can have tables
#: in the same schema.
TABLE_SIZES: Final = """
    SELECT parent.relname,
           coalesce(sum(pg_total_relation_size(coalesce(inhrelid, parent.oid))), 0)::bigint,
           coalesce(sum(pg_relation_size(coalesce(inhrelid, parent.oid))), 0)::bigint / 8192
    FROM pg_class AS parent LEFT JOIN pg_inherits ON inhparent = parent.oid AND parent.relkind = 'p'
    WHERE parent.relnamespace = current_schema()::regnamespace AND parent.relkind IN ('r', 'p')
      AND parent.relname::text = ANY(%(tables)s::text[])
    GROUP BY parent.relname
"""
_JOIN_SAMPLED: Final = """
    AS sampled TABLESAMPLE SYSTEM (%(percent)s::real) JOIN jobs ON jobs.id = sampled.job_id GROUP BY jobs.id
"""
#: Bytes by job. A row has about 40 bytes besides its values.
_KEY_BYTES: Final = "coalesce(pg_column_size(sampled.key), 0)"
SAMPLE_RESULTS: Final = f"""
    SELECT jobs.id, jobs.kind, jobs.model, sum(40 + pg_column_size(sampled.output) + {_KEY_BYTES})::float8
    FROM results {_JOIN_SAMPLED}
"""
SAMPLE_ROW_ERRORS: Final = f"""
    SELECT jobs.id, jobs.kind, jobs.model, sum(40 + pg_column_size(sampled.error) + {_KEY_BYTES})::float8
    FROM row_errors {_JOIN_SAMPLED}
"""
SAMPLE_LOGS: Final = f"""
    SELECT jobs.id, jobs.kind, jobs.model, sum(60 + pg_column_size(sampled.text))::float8
    FROM attempt_logs {_JOIN_SAMPLED}
"""
#: A block that several jobs share counts for each in equal parts. ``blob`` names a block that is in the store.
SAMPLE_INPUTS: Final = """
    SELECT used.id, used.kind, used.model, coalesce(pg_column_size(inputs.data), 0)::float8 / used.jobs, inputs.blob,
           used.jobs
    FROM (
        SELECT id, kind, model, block, count(*) OVER (PARTITION BY block) AS jobs
        FROM (
            SELECT id, kind, model, spec
            FROM jobs TABLESAMPLE SYSTEM (%(percent)s::real) WHERE pruned_at IS NULL
        ) AS sampled
        CROSS JOIN LATERAL (VALUES
            (spec#>>'{data,block}'), (spec#>>'{validation,block}'), (spec#>>'{test,block}'),
            (spec#>>'{train,data,block}'), (spec#>>'{train,validation,block}'), (spec#>>'{train,test,block}')
        ) AS named (block)
        WHERE block IS NOT NULL
    ) AS used
    JOIN inputs ON inputs.id = used.block::uuid
"""
#: There are a few for each training.
CHECKPOINTS_BY_JOB: Final = """
    SELECT DISTINCT jobs.id, jobs.kind, jobs.model, blob
    FROM checkpoints JOIN jobs ON jobs.id = checkpoints.job_id
"""
FILES_OF_MODELS: Final = """
    SELECT model, digest FROM version_blobs UNION SELECT model, digest FROM model_versions
"""
INPUT_BLOBS: Final = "SELECT DISTINCT blob FROM inputs WHERE blob IS NOT NULL"
#: What callers have uploaded, what batches have left, and what they need until they have ended.
UPLOADED_BLOBS: Final = """
    SELECT digest FROM files UNION SELECT digest FROM upload_parts UNION SELECT unnest(blobs) FROM batches
"""
