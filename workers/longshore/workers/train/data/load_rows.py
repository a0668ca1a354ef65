"""Opens the rows of a training job: in memory, or as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from longshore.shared.specs.train import TrainSpec
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.data.dataset import Tables
from longshore.workers.train.data.stream.open import open_streams
from longshore.workers.train.data.stream.reader import StreamSource
from longshore.workers.train.data.tables import read_tables

#: Tables in memory, or streams that are read in each epoch.
OpenedRows: TypeAlias = Tables | Sequence[StreamSource]


def open_rows(spec: TrainSpec, blocks: InlineBlocks) -> OpenedRows:
    """Open the rows that ``spec`` names.

    :raises DataError: a file cannot be read, or is not what it was at submission.
    """
    return open_streams(spec, blocks) if spec.stream else read_tables(spec, blocks)
