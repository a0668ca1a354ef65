"""The one schema of results that do not fit into memory: each part of them could be of other types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from longshore.producers.result_keys import KeyValue, column_type, decisive
from longshore.producers.results import results_table
from longshore.shared.errors import DataError
from longshore.shared.ledger.queries import ResultRecord


@dataclass(frozen=True)
class ResultSchema:
    """The columns of all results of a job."""

    schema: pa.Schema
    key_types: Mapping[str, pa.DataType]
    #: Whether they are of a job that generates text.
    generated: bool

    def table(self, rows: Sequence[ResultRecord]) -> pa.Table:
        """Some of the rows.

        :raises DataError: they were added since, and have other columns or types.
        """
        table = results_table(rows, list(self.key_types), self.key_types, generated=self.generated)
        if added := set(table.column_names).difference(self.schema.names):
            raise DataError(f"results with the column {min(added)!r} were added meanwhile; read them again")
        for field in self.schema:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        try:
            return table.select(self.schema.names).cast(self.schema)
        except pa.ArrowException as error:
            raise DataError(f"results of other types were added meanwhile; read them again: {error}") from None


class SchemaFinder:
    """Looks at all results, a part at a time. The type of a column is known only after its last value.

    :param key_columns: the names of the columns that the job keeps.
    :param generated: whether the rows are of a job that generates text.
    """

    def __init__(self, key_columns: Sequence[str], *, generated: bool) -> None:
        self._generated = generated
        self._schema = results_table([], key_columns, generated=generated).schema
        self._seen: dict[str, list[KeyValue]] = {name: [] for name in key_columns}

    def add(self, rows: Sequence[ResultRecord]) -> None:
        """Look at some rows."""
        table = results_table(rows, list(self._seen), generated=self._generated)
        self._seen = {name: decisive([*values, *table.column(name).to_pylist()]) for name, values in self._seen.items()}
        outputs = table.drop_columns(list(self._seen)).schema
        self._schema = pa.unify_schemas([self._schema, outputs], promote_options="permissive")

    def found(self) -> ResultSchema:
        """The schema of the rows so far."""
        types = {name: column_type(values) for name, values in self._seen.items()}
        schema = pa.schema([field.with_type(types.get(field.name, field.type)) for field in self._schema])
        return ResultSchema(schema, types, self._generated)
