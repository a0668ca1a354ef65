"""Fits what a version's features say of their columns: offsets for numbers that float32 would lose, and transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.offsets import lost_values, with_offsets
from longshore.shared.specs.families import TREES, image_shape
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.preprocess.fit import FittedColumns, TableFitter, needs_fit
from longshore.workers.train.data.targets import TargetEncoder, Targets

#: Gives columns the offsets and transforms of a base version; ``None`` if there is none.
BaseFeatures: TypeAlias = Callable[[Sequence[Feature]], tuple[Feature, ...] | None]
#: Batches of the data, each with which of its rows are trained on.
TrainedBatches: TypeAlias = Iterable[tuple[pa.RecordBatch, npt.NDArray[np.bool_]]]


@dataclass(frozen=True)
class FittedFeatures:
    """The features of a training with their offsets and transforms."""

    columns: FittedColumns
    #: Rows of its numbers.
    sample: pa.RecordBatch
    target: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features."""
        return self.columns.features

    def notes(self, targets: Targets | TargetEncoder) -> tuple[str, ...]:
        """Notes on what was chosen, and on columns that lose different values; also on the target of a regression."""
        number = targets.task == "regression" and targets.width is None
        features = [*self.features, *([Feature(name=self.target)] if number else [])]
        return (*self.columns.notes, *lost_values(features, self.sample))


def fit_features(
    spec: TrainSpec,
    features: tuple[Feature, ...],
    sample: pa.RecordBatch,
    base: BaseFeatures | None,
    rows: pa.Table | pa.RecordBatch,
    batches: Callable[[Sequence[str]], TrainedBatches],
) -> FittedFeatures:
    """Choose the offsets of the features, if they are standardised, and the transforms; or take those of the base.

    :param sample: some rows with all columns of numbers.
    :param rows: in which missing values are looked for: all rows, or the first.
    :param batches: reads some columns of all rows of the data.
    :raises InvalidInput: a column cannot be used.
    """
    fixed = None if base is None else base(features)
    if fixed is not None:
        return FittedFeatures(FittedColumns(fixed), sample, spec.target)
    mixed = spec.tokenizer is None and image_shape(spec.config) is None
    columns = FittedColumns(features)
    if mixed and needs_fit(features, spec.preprocess, rows):
        fitter = TableFitter(features, spec.preprocess, trees=spec.family in TREES)
        for batch, trained in batches(fitter.columns):
            fitter.add(batch, trained)
        columns = fitter.fitted()
    if spec.standardize:
        columns = replace(columns, features=with_offsets(columns.features, sample))
    return FittedFeatures(columns, sample, spec.target)
