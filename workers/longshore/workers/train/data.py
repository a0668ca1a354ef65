"""From a table to what the loop trains on: a matrix of features, targets, and who is held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.matrix import to_matrix
from longshore.shared.datasets.schemas import infer_features
from longshore.shared.errors import InvalidInput
from longshore.shared.families import image_shape
from longshore.shared.jobs import TrainSpec
from longshore.shared.signature import Signature
from longshore.workers.train.split import Rows, split_rows
from longshore.workers.train.targets import Targets, read_targets

#: Rows turned into numbers in one step, which bounds the memory this takes beside the matrix itself.
_CHUNK = 8192
#: Bytes of numbers in one step, likewise.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class TrainingData:
    """A table as numbers."""

    signature: Signature
    #: float32 ``(n, width)``, all finite.
    features: npt.NDArray[np.float32]
    targets: Targets
    #: Row numbers to train on, and those held out (maybe none).
    train_rows: Rows
    held_out_rows: Rows


def read_training_data(spec: TrainSpec, table: pa.Table) -> TrainingData:
    """Check and convert every row of ``table``.

    :raises InvalidInput: names the field of ``spec`` that does not fit the table, or a bad row by its number (from 0).
    """
    if table.num_rows < 2:
        raise InvalidInput("data", f"rows: {table.num_rows}; training needs at least 2")
    first = table.slice(0, _CHUNK).combine_chunks().to_batches()[0]
    features = infer_features(table.schema, first, spec.target, spec.features, image_shape(spec.config))
    targets = read_targets(table[spec.target], spec.target, spec.task)
    signature = Signature(features=features, task=targets.task, target=spec.target, labels=targets.labels)
    groups = np.zeros(table.num_rows) if targets.labels is None else targets.values
    train_rows, held_out_rows = split_rows(groups.astype(np.int64), spec.validation, spec.seed)
    return TrainingData(signature, read_matrix(table, signature), targets, train_rows, held_out_rows)


def read_matrix(table: pa.Table, signature: Signature) -> npt.NDArray[np.float32]:
    """The columns of ``signature`` as one float32 ``(n, width)`` matrix.

    :raises InvalidInput: a value is missing, unreadable or not finite.
    """
    matrix = np.empty((table.num_rows, signature.width), dtype=np.float32)
    offset = 0
    columns = table.select([feature.name for feature in signature.features])
    for batch in columns.to_batches(max_chunksize=max(1, min(_CHUNK, _CHUNK_BYTES // (4 * signature.width)))):
        part = to_matrix(batch, signature)
        if part.errors:
            row = min(part.errors)
            raise InvalidInput("data", f"row {offset + row}: {part.errors[row]}; mend or remove it")
        matrix[offset : offset + batch.num_rows] = part.values
        offset += batch.num_rows
    return matrix
