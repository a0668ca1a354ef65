"""What an attempt writes: one transaction, invisible until it commits, and committed only by the current attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from psycopg import Copy
from psycopg.errors import UniqueViolation
from pydantic import JsonValue

from longshore.shared.errors import UnknownModel
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.models.promotion import Promotion, move_alias
from longshore.shared.ledger.models.registry import NewVersion, add_version
from longshore.shared.ledger.records import Claim, VersionRecord
from longshore.shared.ledger.shards.copy_rows import NO_KEYS, copy_row_errors, copy_statement
from longshore.shared.ledger.shards.transitions import (
    attempt_lost,
    check_fence,
    count_done,
    decide_output_file,
    pass_fence,
    row_range,
)


class AttemptWriter:
    """Takes result rows while they are computed, then the outcome.

    Call :meth:`results` any number of times, then :meth:`fence`, then :meth:`row_errors` and :meth:`version` as needed,
    then :meth:`finish`. Without ``finish``, nothing is written.

    For a claim with ``only_failed``, it takes results and errors of exactly the rows that have errors in the ledger.

    An attempt that writes a file calls :meth:`decide` instead of ``fence`` and ``finish``: the shard stays running
    until :meth:`~longshore.shared.ledger.shards.attempts.Attempts.finish_part`.
    """

    def __init__(self, conn: Connection, claim: Claim, stack: ExitStack) -> None:
        self._conn = conn
        self._claim = claim
        self._stack = stack
        self._copy: Copy | None = None
        self._rows = 0
        self._failed = 0
        self._rows_to_retry = 0
        self._notes: list[str] = []
        self.promotion: Promotion | None = None
        self.finished = False

    def results(self, lines: bytes | memoryview, *, keyed: bool = False) -> None:
        """Send rows, as :func:`~longshore.shared.ledger.shards.copy_rows.result_lines` makes them.

        :param keyed: whether they have keys; the same in every call.
        """
        if self._copy is None:
            self._copy = self._stack.enter_context(self._conn.cursor().copy(copy_statement(keyed)))
        self._copy.write(lines)

    def fence(self, rows: int) -> None:
        """End the rows, and make sure that this attempt is the current one. From here on, no other can become so.

        :param rows: how many rows have results by this attempt.
        :raises AttemptLost: it is not the current one.
        """
        self._stack.close()
        fault_point("ledger:results_copied")
        pass_fence(self._conn, self._claim, rows)
        self._rows = rows
        if self._claim.only_failed:
            self._rows_to_retry = self._conn.execute(
                statements.attempts.FORGET_ROW_ERRORS, row_range(self._claim)
            ).rowcount

    def decide(self, output_file: str, notes: Sequence[str] = ()) -> None:
        """End the rows, and decide that ``output_file`` is the shard's file. No attempt computes the shard again.

        :param output_file: the attempt's file; empty if no row has an output.
        :param notes: see :meth:`notes`.
        :raises AttemptLost: the attempt is not the current one.
        """
        self._stack.close()
        decide_output_file(self._conn, self._claim, output_file, notes)
        fault_point("ledger:file_decided")
        self.finished = True

    def row_errors(self, errors: Mapping[int, str], keys: Mapping[int, str] = NO_KEYS) -> None:
        """Write why rows have no result, by their number in the job.

        :param keys: the keys of these rows, as JSON texts; a row can have none.
        """
        self._failed = len(errors)
        if errors:
            with self._conn.cursor().copy(statements.attempts.COPY_ROW_ERRORS) as copy:
                copy_row_errors(copy, self._claim.job_id, errors, keys)
            fault_point("ledger:errors_copied")

    def notes(self, sentences: Sequence[str]) -> None:
        """Add sentences to the job's notes: what its owner should know though nothing failed. Each is added once."""
        self._notes += sentences

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Report metrics of the shard; they are written with its result.

        :param step: tells the shards of a job apart: the number of the first row.
        """
        if values:
            with self._conn.cursor().copy(statements.attempts.COPY_METRICS) as copy:
                copy.set_types(["uuid", "int4", "int8", "text", "float8"])
                for name, value in values.items():
                    copy.write_row((self._claim.job_id, self._claim.attempt, step, name, float(value)))

    def version(self, new: NewVersion) -> int:
        """Add a version of a model and return its number. :attr:`promotion` says whether its alias was moved."""
        added = add_version(self._conn, new, self._claim.job_id)
        self.promotion = added.promotion
        if added.promotion is not None:
            self.notes(added.promotion.notes)
        return added.version

    def promote(self, model: str, version: int, alias: str, condition: str | None) -> Promotion:
        """Point an alias at a version if the condition holds.

        :raises UnknownModel: the version was deleted.
        """
        values = {"model": model, "version": version}
        # Keeps the version from being deleted until the alias points at it.
        self._conn.execute(statements.models.LOCK_MODEL, values)
        record = records(self._conn, VersionRecord).execute(statements.models.RESOLVE_VERSION, values).fetchone()
        if record is None:
            raise UnknownModel("model", f"{model}:{version} was deleted")
        return move_alias(self._conn, alias, record, self._claim.producer, condition, self._claim.job_id)

    def finish(self, outcome: Mapping[str, JsonValue] | None = None, rows_total: int | None = None) -> None:
        """Count the shard as done. The transaction commits when the ``with`` block ends.

        :param rows_total: rows of the job, if they were not known before they were read.
        """
        ran = self._rows + self._failed
        if self._claim.only_failed and ran != self._rows_to_retry:
            raise RuntimeError(
                f"attempt {self._claim.token} had {self._rows_to_retry} rows to run again, and ran {ran}"
            )
        count_done(
            *(self._conn, self._claim),
            rows=self._rows,
            failed=self._failed,
            rows_total=rows_total,
            outcome=outcome,
            notes=self._notes,
        )
        self.finished = True


@contextmanager
def open_writer(database: Database, claim: Claim) -> Iterator[AttemptWriter]:
    """A writer for one attempt, in a transaction that carries the attempt's name.

    If the attempt's worker hangs with rows half written, a later attempt finds the transaction by that name and ends
    it.
    """
    try:
        with database.transaction() as conn, ExitStack() as stack:
            conn.execute(statements.sessions.BEGIN_WRITING, {"name": session_name(claim.token)})
            writer = AttemptWriter(conn, claim, stack)
            yield writer
            if not writer.finished:
                raise RuntimeError(f"attempt {claim.token} ended its writing without finish()")
    except UniqueViolation:
        # Another attempt has committed these rows already; Postgres sees that before the fence does.
        with database.connection() as conn:
            if not check_fence(conn, claim):
                raise attempt_lost(claim) from None
        raise


def session_name(token: str) -> str:
    """The name of an attempt's connection in Postgres, at most 61 bytes long. Postgres keeps 63."""
    return f"ls:{token}"
