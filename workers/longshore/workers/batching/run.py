"""Runs small shards of one version as one batch: a forward pass of many rows costs little more than one of a few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.datasets.outputs.result_keys import ResultKeys, keys_of_tables
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.specs.jobs import InferSpec, Input
from longshore.shared.vocabulary import Action
from longshore.workers.context import WorkerContext
from longshore.workers.inference.batch_runner import BatchRunner
from longshore.workers.inference.heads import make_heads
from longshore.workers.inference.sinks import storable
from longshore.workers.inputs.reading import window_rows
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.process.monitoring.cells import Distribution
from longshore.workers.runtimes.base import Runtime

_INPUT: TypeAdapter[Input] = TypeAdapter(Input)


def split_into_batches(claims: Sequence[Claim]) -> Iterator[Sequence[Claim]]:
    """Split claims into batches: those of one version with the same options run together, every other alone."""
    batches: dict[tuple[object, ...], list[Claim]] = {}
    for claim in claims:
        batches.setdefault(_compatibility_key(claim), []).append(claim)
    yield from batches.values()


@dataclass(frozen=True)
class ComputedBatch:
    """Shards that are computed and not yet committed."""

    claims: Sequence[Claim]
    #: Rows of each shard.
    counts: Sequence[int]
    #: Outputs and errors of all rows, window by window; errors by the row's index in its window.
    windows: Sequence[tuple[pa.StructArray, dict[int, str]]]
    #: Notes for the job's owner, by shard.
    notes: Sequence[Sequence[str]]
    #: The keys of all rows; ``None`` if the jobs keep no columns.
    keys: ResultKeys | None = None


def compute_batch(context: WorkerContext, claims: Sequence[Claim], beat: Heartbeat) -> ComputedBatch:
    """Compute shards together.

    :raises AttemptLost: every attempt is lost.
    :raises DataError: the input of a shard cannot be read.
    """
    first = InferSpec.model_validate(claims[0].spec)  # the others have the same options, except for their data
    runtime = context.models.for_job(claims[0], first)
    features = [feature.name for feature in runtime.signature.features]
    columns = list(dict.fromkeys([*features, *first.key_columns]))
    rows = window_rows(runtime.signature, first.batch_size)
    uses = ColumnUses.of(runtime.signature, first.key_columns)
    inputs = [
        [
            pa.Table.from_batches([batch])
            for batch in context.inputs.batches(claim, _INPUT.validate_python(claim.spec["data"]), columns, rows, uses)
        ]
        for claim in claims
    ]
    keys = None
    if first.key_columns:
        keys = keys_of_tables([table for tables in inputs for table in tables], first.key_columns)
        inputs = [[table.select(features) for table in tables] for tables in inputs]
    sizes = context.batch_sizes.get_together(claims, first, runtime, rows)
    heads = make_heads(runtime.signature, first)

    def step(count: int) -> None:
        context.metrics.observe(Distribution.BATCH_ROWS, count)
        beat.check()

    runner = BatchRunner(runtime, heads, sizes, allow_nan=first.allow_nan, step=step)
    computed = []
    row_notes: set[str] = set()
    for window in _windows([table for tables in inputs for table in tables], rows):
        prepared = runtime.prepare(window)
        row_notes |= set(prepared.notes)
        computed.append(runner.run(prepared))
    beat.check()
    context.batch_sizes.save(claims[0], first, sizes)
    run_notes = [note for note in runner.notes if note not in row_notes]
    # A note on rows may concern one job only, so the rows of each job are prepared again, separately.
    notes = [[*(_row_notes(runtime, each, rows) if row_notes else []), *run_notes] for each in inputs]
    counts = [sum(table.num_rows for table in tables) for tables in inputs]
    return ComputedBatch(claims, counts, computed, notes, keys)


def _compatibility_key(claim: Claim) -> tuple[object, ...]:
    if claim.action != Action.INFER or claim.only_failed or "output" in claim.spec:
        return (claim.job_id, claim.shard)  # runs alone
    if claim.attempt > 1:  # it may be what killed its worker
        return (claim.job_id, claim.shard)
    if claim.batch_key is not None:
        return (claim.batch_key,)
    # All options of a job, except its rows.
    options = sorted((name, repr(value)) for name, value in claim.spec.items() if name != "data")
    return (claim.action, claim.digest, *options)


def _row_notes(runtime: Runtime, tables: Sequence[pa.Table], rows: int) -> list[str]:
    notes = (note for window in _windows(tables, rows) for note in runtime.prepare(window).notes)
    return list(dict.fromkeys(notes))


def _windows(tables: Sequence[pa.Table], rows: int) -> Sequence[pa.RecordBatch]:
    """The rows of some tables in order, ``rows`` at a time."""
    try:
        table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # A bad value makes its block of a text file a column of text, which must not change the rows of other jobs.
        return list(rebatch(iter(tables), rows))
    return table.to_batches(max_chunksize=rows)  # type: ignore[no-any-return]


def commit_batch(ledger: Ledger, computed: ComputedBatch) -> None:
    """Commit shards in one transaction, without those that were lost meanwhile."""
    claims = computed.claims
    outputs, too_large = storable(pa.concat_arrays([json_texts(each) for each, _ in computed.windows]))
    starts = np.cumsum([0, *(len(each) for each, _ in computed.windows)])
    errors = {
        int(start) + row: reason
        for start, (_, window_errors) in zip(starts, computed.windows, strict=False)
        for row, reason in window_errors.items()
    }
    errors |= too_large
    if computed.keys is not None:
        errors = {**computed.keys.errors, **errors}
    offsets = np.cumsum([0, *computed.counts])
    notes = {(claim.job_id, claim.shard): each for claim, each in zip(claims, computed.notes, strict=True)}
    #: Each claim with the indexes of its rows among all rows.
    slices = {
        (claim.job_id, claim.shard): (claim, range(int(first), int(last)))
        for claim, first, last in zip(claims, offsets, offsets[1:], strict=False)
    }
    while slices:
        finished = [
            _finished(*shard_slice, errors, notes[shard_id], computed.keys) for shard_id, shard_slice in slices.items()
        ]
        lines = _lines(list(slices.values()), outputs, computed.keys)
        lost = ledger.attempts.commit_batch(finished, lines, keyed=computed.keys is not None)
        if not lost:
            return
        for shard_id in lost:
            del slices[shard_id]


def _finished(
    claim: Claim, rows: range, errors: dict[int, str], notes: Sequence[str], keys: ResultKeys | None
) -> Finished:
    # Errors are rare, and a batch has hundreds of shards.
    failed = [row for row in rows if row in errors] if errors else []
    first = claim.start - rows.start
    own_keys = {} if keys is None or not failed else keys.of(failed)
    return Finished(
        *(claim, len(rows) - len(failed), {first + row: errors[row] for row in failed}, notes),
        {first + row: key for row, key in own_keys.items()},
    )


def _lines(slices: Sequence[tuple[Claim, range]], outputs: pa.StringArray, keys: ResultKeys | None) -> memoryview:
    """The result rows of the shards to commit, as lines for ``COPY``."""
    jobs = pa.array([str(claim.job_id) for claim, indexes in slices for _ in indexes])
    rows = pa.array([claim.start + row for claim, indexes in slices for row in range(len(indexes))], pa.int64())
    indexes = pa.array([index for _, indexes in slices for index in indexes], pa.int64())
    taken = outputs.take(indexes)
    valid = taken.is_valid()
    if keys is None:
        return result_lines(jobs.filter(valid), rows.filter(valid), taken.filter(valid))
    taken_keys = keys.texts.take(indexes)
    valid = pc.and_(valid, taken_keys.is_valid())
    return result_lines(jobs.filter(valid), rows.filter(valid), taken.filter(valid), taken_keys.filter(valid))
