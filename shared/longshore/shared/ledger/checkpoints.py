"""Which checkpoints a training job has. Their bytes are blobs in the store.

Only the current attempt adds one, after its blob is in the store: so a later attempt finds those alone that are whole.
The newest of a job that has succeeded stays, for a job that trains on from it.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.records import CheckpointRecord, Claim
from longshore.shared.ledger.transitions import claim_key

_COLUMNS: Final = "job_id, step, attempt, epoch, blob, size_bytes, created_at"
_NEWEST: Final = f"SELECT {_COLUMNS} FROM checkpoints WHERE job_id = %(job)s ORDER BY step DESC LIMIT 1"
#: An attempt that began anew reaches the same steps again.
_ADD: Final = """
    INSERT INTO checkpoints (job_id, step, attempt, epoch, blob, size_bytes)
    VALUES (%(job)s, %(step)s, %(attempt)s, %(epoch)s, %(blob)s, %(size_bytes)s)
    ON CONFLICT (job_id, step) DO UPDATE
    SET attempt = excluded.attempt, epoch = excluded.epoch, blob = excluded.blob, size_bytes = excluded.size_bytes,
        created_at = now()
"""
#: All but the newest so many. Gives the blobs that nothing names any more.
_PRUNE: Final = """
    DELETE FROM checkpoints
    WHERE job_id = %(job)s
      AND step NOT IN (SELECT step FROM checkpoints WHERE job_id = %(job)s ORDER BY step DESC LIMIT %(keep)s)
    RETURNING blob
"""
#: What an attempt has reported of what comes after the place from which a later one goes on.
_REWIND: Final = """
    DELETE FROM metrics
    WHERE job_id = %(job)s AND step > CASE WHEN name LIKE 'step/%%' THEN %(step)s ELSE %(epochs)s END
"""


class Checkpoints:
    """The part of the ledger that knows from where a training can go on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, job: UUID) -> CheckpointRecord | None:
        """The one to go on from; ``None`` for a job that has none."""
        with self._database.connection() as conn:
            return records(conn, CheckpointRecord).execute(_NEWEST, {"job": job}).fetchone()

    def add(self, claim: Claim, *, step: int, epoch: int, blob: str, size_bytes: int, keep: int) -> list[str]:
        """Publish a checkpoint whose blob is in the store.

        :param step: steps of the optimizer that are done.
        :param epoch: the one that it is in, from 1.
        :param size_bytes: of the blob.
        :param keep: how many the job has afterwards, at most.
        :returns: the blobs of those that were taken away; nothing names them any more.
        :raises AttemptLost: the attempt is not the current one.
        """
        values = {
            **claim_key(claim),
            "step": step,
            "epoch": epoch,
            "blob": blob,
            "size_bytes": size_bytes,
            "keep": keep,
        }
        with self._database.transaction() as conn:
            if conn.execute(statements.attempts.STILL_CURRENT, claim_key(claim)).fetchone() is None:
                raise AttemptLost(f"attempt {claim.token} is not the current one")
            conn.execute(_ADD, values)
            return [blob for (blob,) in conn.execute(_PRUNE, values) if blob != values["blob"]]

    def prune(self, job: UUID, keep: int) -> list[str]:
        """Keep the newest so many of a job. Gives the blobs that nothing names any more."""
        with self._database.connection() as conn:
            return [blob for (blob,) in conn.execute(_PRUNE, {"job": job, "keep": keep})]

    def rewind(self, claim: Claim, *, step: int, epochs: int) -> None:
        """Take back what earlier attempts have reported beyond the place where this one begins.

        :param step: steps of the optimizer that are done; 0 for one that begins anew.
        :param epochs: how many were ended before.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            if conn.execute(statements.attempts.STILL_CURRENT, claim_key(claim)).fetchone() is None:
                raise AttemptLost(f"attempt {claim.token} is not the current one")
            conn.execute(_REWIND, {"job": claim.job_id, "step": step, "epochs": epochs})
