"""Sinks, which write computed windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.outputs.json_text import json_texts
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
    #: A struct for each row, ``(n,)``; null exactly if the row has an error.
    outputs: pa.StructArray
    #: Why a row has no output, by its index in the window.
    errors: dict[int, str]


class Sink(Protocol):
    """Takes windows in order, in the writer's thread. Its output is invisible until the attempt commits."""

    def take(self, window: ComputedWindow) -> None:
        """Write one window."""


class TableSink:
    """Writes to the table ``results``."""

    def __init__(self, claim: Claim, writer: AttemptWriter) -> None:
        self._claim = claim
        self._writer = writer

    def take(self, window: ComputedWindow) -> None:
        """Write the rows that have outputs."""
        rows = pa.array(window.rows)
        outputs = json_texts(window.outputs)
        if window.errors:
            valid = outputs.is_valid()
            rows, outputs = rows.filter(valid), outputs.filter(valid)
        if len(rows):
            self._writer.results(result_lines(self._claim.job_id, rows, outputs))


class ErrorSink:
    """Keeps row errors, by row number in the job, until the attempt commits."""

    def __init__(self) -> None:
        self.errors: dict[int, str] = {}

    def take(self, window: ComputedWindow) -> None:
        """Keep the window's errors."""
        self.errors |= {int(window.rows[index]): reason for index, reason in window.errors.items()}
