"""Where computed windows go."""

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
class Computed:
    """A window of n rows that went through the model, in the order of the input."""

    #: Row numbers in the job, ``(n,)``, ascending: those of a run of rows, unless only failed rows are run again.
    rows: npt.NDArray[np.int64]
    #: What was read of the rows, ``(n,)``.
    inputs: pa.RecordBatch
    #: A struct for each row, ``(n,)``; null exactly where the row has an error.
    outputs: pa.StructArray
    #: Why a row has no output, by its place in the window.
    errors: dict[int, str]


class Sink(Protocol):
    """Takes windows in order, in the writer's thread. What it writes is invisible until the attempt commits."""

    def take(self, window: Computed) -> None:
        """Write one window."""


class TableSink:
    """The table ``results``."""

    def __init__(self, claim: Claim, writer: AttemptWriter) -> None:
        self._claim = claim
        self._writer = writer

    def take(self, window: Computed) -> None:
        """Send the rows that have outputs."""
        rows = pa.array(window.rows)
        outputs = json_texts(window.outputs)
        if window.errors:
            kept = outputs.is_valid()
            rows, outputs = rows.filter(kept), outputs.filter(kept)
        if len(rows):
            self._writer.results(result_lines(self._claim.job_id, rows, outputs))


class ErrorSink:
    """Row errors, by row number in the job, until the attempt commits."""

    def __init__(self) -> None:
        self.errors: dict[int, str] = {}

    def take(self, window: Computed) -> None:
        """Keep the window's errors."""
        self.errors |= {int(window.rows[place]): reason for place, reason in window.errors.items()}
