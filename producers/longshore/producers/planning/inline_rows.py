"""Rows that come with a call: many jobs' rows in one block, large blocks in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from uuid_utils.compat import uuid7

from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.ledger.records import NewInput
from longshore.shared.limits import check_inline
from longshore.shared.specs.families import TOKENISED
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.store.store import Store

_TOKENISED: Final = frozenset(TOKENISED)
#: Bytes of rows in one block: a worker fetches a block whole.
BLOCK_BYTES = 8 * 2**20
#: Bytes up to which a block lies in Postgres; larger ones lie in the store.
LEDGER_BYTES = 8 * 2**20


def joined(batches: Sequence[object]) -> tuple[pa.Table, list[int]] | None:
    """The rows of many requests as one table, with how many each has; ``None`` where they are not of one kind.

    One conversion of ten thousand rows is far cheaper than ten thousand of one row.
    """
    first = batches[0]
    if all(isinstance(batch, list) for batch in batches):
        rows = [row for batch in batches if isinstance(batch, list) for row in batch]
        counts = [len(batch) for batch in batches if isinstance(batch, list)]
        return (to_table(rows), counts) if all(counts) else None
    # Concatenating drops the masks of masked arrays, which are a class of their own.
    arrays = [batch for batch in batches if type(batch) is np.ndarray]
    if len(arrays) == len(batches) and type(first) is np.ndarray and first.ndim > 1:
        same_layout = all(
            array.dtype == first.dtype and array.shape[1:] == first.shape[1:] and len(array) for array in arrays
        )
        return (to_table(np.concatenate(arrays)), [len(array) for array in arrays]) if same_layout else None
    return None


def joined_tokens(batches: Sequence[object]) -> tuple[pa.Table, list[int]] | None:
    """As :func:`joined`, for requests of tokens that :func:`are_alike_tokens` takes."""
    if not are_alike_tokens(batches):
        return None
    columns = [batch for batch in batches if isinstance(batch, dict)]
    table = to_table({name: [row for batch in columns for row in batch[name]] for name in columns[0]})
    return table, [len(next(iter(batch.values()))) for batch in columns]


def are_alike_tokens(batches: Sequence[object]) -> bool:
    """Whether batches are dicts of the same columns of tokens, each with a list of rows. Such columns are lists of
    whole numbers or wrong, whatever the rows of other callers are.
    """
    first = batches[0]
    if not isinstance(first, dict) or not first.keys() <= _TOKENISED:
        return False
    return all(
        isinstance(batch, dict)
        and batch.keys() == first.keys()
        and all(type(column) is list for column in batch.values())
        and len(lengths := {len(column) for column in batch.values()}) == 1
        and 0 not in lengths
        for batch in batches
    )


class InputBlocks:
    """Collects the blocks of one call.

    :param store: opened when a block is too large for the ledger.
    """

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self.made: list[NewInput] = []

    def take(self, table: pa.Table, counts: Sequence[int]) -> list[InlineInput]:
        """Put the rows of several requests into blocks; a request's rows stay together.

        :param counts: rows of each request, in the table's order.
        """
        per_row = max(table.nbytes // max(table.num_rows, 1), 1)
        check_inline(per_row * max(counts, default=0))
        limit = max(BLOCK_BYTES // per_row, 1)
        inputs: list[InlineInput] = []
        start = row_count = 0
        waiting: list[int] = []
        for count in counts:
            if waiting and row_count + count > limit:
                inputs += self._close(table.slice(start, row_count), waiting)
                start, row_count, waiting = start + row_count, 0, []
            waiting.append(count)
            row_count += count
        return inputs + self._close(table.slice(start, row_count), waiting)

    def _close(self, table: pa.Table, counts: Sequence[int]) -> list[InlineInput]:
        content = encode_block(table)
        id_ = uuid7()
        block = str(id_)
        if len(content) > LEDGER_BYTES:
            self.made.append(NewInput(id=id_, blob=self._store().put_blob(content).digest))
        else:
            self.made.append(NewInput(id=id_, data=content))
        inputs, offset = [], 0
        for count in counts:
            # Ours, so they need no checking; there can be thousands.
            inputs.append(InlineInput.model_construct(block=block, offset=offset, rows=count))
            offset += count
        return inputs
