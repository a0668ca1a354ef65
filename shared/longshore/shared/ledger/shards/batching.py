"""Small shards of many jobs, claimed, computed and committed together.

Shards with the same batch key can share a forward pass. A queued shard that has a batch key and was never tried can be
claimed by a message that names another shard with that key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from psycopg import Rollback

from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.postgres.repeating import repeat_rolled_back
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.copy_rows import copy_row_errors, copy_statement
from longshore.shared.ledger.shards.transitions import add_notes

#: The most rows of a shard that has a batch key. A larger shard gains nothing by sharing its forward pass.
MAX_SMALL_SHARD_ROWS: Final = 256
#: The most shards that are claimed together.
MAX_BATCH_SHARDS: Final = 512
#: The most rows of shards that are claimed together. A single shard can have more.
MAX_BATCH_ROWS: Final = 1024


def batch_key_of(digest: str, options: str) -> str:
    """The batch key of small shards, 32 hexadecimal digits.

    :param digest: that of the version.
    :param options: the job's spec without its data, as JSON without defaults.
    """
    return hashlib.sha256(f"{digest}\n{options}".encode()).hexdigest()[:32]


def is_full(shards: int, rows: int) -> bool:
    """Whether a claim may have left shards with its batch key behind because it reached a limit."""
    return shards >= MAX_BATCH_SHARDS or rows + MAX_SMALL_SHARD_ROWS > MAX_BATCH_ROWS


@dataclass(frozen=True)
class Finished:
    """A shard whose outputs are computed."""

    claim: Claim
    #: How many rows have results.
    rows: int
    #: Why rows have none, by their number in the job.
    errors: Mapping[int, str] = field(default_factory=dict)
    #: What the job's owner should know though nothing failed, a sentence each.
    notes: Sequence[str] = ()
    #: The keys of rows that have errors, as JSON texts.
    keys: Mapping[int, str] = field(default_factory=dict)

    @property
    def name(self) -> tuple[UUID, int]:
        """The job and the index of the shard."""
        return self.claim.job_id, self.claim.shard


@repeat_rolled_back
def commit_batch(
    database: Database, finished: Sequence[Finished], lines: memoryview, *, keyed: bool = False
) -> set[tuple[UUID, int]]:
    """Commit all of some shards in one transaction, or none.

    :param lines: their rows, as :func:`~longshore.shared.ledger.shards.copy_rows.result_lines` makes them.
    :param keyed: whether the lines have keys.
    :returns: the shards whose attempt is not the current one any more. If there are any, nothing is written: call again
        without them.
    :raises ValueError: a shard runs only its failed rows.
    """
    claims = [each.claim for each in finished]
    if any(claim.only_failed for claim in claims):
        raise ValueError("a shard that runs only its failed rows is committed alone")
    values = {
        "jobs": [claim.job_id for claim in claims],
        "shards": [claim.shard for claim in claims],
        "attempts": [claim.attempt for claim in claims],
        "rows": [each.rows for each in finished],
        "failed": [len(each.errors) for each in finished],
    }
    with database.transaction() as conn:
        current = set(conn.execute(statements.batching.FINISH_SHARDS, values).fetchall())
        lost = {each.name for each in finished} - current
        if lost:
            raise Rollback
        fault_point("ledger:batch_fenced")
        _write(conn, finished, lines, keyed)
        fault_point("ledger:batch_copied")
        with conn.pipeline():
            conn.execute(statements.batching.COUNT_SHARDS_DONE, values)
            for each in finished:
                add_notes(conn, each.claim.job_id, each.notes)
            conn.execute(statements.attempts.SETTLE_JOBS, {"jobs": sorted({claim.job_id for claim in claims})})
    return lost


def _write(conn: Connection, finished: Sequence[Finished], lines: memoryview, keyed: bool) -> None:
    if lines:
        with conn.cursor().copy(copy_statement(keyed)) as copy:
            copy.write(lines)
    if any(each.errors for each in finished):
        with conn.cursor().copy(statements.attempts.COPY_ROW_ERRORS) as copy:
            for each in finished:
                copy_row_errors(copy, each.claim.job_id, each.errors, each.keys)
