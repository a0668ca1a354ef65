"""Small shards of one version, run as one batch: a forward pass costs little more for many rows than for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.specs.jobs import InferSpec, Input
from longshore.workers.context import WorkerContext
from longshore.workers.inference.batch_runner import Computer
from longshore.workers.inference.heads import make_heads
from longshore.workers.inputs.reading import window_rows
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.runtimes.base import Runtime

_INPUT: TypeAdapter[Input] = TypeAdapter(Input)


def groups(claims: Sequence[Claim]) -> Iterator[Sequence[Claim]]:
    """Claims that one batch can hold: inference by one version that was told the same. The rest stand alone."""
    found: dict[tuple[object, ...], list[Claim]] = {}
    for claim in claims:
        found.setdefault(_likeness(claim), []).append(claim)
    yield from found.values()


@dataclass(frozen=True)
class ComputedGroup:
    """Shards whose outputs are there, and not in the ledger yet."""

    claims: Sequence[Claim]
    #: Rows of each.
    counts: Sequence[int]
    #: Of all rows, part by part: outputs, and errors by the place in the part.
    parts: Sequence[tuple[pa.StructArray, dict[int, str]]]
    #: Of each shard, what its job's owner should know.
    notes: Sequence[Sequence[str]]


def compute_group(context: WorkerContext, claims: Sequence[Claim], beat: Heartbeat) -> ComputedGroup:
    """Compute shards together.

    :raises AttemptLost: all of them are lost.
    :raises DataError: the input of one cannot be read.
    """
    first = InferSpec.model_validate(claims[0].spec)  # the others were told the same, but for their data
    runtime = context.runtime(claims[0], first)
    columns = [feature.name for feature in runtime.signature.features]
    rows = window_rows(runtime.signature, first.batch_size)
    inputs = [
        pa.Table.from_batches(context.inputs.batches(claim, _INPUT.validate_python(claim.spec["data"]), columns, rows))
        for claim in claims
    ]
    table = pa.concat_tables(inputs, promote_options="permissive").combine_chunks()
    sizes = context.batch_sizes.get(claims[0], first, runtime, rows)
    heads = make_heads(runtime.signature, first)
    computer = Computer(runtime, heads, sizes, allow_nan=first.allow_nan, step=lambda _: beat.check())
    computed = []
    of_rows: set[str] = set()
    for window in table.to_batches(max_chunksize=rows):
        prepared = runtime.prepare(window)
        of_rows |= set(prepared.notes)
        computed.append(computer.run(prepared))
    beat.check()
    passes = [note for note in computer.notes if note not in of_rows]
    # What is noted of rows may be about those of one job alone: then each job's are looked at by themselves.
    notes = [[*(_row_notes(runtime, each, rows) if of_rows else []), *passes] for each in inputs]
    return ComputedGroup(claims, [rows.num_rows for rows in inputs], computed, notes)


def _likeness(claim: Claim) -> tuple[object, ...]:
    if claim.action != "infer" or claim.only_failed or "output" in claim.spec:
        return (claim.job_id, claim.shard)  # like no other
    if claim.attempt > 1:  # it may be what ended its worker
        return (claim.job_id, claim.shard)
    if claim.batch_key is not None:
        return (claim.batch_key,)
    # Everything a job was told but its rows.
    told = sorted((name, repr(value)) for name, value in claim.spec.items() if name != "data")
    return (claim.action, claim.digest, *told)


def _row_notes(runtime: Runtime, table: pa.Table, rows: int) -> list[str]:
    windows = table.combine_chunks().to_batches(max_chunksize=rows)
    return list(dict.fromkeys(note for window in windows for note in runtime.prepare(window).notes))


def commit_group(ledger: Ledger, computed: ComputedGroup) -> None:
    """Commit shards in one transaction; those lost meanwhile are left out."""
    claims = computed.claims
    outputs = pa.concat_arrays([json_texts(each) for each, _ in computed.parts])
    starts = np.cumsum([0, *(len(each) for each, _ in computed.parts)])
    errors = {
        int(start) + place: reason
        for start, (_, found) in zip(starts, computed.parts, strict=False)
        for place, reason in found.items()
    }
    offsets = np.cumsum([0, *computed.counts])
    noted = {(claim.job_id, claim.shard): each for claim, each in zip(claims, computed.notes, strict=True)}
    #: By claim: where its rows are among all, and their numbers in its job.
    parts = {
        (claim.job_id, claim.shard): (claim, range(int(first), int(last)))
        for claim, first, last in zip(claims, offsets, offsets[1:], strict=False)
    }
    while parts:
        finished = [_finished(*part, errors, noted[name]) for name, part in parts.items()]
        lost = ledger.attempts.commit_batch(finished, _lines(list(parts.values()), outputs))
        if not lost:
            return
        for name in lost:
            del parts[name]


def _finished(claim: Claim, places: range, errors: dict[int, str], notes: Sequence[str]) -> Finished:
    # Hardly ever are there any, and a group has hundreds of shards.
    own = {claim.start + place - places.start: errors[place] for place in places if place in errors} if errors else {}
    return Finished(claim, len(places) - len(own), own, notes)


def _lines(parts: Sequence[tuple[Claim, range]], outputs: pa.StringArray) -> memoryview:
    """The rows that have results, of the shards that are committed."""
    jobs = pa.array([str(claim.job_id) for claim, places in parts for _ in places])
    rows = pa.array([claim.start + place for claim, places in parts for place in range(len(places))], pa.int64())
    taken = outputs.take(pa.array([place for _, places in parts for place in places], pa.int64()))
    kept = taken.is_valid()
    return result_lines(jobs.filter(kept), rows.filter(kept), taken.filter(kept))
