"""Partitions of ``results`` and ``row_errors``. Names in braces are filled in as identifiers."""

from __future__ import annotations

from typing import Final

#: The table, the partition, and its bounds as Postgres writes them.
LIST_PARTITIONS: Final = """
    SELECT parent.relname, child.relname, pg_get_expr(child.relpartbound, child.oid)
    FROM pg_inherits
    JOIN pg_class AS parent ON parent.oid = inhparent
    JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS parents (name))
"""
COUNT_IN_DEFAULT: Final = """
    SELECT count(*)
    FROM (SELECT FROM {default} WHERE job_id >= %(lower)s AND job_id < %(upper)s LIMIT %(limit)s) AS rows
"""
MOVE_OUT_OF_DEFAULT: Final = """
    WITH moved AS (DELETE FROM {default} WHERE job_id >= %(lower)s AND job_id < %(upper)s RETURNING *)
    INSERT INTO {name} SELECT * FROM moved
"""
ATTACH_PARTITION: Final = "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})"
#: Keeps others from attaching and detaching partitions.
LOCK_PARTITIONS: Final = "LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE"
#: Keeps everybody out of one partition, or with its parent's name out of all of them.
LOCK_DEFAULT: Final = "LOCK TABLE ONLY {default} IN ACCESS EXCLUSIVE MODE"
LOCK_TABLE: Final = "LOCK TABLE ONLY {name} IN ACCESS EXCLUSIVE MODE"
CREATE_PARTITION: Final = "CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"
EMPTY_PARTITION: Final = "TRUNCATE {name}"
HAS_ROWS: Final = "SELECT FROM {name} LIMIT 1"
DROP_PARTITION: Final = "DROP TABLE {name}"
#: All partitions of all tables.
LIST_PARTITION_NAMES: Final = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"
