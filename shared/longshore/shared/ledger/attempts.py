"""One attempt at a shard: claim, renew, write and commit, fail, hand back.

Every step passes the fence (the attempt's number is the shard's newest) or changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger import statements
from longshore.shared.ledger.batch_commit import Finished, commit_together
from longshore.shared.ledger.batch_key import GROUP_ROWS, GROUP_SHARDS
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.records import Claim, NewShard
from longshore.shared.ledger.transitions import claim_key, count_done, fail_shard, pass_fence, row_range
from longshore.shared.ledger.writer import AttemptWriter, open_writer, session_name
from longshore.shared.specs.jobs import State


class Attempts:
    """The part of the ledger that workers write with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, job: UUID, shard: int, *, worker: str, lease: float) -> Claim | None:
        """Start the next attempt at a shard.

        :param lease: seconds after which the attempt counts as lost, unless it is renewed.
        :returns: ``None`` where there is nothing to do: the shard runs, has ended, or was never there.
        """
        return next(iter(self._claim([(job, shard)], worker, lease, shards=0)), None)

    def claim_many(self, names: Sequence[tuple[UUID, int]], *, worker: str, lease: float) -> list[Claim]:
        """Start the next attempts at those of some shards that wait, by job and index.

        Others of their company come with them while there is room; see :mod:`~longshore.shared.ledger.batch_key`.
        """
        return self._claim(names, worker, lease, shards=GROUP_SHARDS)

    def _claim(self, names: Sequence[tuple[UUID, int]], worker: str, lease: float, *, shards: int) -> list[Claim]:
        keys = {"jobs": [job for job, _ in names], "shards": [shard for _, shard in names]}
        values = {**keys, "worker": worker, "lease": lease, "max_shards": shards, "max_rows": GROUP_ROWS}
        with self._database.connection() as conn:
            found = records(conn, Claim).execute(statements.attempts.CLAIM, values).fetchall()
            for claim in found:
                if claim.attempt > 1:
                    prefix = session_name(f"{claim.job_id}/{claim.shard}/")
                    conn.execute(statements.attempts.END_EARLIER_ATTEMPTS, {"prefix": prefix})
        return found

    def claim_more(self, first: Claim, shards: int, rows: int, *, worker: str, lease: float) -> list[Claim]:
        """Start attempts at others of a claim's company that wait and are as urgent.

        :param shards: at most so many, with at most so many ``rows`` together.
        """
        values = {
            **{"batch_key": first.batch_key, "queue": first.queue, "priority": first.priority},
            **{"worker": worker, "lease": lease, "max_shards": shards, "max_rows": rows},
        }
        with self._database.connection() as conn:
            return records(conn, Claim).execute(statements.attempts.CLAIM_BATCH, values).fetchall()

    def claim_next(self, present: Claim, *, worker: str, lease: float) -> Claim | None:
        """Start the first attempt at the next shard of a claim's job, before its ticket has come.

        :returns: ``None`` where none waits that was never tried, or something more urgent waits.
        """
        values = {"job": present.job_id, "queue": present.queue, "priority": present.priority}
        with self._database.connection() as conn:
            named = {**values, "worker": worker, "lease": lease}
            return records(conn, Claim).execute(statements.attempts.CLAIM_NEXT, named).fetchone()

    def commit_together(self, finished: Sequence[Finished], lines: memoryview) -> set[tuple[UUID, int]]:
        """Commit the outputs of several shards in one transaction; see :func:`commit_together`."""
        return commit_together(self._database, finished, lines)

    def renew(self, claim: Claim, *, lease: float, rows: int, changed: bool) -> bool:
        """Keep an attempt's lease and report how far it is.

        :param rows: rows computed so far.
        :param changed: tell those who watch the job.
        :returns: ``False`` where the attempt has lost the shard: to a newer one, or because the job was cancelled.
        """
        values = {**claim_key(claim), "lease": lease, "rows": rows}
        with self._database.connection() as conn:
            kept = conn.execute(statements.attempts.RENEW, values).fetchone() is not None
            if kept and changed:
                conn.execute(statements.attempts.NOTIFY_JOB, {"job": claim.job_id})
        return kept

    def failed_rows(self, claim: Claim) -> list[int]:
        """The rows of a shard that have errors, by their number in the job: those an ``only_failed`` claim runs."""
        with self._database.connection() as conn:
            return [row for (row,) in conn.execute(statements.attempts.FAILED_ROWS, row_range(claim))]

    def writing(self, claim: Claim) -> AbstractContextManager[AttemptWriter]:
        """One transaction for what the attempt puts out."""
        return open_writer(self._database, claim)

    def finish_output_file(self, claim: Claim) -> bool:
        """Count a shard as done whose file is published, whichever attempt has written it.

        :returns: whether all shards of the job are done.
        :raises AttemptLost: the attempt is not the current one; or no attempt has decided on a file.
        """
        with self._database.transaction() as conn:
            found = conn.execute(
                statements.attempts.FINISH_OUTPUT_FILE, {**claim_key(claim), **row_range(claim)}
            ).fetchone()
            if found is None:
                raise AttemptLost(f"attempt {claim.token} is not the current one, or has nothing to finish")
            count_done(conn, claim, rows=found[0], failed=found[1])
            ended = conn.execute(statements.attempts.ALL_SHARDS_DONE, {"job": claim.job_id}).fetchone()
        return ended is not None and bool(ended[0])

    def plan(self, claim: Claim, shards: Sequence[NewShard], rows_total: int) -> None:
        """Commit a planning shard: the shards that it cut join the job.

        :raises AttemptLost: the attempt is not the current one; nothing is written.
        """
        values = {
            **{"job": claim.job_id, "queue": claim.queue, "priority": claim.priority, "action": claim.kind},
            "tries": claim.max_attempts,
            "indexes": [claim.shard + 1 + number for number in range(len(shards))],
            "starts": [shard.start for shard in shards],
            "stops": [shard.stop for shard in shards],
            "offsets": [shard.offset for shard in shards],
            "lengths": [shard.length for shard in shards],
        }
        with self._database.transaction() as conn:
            pass_fence(conn, claim, rows=0)
            conn.execute(statements.attempts.ADD_SHARDS, values)
            count_done(conn, claim, rows=0, added=len(shards), rows_total=rows_total)
            conn.execute(statements.attempts.NOTIFY_TICKETS)

    def record_metrics(self, claim: Claim, step: int, values: Mapping[str, float]) -> None:
        """Report numbers of a training attempt while it runs.

        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            if conn.execute(statements.attempts.STILL_CURRENT, claim_key(claim)).fetchone() is None:
                raise AttemptLost(f"attempt {claim.token} is not the current one")
            with conn.cursor().copy(statements.attempts.COPY_METRICS) as copy:
                copy.set_types(["uuid", "int4", "int8", "text", "float8"])
                for name, value in values.items():
                    copy.write_row((claim.job_id, claim.attempt, step, name, float(value)))
            conn.execute(statements.attempts.NOTIFY_JOB, {"job": claim.job_id})

    def fail(self, claim: Claim, error: str, *, permanent: bool) -> State | None:
        """End an attempt without a result.

        :param error: one sentence for the person who reads ``job.errors()``.
        :param permanent: trying again cannot help: the whole job ends now.
        :returns: the shard's state, queued again or failed; ``None`` where the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            if permanent:
                conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": claim.job_id})
            return fail_shard(conn, claim.job_id, claim.shard, claim.attempt, error, permanent=permanent)

    def give_back(self, names: Sequence[tuple[UUID, int]]) -> None:
        """Have shards published again that a message named and its worker did not get to."""
        values = {"jobs": [job for job, _ in names], "shards": [shard for _, shard in names]}
        with self._database.transaction() as conn:
            conn.execute(statements.attempts.GIVE_BACK, values)
            conn.execute(statements.attempts.NOTIFY_TICKETS)

    def release(self, claim: Claim) -> bool:
        """Hand a shard back untouched: it is queued again, and the try does not count."""
        with self._database.transaction() as conn:
            released = conn.execute(statements.attempts.RELEASE_SHARD, claim_key(claim)).fetchone() is not None
            conn.execute(statements.attempts.NOTIFY_TICKETS)
        return released
