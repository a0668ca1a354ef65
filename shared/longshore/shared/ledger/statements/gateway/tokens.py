"""The tokens of callers of the HTTP gateway. Only the digest of a secret is stored."""

from __future__ import annotations

from typing import Final

ADD_TOKEN: Final = """
    INSERT INTO tokens (id, digest, producer, scopes, models, note, created_by, expires_at)
    VALUES (%(id)s, %(digest)s, %(producer)s, %(scopes)s, %(models)s, %(note)s, %(created_by)s,
            now() + %(lifetime)s::interval)
    RETURNING created_at, expires_at
"""
#: A token that is valid now. The gateway may call this function, of migration 0017, and not read the table.
READ_TOKEN: Final = "SELECT id, digest, producer, scopes, models FROM longshore_read_token(%(id)s)"
LIST_TOKENS: Final = """
    SELECT id, producer, scopes, models, note, created_by, created_at, expires_at, revoked_at
    FROM tokens ORDER BY created_at, id
"""
REVOKE_TOKEN: Final = """
    UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %(id)s RETURNING id
"""
