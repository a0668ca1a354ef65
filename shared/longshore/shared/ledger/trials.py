"""Trials of a search, and folds of cross-validation: each is a shard of its job, and a row here.

The row says what the shard tried and what came of it, so that later trials learn from it; the last shard to end sees
all of them, and draws the conclusion in the transaction that ends the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.models import AddedVersion, NewVersion, add_version
from longshore.shared.ledger.records import Claim, TrialRecord
from longshore.shared.ledger.transitions import claim_key, count_done, pass_fence
from longshore.shared.specs.search import Parameters

#: One trial of a job begins at a time, so that each knows what the others try.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%(job)s::text, 0))"
_COLUMNS: Final = """
    number, state, worker, parameters, value, metrics, history, error, digest, started_at, finished_at
"""
_LIST: Final = f"SELECT {_COLUMNS} FROM trials WHERE job_id = %(job)s ORDER BY number"
#: A later attempt begins the same trial anew.
_BEGIN: Final = """
    INSERT INTO trials (job_id, number, state, worker, parameters)
    VALUES (%(job)s, %(shard)s, 'running', %(worker)s, %(parameters)s)
    ON CONFLICT (job_id, number) DO UPDATE
    SET state = 'running', worker = excluded.worker, value = NULL, metrics = '{}', history = '{}', error = NULL,
        manifest = NULL, digest = NULL, started_at = now(), finished_at = NULL
"""
_REPORT: Final = """
    UPDATE trials SET history = history || jsonb_build_object(%(step)s::text, %(value)s::float8)
    WHERE job_id = %(job)s AND number = %(shard)s
"""
_SETTLE: Final = """
    UPDATE trials
    SET state = %(state)s, value = %(value)s, metrics = %(metrics)s, error = %(error)s, digest = %(digest)s,
        manifest = %(manifest)s, finished_at = now()
    WHERE job_id = %(job)s AND number = %(shard)s
"""
_MANIFEST: Final = "SELECT manifest FROM trials WHERE job_id = %(job)s AND number = %(number)s"
#: Makes those who end shards of a job do it one after the other; gives whether this is the last.
_IS_LAST: Final = "SELECT shards_done + 1 >= shards_total AND shards_failed = 0 FROM jobs WHERE id = %(job)s FOR UPDATE"


class Conclusion:
    """What the last trial to end sees, within the transaction that ends the job."""

    def __init__(self, conn: Connection, job: UUID, trials: Sequence[TrialRecord]) -> None:
        self._conn = conn
        self._job = job
        #: All of them, by number.
        self.trials = trials

    def manifest(self, number: int) -> dict[str, JsonValue]:
        """The version that a trial has made and stored."""
        row = self._conn.execute(_MANIFEST, {"job": self._job, "number": number}).fetchone()
        assert row is not None
        found: dict[str, JsonValue] = row[0]
        return found

    def version(self, new: NewVersion) -> AddedVersion:
        """Number and add a version of a model."""
        return add_version(self._conn, new, self._job)


class Trials:
    """The part of the ledger that knows what the trials of a job have tried."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, job: UUID) -> list[TrialRecord]:
        """Those that have begun, by number."""
        with self._database.connection() as conn:
            return self._list(conn, job)

    def begin(self, claim: Claim, worker: str, suggest: Callable[[Sequence[TrialRecord]], Parameters]) -> Parameters:
        """Begin the trial of a shard, and settle what it tries.

        :param suggest: gives the parameters, from what is known of all other trials. Not called for one that an
            earlier attempt had begun: that is tried again as it was.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            conn.execute(_LOCK, {"job": claim.job_id})
            _check_current(conn, claim)
            known = self._list(conn, claim.job_id)
            own = next((trial for trial in known if trial.number == claim.shard), None)
            parameters = suggest(known) if own is None else own.parameters
            conn.execute(_BEGIN, {**claim_key(claim), "worker": worker, "parameters": Jsonb(parameters)})
        return parameters

    def report(self, claim: Claim, step: int, value: float) -> None:
        """What is searched for, as a trial measures it on its way.

        :param step: the epoch.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            _check_current(conn, claim)
            conn.execute(_REPORT, {**claim_key(claim), "step": str(step), "value": value})

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
        """Write what came of a trial.

        :param state: complete, pruned or failed.
        :param version: the digest and the manifest of what it has put into the store.
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
            conn.execute(_SETTLE, values)

    def finish(self, claim: Claim, conclude: Callable[[Conclusion], Mapping[str, JsonValue]]) -> None:
        """Count the shard of a settled trial as done.

        :param conclude: called for the last of the job, within the transaction; gives the job's outcome. What it raises
            leaves the shard running.
        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            pass_fence(conn, claim, rows=1)
            row = conn.execute(_IS_LAST, {"job": claim.job_id}).fetchone()
            outcome = None
            if row is not None and row[0]:
                outcome = conclude(Conclusion(conn, claim.job_id, self._list(conn, claim.job_id)))
            count_done(conn, claim, rows=1, outcome=outcome)
            conn.execute(statements.attempts.NOTIFY_JOB, {"job": claim.job_id})

    @staticmethod
    def _list(conn: Connection, job: UUID) -> list[TrialRecord]:
        return records(conn, TrialRecord).execute(_LIST, {"job": job}).fetchall()


def _check_current(conn: Connection, claim: Claim) -> None:
    if conn.execute(statements.attempts.STILL_CURRENT, claim_key(claim)).fetchone() is None:
        raise AttemptLost(f"attempt {claim.token} is not the current one")
