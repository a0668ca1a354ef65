"""Which checkpoints a training job has. Their bytes are blobs in the store.

Only the current attempt adds a checkpoint, and only when its blob is in the store, so a later attempt finds complete
checkpoints alone. The newest checkpoint of a job that has succeeded stays, for a job that extends the training.
"""

from __future__ import annotations

from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read, repeat_rolled_back
from longshore.shared.ledger.records import CheckpointRecord, Claim
from longshore.shared.ledger.shards.transitions import attempt_lost, check_fence, claim_key


class Checkpoints:
    """The part of the ledger that knows where a training can be resumed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def newest(self, job: UUID) -> CheckpointRecord | None:
        """The checkpoint to resume from; ``None`` if the job has none."""
        with self._database.connection() as conn:
            statement = statements.shards.checkpoints.NEWEST_CHECKPOINT
            return records(conn, CheckpointRecord).execute(statement, {"job": job}).fetchone()

    @repeat_rolled_back
    def add(self, claim: Claim, *, step: int, epoch: int, blob: str, size_bytes: int, keep: int) -> list[str]:
        """Publish a checkpoint whose blob is in the store.

        :param step: optimizer steps that are done.
        :param epoch: the epoch that is running, from 1.
        :param size_bytes: of the blob.
        :param keep: how many checkpoints the job has afterwards, at most.
        :returns: the blobs of removed checkpoints, which nothing names any more.
        :raises AttemptLost: the attempt is not the current one.
        """
        checkpoint = {"step": step, "epoch": epoch, "blob": blob, "size_bytes": size_bytes}
        values = {**claim_key(claim), **checkpoint, "keep": keep}
        with self._database.transaction() as conn:
            if not check_fence(conn, claim):
                raise attempt_lost(claim)
            conn.execute(statements.shards.checkpoints.ADD_CHECKPOINT, values)
            removed = conn.execute(statements.shards.checkpoints.PRUNE_CHECKPOINTS, values)
            return [name for (name,) in removed if name != blob]

    @repeat_rolled_back
    def prune(self, job: UUID, keep: int) -> list[str]:
        """Remove all but the ``keep`` newest checkpoints of a job.

        :returns: the blobs of removed checkpoints, which nothing names any more.
        """
        with self._database.connection() as conn:
            removed = conn.execute(statements.shards.checkpoints.PRUNE_CHECKPOINTS, {"job": job, "keep": keep})
            return [blob for (blob,) in removed]

    @repeat_rolled_back
    def rewind(self, claim: Claim, *, step: int, epochs: int) -> None:
        """Remove the metrics that earlier attempts have reported from beyond the point where this attempt starts.

        :param step: optimizer steps that are done; 0 for an attempt that starts from the beginning.
        :param epochs: epochs that are done.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            if not check_fence(conn, claim):
                raise attempt_lost(claim)
            values = {"job": claim.job_id, "step": step, "epochs": epochs}
            conn.execute(statements.shards.checkpoints.REWIND_METRICS, values)
