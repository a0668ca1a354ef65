"""Reads the rows of one split of a source as numbers, run by run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.specs.signature import Signature
from longshore.workers.train.data.bad_rows import bad_row
from longshore.workers.train.data.stream.splitting import Splitter
from longshore.workers.train.data.targets import TargetEncoder, Values

#: Rows read at a time, and the bytes of numbers that they make, at most.
_ROWS, _BYTES = 8192, 16 << 20
#: Rows in a run, unless the file's layout decides: few, so that there are many runs to shuffle.
RUN_ROWS = 16_384

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StreamSource:
    """A file to stream from, divided into runs of rows that are read at once."""

    #: The argument that named it: ``data``, ``validation`` or ``test``.
    field: str
    source: Source
    runs: Sequence[Segment]
    splitter: Splitter
    #: Notes on how the rows are read, a sentence each.
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all runs."""
        return self.runs[-1].stop if self.runs else 0


def cut_runs(source: Source) -> Sequence[Segment]:
    """Divide a file into runs: its row groups if it has any, because these are decoded from their start."""
    borders = getattr(source, "borders", None)
    if borders is None:
        return source.segments(RUN_ROWS)
    return [Segment(start, stop) for start, stop in itertools.pairwise(borders) if stop > start]


def batches(stream: StreamSource, run: int, columns: Sequence[str], width: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batches of a run, each with the number of its first row.

    :param columns: columns to read, besides those that the splitter needs.
    :param width: numbers that a row makes.
    """
    start = stream.runs[run].start
    names = list(dict.fromkeys([*columns, *stream.splitter.columns]))
    rows = max(1, min(_ROWS, _BYTES // (4 * max(width, 1))))
    for batch in stream.source.batches(stream.runs[run], names, rows):
        yield start, batch
        start += batch.num_rows


def split_rows(
    stream: StreamSource, part: int, order: Sequence[int], skip: int, signature: Signature, encoder: TargetEncoder
) -> Iterator[tuple[Floats, Values]]:
    """The features, float32 ``(n, width)``, and the targets of the rows of ``part``, batch by batch.

    :param order: the runs to go through.
    :param skip: rows of the split to skip at the start.
    :raises InvalidInput: a row is bad, although the scan found none.
    """
    names = [feature.name for feature in signature.features]
    for run in order:
        for start, batch in batches(stream, run, [*names, encoder.name], signature.width):
            picked = np.flatnonzero(stream.splitter.parts(batch, start) == part)
            left_out = min(skip, len(picked))
            skip -= left_out
            picked = picked[left_out:]
            if not len(picked):
                continue
            if len(picked) < batch.num_rows:
                batch = batch.take(pa.array(picked))
            yield features_of(stream, batch, start, picked, signature), encode(stream, batch, start, encoder)


def features_of(
    stream: StreamSource, batch: pa.RecordBatch, start: int, picked: npt.NDArray[np.int64], signature: Signature
) -> Floats:
    """:raises InvalidInput: a row is bad; names it by ``start`` and its place among the ``picked``."""
    made = to_matrix(batch, signature)
    if made.errors:
        row = min(made.errors)
        raise bad_row(stream.field, start + int(picked[row]), made.errors[row], signature)
    return made.values


def encode(stream: StreamSource, batch: pa.RecordBatch, start: int, encoder: TargetEncoder) -> Values:
    """:raises InvalidInput: a target is bad."""
    where = "" if stream.field == "data" else f" of {stream.field}"
    return encoder.encode(pa.chunked_array([batch.column(encoder.name)]), start, where)
