"""The results of a job as streams of bytes, in memory that does not grow with them.

They are read a page at a time. No connection to Postgres is held while the caller reads, however slow it is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from longshore.producers.documents.results import result_json
from longshore.producers.result_schema import ResultSchema, SchemaFinder
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.queries import ResultRecord

#: Rows and bytes of one page that is read.
PAGE_ROWS: Final = 2000
PAGE_BYTES: Final = 4 << 20
#: Rows and bytes of one row group of a Parquet file, roughly.
GROUP_ROWS: Final = 65_536
GROUP_BYTES: Final = 16 << 20

#: Bytes to send; empty where there are none yet.
Chunks = Generator[bytes, None, None]


@dataclass(frozen=True)
class JobResults:
    """The results of a job that follow a row."""

    ledger: Ledger
    job: UUID
    #: The number of the row before; -1 for all of them.
    after: int
    key_columns: Sequence[str]
    #: Whether the job generates text.
    generated: bool

    def pages(self) -> Iterator[list[ResultRecord]]:
        """The rows, by row; the last page is empty.

        :raises ResultsPruned: they were removed, perhaps since.
        """
        after, limit = self.after, PAGE_ROWS
        while True:
            rows = self.ledger.queries.results_page(self.job, after, limit, PAGE_BYTES)
            yield rows
            if not rows:
                return
            after = rows[-1].row
            # Postgres reads as many rows as the limit before it looks at their sizes.
            limit = min(2 * len(rows), PAGE_ROWS)

    def json_lines(self) -> Chunks:
        """A JSON object on a line for each row."""
        for rows in self.pages():
            yield "".join(f"{result_json(row)}\n" for row in rows).encode()

    def arrow_stream(self) -> Chunks:
        """An Arrow IPC stream."""
        found = yield from self._schema()
        sink = _Sink()
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), found.schema) as writer:
            for rows in self.pages():
                if rows:
                    writer.write_table(found.table(rows))
                yield sink.take()
        yield sink.take()

    def parquet_file(self) -> Chunks:
        """A Parquet file."""
        found = yield from self._schema()
        sink = _Sink()
        group: list[ResultRecord] = []
        size = 0
        with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), found.schema) as writer:
            for rows in self.pages():
                group += rows
                size += sum(len(row.output) for row in rows)
                if group and (not rows or len(group) >= GROUP_ROWS or size >= GROUP_BYTES):
                    writer.write_table(found.table(group))
                    group, size = [], 0
                yield sink.take()
        yield sink.take()

    def _schema(self) -> Generator[bytes, None, ResultSchema]:
        """The schema of all rows, which are read for it."""
        finder = SchemaFinder(self.key_columns, generated=self.generated)
        for rows in self.pages():
            if rows:
                finder.add(rows)
            yield b""
        return finder.found()


class _Sink:
    """A file whose content is taken away while it is written."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
