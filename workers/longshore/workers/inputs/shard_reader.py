"""Reads and prepares a shard's rows in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.datasets.outputs.result_keys import ResultKeys, result_keys
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.inputs.passthrough import PassthroughColumns
from longshore.workers.inputs.reading import Inputs, window_rows
from longshore.workers.inputs.row_numbers import NumberedRows, number, pick
from longshore.workers.pipeline import Prefetcher
from longshore.workers.runtimes.base import PreparedRows, Runtime


@dataclass(frozen=True)
class Window:
    """Rows that were read and prepared."""

    read: NumberedRows
    prepared: PreparedRows
    #: For the table of results; ``None`` if the job keeps no columns there.
    keys: ResultKeys | None = None


class ShardReader:
    """Yields the windows of a shard.

    :param runtime: prepares the rows.
    :raises DataError: the input is not what it was at submission.
    """

    def __init__(self, runtime: Runtime, inputs: Inputs, ledger: Ledger, claim: Claim, spec: InferSpec) -> None:
        self.runtime = runtime
        signature = runtime.signature
        #: Rows in a window.
        self.rows = window_rows(signature, spec.batch_size)
        columns = list(dict.fromkeys([*(feature.name for feature in signature.features), *spec.keep]))
        passthrough = None
        if spec.output is not None and spec.keep:
            passthrough = PassthroughColumns(spec.keep, OutputPattern.parse(spec.output).format)
        batches = inputs.batches(claim, spec.data, columns, self.rows, ColumnUses.of(signature, spec.keep))
        #: Notes on the input, a sentence each.
        self.notes = inputs.notes(claim, spec.data)
        numbers = ledger.attempts.failed_rows(claim) if claim.only_failed else None
        rows = number(batches, claim.start) if numbers is None else pick(batches, claim.start, numbers)
        #: Rows of all windows together.
        self.expected = claim.stop - claim.start if numbers is None else len(numbers)
        #: Whoever starts it or draws from it closes it.
        self.windows = Prefetcher(prepare_windows(runtime, rows, passthrough, spec.key_columns))


def prepare_windows(
    runtime: Runtime,
    windows: Iterator[NumberedRows],
    passthrough: PassthroughColumns | None = None,
    key_columns: Sequence[str] = (),
) -> Iterator[Window]:
    """Prepare each window for the runtime. Runs in the reader's thread."""
    for rows in windows:
        prepared = runtime.prepare(rows.batch)
        keys = result_keys(rows.batch, key_columns) if key_columns else None
        if passthrough is not None:
            rows = NumberedRows(passthrough.convert(rows.batch), rows.rows)
        yield Window(rows, prepared, keys)
