"""One attempt at a shard: claim, renew, write and commit, fail, hand back.

Every step but the claim passes the fence (see :mod:`longshore.shared.ledger.statements.fence`) or changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from longshore.shared.errors import AttemptLost
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read, repeat_rolled_back
from longshore.shared.ledger.records import UNKNOWN_TIMES, AttemptId, Claim, NewShard, RowTimes
from longshore.shared.ledger.shards.batching import MAX_BATCH_ROWS, MAX_BATCH_SHARDS, Finished, commit_batch
from longshore.shared.ledger.shards.partial_texts import TextPiece, list_texts, save_texts
from longshore.shared.ledger.shards.row_commits import (
    CommittedRows,
    DoneRows,
    WaitingShard,
    commit_rows,
    done_rows,
    forget_failed_rows,
    renew_many,
)
from longshore.shared.ledger.shards.transitions import (
    attempt_lost,
    check_fence,
    claim_key,
    count_done,
    fail_shard,
    pass_fence,
    row_range,
)
from longshore.shared.ledger.shards.writer import AttemptWriter, open_writer, session_name
from longshore.shared.limits import check_shards
from longshore.shared.vocabulary import State


class Attempts:
    """The part of the ledger that workers write with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, job: UUID, shard: int, *, worker: str, lease: float) -> Claim | None:
        """Start the next attempt at a shard.

        :param lease: seconds after which the attempt counts as lost, unless it is renewed.
        :returns: ``None`` if there is nothing to do: the shard is running, has ended, or does not exist.
        """
        return next(iter(self._claim([(job, shard)], worker, lease, max_shards=0)), None)

    def claim_many(self, names: Sequence[tuple[UUID, int]], *, worker: str, lease: float) -> list[Claim]:
        """Start the next attempts at those of the named shards that are queued.

        Other queued shards with the same batch key are claimed with them, up to the limits of
        :mod:`~longshore.shared.ledger.shards.batching`.

        :param names: the job and the index of each shard.
        """
        return self._claim(names, worker, lease, max_shards=MAX_BATCH_SHARDS)

    @repeat_rolled_back
    def _claim(self, names: Sequence[tuple[UUID, int]], worker: str, lease: float, *, max_shards: int) -> list[Claim]:
        keys = {"jobs": [job for job, _ in names], "shards": [shard for _, shard in names]}
        values = {**keys, "worker": worker, "lease": lease, "max_shards": max_shards, "max_rows": MAX_BATCH_ROWS}
        with self._database.connection() as conn:
            claims = records(conn, Claim).execute(statements.attempts.CLAIM, values).fetchall()
            fault_point("ledger:claimed")
            for claim in claims:
                if claim.attempt > 1:
                    prefix = session_name(f"{claim.job_id}/{claim.shard}/")
                    conn.execute(statements.sessions.END_SESSIONS, {"prefix": prefix})
                    conn.execute(statements.attempts.RESTART_COMPUTING, {"job": claim.job_id})
        return claims

    @repeat_rolled_back
    def claim_more(self, first: Claim, shards: int, rows: int, *, worker: str, lease: float) -> list[Claim]:
        """Start attempts at other queued shards with a claim's batch key and at least its priority.

        :param shards: the most shards to claim.
        :param rows: the most rows that they have together.
        """
        values = {
            **{"batch_key": first.batch_key, "queue": first.queue, "priority": first.priority},
            **{"worker": worker, "lease": lease, "max_shards": shards, "max_rows": rows},
        }
        with self._database.connection() as conn:
            return records(conn, Claim).execute(statements.batching.CLAIM_BATCH, values).fetchall()

    @repeat_rolled_back
    def claim_next(self, present: Claim, *, worker: str, lease: float) -> Claim | None:
        """Start an attempt at the next shard of a claim's job, before the shard's ticket has arrived.

        :returns: ``None`` if no later shard is queued that was never tried, or, if it generates text, whose attempts
            were all handed back; or a more urgent shard is queued.
        """
        values = {
            **{"job": present.job_id, "shard": present.shard, "queue": present.queue, "priority": present.priority},
            **{"worker": worker, "lease": lease},
        }
        with self._database.connection() as conn:
            return records(conn, Claim).execute(statements.attempts.CLAIM_NEXT, values).fetchone()

    def commit_batch(
        self, finished: Sequence[Finished], lines: memoryview, *, keyed: bool = False
    ) -> set[tuple[UUID, int]]:
        """Commit the outputs of several shards in one transaction; see :func:`commit_batch`."""
        return commit_batch(self._database, finished, lines, keyed=keyed)

    @repeat_read
    def renew(self, claim: Claim, *, lease: float, rows: int, changed: bool, times: RowTimes = UNKNOWN_TIMES) -> bool:
        """Extend an attempt's lease and report its progress.

        :param lease: seconds from now.
        :param rows: rows computed so far.
        :param times: when they were computed.
        :param changed: notify those who wait for the job.
        :returns: ``False`` if the attempt has lost the shard: to a newer attempt, or because the job was cancelled.
        """
        values = {
            **{**claim_key(claim), "lease": lease, "rows": rows, "age": times.age_s},
            **{"first_rows": times.first_rows, "first_age": times.first_age_s},
        }
        with self._database.connection() as conn:
            renewed = conn.execute(statements.attempts.RENEW, values).fetchone() is not None
            if renewed and changed:
                conn.execute(statements.attempts.NOTIFY_JOB, {"job": claim.job_id})
        return renewed

    @repeat_read
    def failed_rows(self, claim: Claim) -> list[int]:
        """The rows of a shard that have errors, by their number in the job: an ``only_failed`` claim runs these."""
        with self._database.connection() as conn:
            return [row for (row,) in conn.execute(statements.attempts.FAILED_ROWS, row_range(claim))]

    def begin_rows(self, claim: Claim) -> DoneRows:
        """The committed rows of a shard that commits its rows while it runs: an attempt runs the others.

        The errors of a claim with ``only_failed`` are removed, so that their rows run again, too.

        :raises AttemptLost: the claim has ``only_failed``, and is not the current one.
        """
        if claim.only_failed:
            forget_failed_rows(self._database, claim)
        return self.done_rows(claim)

    def done_rows(self, claim: Claim) -> DoneRows:
        """The rows of a shard that have a result or an error."""
        return done_rows(self._database, claim)

    def commit_rows(
        self, parts: Sequence[CommittedRows], lines: memoryview, *, keyed: bool = False
    ) -> set[tuple[UUID, int]]:
        """Commit rows of shards that go on, or end with them, in one transaction; see :func:`commit_rows`."""
        return commit_rows(self._database, parts, lines, keyed=keyed)

    def save_texts(self, parts: Sequence[tuple[Claim, TextPiece]]) -> set[tuple[UUID, int]]:
        """Save what texts have that are being generated; see :func:`save_texts`."""
        return save_texts(self._database, parts)

    def partial_texts(self, claim: Claim) -> list[TextPiece]:
        """What earlier attempts have saved of the texts of a shard, by row, index and start."""
        return list_texts(self._database, claim)

    def renew_many(self, claims: Sequence[Claim], *, lease: float) -> set[tuple[UUID, int]]:
        """Extend the leases of shards that commit their rows while they run; see :func:`renew_many`."""
        return renew_many(self._database, claims, lease)

    @repeat_read
    def first_waiting(self, queues: Sequence[str]) -> list[WaitingShard]:
        """Of each queue and priority with shards that wait for a worker, the one that was published first."""
        with self._database.connection() as conn:
            rows = conn.execute(statements.batching.FIRST_WAITING, {"queues": list(queues)}).fetchall()
        return [WaitingShard(*row) for row in rows]

    def writing(self, claim: Claim) -> AbstractContextManager[AttemptWriter]:
        """One transaction for what the attempt writes."""
        return open_writer(self._database, claim)

    @repeat_rolled_back
    def finish_output_file(self, claim: Claim) -> bool:
        """Count a shard as done whose output file is published, whichever attempt has written the file.

        :returns: whether all shards of the job are done.
        :raises AttemptLost: the attempt is not the current one, or no attempt has decided on a file.
        """
        values = {**claim_key(claim), **row_range(claim)}
        with self._database.transaction() as conn:
            counts = conn.execute(statements.attempts.FINISH_OUTPUT_FILE, values).fetchone()
            if counts is None:
                raise AttemptLost(f"attempt {claim.token} is not the current one, or has nothing to finish")
            count_done(conn, claim, rows=counts[0], failed=counts[1])
            done = conn.execute(statements.attempts.ALL_SHARDS_DONE, {"job": claim.job_id}).fetchone()
        return done is not None and bool(done[0])

    @repeat_rolled_back
    def plan(self, claim: Claim, shards: Sequence[NewShard], rows_total: int) -> None:
        """Commit a planning shard: its new shards join the job.

        :raises AttemptLost: the attempt is not the current one; nothing is written.
        :raises InvalidInput: there are too many shards.
        """
        check_shards(len(shards))
        values = {
            **{"job": claim.job_id, "queue": claim.queue, "priority": claim.priority, "action": claim.kind},
            "max_attempts": claim.max_attempts,
            "indexes": [claim.shard + 1 + number for number in range(len(shards))],
            "starts": [shard.start for shard in shards],
            "stops": [shard.stop for shard in shards],
            "offsets": [shard.offset for shard in shards],
            "lengths": [shard.length for shard in shards],
        }
        with self._database.transaction() as conn:
            pass_fence(conn, claim, rows=0)
            conn.execute(statements.attempts.ADD_SHARDS, values)
            fault_point("ledger:shards_added")
            count_done(conn, claim, rows=0, added=len(shards), rows_total=rows_total)
            conn.execute(statements.attempts.NOTIFY_TICKETS)

    @repeat_rolled_back
    def record_metrics(self, claim: Claim, step: int, values: Mapping[str, float]) -> None:
        """Report metrics of a training attempt while it runs.

        :raises AttemptLost: the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            if not check_fence(conn, claim):
                raise attempt_lost(claim)
            with conn.cursor().copy(statements.attempts.COPY_METRICS) as copy:
                copy.set_types(["uuid", "int4", "int8", "text", "float8"])
                for name, value in values.items():
                    copy.write_row((claim.job_id, claim.attempt, step, name, float(value)))
            conn.execute(statements.attempts.NOTIFY_JOB, {"job": claim.job_id})

    @repeat_rolled_back
    def fail(self, claim: AttemptId, error: str, *, permanent: bool) -> State | None:
        """End an attempt without a result.

        :param error: one sentence for the person who reads ``job.errors()``.
        :param permanent: another attempt cannot succeed, so the whole job ends now.
        :returns: the shard's state, queued again or failed; ``None`` if the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            if permanent:
                conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": claim.job_id})
            return fail_shard(conn, claim.job_id, claim.shard, claim.attempt, error, permanent=permanent)

    def defer(self, claim: Claim, reason: str, *, missing: bool = False) -> State | None:
        """Hand a shard back because of an outage: it runs again after a pause, and the attempt does not count.

        :param reason: one sentence for the person who asks why the job waits.
        :param missing: something is not where it should be, though the place can be reached. If it has been missing
            for :data:`~longshore.shared.ledger.backoff.MISSING_GRACE_S`, whenever an attempt looked, it
            counts as gone, and the job fails.
        :returns: the shard's state, queued again or failed; ``None`` if the attempt is not the current one.
        """
        values = {**claim_key(claim), "error": reason, "missing": missing}
        with self._database.transaction() as conn:
            if conn.execute(statements.attempts.DEFER_SHARD, values).fetchone() is not None:
                conn.execute(statements.attempts.NOTIFY_TICKETS)
                return State.QUEUED
        return self.fail(claim, reason, permanent=True) if missing else None

    @repeat_read
    def give_back(self, names: Sequence[tuple[UUID, int]]) -> None:
        """Have the relay publish shards again whose message a worker has taken without claiming them."""
        values = {"jobs": [job for job, _ in names], "shards": [shard for _, shard in names]}
        with self._database.transaction() as conn:
            conn.execute(statements.attempts.GIVE_BACK, values)
            conn.execute(statements.attempts.NOTIFY_TICKETS)

    @repeat_rolled_back
    def release(self, claim: AttemptId) -> bool:
        """Hand a shard back untouched: it is queued again, and the attempt does not count.

        :returns: ``False`` if the attempt is not the current one.
        """
        with self._database.transaction() as conn:
            released = conn.execute(statements.attempts.RELEASE_SHARD, claim_key(claim)).fetchone() is not None
            fault_point("ledger:released")
            conn.execute(statements.attempts.NOTIFY_TICKETS)
        return released
