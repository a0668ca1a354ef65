"""Whether a training reads its data once, or again in each epoch."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.producers.planning.texts import are_texts
from longshore.producers.planning.training_data import Taken
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec

#: Bytes of numbers, as float32, up to which the rows of a file are held in memory where nothing else is said. Decided
#: at submission, so that every attempt does the same wherever it runs.
IN_MEMORY = 4 << 30


def settle_stream(spec: TrainSpec, data: Taken, features: Sequence[Feature]) -> TrainSpec:
    """Decide what was left open. Texts are held in memory, as a tokenizer is trained on them.

    :param features: what a row is made of.
    :raises InvalidInput: what was asked for does not go with a stream, or with rows in memory.
    """
    if spec.stream and not isinstance(data.data, FileInput):
        raise InvalidInput("stream", "rows that come with the call are in memory; leave it out, or give a file")
    texts = are_texts(features)
    if spec.stream and texts:
        raise InvalidInput("stream", "texts are held in memory, to train a tokenizer on them; leave it out")
    large = not texts and _is_large(data, sum(feature.size for feature in features))
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
    """By the rows there are; of a text file that was not counted, by its bytes: few numbers take less than four."""
    if not isinstance(data.data, FileInput):
        return False
    if data.count is not None:
        return data.count * width * 4 > IN_MEMORY
    return (data.data.size or 0) > IN_MEMORY
