"""The rows of a stream, batch by batch: shuffled to train on, or in order to measure on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from longshore.shared.specs.signature import Signature
from longshore.workers.families.standardize import Standardize
from longshore.workers.pipeline import prefetch
from longshore.workers.train.data.stream.reader import StreamSource, split_rows
from longshore.workers.train.data.stream.splitting import TRAIN
from longshore.workers.train.data.targets import TargetEncoder
from longshore.workers.train.seeds import derive_seed

#: Windows that wait, besides the one in use and the one being read.
_WAITING = 1

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class SplitRows:
    """The rows of one split, from one or more sources."""

    #: Each source with the rows of the split in each of its runs, int64 ``(runs,)``.
    sources: Sequence[tuple[StreamSource, npt.NDArray[np.int64]]]
    part: int
    signature: Signature
    encoder: TargetEncoder
    standardize: Standardize | None
    device: torch.device

    @property
    def count(self) -> int:
        """Rows in an epoch."""
        return sum(int(counts.sum()) for _, counts in self.sources)

    def in_order(self, size: int) -> Iterator[Batch]:
        """All rows, in batches of ``size`` on the device; read ahead in a thread."""
        orders = [(stream, list(range(len(stream.runs))), 0) for stream, _ in self.sources]
        with prefetch(self._windows(orders, size), _WAITING) as windows:
            for window in windows:
                yield self._on_device(*window)

    def windows(self, rows: int, start: int, epoch: int, seed: int) -> Iterator[Batch]:
        """Windows of ``rows`` rows on the device, from window ``start`` on, runs in an order of the epoch's own."""
        (stream, counts) = self.sources[0]
        order = _shuffled(len(stream.runs), derive_seed("runs", seed, epoch))
        before = np.concatenate([[0], np.cumsum(counts[order])])
        # Skip runs that end before the first window.
        first = int(np.searchsorted(before, start * rows, side="right")) - 1
        if first >= len(order):
            return
        orders = [(stream, order[first:].tolist(), start * rows - int(before[first]))]
        with prefetch(self._windows(orders, rows), _WAITING) as windows:
            for window in windows:
                yield self._on_device(*window)

    def _on_device(self, features: npt.NDArray[np.float32], targets: npt.NDArray[np.generic]) -> Batch:
        rows = torch.from_numpy(features).to(self.device)
        if self.standardize is not None:
            self.standardize.apply_(rows)
        return rows, torch.from_numpy(targets).to(self.device)

    def _windows(
        self, orders: Sequence[tuple[StreamSource, Sequence[int], int]], rows: int
    ) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.generic]]]:
        """Yield windows one after another; the last may be smaller. Each has its own memory."""
        rows = min(rows, self.count)
        window = _WindowBuffer(rows, self.signature.width)
        for stream, order, skip in orders:
            for features, targets in split_rows(stream, self.part, order, skip, self.signature, self.encoder):
                taken = 0
                while taken < len(features):
                    taken += window.put(features[taken:], targets[taken:])
                    if window.full:
                        yield window.done()
                        window = _WindowBuffer(rows, self.signature.width)
        if window.filled:
            yield window.done()


class _WindowBuffer:
    def __init__(self, rows: int, width: int) -> None:
        self._features = np.empty((rows, width), np.float32)
        self._targets: list[npt.NDArray[np.generic]] = []
        self.filled = 0

    @property
    def full(self) -> bool:
        return self.filled == len(self._features)

    def put(self, features: npt.NDArray[np.float32], targets: npt.NDArray[np.generic]) -> int:
        """Add as many rows as fit. Returns their number."""
        taken = min(len(features), len(self._features) - self.filled)
        self._features[self.filled : self.filled + taken] = features[:taken]
        self._targets.append(targets[:taken])
        self.filled += taken
        return taken

    def done(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.generic]]:
        return self._features[: self.filled], np.concatenate(self._targets)


class StreamedRows:
    """The rows to train on. Their order depends only on the seed and the epoch.

    Each epoch reads the runs of the file in a random order; their rows fill one window after another, and each window
    is shuffled.

    :param window: rows that are shuffled together; rounded up to a multiple of the batch, so that no batch spans two.
    """

    def __init__(self, rows: SplitRows, window: int, seed: int) -> None:
        assert rows.part == TRAIN
        self._rows = rows
        self._window = window
        self._seed = seed
        self.count = rows.count

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, inputs and targets, on the device.

        :param start: the first step: batches before it are not read, except those of its window.
        """
        window = -(-self._window // size) * size
        per_window = window // size
        number, skipped = divmod(start, per_window)
        for inputs, targets in self._rows.windows(window, number, epoch, self._seed):
            order = _shuffled(len(targets), derive_seed("window", self._seed, epoch, number))
            for picked in torch.split(torch.from_numpy(order).to(inputs.device), size)[skipped:]:
                yield inputs.index_select(0, picked), targets.index_select(0, picked)
            number, skipped = number + 1, 0


def _shuffled(count: int, seed: int) -> npt.NDArray[np.int64]:
    order: npt.NDArray[np.int64] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    return order
