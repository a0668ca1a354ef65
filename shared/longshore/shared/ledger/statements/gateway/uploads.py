"""Uploads in parts. The bytes of a part are a blob in the store until the upload ends."""

from __future__ import annotations

from typing import Final

_COLUMNS: Final = """
    id, purpose, filename, bytes, file_expires_after,
    CASE WHEN state = 'pending' AND expires_at <= now() THEN 'expired' ELSE state END AS state,
    part_ids, file_id, created_at, expires_at
"""
_PART_COLUMNS: Final = "id, upload_id, bytes, digest, created_at"
_OWN: Final = "id = %(id)s AND producer = %(producer)s"
#: An upload that is there already is returned as it is.
ADD_UPLOAD: Final = f"""
    WITH added AS (
        INSERT INTO uploads (id, producer, purpose, filename, bytes, file_expires_after, expires_at)
        VALUES (%(id)s, %(producer)s, %(purpose)s, %(filename)s, %(bytes)s, %(file_expires_after)s,
                now() + make_interval(secs => %(seconds)s))
        ON CONFLICT (id) DO NOTHING
        RETURNING {_COLUMNS}
    )
    SELECT {_COLUMNS} FROM added
    UNION ALL
    SELECT {_COLUMNS} FROM uploads WHERE {_OWN}
"""
READ_UPLOAD: Final = f"SELECT {_COLUMNS} FROM uploads WHERE {_OWN}"
#: Until the part is committed, the upload does not end.
LOCK_PENDING: Final = f"""
    SELECT expires_at FROM uploads WHERE {_OWN} AND state = 'pending' AND expires_at > now() FOR SHARE
"""
#: A part that is there already is returned as it is.
ADD_PART: Final = f"""
    WITH added AS (
        INSERT INTO upload_parts (id, upload_id, producer, bytes, digest, expires_at)
        VALUES (%(id)s, %(upload_id)s, %(producer)s, %(bytes)s, %(digest)s, %(expires_at)s)
        ON CONFLICT (id) DO NOTHING
        RETURNING {_PART_COLUMNS}
    )
    SELECT {_PART_COLUMNS} FROM added
    UNION ALL
    SELECT {_PART_COLUMNS} FROM upload_parts
    WHERE {_OWN} AND upload_id = %(upload_id)s
"""
LIST_PARTS: Final = f"""
    SELECT {_PART_COLUMNS} FROM upload_parts WHERE producer = %(producer)s AND upload_id = %(id)s
    ORDER BY created_at, id
"""
COUNT_PARTS: Final = "SELECT count(*) FROM upload_parts WHERE producer = %(producer)s AND upload_id = %(id)s"
#: Also one that has expired while its parts were joined.
COMPLETE_UPLOAD: Final = f"""
    UPDATE uploads SET state = 'completed', part_ids = %(part_ids)s, file_id = %(file_id)s
    WHERE {_OWN} AND state = 'pending' RETURNING {_COLUMNS}
"""
CANCEL_UPLOAD: Final = f"""
    UPDATE uploads SET state = 'cancelled' WHERE {_OWN} AND state = 'pending' AND expires_at > now()
    RETURNING {_COLUMNS}
"""
DELETE_PARTS: Final = "DELETE FROM upload_parts WHERE producer = %(producer)s AND upload_id = %(id)s"
REMOVE_EXPIRED_PARTS: Final = """
    DELETE FROM upload_parts WHERE id IN (SELECT id FROM upload_parts WHERE expires_at <= now() LIMIT %(limit)s)
"""
REMOVE_OLD_UPLOADS: Final = """
    DELETE FROM uploads WHERE id IN (
        SELECT id FROM uploads WHERE expires_at <= now() - make_interval(secs => %(keep)s) LIMIT %(limit)s
    )
"""
