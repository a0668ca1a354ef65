"""Small shards of one version, run as one batch: a forward pass costs little more for many rows than for one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch

from longshore.shared.jobs import InferSpec
from longshore.shared.ledger.group import Finished
from longshore.shared.ledger.lines import result_lines
from longshore.shared.ledger.records import Claim
from longshore.workers.context import WorkerContext
from longshore.workers.heartbeat import Heartbeat
from longshore.workers.inference.reading import default_batch_size
from longshore.workers.runtimes.base import Encoded, Runtime


def groups(claims: Sequence[Claim]) -> Iterator[Sequence[Claim]]:
    """Runs of neighbouring claims that one batch can hold: inference by one version, with one batch size."""
    for _, alike in itertools.groupby(claims, key=_likeness):
        yield list(alike)


def run_group(context: WorkerContext, claims: Sequence[Claim], beat: Heartbeat) -> None:
    """Compute shards together and commit them in one transaction; those lost meanwhile are left out.

    :raises AttemptLost: all of them are lost.
    :raises DataError: the input of one cannot be read; nothing of any is written.
    """
    specs = [InferSpec.model_validate(claim.spec) for claim in claims]
    digest = claims[0].digest
    if digest is None:
        raise ValueError(f"job {claims[0].job_id} has no version to run")
    runtime = context.residents.get(digest)
    columns = [feature.name for feature in runtime.signature.features]
    size = specs[0].batch_size or default_batch_size(runtime.signature)
    inputs = [
        pa.Table.from_batches(context.inputs.batches(claim, spec.data, columns, size))
        for claim, spec in zip(claims, specs, strict=True)
    ]
    table = pa.concat_tables(inputs, promote_options="permissive").combine_chunks()
    encoded = list(_encoded(runtime, table, size, beat))
    beat.check()
    _commit(context, claims, [rows.num_rows for rows in inputs], encoded)


def _likeness(claim: Claim) -> tuple[object, ...]:
    if claim.task != "infer":
        return (claim.job_id, claim.shard)  # like no other
    return (claim.task, claim.digest, claim.spec.get("batch_size"))


def _encoded(runtime: Runtime, table: pa.Table, size: int, beat: Heartbeat) -> Iterator[Encoded]:
    for batch in table.to_batches(max_chunksize=size):
        beat.check()
        with torch.inference_mode():
            outputs = runtime.forward(runtime.prepare(batch))
        yield runtime.encode(outputs)


def _commit(context: WorkerContext, claims: Sequence[Claim], counts: Sequence[int], encoded: list[Encoded]) -> None:
    outputs = pa.concat_arrays([each.outputs for each in encoded])
    starts = np.cumsum([0, *(len(each.outputs) for each in encoded)])
    errors = {
        int(start) + place: reason
        for start, each in zip(starts, encoded, strict=False)
        for place, reason in each.errors.items()
    }
    offsets = np.cumsum([0, *counts])
    #: By claim: where its rows are among all, and their numbers in its job.
    parts = {
        (claim.job_id, claim.shard): (claim, range(int(first), int(last)))
        for claim, first, last in zip(claims, offsets, offsets[1:], strict=False)
    }
    while parts:
        finished = [_finished(claim, places, errors) for claim, places in parts.values()]
        lost = context.ledger.attempts.commit_together(finished, _lines(list(parts.values()), outputs))
        if not lost:
            return
        for name in lost:
            del parts[name]


def _finished(claim: Claim, places: range, errors: dict[int, str]) -> Finished:
    own = {claim.start + place - places.start: errors[place] for place in places if place in errors}
    return Finished(claim, len(places) - len(own), own)


def _lines(parts: Sequence[tuple[Claim, range]], outputs: pa.StringArray) -> memoryview:
    """The rows that have results, of the shards that are committed."""
    jobs = pa.array([str(claim.job_id) for claim, places in parts for _ in places])
    rows = pa.array([claim.start + place for claim, places in parts for place in range(len(places))], pa.int64())
    taken = outputs.take(pa.array([place for _, places in parts for place in places], pa.int64()))
    kept = taken.is_valid()
    return result_lines(jobs.filter(kept), rows.filter(kept), taken.filter(kept))
