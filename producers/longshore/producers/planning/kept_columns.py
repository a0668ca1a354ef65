"""Checks, before a job is queued, that the columns that ``keep`` names can be stored with its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from longshore.shared.datasets.open import with_uses
from longshore.shared.datasets.outputs.pattern import RESERVED, OutputFormat, OutputPattern
from longshore.shared.datasets.outputs.result_keys import check_first_keys, check_key_columns
from longshore.shared.datasets.outputs.writers import to_json_lines
from longshore.shared.datasets.schemas import type_of_column
from longshore.shared.datasets.source import Source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import InferSpec

#: Number of rows whose keys are checked at submission.
CHECKED_ROWS: Final = 1024


@dataclass(frozen=True)
class KeptColumns:
    """The columns that a job keeps, and where."""

    names: tuple[str, ...] = ()
    #: Those that make the keys in the table ``results``: all or none.
    key_columns: tuple[str, ...] = ()
    #: The format of the output files; ``None`` if there are none.
    file_format: OutputFormat | None = None

    @classmethod
    def of(cls, spec: InferSpec, output: OutputPattern | None) -> KeptColumns:
        """Those of a spec, and its output, as :func:`settle_output` returns them."""
        return cls(spec.keep, spec.key_columns, None if output is None else output.format)

    def check(self, schema: pa.Schema) -> None:
        """:raises InvalidInput: a column is missing from the data or cannot be stored; names ``keep``."""
        if self.file_format is not None:
            self._check_files(schema, self.file_format)
        check_key_columns(self.key_columns, schema)

    def check_rows(self, table: pa.Table) -> None:
        """:raises InvalidInput: as :meth:`check`, or no key of the first rows can be stored."""
        self.check(table.schema)
        if self.key_columns:
            check_first_keys(table.slice(0, CHECKED_ROWS), self.key_columns)

    def check_source(self, source: Source) -> None:
        """:raises InvalidInput: as :meth:`check_rows`, or the data cannot be read."""
        if not self.names:
            return
        written = with_uses(source, ColumnUses(written=frozenset(self.names)))
        self.check(written.schema)
        if not self.key_columns:
            return
        try:
            first = written.head(CHECKED_ROWS)
        except DataError as error:
            raise InvalidInput("data", str(error)) from None
        check_first_keys(first, self.key_columns)

    def _check_files(self, schema: pa.Schema, file_format: OutputFormat) -> None:
        there = Counter(schema.names)
        for name in self.names:
            kind = type_of_column(schema, there, name, "keep")
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind  # written without the encoding
            if not _can_be_written(kind, file_format):
                raise InvalidInput(
                    "keep",
                    f"column {name!r} holds {kind}, which {file_format} files cannot; convert it, or leave it out",
                )


NOTHING_KEPT: Final = KeptColumns()


def check_keep_names(keep: Sequence[str], reserved: Collection[str] = RESERVED) -> None:
    """:raises InvalidInput: a name stands in ``keep`` twice, or is that of an output."""
    for name, times in Counter(keep).items():
        if times > 1:
            raise InvalidInput("keep", f"{name!r} stands there {times} times")
        if name in reserved:
            raise InvalidInput("keep", f"{name!r} is a column of the outputs; rename it in the data")


def _can_be_written(kind: pa.DataType, form: OutputFormat) -> bool:
    try:
        empty = pa.RecordBatch.from_arrays([pa.array([], kind)], ["column"])
        if form == "jsonl":
            to_json_lines(empty)
        else:
            pq.write_table(pa.Table.from_batches([empty]), pa.BufferOutputStream())
    except (pa.ArrowException, TypeError, NotImplementedError):
        return False
    return True
