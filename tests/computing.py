"""Rows through a loaded version, as a worker computes them."""

from __future__ import annotations

import json

import pyarrow as pa

from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.inference.batch_runner import BatchRunner
from longshore.workers.inference.heads import make_heads
from longshore.workers.models.batch_size import BatchSizes
from longshore.workers.runtimes.base import Runtime

Output = dict[str, object]


def compute(
    runtime: Runtime, batch: pa.RecordBatch, batch_size: int = 1000, **options: object
) -> tuple[list[Output | None], dict[int, str]]:
    """The outputs of a window, ``None`` where a row has an error; and the errors.

    :param options: of the job.
    """
    spec = InferSpec.model_validate({"data": {"uri": "/", "format": "csv"}, **options})
    sizes = BatchSizes(batch_size, batch_size, fixed=batch_size)
    heads = make_heads(runtime.signature, spec)
    runner = BatchRunner(runtime, heads, sizes, allow_nan=spec.allow_nan, step=lambda rows: None)
    outputs, errors = runner.run(runtime.prepare(batch))
    return [None if text is None else json.loads(text) for text in json_texts(outputs).to_pylist()], errors
