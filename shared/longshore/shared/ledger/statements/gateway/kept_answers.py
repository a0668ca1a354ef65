"""Answers that are kept for requests with an Idempotency-Key. A request holds its key while it is in progress."""

from __future__ import annotations

from typing import Final

#: Takes a key that is free, has expired, or whose request was interrupted; in the last case it is the same request.
TAKE_KEY: Final = """
    INSERT INTO kept_answers (producer, key, request, holder, held_until, expires_at)
    VALUES (%(producer)s, %(key)s, %(request)s, %(holder)s, now() + make_interval(secs => %(hold)s),
            now() + make_interval(secs => %(keep)s))
    ON CONFLICT (producer, key) DO UPDATE
    SET request = excluded.request, holder = excluded.holder, held_until = excluded.held_until,
        status = NULL, headers = NULL, content = NULL, upload = NULL,
        created_at = CASE WHEN kept_answers.expires_at <= now() THEN now() ELSE kept_answers.created_at END,
        expires_at = excluded.expires_at
    WHERE kept_answers.expires_at <= now()
       OR (kept_answers.status IS NULL AND kept_answers.held_until <= now()
           AND kept_answers.request = excluded.request)
    RETURNING created_at < now() AS is_repeated
"""
READ_ANSWER: Final = """
    SELECT request, status, headers, content, upload,
           greatest(extract(epoch FROM held_until - now()), 0)::float8 AS held_s
    FROM kept_answers
    WHERE producer = %(producer)s AND key = %(key)s
"""
#: Goes on holding a key, or with 0 seconds ends that.
HOLD_KEY: Final = """
    UPDATE kept_answers SET held_until = now() + make_interval(secs => %(hold)s)
    WHERE producer = %(producer)s AND key = %(key)s AND holder = %(holder)s AND status IS NULL
"""
KEEP_ANSWER: Final = """
    UPDATE kept_answers SET status = %(status)s, headers = %(headers)s, content = %(content)s, upload = %(upload)s
    WHERE producer = %(producer)s AND key = %(key)s AND holder = %(holder)s AND status IS NULL
"""
RELEASE_KEY: Final = """
    DELETE FROM kept_answers
    WHERE producer = %(producer)s AND key = %(key)s AND holder = %(holder)s AND status IS NULL
"""
REMOVE_OLD_ANSWERS: Final = """
    DELETE FROM kept_answers
    WHERE (producer, key) IN (
        SELECT producer, key FROM kept_answers WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s
    )
"""
