"""A shard's rows, read and prepared in a thread of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.context import WorkerContext
from longshore.workers.inputs.passthrough import KeptColumns
from longshore.workers.inputs.reading import window_rows
from longshore.workers.inputs.row_numbers import Numbered, number, pick
from longshore.workers.pipeline import Ahead
from longshore.workers.runtimes.base import Prepared, Runtime


@dataclass(frozen=True)
class Window:
    """Rows that were read and prepared."""

    read: Numbered
    prepared: Prepared


class Reading:
    """Where the windows of a shard come from.

    :raises DataError: the input is not what it was at submission.
    """

    def __init__(self, context: WorkerContext, claim: Claim, spec: InferSpec) -> None:
        #: What prepares them.
        self.runtime = context.runtime(claim, spec)
        signature = self.runtime.signature
        #: In a window.
        self.rows = window_rows(signature, spec.batch_size)
        columns = list(dict.fromkeys([*(feature.name for feature in signature.features), *spec.keep]))
        kept = KeptColumns(context.inputs.schema(claim, spec.data), spec.keep) if spec.keep else None
        batches = context.inputs.batches(claim, spec.data, columns, self.rows)
        wanted = context.ledger.attempts.failed_rows(claim) if claim.only_failed else None
        read = number(batches, claim.start) if wanted is None else pick(batches, claim.start, wanted)
        #: Rows of all windows together.
        self.expected = claim.stop - claim.start if wanted is None else len(wanted)
        #: To be closed by who starts it or draws from it.
        self.windows = Ahead(prepared(self.runtime, read, kept))


def prepared(runtime: Runtime, windows: Iterator[Numbered], kept: KeptColumns | None) -> Iterator[Window]:
    """Windows as the runtime takes them; to be drawn in the reader's thread."""
    for read in windows:
        made = runtime.prepare(read.batch)
        yield Window(read if kept is None else Numbered(kept.fit(read.batch, made.errors), read.rows), made)
