"""The tokens of callers of the HTTP gateway. Only the digest of a secret is stored."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.retention import ENDED

#: Where the id of a token is announced that was revoked, when the transaction commits.
TOKENS_CHANNEL: Final = "longshore_tokens"
LISTEN_TOKENS: Final = f"LISTEN {TOKENS_CHANNEL}"
_LIMITS: Final = "requests_per_minute, rows_per_day, tokens_per_day, queued_jobs"
ADD_TOKEN: Final = f"""
    INSERT INTO tokens (id, digest, producer, scopes, models, note, created_by, expires_at, {_LIMITS})
    VALUES (%(id)s, %(digest)s, %(producer)s, %(scopes)s, %(models)s, %(note)s, %(created_by)s,
            now() + %(lifetime)s::interval, %(requests_per_minute)s, %(rows_per_day)s, %(tokens_per_day)s,
            %(queued_jobs)s)
    RETURNING created_at, expires_at
"""
#: A token that is valid now. The gateway may call this function, of migration 0017, and not read the table.
READ_TOKEN: Final = f"""
    SELECT id, digest, producer, scopes, models, extract(epoch FROM expires_at - clock_timestamp())::float8 AS seconds,
           {_LIMITS}
    FROM longshore_read_token(%(id)s)
"""
LIST_TOKENS: Final = f"""
    SELECT id, producer, scopes, models, note, created_by, created_at, expires_at, revoked_at,
           CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END
               AS state, {_LIMITS}
    FROM tokens ORDER BY created_at, id
"""
REVOKE_TOKEN: Final = f"""
    WITH revoked AS (
        UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %(id)s RETURNING id
    )
    SELECT pg_notify('{TOKENS_CHANNEL}', id) FROM revoked
"""
#: Who adds jobs of a producer within a limit; until the transaction ends. Two numbers are other locks than one.
LOCK_OPEN_JOBS: Final = "SELECT pg_advisory_xact_lock(hashtext('longshore_open_jobs'), hashtext(%(producer)s))"
#: The jobs of a producer that have not ended, counted up to a limit.
COUNT_OPEN_JOBS: Final = """
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE producer = %(producer)s AND state IN ('waiting', 'queued', 'running') LIMIT %(limit)s
    ) AS counted
"""
#: The tokens of jobs that have ended, and those that do not exist any more with none.
READ_USAGE: Final = f"""
    SELECT listed.id, coalesce((usage->>'prompt_tokens')::bigint, 0)
                      + coalesce((usage->>'completion_tokens')::bigint, 0)
    FROM unnest(%(jobs)s::uuid[]) AS listed (id) LEFT JOIN jobs ON jobs.id = listed.id
    WHERE jobs.id IS NULL OR {ENDED}
"""
