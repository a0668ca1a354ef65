"""The result of a training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from longshore.shared.specs.families import FamilyConfig
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics


@dataclass(frozen=True)
class TrainedModel:
    """A module that takes raw rows, and what a version of it records."""

    #: On the CPU, in eval mode: float32 ``(n, width)`` to ``(n, outputs)``.
    module: nn.Module
    signature: Signature
    #: The family's configuration with every default filled in.
    config: FamilyConfig
    #: Metrics of the last epoch, and of the test rows.
    metrics: dict[str, float]
    #: Notes on unusual data, a sentence each.
    notes: tuple[str, ...] = ()
    #: Only for texts: the content of ``tokenizer.json``.
    tokenizer: str | None = None
    #: The confusion matrix of the held-out rows after the last epoch: rows by true and predicted class, or ``None``.
    confusion: list[list[int]] | None = None
    #: Columns of the rows to train on.
    statistics: tuple[ColumnStatistics, ...] = ()
