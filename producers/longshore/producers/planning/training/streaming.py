"""Whether a training reads its data once, or again in each epoch."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.producers.planning.training.data import Taken
from longshore.producers.planning.training.texts import are_texts
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import TREES
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec

#: Bytes of numbers, as float32, up to which the rows of a file are loaded into memory by default. Decided
#: at submission, so that every attempt behaves the same on every worker.
IN_MEMORY = 4 << 30


def settle_stream(spec: TrainSpec, data: Taken, features: Sequence[Feature]) -> TrainSpec:
    """Set ``stream`` if it is not set. Texts are loaded into memory, because a tokenizer is trained on them, and so are
    the rows of trees, which are sorted by the values of each column.

    :param features: the input columns.
    :raises InvalidInput: an option does not work with a stream, or with rows in memory.
    """
    if spec.stream and not isinstance(data.data, FileInput):
        raise InvalidInput("stream", "rows that come with the call are in memory; leave it out, or give a file")
    texts = are_texts(features)
    if spec.stream and texts:
        raise InvalidInput("stream", "texts are held in memory, to train a tokenizer on them; leave it out")
    large = not texts and spec.family not in TREES and _is_large(data, sum(feature.size for feature in features))
    stream = large if spec.stream is None else spec.stream
    if not stream:
        if spec.shuffle_window is not None:
            raise InvalidInput("shuffle_window", "rows in memory are shuffled all together; leave it out, or stream")
        return spec
    if spec.stratify:
        raise InvalidInput(
            "stratify", "a stream's rows are drawn one by one; leave it out, or name a split column or files"
        )
    return spec.model_copy(update={"stream": True})


def _is_large(data: Taken, width: int) -> bool:
    """Estimate from the number of rows; if it is unknown, from the file size: most numbers take 4 bytes or more."""
    if not isinstance(data.data, FileInput):
        return False
    if data.count is not None:
        return data.count * width * 4 > IN_MEMORY
    return (data.data.size or 0) > IN_MEMORY
