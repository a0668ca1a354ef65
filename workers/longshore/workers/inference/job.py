"""One shard of an inference job: read and prepare, compute, write, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from longshore.shared.jobs import InferSpec
from longshore.shared.ledger.lines import result_lines
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.writer import AttemptWriter
from longshore.workers.context import WorkerContext
from longshore.workers.heartbeat import Heartbeat
from longshore.workers.inference.background import Behind, ahead
from longshore.workers.inference.reading import default_batch_size
from longshore.workers.runtimes.base import Encoded, Outputs, Prepared, Runtime


@dataclass(frozen=True)
class Computed:
    """A batch on its way to the ledger."""

    #: Row number in the job of its first row.
    start: int
    outputs: Outputs


class ResultSink:
    """Encodes computed batches and sends them to the ledger; runs in the writer's thread."""

    def __init__(self, claim: Claim, runtime: Runtime, writer: AttemptWriter) -> None:
        self._claim = claim
        self._runtime = runtime
        self._writer = writer
        self.errors: dict[int, str] = {}

    def take(self, batch: Computed) -> None:
        """Send one batch."""
        encoded = self._runtime.encode(batch.outputs)
        self.errors |= {batch.start + place: reason for place, reason in encoded.errors.items()}
        rows, outputs = _with_results(batch.start, encoded)
        if len(rows):
            self._writer.results(result_lines(self._claim.job_id, rows, outputs))


def run_inference(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Compute and commit a shard.

    :raises AttemptLost: a newer attempt has the shard, or the job was cancelled; nothing is written.
    :raises DataError: the input is not what it was at submission.
    """
    spec = InferSpec.model_validate(claim.spec)
    if claim.digest is None:
        raise ValueError(f"job {claim.job_id} has no version to run")
    runtime = context.residents.get(claim.digest)
    columns = [feature.name for feature in runtime.signature.features]
    size = spec.batch_size or default_batch_size(runtime.signature)
    batches = context.inputs.batches(claim, spec.data, columns, size)
    with context.ledger.attempts.writing(claim) as writer:
        sink = ResultSink(claim, runtime, writer)
        rows = _compute(claim, runtime, batches, sink, beat)
        beat.check()
        writer.fence(rows - len(sink.errors))
        writer.row_errors(sink.errors)
        writer.finish()


def _compute(
    claim: Claim, runtime: Runtime, batches: Iterator[pa.RecordBatch], sink: ResultSink, beat: Heartbeat
) -> int:
    """Run every batch through the model and the sink. Returns how many rows there were."""
    done = 0
    behind = Behind(sink.take)
    try:
        with ahead(_prepared(runtime, batches)) as prepared, torch.inference_mode():
            for batch in prepared:
                beat.check()
                behind.put(Computed(claim.start + done, runtime.forward(batch)))
                done += len(batch.rows)
                beat.progress(done)
        behind.finish()
    except BaseException:
        behind.abandon()
        raise
    if done != claim.stop - claim.start:
        raise RuntimeError(f"shard {claim.token} has {claim.stop - claim.start} rows, but {done} were read")
    return done


def _prepared(runtime: Runtime, batches: Iterator[pa.RecordBatch]) -> Iterator[Prepared]:
    for batch in batches:
        yield runtime.prepare(batch)


def _with_results(start: int, encoded: Encoded) -> tuple[pa.Int64Array, pa.StringArray]:
    numbers = pa.array(np.arange(start, start + len(encoded.outputs)))
    if not encoded.errors:
        return numbers, encoded.outputs
    kept = encoded.outputs.is_valid()
    return numbers.filter(kept), encoded.outputs.filter(kept)
