"""Measures embeddings: whether held-out rows are near rows of their class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.batches import HeldOutRows
from longshore.workers.train.objective.losses import Loss

#: The one metric besides the loss.
RECALL = "recall_at_1"
#: Maximum rows that are compared with each other; more rows are sampled evenly. Their vectors stay in memory.
MAX_ROWS = 20_000
#: Rows in one forward pass, and rows compared with all others at a time.
_BATCH = 1024


class EmbeddingEvaluator:
    """Loss and ``recall_at_1`` of a network on held-out rows.

    The loss uses batches of the training's size in a fixed random order, so that it can be compared with the training
    loss.

    :param rows: the rows to measure on.
    :param loss: takes vectors and classes.
    :param batch: rows in a batch of training.
    :param prefix: the prefix of the metric names: ``val_`` or ``test_``.
    :param names: the metrics besides the loss; ``None`` takes all there are.
    :raises InvalidInput: a metric is not for embeddings.
    """

    def __init__(
        self,
        rows: HeldOutRows,
        loss: Loss,
        batch: int,
        device: torch.device,
        prefix: str = "val_",
        names: Sequence[str] | None = None,
    ) -> None:
        for name in names or ():
            if name != RECALL:
                raise InvalidInput("metrics", f"{name!r} is not a metric of embeddings; the only one is {RECALL}")
        self._rows = rows
        self._loss = loss
        self._batch = batch
        self._device = device
        self._prefix = prefix

    @torch.no_grad()
    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """Returns ``loss`` and ``recall_at_1``, each with the prefix. Leaves ``network`` in evaluation mode.

        If no two rows have the same class, ``recall_at_1`` is left out.
        """
        network.eval()
        parts = list(self._vectors(network, check))
        vectors, classes = (torch.cat(each) for each in zip(*parts, strict=True))
        metrics = {"loss": self._mean_loss(vectors, classes, check), RECALL: recall_at_1(vectors, classes, check)}
        return {self._prefix + name: value for name, value in metrics.items() if name == "loss" or math.isfinite(value)}

    def _vectors(self, network: nn.Module, check: Check) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield vectors of length 1, with their classes."""
        count = self._rows.count
        sample_size = min(count, MAX_ROWS)
        picked = (torch.arange(sample_size) * count) // sample_size
        start = 0
        for inputs, classes in self._rows.in_order(_BATCH):
            check()
            first, last = torch.searchsorted(picked, torch.tensor([start, start + len(inputs)])).tolist()
            here = (picked[first:last] - start).to(inputs.device)
            start += len(inputs)
            if len(here):
                outputs = network(inputs.index_select(0, here))
                yield functional.normalize(outputs.float(), dim=1), classes.index_select(0, here)

    def _mean_loss(self, vectors: torch.Tensor, classes: torch.Tensor, check: Check) -> float:
        order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0)).to(vectors.device)
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for batch in torch.split(order, self._batch):
            check()
            total += self._loss(vectors[batch], classes[batch]).double() * len(batch)
        return float(total / len(vectors))


def recall_at_1(vectors: torch.Tensor, classes: torch.Tensor, check: Check) -> float:
    """The share of rows whose nearest other row has their class. A row that is alone in its class does not count.

    Jegou, Douze and Schmid, "Product quantization for nearest neighbor search", 2011; for embeddings: Song et al.,
    2016, https://arxiv.org/abs/1511.06452. Uses memory for n x 1,024 numbers.

    :param vectors: float32 ``(n, width)``, of length 1. If several rows are equally near, the first counts.
    :param classes: ``(n,)``.
    :returns: NaN if no two rows have the same class.
    """
    _, indexes, counts = torch.unique(classes, return_inverse=True, return_counts=True)
    paired = counts[indexes] > 1
    right = torch.zeros((), dtype=torch.int64, device=vectors.device)
    for rows in torch.split(torch.arange(len(vectors), device=vectors.device), _BATCH):
        check()
        closeness = vectors[rows] @ vectors.T
        closeness[torch.arange(len(rows), device=vectors.device), rows] = float("-inf")
        same = classes[closeness.argmax(dim=1)] == classes[rows]
        right += (same & paired[rows]).sum()
    total = int(paired.sum())
    return int(right) / total if total else math.nan
