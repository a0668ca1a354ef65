"""The result of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue
from torch import nn

from longshore.shared.specs.families import FamilyConfig
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics

#: A classifier with more classes has no confusion matrix.
MAX_CONFUSION_CLASSES = 100


@dataclass(frozen=True)
class TrainingSummary:
    """How a training went, for its job and its version."""

    #: Epochs that were trained, those of jobs that it extends included.
    epochs: int
    #: Whether early stopping ended it.
    stopped_early: bool
    #: The metric by which epochs were compared.
    monitor: str
    #: The first of the best epochs, from 1, and its metrics.
    best_epoch: int
    best_metrics: dict[str, float]
    #: Metrics of the last epoch.
    final_metrics: dict[str, float]

    @property
    def text(self) -> str:
        """``best epoch 14 of 19: val_loss 0.351``."""
        return f"best epoch {self.best_epoch} of {self.epochs}: {self.monitor} {self.best_metrics[self.monitor]:.4g}"

    def document(self) -> dict[str, JsonValue]:
        """The summary as JSON."""
        return {
            "epochs": self.epochs,
            "stopped_early": self.stopped_early,
            "monitor": self.monitor,
            "best_epoch": self.best_epoch,
            "best_metrics": dict(self.best_metrics),
            "final_metrics": dict(self.final_metrics),
        }


@dataclass(frozen=True)
class TrainedModel:
    """A module that takes raw rows, and what a version of it records."""

    #: On the CPU, in eval mode: float32 ``(n, width)`` to ``(n, outputs)``.
    module: nn.Module
    signature: Signature
    #: The family's configuration with every default filled in.
    config: FamilyConfig
    #: Metrics of the weights, which are those of the last epoch or, after early stopping, of the best one; and of the
    #: test rows.
    metrics: dict[str, float]
    #: Notes on unusual data, a sentence each.
    notes: tuple[str, ...] = ()
    #: Only for texts: the content of ``tokenizer.json``.
    tokenizer: str | None = None
    #: The confusion matrix of the held-out rows after the last epoch: rows by true and predicted class, or ``None``.
    confusion: list[list[int]] | None = None
    #: Columns of the rows to train on.
    statistics: tuple[ColumnStatistics, ...] = ()
    #: ``None`` for a model that was not trained by epochs.
    summary: TrainingSummary | None = None
    #: Only for trees: the share of each column that a split uses in the loss that the splits save, largest first.
    importance: Mapping[str, float] = field(default_factory=dict)
