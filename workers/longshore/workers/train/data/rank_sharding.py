"""Rows that are dealt out to the ranks of a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from longshore.workers.train.data.batches import Batch, TrainingRows
from longshore.workers.train.strategy.base import Strategy


@dataclass(frozen=True)
class RankRows:
    """This rank's part of each batch of others' rows, in the order that they have on one device."""

    rows: TrainingRows
    strategy: Strategy

    @property
    def count(self) -> int:
        """Of all ranks."""
        return self.rows.count

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """See :class:`TrainingRows`; ``size`` is of all ranks. See :func:`rank_batch` for a rank without rows."""
        for inputs, targets in self.rows.batches(epoch, size, start):
            yield rank_batch(self.strategy, inputs, targets)[0]


def rank_batch(strategy: Strategy, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[Batch, int]:
    """This rank's rows of a batch, and how many they are.

    Where they are none there is one all the same, which must not count: all ranks have to compute at the same time.
    """
    own, given = strategy.local_rows(len(targets)), computed_rows(strategy, len(targets))
    return (inputs[given], targets[given]), own.stop - own.start


def computed_rows(strategy: Strategy, rows: int) -> slice:
    """Which of so many rows this rank computes: its own, or where these are none, the first."""
    own = strategy.local_rows(rows)
    return own if own.stop > own.start else slice(0, 1)
