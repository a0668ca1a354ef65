"""One shard of an inference job that writes files.

Three steps, each of which a later attempt can take up where an earlier one was lost:

1. compute into a hidden file of the attempt's own, then decide on it in one transaction, which only the current attempt
   can; from here on no attempt computes the shard again;
2. publish the file that was decided on, by one rename;
3. count the shard as done.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack

from longshore.shared.datasets.outputs.folder import OutputFolder
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.errors import AttemptLost, LongshoreError
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.context import WorkerContext
from longshore.workers.inference.file_sink import PartSink
from longshore.workers.inference.sinks import ErrorSink, Sink, TableSink
from longshore.workers.inference.table_job import Shard
from longshore.workers.process.heartbeat import Heartbeat

log = logging.getLogger("longshore.worker")


def run_to_files(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Compute, publish and count a shard, or what is left of it to do.

    :raises AttemptLost: a newer attempt has the shard, or the job was cancelled.
    :raises DataError: the input is not what it was at submission, or the output may not be written.
    :raises ServiceUnavailable: the output cannot be written now.
    """
    spec = InferSpec.model_validate(claim.spec)
    pattern = OutputPattern.parse(str(spec.output))
    folder = OutputFolder(pattern, claim.job_id)
    part = claim.output_file
    if part is None:
        if claim.attempt > 1:
            folder.remove_earlier(claim.shard, claim.attempt)
        sink = PartSink(folder, pattern.hidden(claim.job_id, claim.shard, claim.attempt), spec.keep)
        part = _compute(context, claim, spec, beat, sink)
    beat.check()
    if part:
        folder.publish(part, claim.shard)
    if context.ledger.attempts.finish_output_file(claim):
        _clean(folder)


def _compute(context: WorkerContext, claim: Claim, spec: InferSpec, beat: Heartbeat, sink: PartSink) -> str:
    """Write the shard's file and decide on it. Returns its name, empty where no row has an output."""
    shard = Shard(context, claim, spec, beat)
    errors = ErrorSink()
    decided = False
    try:
        with ExitStack() as stack:
            # Without rows for the table, no transaction is held open while the file is written.
            writer = stack.enter_context(context.ledger.attempts.writing(claim)) if spec.in_table else None
            sinks: list[Sink] = [sink, errors]
            shard.run(sinks if writer is None else [*sinks, TableSink(claim, writer)])
            part = sink.finish()
            beat.check()
            if writer is None:
                writer = stack.enter_context(context.ledger.attempts.writing(claim))
            writer.decide(part, shard.notes)
            writer.row_errors(errors.errors)
            decided = True
    except AttemptLost:
        sink.discard()
        raise
    except BaseException:
        # Where the connection breaks at the end of the transaction, nobody knows whether the file was decided on. It
        # stays: the next attempt either publishes or removes it.
        if not decided:
            sink.discard()
        raise
    shard.keep_sizes()
    return part


def _clean(folder: OutputFolder) -> None:
    try:
        folder.clean()
    except LongshoreError as error:  # the job has its files; what is left over is hidden
        log.warning("%s", error)
