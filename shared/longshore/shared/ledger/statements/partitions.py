"""Partitions of ``results`` and ``row_errors``."""

from __future__ import annotations

from typing import Final

#: The table, the partition and its bounds as Postgres writes them.
LIST_PARTITIONS: Final = """
    SELECT parent.relname, part.relname, pg_get_expr(part.relpartbound, part.oid)
    FROM pg_inherits
    JOIN pg_class AS parent ON parent.oid = inhparent
    JOIN pg_class AS part ON part.oid = inhrelid
    WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS wanted (name))
"""
LIMIT_WAITING: Final = """
    SELECT set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(step)s, true)
"""
#: Names in braces are filled in as identifiers.
COUNT_IN_DEFAULT: Final = """
    SELECT count(*)
    FROM (SELECT FROM {default} WHERE job_id >= %(lower)s AND job_id < %(upper)s LIMIT %(limit)s) AS found
"""
MOVE_OUT_OF_DEFAULT: Final = """
    WITH moved AS (DELETE FROM {default} WHERE job_id >= %(lower)s AND job_id < %(upper)s RETURNING *)
    INSERT INTO {name} SELECT * FROM moved
"""
ATTACH_PARTITION: Final = "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})"
