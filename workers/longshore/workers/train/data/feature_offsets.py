"""Keeps the differences of numbers that float32 would lose, and notes those that it loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from longshore.shared.datasets.columns.offsets import lost_values, with_offsets
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.targets import TargetEncoder, Targets

#: Gives features the offsets of a base version; ``None`` if there is none.
BaseFeatures: TypeAlias = Callable[[Sequence[Feature]], tuple[Feature, ...] | None]


@dataclass(frozen=True)
class FittedFeatures:
    """The features of a training with their offsets."""

    features: tuple[Feature, ...]
    #: Rows of its numbers.
    sample: pa.RecordBatch
    target: str

    def notes(self, targets: Targets | TargetEncoder) -> tuple[str, ...]:
        """Notes on columns that lose different values; also on the target of a regression."""
        number = targets.task == "regression" and targets.width is None
        return tuple(lost_values([*self.features, *([Feature(name=self.target)] if number else [])], self.sample))


def fit_features(
    spec: TrainSpec, features: tuple[Feature, ...], sample: pa.RecordBatch, base: BaseFeatures | None
) -> FittedFeatures:
    """Choose the offsets of the features, if they are standardised; or take those of the base version.

    :param sample: some rows with all columns of numbers.
    """
    fixed = None if base is None else base(features)
    if fixed is None:
        fixed = with_offsets(features, sample) if spec.standardize else features
    return FittedFeatures(fixed, sample, spec.target)
