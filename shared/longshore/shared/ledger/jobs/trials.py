"""Trials of a search and folds of a cross-validation. Each is a shard of its job and a row in ``trials``.

The row holds what the shard has tried and the result, so that later trials can use it. The last shard to end reads all
of them and concludes the search in the transaction that ends the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.models.registry import AddedVersion, NewVersion, add_version
from longshore.shared.ledger.postgres.repeating import repeat_read, repeat_rolled_back
from longshore.shared.ledger.records import Claim, TrialRecord
from longshore.shared.ledger.shards.transitions import attempt_lost, check_fence, claim_key, count_done, pass_fence
from longshore.shared.specs.search import Parameters


class Conclusion:
    """The trials of a job as the last one to end reads them, within the transaction that ends the job."""

    def __init__(self, conn: Connection, job: UUID, trials: Sequence[TrialRecord]) -> None:
        self._conn = conn
        self._job = job
        #: All of them, by number.
        self.trials = trials

    def manifest(self, number: int) -> dict[str, JsonValue]:
        """The manifest of the version that a trial has made and stored."""
        row = self._conn.execute(statements.trials.READ_TRIAL_MANIFEST, {"job": self._job, "number": number}).fetchone()
        assert row is not None
        manifest: dict[str, JsonValue] = row[0]
        return manifest

    def version(self, new: NewVersion) -> AddedVersion:
        """Number and add a version of a model."""
        return add_version(self._conn, new, self._job)


class Trials:
    """The part of the ledger that knows what the trials of a job have tried."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def of(self, job: UUID) -> list[TrialRecord]:
        """The trials that have begun, by number."""
        with self._database.connection() as conn:
            return self._list(conn, job)

    @repeat_rolled_back
    def begin(self, claim: Claim, worker: str, suggest: Callable[[Sequence[TrialRecord]], Parameters]) -> Parameters:
        """Begin the trial of a shard and decide what it tries.

        :param suggest: returns the parameters, given all other trials. It is not called for a trial that an earlier
            attempt has begun: that trial runs again with the same parameters.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            conn.execute(statements.trials.LOCK_TRIALS, {"job": claim.job_id})
            _check_current(conn, claim)
            trials = self._list(conn, claim.job_id)
            own = next((trial for trial in trials if trial.number == claim.shard), None)
            parameters = suggest(trials) if own is None else own.parameters
            conn.execute(
                statements.trials.BEGIN_TRIAL, {**claim_key(claim), "worker": worker, "parameters": Jsonb(parameters)}
            )
        return parameters

    @repeat_rolled_back
    def report(self, claim: Claim, step: int, value: float) -> None:
        """Report the searched metric while a trial runs.

        :param step: the epoch.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            _check_current(conn, claim)
            conn.execute(statements.trials.REPORT_TRIAL, {**claim_key(claim), "step": str(step), "value": value})

    @repeat_rolled_back
    def settle(
        self,
        claim: Claim,
        state: str,
        *,
        value: float | None = None,
        metrics: Mapping[str, float] | None = None,
        error: str | None = None,
        version: tuple[str, Mapping[str, JsonValue]] | None = None,
    ) -> None:
        """Write the result of a trial.

        :param state: complete, pruned or failed.
        :param version: the digest and the manifest of the version that it has stored.
        :raises AttemptLost: the attempt is not the current one.
        """
        values = {
            **{**claim_key(claim), "state": state, "value": value, "error": error},
            "metrics": Jsonb(dict(metrics or {})),
            "digest": None if version is None else version[0],
            "manifest": None if version is None else Jsonb(dict(version[1])),
        }
        with self._database.transaction() as conn:
            _check_current(conn, claim)
            conn.execute(statements.trials.SETTLE_TRIAL, values)

    @repeat_rolled_back
    def finish(self, claim: Claim, conclude: Callable[[Conclusion], Mapping[str, JsonValue]]) -> None:
        """Count the shard of a settled trial as done.

        :param conclude: called for the last trial of the job, within the transaction. It returns the job's outcome. If
            it raises, the shard stays running.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            pass_fence(conn, claim, rows=1)
            row = conn.execute(statements.trials.IS_LAST_TRIAL, {"job": claim.job_id}).fetchone()
            outcome = None
            if row is not None and row[0]:
                outcome = conclude(Conclusion(conn, claim.job_id, self._list(conn, claim.job_id)))
            count_done(conn, claim, rows=1, outcome=outcome)
            conn.execute(statements.attempts.NOTIFY_JOB, {"job": claim.job_id})

    @staticmethod
    def _list(conn: Connection, job: UUID) -> list[TrialRecord]:
        return records(conn, TrialRecord).execute(statements.trials.LIST_TRIALS, {"job": job}).fetchall()


def _check_current(conn: Connection, claim: Claim) -> None:
    if not check_fence(conn, claim):
        raise attempt_lost(claim)
