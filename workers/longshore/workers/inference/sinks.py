"""Sinks, which write computed windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared import limits
from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.datasets.outputs.result_keys import ResultKeys
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.ledger.shards.writer import AttemptWriter


@dataclass(frozen=True)
class ComputedWindow:
    """A window of n rows that went through the model, in the order of the input."""

    #: Row numbers in the job, ``(n,)``, ascending; consecutive unless only failed rows run again.
    rows: npt.NDArray[np.int64]
    #: The rows as they were read, ``(n,)``.
    inputs: pa.RecordBatch
    #: A struct for each row, ``(n,)``; null if the computation of the row has failed.
    outputs: pa.StructArray
    #: Why a row has no output, by its index in the window. A sink can add errors for those after it.
    errors: dict[int, str]
    #: The keys of the rows, ``(n,)``; ``None`` if the job keeps no columns in the table.
    keys: ResultKeys | None = None

    @property
    def valid(self) -> pa.BooleanArray:
        """Whether each row has no error, ``(n,)``."""
        valid = np.ones(len(self.rows), bool)
        valid[list(self.errors)] = False
        return pa.array(valid)


def storable(texts: pa.LargeStringArray) -> tuple[pa.LargeStringArray, dict[int, str]]:
    """Results as JSON, ``(n,)``, with null for each that is too large to be stored; and the errors of these rows."""
    if texts.nbytes <= limits.MAX_RESULT_BYTES:
        return texts, {}
    sizes = pc.binary_length(texts)
    too_large = pc.fill_null(pc.greater(sizes, limits.MAX_RESULT_BYTES), False)
    remedy = f"and at most {limits.MAX_RESULT_BYTES:,} are stored; write the results to files with output"
    errors = {
        row: f"its result has {sizes[row].as_py():,} bytes as JSON, {remedy}"
        for row in np.flatnonzero(too_large.to_numpy(zero_copy_only=False)).tolist()
    }
    return pc.if_else(too_large, None, texts) if errors else texts, errors


class Sink(Protocol):
    """Takes windows in order, in the writer's thread. Its output is invisible until the attempt commits."""

    def take(self, window: ComputedWindow) -> None:
        """Write one window."""


class TableSink:
    """Writes to the table ``results``. Other sinks come after it: a result that is too large becomes an error."""

    def __init__(self, claim: Claim, writer: AttemptWriter) -> None:
        self._claim = claim
        self._writer = writer

    def take(self, window: ComputedWindow) -> None:
        """Write the rows that have outputs."""
        rows = pa.array(window.rows)
        outputs, too_large = storable(json_texts(window.outputs))
        window.errors.update(too_large)
        keys = None
        if window.keys is not None:
            keys = window.keys.texts
            window.errors.update({**window.keys.errors, **window.errors})
        if window.errors:
            valid = window.valid
            rows, outputs = rows.filter(valid), outputs.filter(valid)
            keys = None if keys is None else keys.filter(valid)
        if len(rows):
            lines = result_lines(self._claim.job_id, rows, outputs, keys)
            self._writer.results(lines, keyed=keys is not None)


class ErrorSink:
    """Keeps row errors, by row number in the job, until the attempt commits."""

    def __init__(self) -> None:
        self.errors: dict[int, str] = {}
        #: The keys of these rows, as JSON texts.
        self.keys: dict[int, str] = {}

    @property
    def summary(self) -> list[str]:
        """A line for the log of the attempt; none if there are no errors."""
        if not self.errors:
            return []
        first = min(self.errors)
        return [f"rows with errors: {len(self.errors):,}; the first is row {first}: {self.errors[first]}"]

    def take(self, window: ComputedWindow) -> None:
        """Keep the window's errors."""
        self.errors |= {int(window.rows[index]): reason for index, reason in window.errors.items()}
        if window.keys is not None:
            self.keys |= {int(window.rows[index]): key for index, key in window.keys.of(window.errors).items()}
