"""What went wrong with a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import JsonValue

from longshore.shared.errors import JobFailed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State


@dataclass(frozen=True)
class JobError:
    """An error of a row, or of an attempt at a shard."""

    message: str
    row: int | None = None
    shard: int | None = None
    attempt: int | None = None
    worker: str | None = None
    #: Of a row: the columns of the input that the job keeps, by name; ``None`` if it keeps none.
    key: dict[str, JsonValue] | None = field(default=None, hash=False)


def check_succeeded(ledger: Ledger, record: JobRecord) -> None:
    """Check how a job has ended.

    :raises JobFailed: it failed or was cancelled. If too many rows have errors, the message has the first one.
    :raises ServiceUnavailable: the errors are needed, and Postgres cannot be reached.
    """

    def first_error() -> tuple[int, str] | None:
        return next(((row, message) for row, message, _ in ledger.queries.row_errors(record.id, 1)), None)

    raise_failure(record, first_error)


def raise_failure(record: JobRecord, first_error: Callable[[], tuple[int, str] | None]) -> None:
    """As :func:`check_succeeded`.

    :param first_error: reads the first row that has an error, and the error.
    """
    if record.state is State.SUCCEEDED:
        return
    reason = record.error or "no reason recorded"
    if record.rows_failed and record.state is State.FAILED and record.shards_done >= record.shards_total:
        found = first_error()
        reason += "" if found is None else f"; row {found[0]}: {found[1]}"
    raise JobFailed(f"job {record.id} {record.state}: {reason}")
