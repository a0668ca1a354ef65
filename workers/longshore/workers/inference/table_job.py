"""Runs one shard of an inference job: one thread reads and prepares, one computes, one writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.context import WorkerContext
from longshore.workers.inference.batch_runner import BatchRunner
from longshore.workers.inference.drift import DriftMonitor, drift_metrics, drift_notes
from longshore.workers.inference.heads import make_heads
from longshore.workers.inference.sinks import ComputedWindow, ErrorSink, Sink, TableSink
from longshore.workers.inputs.shard_reader import Window
from longshore.workers.pipeline import BackgroundWriter, Prefetcher
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.process.monitoring.cells import Distribution

log = logging.getLogger(__name__)

#: A worker prefetches the next shard when the current one is read and has this many seconds of computing left. The
#: longer it holds a prefetched shard, the longer no other worker can run it.
PREFETCH_BEFORE_END_S = 0.5


def run_inference(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Compute and commit a shard.

    :raises AttemptLost: a newer attempt has the shard, or the job was cancelled; nothing is written.
    :raises DataError: the input is not what it was at submission.
    """
    spec = InferSpec.model_validate(claim.spec)
    shard = Shard(context, claim, spec, beat)
    with context.ledger.attempts.writing(claim) as writer:
        errors = ErrorSink()
        done = shard.run([TableSink(claim, writer), errors])
        beat.check()
        started = time.perf_counter()
        writer.fence(done - len(errors.errors))
        writer.row_errors(errors.errors, errors.keys)
        writer.notes(shard.notes)
        writer.metrics(claim.start, shard.metrics)
        writer.finish()
    context.logs.say(*shard.notes, *errors.summary)
    context.metrics.observe(Distribution.COMMIT_SECONDS, time.perf_counter() - started)
    shard.save_sizes()


class Shard:
    """Runs a shard's rows through the loaded version."""

    def __init__(self, context: WorkerContext, claim: Claim, spec: InferSpec, beat: Heartbeat) -> None:
        self._context = context
        self._claim = claim
        self._spec = spec
        self._reader = context.prefetcher.open(claim, spec)
        runtime = self._reader.runtime
        self._sizes = context.batch_sizes.get(claim, spec, runtime, self._reader.rows)
        heads = make_heads(runtime.signature, spec)
        self._steps = Steps(beat)
        self._drift = DriftMonitor(runtime)
        self._runner = BatchRunner(runtime, heads, self._sizes, allow_nan=spec.allow_nan, step=self._step)

    def run(self, sinks: Sequence[Sink]) -> int:
        """Run every row of the shard and write it to the sinks, once. Returns the number of rows."""
        expected = self._reader.expected
        done = _run(self._runner, self._drift, self._reader.windows, sinks, self._prefetch_next)
        if done != expected:
            raise RuntimeError(f"shard {self._claim.token} has {expected} rows to run, but {done} were read")
        return done

    @property
    def notes(self) -> list[str]:
        """Notes for the job's owner, a sentence each."""
        return [*self._reader.notes, *self._runner.notes, *drift_notes(self._drift.indexes)]

    @property
    def metrics(self) -> dict[str, float]:
        """How far the columns are from those of the training."""
        return drift_metrics(self._drift.indexes)

    def save_sizes(self) -> None:
        """Save the learned batch sizes for later shards."""
        for length, size in self._sizes.learned.items():
            log.info("batch size %d is the fastest%s", size.rows, f" for rows of length {length}" if length else "")
        self._context.batch_sizes.save(self._claim, self._spec, self._sizes)

    def _step(self, rows: int) -> None:
        self._context.metrics.observe(Distribution.BATCH_ROWS, rows)
        self._steps.add(rows)
        if self._reader.windows.drained and self._steps.left(self._reader.expected) < PREFETCH_BEFORE_END_S:
            self._prefetch_next()

    def _prefetch_next(self) -> None:
        self._context.prefetcher.begin(self._claim, self._spec)


class Steps:
    """Counts rows for the heartbeat, and ends the run when the attempt is lost or the worker stops."""

    def __init__(self, beat: Heartbeat) -> None:
        self._beat = beat
        self._start = time.monotonic()
        self._done = 0

    def add(self, rows: int) -> None:
        """Count rows that were computed."""
        self._done += rows
        self._beat.check()
        self._beat.progress(self._done)

    def left(self, rows: int) -> float:
        """Seconds until ``rows`` rows are computed, at the rate so far; needs at least one computed row."""
        return (time.monotonic() - self._start) / self._done * (rows - self._done)


def _run(
    runner: BatchRunner,
    drift: DriftMonitor,
    windows: Prefetcher[Window],
    sinks: Sequence[Sink],
    computed: Callable[[], None],
) -> int:
    """Run every window through the model and write it to the sinks. Returns the number of rows.

    :param computed: called when only writing is left.
    """

    def take(window: ComputedWindow) -> None:
        for sink in sinks:
            sink.take(window)

    done = 0
    writer = BackgroundWriter(take)
    try:
        for window in windows:
            drift.add(window.prepared)
            outputs, errors = runner.run(window.prepared)
            writer.put(ComputedWindow(window.read.rows, window.read.batch, outputs, errors, window.keys))
            done += len(window.read.rows)
        computed()
        writer.finish()
    except BaseException:
        writer.abandon()
        raise
    finally:
        windows.close()
    return done
