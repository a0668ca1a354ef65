"""Checking requests for inference, and cutting their rows into shards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from longshore.producers.drafts import Draft
from longshore.producers.inputs import InputBlocks, joined
from longshore.producers.options import sort_options
from longshore.producers.queues import QueueChoice
from longshore.producers.requests import Infer
from longshore.shared.datasets.arrays import rename_to, takes_names
from longshore.shared.datasets.formats import detect
from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.datasets.matrix import to_matrix
from longshore.shared.datasets.schemas import check_schema
from longshore.shared.datasets.segments import choose_rows_per_shard
from longshore.shared.datasets.source import Source, open_source
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.jobs import FileInput, InferSpec, Input
from longshore.shared.ledger.models import Models
from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.references import ModelReference
from longshore.shared.signature import Signature
from longshore.shared.validation import build

#: Rows looked at when all rows of a call could be of the wrong shape.
LOOKED_AT = 1024


@dataclass(frozen=True)
class Target:
    """What the jobs of some requests have in common: version, options, and what a row of theirs is."""

    draft: Draft
    signature: Signature
    #: The spec as JSON, without its data.
    rest: str
    format: str | None

    @property
    def name(self) -> str:
        """How the version is called in an error, as in ``digits:3``."""
        return f"{self.draft.model}:{self.draft.version}"


class InferencePlanner:
    """Plans the inference requests of one call; each version and set of options is looked up once."""

    def __init__(self, models: Models, queues: QueueChoice, producer: str, blocks: InputBlocks) -> None:
        self._models = models
        self._queues = queues
        self._producer = producer
        self._blocks = blocks
        self._targets: dict[tuple[str, str], Target] = {}

    def target(self, request: Infer) -> Target:
        """The version and the options of a request.

        :raises InvalidInput: one of them is wrong; names it.
        """
        key = (request.model, repr(sorted(request.options.items())))
        if key not in self._targets:
            self._targets[key] = self._make_target(request)
        return self._targets[key]

    def plan(self, requests: Sequence[Infer]) -> list[NewJob]:
        """The jobs of requests that have the same target: one by one for files, together for rows.

        :raises InvalidInput: the data does not fit the version.
        """
        target = self.target(requests[0])
        if isinstance(requests[0].data, str | os.PathLike):
            return [self._plan_file(target, request.data) for request in requests]  # type: ignore[arg-type]
        together = joined([request.data for request in requests]) if len(requests) > 1 else None
        if together is not None:
            return self._plan_rows(target, *together)
        return [job for request in requests for job in self._plan_table(target, to_table(request.data))]

    def _make_target(self, request: Infer) -> Target:
        options = sort_options(request.options, InferSpec, frozenset({"data"}))
        version = self._models.resolve(ModelReference.parse(request.model))
        draft = Draft(
            kind="infer",
            model=version.model,
            version=version.version,
            digest=version.digest,
            options=options.job,
            queue=self._queues.choose(options.job.device),
            producer=self._producer,
        )
        # Anything but the data is checked before the data is looked at.
        spec = build(InferSpec, {"data": FileInput(uri="/", format="csv"), **options.spec})
        signature = Signature.model_validate(version.manifest["signature"])
        return Target(draft, signature, spec.model_dump_json(exclude={"data"}), options.format)

    def _plan_file(self, target: Target, path: str | os.PathLike[str]) -> NewJob:
        data = detect(path, target.format)
        source = open_source(data, "data")
        if data.format == "npy" and takes_names(source.schema, target.signature, target.name):
            data = data.model_copy(update={"features": target.signature.features})
            source = open_source(data, "data")
        check_schema(source.schema, target.signature)
        with _refused():
            _check_rows(source.head(LOOKED_AT), target.signature)
            shards = _cut(source, target.draft.options.rows_per_shard)
        spec = _spec(data, target)
        return target.draft.job(spec, shards, source.rows, spec.encode())

    def _plan_table(self, target: Target, table: pa.Table) -> list[NewJob]:
        return self._plan_rows(target, table, [table.num_rows])

    def _plan_rows(self, target: Target, table: pa.Table, counts: Sequence[int]) -> list[NewJob]:
        if target.format is not None:
            raise InvalidInput("format", "rows that come with the call have no file format; leave it out")
        table = _fitted(table, target)
        options = target.draft.options
        same = target.rest.encode() if options.idempotency_key is not None else None
        jobs = []
        start = 0
        for data in self._blocks.take(table, counts):
            content = b"" if same is None else same + encode_block(table.slice(start, data.rows))
            step = options.rows_per_shard or choose_rows_per_shard(data.rows)
            shards = [
                NewShard(task="infer", start=first, stop=min(first + step, data.rows))
                for first in range(0, data.rows, step)
            ]
            jobs.append(target.draft.job(_spec(data, target), shards, data.rows, content))
            start += data.rows
        return jobs


def _spec(data: Input, target: Target) -> str:
    """The job's spec as JSON; by hand, since thousands of them differ in their data alone."""
    return f'{{"data":{data.model_dump_json()},{target.rest[1:]}'


def _fitted(table: pa.Table, target: Target) -> pa.Table:
    """The columns that the version reads.

    :raises InvalidInput: there is one missing or of another type, or no row looked at can be used.
    """
    signature = target.signature
    table = rename_to(table, signature, target.name)
    check_schema(table.schema, signature)
    table = table.select([feature.name for feature in signature.features])
    _check_rows(table.slice(0, LOOKED_AT).combine_chunks().to_batches()[0], signature)
    return table


def _check_rows(first: pa.RecordBatch, signature: Signature) -> None:
    """:raises InvalidInput: none of the first rows can be used. A few bad ones will be errors of their own."""
    errors = to_matrix(first, signature).errors
    if first.num_rows and len(errors) == first.num_rows:
        raise InvalidInput("data", f"row 0: {errors[0]}; the first {first.num_rows} rows are all unusable")


def _cut(source: Source, rows_per_shard: int | None) -> list[NewShard]:
    """The shards of a file, or the one that will cut it, where only reading all of it tells how many rows it has."""
    if source.rows is None:
        return [NewShard(task="plan", start=0, stop=0)]
    return [
        NewShard(task="infer", start=cut.start, stop=cut.stop, offset=cut.offset, length=cut.length)
        for cut in source.segments(rows_per_shard)
    ]


@contextmanager
def _refused() -> Iterator[None]:
    """At submission, data that cannot be read is a wrong argument."""
    try:
        yield
    except DataError as error:
        raise InvalidInput("data", str(error)) from None
