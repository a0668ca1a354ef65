"""How much space the ledger takes, by table, by model and by job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.ledger.roles.script import tables

#: How many pages of 8 KiB of a table are read to split its size by job.
MAX_PAGES: Final = 1_000
#: All tables of Longshore.
_TABLES: Final = list(tables())
#: The tables whose sizes are split by job, with the statement that samples each.
_SAMPLED: Final[Mapping[str, LiteralString]] = {
    "results": statements.space.SAMPLE_RESULTS,
    "row_errors": statements.space.SAMPLE_ROW_ERRORS,
    "attempt_logs": statements.space.SAMPLE_LOGS,
}


@dataclass(frozen=True)
class JobSpace:
    """Bytes of one table that belong to a job."""

    id: UUID
    kind: str
    model: str
    #: ``results``, ``row_errors``, ``attempt_logs`` or ``inputs``.
    table: str
    size_bytes: float


@dataclass(frozen=True)
class JobBlob:
    """A blob in the store that a job has."""

    id: UUID
    kind: str
    model: str
    digest: str
    #: Its part, from 0 to 1, if several jobs share the blob.
    part: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LedgerSpace:
    """The space that the tables take, and what in the store belongs to whom."""

    #: Bytes by table, with indexes and partitions.
    tables: Mapping[str, int]
    #: The sizes of results, row errors, logs and inline rows, split by job: they add up to those of the tables.
    jobs: tuple[JobSpace, ...]
    #: Whether they are estimates, as the tables are too large to be read.
    sampled: bool
    checkpoints: tuple[JobBlob, ...]
    inputs: tuple[JobBlob, ...]
    #: The digests of all blobs with inline rows, of the present jobs or not.
    input_blobs: frozenset[str]
    #: The digests of uploaded files, and of what batches have left or need.
    uploaded_blobs: frozenset[str]
    #: Model and digest of every file of every version.
    files: tuple[tuple[str, str], ...]


class Space:
    """The part of the ledger that measures itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def tables(self) -> dict[str, int]:
        """Bytes by table, with indexes and partitions."""
        with self._database.connection() as conn:
            rows = conn.execute(statements.space.TABLE_SIZES, {"tables": _TABLES})
            return {name: int(size) for name, size, _ in rows}

    @repeat_read
    def version_blobs(self) -> set[str]:
        """The digests of all files of versions."""
        with self._database.connection() as conn:
            return {digest for _, digest in conn.execute(statements.space.FILES_OF_MODELS)}

    @repeat_read
    def read(self, max_pages: int = MAX_PAGES) -> LedgerSpace:
        """Measure. It takes about the same time however many rows there are.

        :param max_pages: how many pages of a table are read to split its size by job.
        """
        with self._database.connection() as conn:
            rows = conn.execute(statements.space.TABLE_SIZES, {"tables": _TABLES}).fetchall()
            sizes, pages = {name: int(size) for name, size, _ in rows}, {name: int(each) for name, _, each in rows}
            jobs: list[JobSpace] = []
            for table, statement in _SAMPLED.items():
                sampled = conn.execute(statement, {"percent": _percent(pages[table], max_pages)})
                jobs += _split(table, sizes[table], [tuple(row) for row in sampled])
            blocks = conn.execute(
                statements.space.SAMPLE_INPUTS, {"percent": _percent(pages["jobs"], max_pages)}
            ).fetchall()
            jobs += _split("inputs", sizes["inputs"], [row[:4] for row in blocks])
            return LedgerSpace(
                tables=sizes,
                jobs=tuple(jobs),
                sampled=any(pages[table] > max_pages for table in (*_SAMPLED, "jobs")),
                checkpoints=tuple(JobBlob(*row) for row in conn.execute(statements.space.CHECKPOINTS_BY_JOB)),
                inputs=tuple(
                    JobBlob(id_, kind, model, blob, 1 / jobs_of_block)
                    for id_, kind, model, _, blob, jobs_of_block in blocks
                    if blob is not None
                ),
                input_blobs=_strings(conn, statements.space.INPUT_BLOBS),
                uploaded_blobs=_strings(conn, statements.space.UPLOADED_BLOBS),
                files=tuple((model, digest) for model, digest in conn.execute(statements.space.FILES_OF_MODELS)),
            )


def _strings(conn: Connection, statement: LiteralString) -> frozenset[str]:
    return frozenset(row[0] for row in conn.execute(statement))


def _percent(pages: int, max_pages: int) -> float:
    """How much of a table is read."""
    return min(100.0, 100.0 * max_pages / max(pages, 1))


def _split(table: str, size: int, sampled: list[tuple[UUID, str, str, float]]) -> list[JobSpace]:
    """The size of a table, in proportion to the bytes that were found in the sample."""
    total = sum(row[3] for row in sampled)
    return [JobSpace(id_, kind, model, table, size * each / total) for id_, kind, model, each in sampled if total]
