"""Training data that is streamed: it was scanned once, and is read in each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from longshore.shared.datasets.schemas import check_held_out, infer_features
from longshore.shared.specs.families import image_shape
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.fit_features import BaseFeatures, TrainedBatches, fit_features
from longshore.workers.train.data.stream.batches import SplitRows
from longshore.workers.train.data.stream.reader import StreamSource, batches
from longshore.workers.train.data.stream.scan import DataScan, scan_streams
from longshore.workers.train.data.stream.splitting import TRAIN, VALIDATION, FoldSplitter

#: Default window: bytes of numbers, and rows, at most.
WINDOW_BYTES, WINDOW_ROWS = 128 << 20, 262_144


@dataclass(frozen=True)
class StreamedData:
    """Streams, and the result of the first pass over them."""

    streams: Sequence[StreamSource]
    scan: DataScan

    @property
    def signature(self) -> Signature:
        """The signature of the version."""
        return self.scan.signature

    @property
    def outputs(self) -> int:
        """Outputs of the network for a row."""
        assert self.signature.outputs is not None
        return self.signature.outputs

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Only for classifiers: rows to train on of each class."""
        return self.scan.class_counts

    @property
    def validation_rows(self) -> int:
        """Rows that measure each epoch."""
        return sum(int(counts[:, VALIDATION].sum()) for counts in self.scan.counts)

    @property
    def validation_counts(self) -> tuple[int, ...]:
        """Rows that measure each epoch, of each class; empty if the task is not classification."""
        return self.scan.validation_counts

    @property
    def statistics(self) -> tuple[ColumnStatistics, ...]:
        """Columns of the rows to train on."""
        return self.scan.statistics

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on unusual data, a sentence each."""
        return (*self.streams[0].notes, *self.scan.notes)

    def part(self, part: int, standardize: Standardize | None, device: torch.device) -> SplitRows:
        """The rows of one split: training rows only from ``data``, others from every source."""
        sources = [
            (stream, counts[:, part])
            for stream, counts in zip(self.streams, self.scan.counts, strict=True)
            if part == TRAIN or counts[:, part].any()
        ]
        sources = sources[:1] if part == TRAIN else sources
        return SplitRows(sources, part, self.signature, self.scan.encoder, standardize, device)

    def window(self, spec: TrainSpec) -> int:
        """Rows that are shuffled together."""
        numbers = 4 * self.signature.width
        if self.signature.task == "multilabel":
            numbers += self.outputs  # a byte for each label
        return spec.shuffle_window or max(1, min(WINDOW_ROWS, WINDOW_BYTES // numbers))


def read_streams(
    spec: TrainSpec,
    streams: Sequence[StreamSource],
    check: Check,
    fold: tuple[int, int] | None = None,
    base: BaseFeatures | None = None,
) -> StreamedData:
    """Read every row of ``streams`` once, those of ``spec.data`` first.

    :param fold: (i, k) validates on the i-th (from 0) of k about equal parts of ``data``, and not as ``spec`` says.
    :param base: gives the features the offsets and transforms of a base version; see :func:`fit_features`.
    :raises InvalidInput: the spec does not fit the data, or a row is bad.
    """
    if fold is not None:
        streams = [replace(streams[0], splitter=FoldSplitter(*fold, spec.seed)), *streams[1:]]
    data = streams[0].source
    head = data.head()
    features = infer_features(
        *(data.schema, head, spec.target, spec.features, image_shape(spec.config), spec.split),
        preprocess=spec.preprocess,
    )
    fitted = fit_features(spec, features, head, base, head, partial(_trained_batches, streams[0], check))
    features = fitted.features
    for other in streams[1:]:
        kind = data.schema.field(spec.target).type
        check_held_out(other.source.schema, features, spec.target, kind, other.field)
    scan = scan_streams(spec, streams, features, check)
    return StreamedData(streams, replace(scan, notes=(*scan.notes, *fitted.notes(scan.encoder))))


def _trained_batches(stream: StreamSource, check: Check, names: Sequence[str]) -> TrainedBatches:
    for run in range(len(stream.runs)):
        for start, batch in batches(stream, run, names, len(names)):
            check()
            yield batch, stream.splitter.parts(batch, start) == TRAIN
