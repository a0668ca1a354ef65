"""Rows of preferences as the rows of a training: the tokens of both answers, and their probabilities in the base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.batches import Batch
from longshore.workers.train.language.block_rows import IGNORED
from longshore.workers.train.language.token_store import TokenizedTexts
from longshore.workers.train.loop.precision import Precision
from longshore.workers.train.seeds import derive_seed


@dataclass(frozen=True)
class PairRows:
    """Rows to train or measure on. See :class:`~longshore.workers.train.data.batches.TrainingRows`.

    Inputs are int64 ``(n, 2, 2, width)``: of the chosen and of the rejected answer the ids, and the next ids, or
    :data:`~longshore.workers.train.language.block_rows.IGNORED` before the answer. Targets are float64 ``(n, 2)``: the
    log probabilities of both answers in the reference model. A batch is as wide as its longest document.
    """

    #: Two documents for each row, one after the other.
    texts: TokenizedTexts
    device: torch.device
    seed: int = 0
    #: Id that fills a document up.
    pad: int = 0
    #: Float64 ``(count, 2)``, on the CPU; ``None`` until :meth:`with_reference`: targets are then 0.
    reference: torch.Tensor | None = None

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.texts.documents // 2

    @property
    def equal(self) -> int:
        """Rows whose answers are equal."""
        documents = np.split(self.texts.tokens, self.texts.starts[1:-1])
        return sum(np.array_equal(one, other) for one, other in zip(documents[::2], documents[1::2], strict=True))

    def with_reference(self, network: nn.Module, size: int, precision: Precision, check: Check) -> PairRows:
        """These rows with their log probabilities in ``network``, which is left in evaluation mode.

        :param size: rows in one forward pass.
        """
        network.eval()
        parts = []
        with torch.no_grad(), precision.context():
            for inputs, _ in self.in_order(size):
                check()
                parts.append(network(inputs).cpu())
        return replace(self, reference=torch.cat(parts))

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """See :class:`~longshore.workers.train.data.batches.TrainingRows`."""
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, epoch))
        shuffled = torch.randperm(self.count, generator=generator).numpy()
        yield from self._taken(shuffled[start * size :], size)

    def in_order(self, size: int) -> Iterator[Batch]:
        """See :class:`~longshore.workers.train.data.batches.HeldOutRows`."""
        yield from self._taken(np.arange(self.count), size)

    def _taken(self, numbers: npt.NDArray[np.int64], size: int) -> Iterator[Batch]:
        for start in range(0, len(numbers), size):
            rows = numbers[start : start + size]
            targets = torch.zeros(len(rows), 2, dtype=torch.float64)
            if self.reference is not None:
                targets = self.reference[torch.from_numpy(rows)]
            yield torch.from_numpy(self._inputs(rows)).to(self.device), targets.to(self.device)

    def _inputs(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        documents = (2 * rows[:, None] + np.arange(2)).ravel()
        lengths = self.texts.lengths[documents] - 1
        inputs = np.full((len(documents), 2, int(lengths.max())), self.pad, np.int64)
        inputs[:, 1] = IGNORED
        assert self.texts.learned is not None
        for number, (document, length) in enumerate(zip(documents, lengths, strict=True)):
            start = int(self.texts.starts[document])
            following = slice(start + 1, start + 1 + length)
            inputs[number, 0, :length] = self.texts.tokens[start : start + length]
            inputs[number, 1, :length] = np.where(self.texts.learned[following], self.texts.tokens[following], IGNORED)
        return inputs.reshape(len(rows), 2, 2, -1)
