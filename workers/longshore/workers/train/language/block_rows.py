"""Blocks as the rows of a training: inputs and targets on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from longshore.workers.train.data.batches import Batch
from longshore.workers.train.language.packing import Blocks
from longshore.workers.train.language.token_store import TokenizedTexts
from longshore.workers.train.seeds import derive_seed

#: The target of a position that is not learned, as PyTorch's cross entropy takes it.
IGNORED = -100


@dataclass(frozen=True)
class BlockRows:
    """Blocks to train or measure on. See :class:`~longshore.workers.train.data.batches.TrainingRows`.

    Inputs are int64 ``(n, 2, width)``: ids, and positions within their piece; targets int64 ``(n, width)``: the next
    ids, or :data:`IGNORED`. A batch is as wide as its longest block.
    """

    texts: TokenizedTexts
    blocks: Blocks
    device: torch.device
    seed: int = 0
    #: Id that fills a block up.
    pad: int = 0

    @property
    def count(self) -> int:
        """The number of blocks."""
        return self.blocks.count

    @property
    def learned(self) -> int:
        """Tokens that are learned, in all blocks."""
        if self.texts.learned is None:
            return int(self.blocks.lengths.sum())
        pieces = zip(self.blocks.starts.tolist(), self.blocks.lengths.tolist(), strict=True)
        return sum(int(self.texts.learned[start + 1 : start + 1 + length].sum()) for start, length in pieces)

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
            inputs, targets = self._batch(numbers[start : start + size])
            yield torch.from_numpy(inputs).to(self.device), torch.from_numpy(targets).to(self.device)

    def _batch(self, numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        first, blocks = self.blocks.first, self.blocks
        pieces = [range(int(first[number]), int(first[number + 1])) for number in numbers]
        width = max(int(blocks.lengths[part.start : part.stop].sum()) for part in pieces)
        inputs = np.zeros((len(numbers), 2, width), np.int64)
        inputs[:, 0] = self.pad
        targets = np.full((len(numbers), width), IGNORED, np.int64)
        for row, part in enumerate(pieces):
            at = 0
            for piece in part:
                start, length = int(blocks.starts[piece]), int(blocks.lengths[piece])
                taken = slice(at, at + length)
                inputs[row, 0, taken] = self.texts.tokens[start : start + length]
                inputs[row, 1, taken] = np.arange(length)
                following = self.texts.tokens[start + 1 : start + 1 + length]
                if self.texts.learned is None:
                    targets[row, taken] = following
                else:
                    targets[row, taken] = np.where(
                        self.texts.learned[start + 1 : start + 1 + length], following, IGNORED
                    )
                at += length
        return inputs, targets
