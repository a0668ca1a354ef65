"""What an attempt writes: one transaction, invisible until it ends, and ended only by the current attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from psycopg import Copy
from psycopg.errors import UniqueViolation
from pydantic import JsonValue

from longshore.shared.errors import AttemptLost, UnknownModel
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.models import NewVersion, add_version
from longshore.shared.ledger.promotion import Promotion, move_alias
from longshore.shared.ledger.records import Claim, VersionRecord
from longshore.shared.ledger.transitions import claim_key, count_done, decide_output_file, pass_fence, row_range


class AttemptWriter:
    """Takes result rows while they are computed, then the outcome.

    The order is: any number of :meth:`results`, then :meth:`fence`, then :meth:`row_errors` and :meth:`version` as
    needed, then :meth:`finish`. Leaving without ``finish`` leaves nothing behind.

    Of a claim with ``only_failed`` it takes results and errors of exactly those rows that have errors in the ledger.

    An attempt that writes a file calls :meth:`decide` in place of ``fence`` and ``finish``: the shard goes on running
    until :meth:`~longshore.shared.ledger.attempts.Attempts.finish_part`.
    """

    def __init__(self, conn: Connection, claim: Claim, stack: ExitStack) -> None:
        self._conn = conn
        self._claim = claim
        self._stack = stack
        self._copy: Copy | None = None
        self._rows = 0
        self._failed = 0
        self._tried_again = 0
        self._notes: list[str] = []
        self.promotion: Promotion | None = None
        self.finished = False

    def results(self, lines: bytes | memoryview) -> None:
        """Send rows, as :func:`~longshore.shared.ledger.copy_rows.result_lines` makes them."""
        if self._copy is None:
            self._copy = self._stack.enter_context(self._conn.cursor().copy(statements.attempts.COPY_RESULTS))
        self._copy.write(lines)

    def fence(self, rows: int) -> None:
        """End the rows, and make sure that this attempt is the current one; from here on no other can be.

        :param rows: how many rows have results by this attempt.
        :raises AttemptLost: it is not.
        """
        self._stack.close()
        pass_fence(self._conn, self._claim, rows)
        self._rows = rows
        if self._claim.only_failed:
            self._tried_again = self._conn.execute(
                statements.attempts.FORGET_ROW_ERRORS, row_range(self._claim)
            ).rowcount

    def decide(self, output_file: str, notes: Sequence[str] = ()) -> None:
        """End the rows, and settle that ``output_file`` is the shard's file; no attempt computes it again.

        :param output_file: the attempt's file; empty where no row has an output.
        :param notes: see :meth:`notes`.
        :raises AttemptLost: the attempt is not the current one.
        """
        self._stack.close()
        decide_output_file(self._conn, self._claim, output_file, notes)
        self.finished = True

    def row_errors(self, errors: Mapping[int, str]) -> None:
        """Rows that have no result, and why."""
        self._failed = len(errors)
        if errors:
            with self._conn.cursor().copy(statements.attempts.COPY_ROW_ERRORS) as copy:
                copy.set_types(["uuid", "int8", "text"])
                for row, error in errors.items():
                    copy.write_row((self._claim.job_id, row, error))

    def notes(self, sentences: Sequence[str]) -> None:
        """What the job's owner should know though nothing failed; kept with the job, each sentence once."""
        self._notes += sentences

    def version(self, new: NewVersion) -> int:
        """Add a version of a model and return its number. ``promotion`` tells what became of its alias."""
        added = add_version(self._conn, new, self._claim.job_id)
        self.promotion = added.promotion
        if added.promotion is not None:
            self.notes(added.promotion.notes)
        return added.version

    def promote(self, model: str, version: int, alias: str, condition: str | None) -> Promotion:
        """Point an alias at a version, if the condition holds.

        :raises UnknownModel: the version was deleted.
        """
        values = {"model": model, "version": version}
        found = records(self._conn, VersionRecord).execute(statements.models.RESOLVE_VERSION, values).fetchone()
        if found is None:
            raise UnknownModel("model", f"{model}:{version} was deleted")
        return move_alias(self._conn, alias, found, self._claim.producer, condition)

    def finish(self, outcome: Mapping[str, JsonValue] | None = None, rows_total: int | None = None) -> None:
        """Count the shard as done. The transaction commits when the ``with`` block ends.

        :param rows_total: rows of the job, where only reading them has told.
        """
        came = self._rows + self._failed
        if self._claim.only_failed and came != self._tried_again:
            raise RuntimeError(f"attempt {self._claim.token} had {self._tried_again} rows to run again, and ran {came}")
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

    By that name a later attempt finds and ends it, should its worker hang with rows half written.
    """
    try:
        with database.transaction() as conn, ExitStack() as stack:
            conn.execute("SELECT set_config('application_name', %s, true)", [session_name(claim.token)])
            writer = AttemptWriter(conn, claim, stack)
            yield writer
            if not writer.finished:
                raise RuntimeError(f"attempt {claim.token} ended its writing without finish()")
    except UniqueViolation:
        # Another attempt has committed these rows already; Postgres sees that before the fence does.
        with database.connection() as conn:
            if conn.execute(statements.attempts.STILL_CURRENT, claim_key(claim)).fetchone() is None:
                raise AttemptLost(f"attempt {claim.token} is not the current one; nothing of it is kept") from None
        raise


def session_name(token: str) -> str:
    """How Postgres shows a connection of an attempt. It keeps 63 bytes of a name; this is at most 61."""
    return f"ls:{token}"
