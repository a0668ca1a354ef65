"""Runs one shard of an inference job that writes files.

There are three steps. A later attempt can continue at any of them if an earlier attempt was lost:

1. write a hidden file of the attempt's own, then commit its name in one transaction, which only the current attempt
   can do; from then on no attempt computes the shard again;
2. publish the committed file, by one rename;
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
from longshore.workers.inference.file_sink import FileSink
from longshore.workers.inference.sinks import ErrorSink, Sink, TableSink
from longshore.workers.inference.table_job import Shard
from longshore.workers.process.heartbeat import Heartbeat

log = logging.getLogger(__name__)


def run_to_files(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Compute, publish and count a shard, or do the steps that are left.

    :raises AttemptLost: a newer attempt has the shard, or the job was cancelled.
    :raises DataError: the input is not what it was at submission, or the worker may not write the output.
    :raises ServiceUnavailable: the output cannot be written now.
    """
    spec = InferSpec.model_validate(claim.spec)
    pattern = OutputPattern.parse(str(spec.output))
    folder = OutputFolder(pattern, claim.job_id)
    output_file = claim.output_file
    if output_file is None:
        if claim.attempt > 1:
            folder.remove_earlier(claim.shard, claim.attempt)
        sink = FileSink(folder, pattern.hidden(claim.job_id, claim.shard, claim.attempt), spec.keep)
        output_file = _compute(context, claim, spec, beat, sink)
    beat.check()
    if output_file:
        folder.publish(output_file, claim.shard)
    if context.ledger.attempts.finish_output_file(claim):
        _clean(folder)


def _compute(context: WorkerContext, claim: Claim, spec: InferSpec, beat: Heartbeat, sink: FileSink) -> str:
    """Write the shard's file and commit its name. Returns the name, empty if no row has an output."""
    shard = Shard(context, claim, spec, beat)
    errors = ErrorSink()
    committed = False
    try:
        with ExitStack() as stack:
            # If no rows go to the table, no transaction stays open while the file is written.
            writer = stack.enter_context(context.ledger.attempts.writing(claim)) if spec.in_table else None
            sinks: list[Sink] = [sink, errors]
            # The table first: a result that is too large for it is an error of its row, and in no file.
            shard.run(sinks if writer is None else [TableSink(claim, writer), *sinks])
            output_file = sink.finish()
            beat.check()
            if writer is None:
                writer = stack.enter_context(context.ledger.attempts.writing(claim))
            writer.decide(output_file, shard.notes)
            writer.row_errors(errors.errors, errors.keys)
            writer.metrics(claim.start, shard.metrics)
            committed = True
    except AttemptLost:
        sink.discard()
        raise
    except BaseException:
        # If the connection breaks at the end of the transaction, it is unknown whether the name was committed. The
        # file stays: the next attempt either publishes or removes it.
        if not committed:
            sink.discard()
        raise
    context.logs.say(*shard.notes, *errors.summary)
    shard.save_sizes()
    return output_file


def _clean(folder: OutputFolder) -> None:
    try:
        folder.clean()
    except LongshoreError as error:  # the job has its files; the files left over are hidden
        log.warning("%s", error)
