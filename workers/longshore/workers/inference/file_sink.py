"""Writes computed windows to one output file."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pyarrow as pa

from longshore.shared.datasets.outputs.folder import OutputFolder
from longshore.shared.datasets.outputs.pattern import ROW, output_columns
from longshore.shared.datasets.outputs.writers import RowWriter
from longshore.shared.errors import LongshoreError
from longshore.workers.inference.sinks import ComputedWindow

log = logging.getLogger(__name__)


class FileSink:
    """Writes the rows that have outputs to an attempt's hidden file, which the first of them creates.

    :param hidden: the file's name below the folder.
    :param keep: columns of the input, written between the row number and the outputs.
    """

    def __init__(self, folder: OutputFolder, hidden: str, keep: Sequence[str]) -> None:
        self._folder = folder
        self._hidden = hidden
        self._keep = keep
        self._writer: RowWriter | None = None

    def take(self, window: ComputedWindow) -> None:
        """Write one window."""
        rows = pa.table(
            {ROW: pa.array(window.rows, pa.int64()), **{name: window.inputs.column(name) for name in self._keep}}
        )
        outputs = window.outputs
        if window.errors:
            valid = window.valid
            rows, outputs = rows.filter(valid), outputs.filter(valid)
        if not len(outputs):
            return
        for name, column in output_columns(outputs).items():
            rows = rows.append_column(name, column)
        if self._writer is None:
            self._writer = self._folder.open(self._hidden)
        self._writer.write(rows)

    def finish(self) -> str:
        """Flush and close the file. Returns its name, or an empty string if no row had an output."""
        if self._writer is None:
            return ""
        self._writer.close()
        return self._hidden

    def discard(self) -> None:
        """Remove the file. Log further errors, because another error is being raised already."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except LongshoreError as error:
            log.warning("%s", error)
        try:
            self._folder.remove(self._hidden)
        except LongshoreError as error:
            log.warning("%s", error)
