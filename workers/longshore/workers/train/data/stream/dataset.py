"""A stream that was read once, to be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from longshore.shared.datasets.schemas import check_held_out, infer_features
from longshore.shared.specs.families import image_shape
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.stream.batches import SplitRows
from longshore.workers.train.data.stream.reader import StreamSource
from longshore.workers.train.data.stream.scan import DataScan, survey
from longshore.workers.train.data.stream.splitting import TRAIN, FoldSplitter

#: Bytes of numbers in a window, and the most rows in one, where the job does not say how many.
WINDOW_BYTES, WINDOW_ROWS = 128 << 20, 262_144


@dataclass(frozen=True)
class StreamedData:
    """Streams, and what the first pass over them has found."""

    streams: Sequence[StreamSource]
    survey: DataScan

    @property
    def signature(self) -> Signature:
        """Of the version to be trained."""
        return self.survey.signature

    @property
    def outputs(self) -> int:
        """Numbers the network gives for a row."""
        assert self.signature.outputs is not None
        return self.signature.outputs

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Of a classifier: rows to train on of each class, if the spec asks for balanced weights."""
        return self.survey.class_counts

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the data and no reason to refuse it, a sentence each."""
        return self.survey.notes

    def part(self, part: int, standardize: Standardize | None, device: torch.device) -> SplitRows:
        """The rows of one part: those to train on from ``data`` alone, others from wherever they are."""
        sources = [
            (stream, counts[:, part])
            for stream, counts in zip(self.streams, self.survey.counts, strict=True)
            if part == TRAIN or counts[:, part].any()
        ]
        sources = sources[:1] if part == TRAIN else sources
        return SplitRows(sources, part, self.signature, self.survey.encoder, standardize, device)

    def window(self, spec: TrainSpec) -> int:
        """Rows that are shuffled together."""
        numbers = 4 * self.signature.width
        if self.signature.task == "multilabel":
            numbers += self.outputs  # a byte for each label
        return spec.shuffle_window or max(1, min(WINDOW_ROWS, WINDOW_BYTES // numbers))


def read_streams(
    spec: TrainSpec, streams: Sequence[StreamSource], check: Check, fold: tuple[int, int] | None = None
) -> StreamedData:
    """Read every row of ``streams`` once, those of ``spec.data`` first.

    :param fold: (i, k) validates on the i-th (from 0) of k about equal parts of ``data``, and not as ``spec`` says.
    :raises InvalidInput: the spec does not fit the data, or a row is bad.
    """
    if fold is not None:
        streams = [replace(streams[0], splitter=FoldSplitter(*fold, spec.seed)), *streams[1:]]
    data = streams[0].source
    features = infer_features(
        data.schema, data.head(), spec.target, spec.features, image_shape(spec.config), spec.split
    )
    for other in streams[1:]:
        kind = data.schema.field(spec.target).type
        check_held_out(other.source.schema, features, spec.target, kind, other.field)
    return StreamedData(streams, survey(spec, streams, features, check))
