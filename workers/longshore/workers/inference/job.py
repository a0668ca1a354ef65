"""One shard of an inference job: read and prepare, compute, write, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longshore.shared.jobs import InferSpec
from longshore.shared.ledger.records import Claim
from longshore.workers.context import WorkerContext
from longshore.workers.heartbeat import Heartbeat
from longshore.workers.inference.background import Behind, ahead
from longshore.workers.inference.compute import Computer
from longshore.workers.inference.heads import make_heads
from longshore.workers.inference.kept import KeptColumns
from longshore.workers.inference.numbered import Numbered, number, pick
from longshore.workers.inference.reading import window_rows
from longshore.workers.inference.sinks import Computed, ErrorSink, Sink, TableSink
from longshore.workers.runtimes.base import Prepared, Runtime


@dataclass(frozen=True)
class Window:
    """Rows that were read and prepared."""

    read: Numbered
    prepared: Prepared


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
        writer.fence(done - len(errors.errors))
        writer.row_errors(errors.errors)
        writer.notes(shard.notes)
        writer.finish()
    shard.keep_sizes()


class Shard:
    """The way of a shard's rows through the loaded version."""

    def __init__(self, context: WorkerContext, claim: Claim, spec: InferSpec, beat: Heartbeat) -> None:
        self._context = context
        self._claim = claim
        self._spec = spec
        runtime = context.runtime(claim, spec)
        signature = runtime.signature
        rows = window_rows(signature, spec.batch_size)
        columns = list(dict.fromkeys([*(feature.name for feature in signature.features), *spec.keep]))
        kept = KeptColumns(context.inputs.schema(claim, spec.data), spec.keep) if spec.keep else None
        batches = context.inputs.batches(claim, spec.data, columns, rows)
        wanted = context.ledger.attempts.failed_rows(claim) if claim.only_failed else None
        read = number(batches, claim.start) if wanted is None else pick(batches, claim.start, wanted)
        self._expected = claim.stop - claim.start if wanted is None else len(wanted)
        self._windows = prepared(runtime, read, kept)
        self._sizes = context.batch_sizes.get(claim, spec, runtime, rows)
        heads = make_heads(signature, spec)
        self._computer = Computer(runtime, heads, self._sizes, allow_nan=spec.allow_nan, step=Steps(beat).add)

    def run(self, sinks: Sequence[Sink]) -> int:
        """Send every row that is to be run into the sinks, once. Returns how many there were."""
        done = _run(self._computer, self._windows, sinks)
        if done != self._expected:
            raise RuntimeError(f"shard {self._claim.token} has {self._expected} rows to run, but {done} were read")
        return done

    @property
    def notes(self) -> list[str]:
        """What the job's owner should know, a sentence each."""
        return self._computer.notes

    def keep_sizes(self) -> None:
        """Remember the batch sizes that were learned, for the shards that follow."""
        self._context.batch_sizes.keep(self._claim, self._spec, self._sizes)


class Steps:
    """Counts rows for the heartbeat, and ends the work when the attempt is lost or the worker stops."""

    def __init__(self, beat: Heartbeat) -> None:
        self._beat = beat
        self._done = 0

    def add(self, rows: int) -> None:
        """So many more were computed."""
        self._done += rows
        self._beat.check()
        self._beat.progress(self._done)


def prepared(runtime: Runtime, windows: Iterator[Numbered], kept: KeptColumns | None) -> Iterator[Window]:
    """Windows as the runtime takes them; to be drawn in the reader's thread."""
    for read in windows:
        made = runtime.prepare(read.batch)
        yield Window(read if kept is None else Numbered(kept.fit(read.batch, made.errors), read.rows), made)


def _run(computer: Computer, windows: Iterator[Window], sinks: Sequence[Sink]) -> int:
    """Run every window through the model and into the sinks. Returns how many rows there were."""

    def take(window: Computed) -> None:
        for sink in sinks:
            sink.take(window)

    done = 0
    behind = Behind(take)
    try:
        with ahead(windows) as ready:
            for window in ready:
                outputs, errors = computer.run(window.prepared)
                behind.put(Computed(window.read.rows, window.read.batch, outputs, errors))
                done += len(window.read.rows)
        behind.finish()
    except BaseException:
        behind.abandon()
        raise
    return done
