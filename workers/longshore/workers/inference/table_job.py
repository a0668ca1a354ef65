"""One shard of an inference job: read and prepare, compute, write, each in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.context import WorkerContext
from longshore.workers.inference.batch_runner import Computer
from longshore.workers.inference.heads import make_heads
from longshore.workers.inference.next_shard import begin_next
from longshore.workers.inference.sinks import Computed, ErrorSink, Sink, TableSink
from longshore.workers.inputs.shard_reader import Reading, Window
from longshore.workers.pipeline import Ahead, Behind
from longshore.workers.process.heartbeat import Heartbeat

#: Seconds of computing that are left of a shard when its worker takes the next one, if all is read. A shard that is
#: held so long is kept from other workers.
SOON = 0.5


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
        self._reading = context.upcoming.begun(claim) or Reading(context, claim, spec)
        runtime = self._reading.runtime
        self._sizes = context.batch_sizes.get(claim, spec, runtime, self._reading.rows)
        heads = make_heads(runtime.signature, spec)
        self._steps = Steps(beat)
        self._computer = Computer(runtime, heads, self._sizes, allow_nan=spec.allow_nan, step=self._step)

    def run(self, sinks: Sequence[Sink]) -> int:
        """Send every row that is to be run into the sinks, once. Returns how many there were."""
        expected = self._reading.expected
        done = _run(self._computer, self._reading.windows, sinks, self._look_for_the_next)
        if done != expected:
            raise RuntimeError(f"shard {self._claim.token} has {expected} rows to run, but {done} were read")
        return done

    @property
    def notes(self) -> list[str]:
        """What the job's owner should know, a sentence each."""
        return self._computer.notes

    def keep_sizes(self) -> None:
        """Remember the batch sizes that were learned, for the shards that follow."""
        self._context.batch_sizes.keep(self._claim, self._spec, self._sizes)

    def _step(self, rows: int) -> None:
        self._steps.add(rows)
        if self._reading.windows.drained and self._steps.left(self._reading.expected) < SOON:
            self._look_for_the_next()

    def _look_for_the_next(self) -> None:
        self._context.upcoming.begin(partial(begin_next, self._context, self._claim, self._spec))


class Steps:
    """Counts rows for the heartbeat, and ends the work when the attempt is lost or the worker stops."""

    def __init__(self, beat: Heartbeat) -> None:
        self._beat = beat
        self._start = time.monotonic()
        self._done = 0

    def add(self, rows: int) -> None:
        """So many more were computed."""
        self._done += rows
        self._beat.check()
        self._beat.progress(self._done)

    def left(self, rows: int) -> float:
        """Seconds until so many are computed in all, at the rate so far; some must have been."""
        return (time.monotonic() - self._start) / self._done * (rows - self._done)


def _run(computer: Computer, windows: Ahead[Window], sinks: Sequence[Sink], computed: Callable[[], None]) -> int:
    """Run every window through the model and into the sinks. Returns how many rows there were.

    :param computed: called when only writing is left to do.
    """

    def take(window: Computed) -> None:
        for sink in sinks:
            sink.take(window)

    done = 0
    behind = Behind(take)
    try:
        for window in windows:
            outputs, errors = computer.run(window.prepared)
            behind.put(Computed(window.read.rows, window.read.batch, outputs, errors))
            done += len(window.read.rows)
        computed()
        behind.finish()
    except BaseException:
        behind.abandon()
        raise
    finally:
        windows.close()
    return done
