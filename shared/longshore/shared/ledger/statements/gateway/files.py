"""Uploaded files. The bytes of a file are a blob in the store. A file that has expired is there for nobody."""

from __future__ import annotations

from typing import Final

_COLUMNS: Final = "id, purpose, filename, bytes, digest, created_at, expires_at"
_PRESENT: Final = "producer = %(producer)s AND (expires_at IS NULL OR expires_at > now())"
#: Whether a batch that has not ended reads a file.
_IN_USE: Final = """
    EXISTS (
        SELECT FROM batches WHERE input_file_id = files.id
        AND batches.state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
    )
"""
#: A file that is there already is returned as it is.
ADD_FILE: Final = f"""
    WITH added AS (
        INSERT INTO files (id, producer, purpose, filename, bytes, digest, expires_at)
        VALUES (%(id)s, %(producer)s, %(purpose)s, %(filename)s, %(bytes)s, %(digest)s,
                now() + make_interval(secs => %(seconds)s))
        ON CONFLICT (id) DO NOTHING
        RETURNING {_COLUMNS}
    )
    SELECT {_COLUMNS} FROM added
    UNION ALL
    SELECT {_COLUMNS} FROM files WHERE id = %(id)s AND producer = %(producer)s
"""
READ_FILE: Final = f"SELECT {_COLUMNS} FROM files WHERE id = %(id)s AND {_PRESENT}"
#: All files count, also those that have expired and are still stored, and the parts of uploads that have not ended.
SUM_FILES: Final = """
    SELECT (SELECT coalesce(sum(bytes), 0) FROM files WHERE producer = %(producer)s)::bigint
        + (SELECT coalesce(sum(bytes), 0) FROM upload_parts WHERE producer = %(producer)s)::bigint
"""
#: ``after`` is the last file of the page before.
_PAGE: Final = f"""
    SELECT {_COLUMNS} FROM files
    WHERE {_PRESENT} AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
"""
LIST_FILES: Final = f"""
    {_PAGE} AND (created_at, id) > (%(after_time)s, %(after)s) ORDER BY created_at, id LIMIT %(limit)s
"""
LIST_FILES_NEWEST_FIRST: Final = f"""
    {_PAGE} AND (created_at, id) < (%(after_time)s, %(after)s) ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""
DELETE_FILE: Final = f"DELETE FROM files WHERE id = %(id)s AND producer = %(producer)s AND NOT {_IN_USE} RETURNING id"
REMOVE_EXPIRED: Final = f"""
    DELETE FROM files WHERE id IN (
        SELECT id FROM files WHERE expires_at <= now() AND NOT {_IN_USE} LIMIT %(limit)s
    )
"""
