"""Divides batches among the ranks of a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from longshore.workers.train.data.batches import Batch, TrainingRows
from longshore.workers.train.strategy.base import Strategy


@dataclass(frozen=True)
class RankRows:
    """This rank's share of each batch, in the order that rows have on one device."""

    rows: TrainingRows
    strategy: Strategy

    @property
    def count(self) -> int:
        """Rows of all ranks."""
        return self.rows.count

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """See :class:`TrainingRows`; ``size`` counts rows of all ranks. A rank without rows: see
        :func:`rank_batch`."""
        for inputs, targets in self.rows.batches(epoch, size, start):
            yield rank_batch(self.strategy, inputs, targets)[0]


def rank_batch(strategy: Strategy, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[Batch, int]:
    """This rank's rows of a batch, and how many count.

    A rank without rows gets one row that must not count, because all ranks have to compute at the same time.
    """
    own, computed = strategy.local_rows(len(targets)), computed_rows(strategy, len(targets))
    return (inputs[computed], targets[computed]), own.stop - own.start


def computed_rows(strategy: Strategy, rows: int) -> slice:
    """The rows of a batch that this rank computes: its own, or the first row if it has none."""
    own = strategy.local_rows(rows)
    return own if own.stop > own.start else slice(0, 1)
