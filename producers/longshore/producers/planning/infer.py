"""Checking requests for inference, and cutting their rows into shards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

import pyarrow as pa

from longshore.producers.data import Data
from longshore.producers.planning.context import PlanningContext
from longshore.producers.planning.inline_rows import joined, joined_tokens
from longshore.producers.planning.job_builder import Draft
from longshore.producers.planning.kept_columns import KeptColumns
from longshore.producers.planning.options import sort_options
from longshore.producers.planning.output_files import check_apart, check_free, settle_output
from longshore.producers.planning.targets import Target, jobs_of_rows
from longshore.producers.requests import Infer
from longshore.producers.ttl_cache import TtlCache
from longshore.shared.datasets.columns.arrays import needs_names, plain_rows, rename_to
from longshore.shared.datasets.columns.tensors import to_tensors
from longshore.shared.datasets.columns.texts import text_errors
from longshore.shared.datasets.columns.token_ids import has_token_ids, pack_token_ids
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.open import open_source, with_listing
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.datasets.schemas import check_schema
from longshore.shared.datasets.segments import choose_rows_per_shard
from longshore.shared.datasets.source import Source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.ledger.jobs.submission import Submissions
from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.ledger.shards.batching import batch_key_of
from longshore.shared.references import ModelReference
from longshore.shared.specs.jobs import FileInput, InferSpec
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.validation import build
from longshore.shared.vocabulary import Action, JobKind, RuntimeName

#: Number of rows that are checked at submission.
LOOKED_AT = 1024


class InferencePlanner:
    """Plans the inference requests of one call; each version and set of options is looked up once."""

    def __init__(self, context: PlanningContext, known: TtlCache[Target]) -> None:
        """:param known: targets that earlier calls looked up."""
        self._models = context.ledger.models
        self._submissions = context.ledger.submissions
        self._queues = context.queues
        self._producer = context.producer
        self._blocks = context.blocks
        self._known = known
        self._targets: dict[str, Target] = {}

    def target(self, request: Infer) -> Target:
        """The version and the options of a request.

        :raises InvalidInput: one of them is wrong; names it.
        """
        key = f"{request.model} {request.counts_tokens} {sorted(request.options.items())!r}"
        target = self._targets.get(key) or self._known.get(key)
        if target is None:
            reference = ModelReference.parse(request.model)
            target = self._make_target(request, reference)
            # Do not cache an alias: it can move between submissions.
            if reference.version is not None and target.batch_key is not None:
                self._known.put(key, target)
        self._targets[key] = target
        return target

    def plan(self, requests: Sequence[Infer]) -> list[NewJob]:
        """The jobs of requests that have the same target: one by one for files, together for rows.

        :raises InvalidInput: the data does not fit the version.
        """
        target = self.target(requests[0])
        if isinstance(requests[0].data, str | os.PathLike):
            return [self._plan_file(target, request.data) for request in requests]  # type: ignore[arg-type]
        if target.kept.key_columns:
            return self._plan_keyed(target, [request.data for request in requests])
        join = joined_tokens if target.takes_tokens and isinstance(requests[0].data, dict) else joined
        together = join([request.data for request in requests]) if len(requests) > 1 else None
        if together is not None:
            return self._plan_rows(target, *together)
        return [job for request in requests for job in self._plan_table(target, request.data)]

    def _make_target(self, request: Infer, reference: ModelReference) -> Target:
        options = sort_options(request.options, InferSpec)
        version = self._models.resolve(reference)
        draft = Draft(
            kind=JobKind.INFER,
            model=version.model,
            version=version.version,
            digest=version.digest,
            options=options.job,
            queue=self._queues.choose(options.job.device),
            producer=self._producer,
        )
        # Check all options before reading the data, which can be slow.
        spec = build(InferSpec, {"data": FileInput(uri="/", format="csv"), **options.spec})
        signature = Signature.model_validate(version.manifest["signature"])
        spec.check(signature, str(version.manifest.get("runtime", RuntimeName.FAMILY)))
        spec, output = settle_output(spec.model_copy(update={"counts_tokens": request.counts_tokens}))
        if output is not None:
            check_free_unless_known(output, options.job.idempotency_key, self._producer, self._submissions)
        rest = spec.model_dump_json(exclude={"data"}, exclude_defaults=True)
        batch_key = batch_key_of(version.digest, rest) if output is None else None
        kept = KeptColumns.of(spec, output)
        takes_tokens = version.manifest.get("runtime") == RuntimeName.HUGGINGFACE
        return Target(draft, signature, rest, options.format, batch_key, kept, output, takes_tokens)

    def _plan_file(self, target: Target, path: str | os.PathLike[str]) -> NewJob:
        data = detect(path, target.format)
        uses = ColumnUses.of(target.signature)
        source = open_source(data, "data", uses)
        if data.format == "npy" and needs_names(source.schema, target.signature, target.name):
            data = data.model_copy(update={"features": target.signature.features})
            source = open_source(data, "data")
        data = with_listing(data, source)
        check_schema(source.schema, target.signature)
        if target.output is not None:
            check_apart(target.output, data)
        target.kept.check_source(source)
        with unreadable_data():
            check_first_rows(source.head(LOOKED_AT), target.signature)
            shards = cut_file(source, target.draft.options.rows_per_shard)
        spec = target.spec_text(data)
        return target.draft.job(spec, shards, source.rows, spec.encode())

    def _plan_table(self, target: Target, data: Data) -> list[NewJob]:
        alone = target.output is None and not target.kept.names
        ready = plain_rows(data, target.signature, LOOKED_AT) if alone else None
        if ready is not None:
            return self._plan_fitted(target, ready, [ready.num_rows])
        table = to_table(data)
        return self._plan_rows(target, table, [table.num_rows])

    def _plan_keyed(self, target: Target, rows: Sequence[Data]) -> list[NewJob]:
        """The jobs of rows with keys. Only rows of the same types share a block, so that no key changes its type."""
        groups = (list(group) for _, group in groupby(map(to_table, rows), key=lambda table: table.schema))
        return [
            job
            for group in groups
            for job in self._plan_rows(target, pa.concat_tables(group), [table.num_rows for table in group])
        ]

    def _plan_rows(self, target: Target, table: pa.Table, counts: Sequence[int]) -> list[NewJob]:
        if target.takes_tokens and has_token_ids(table.column_names, target.signature):
            return self._plan_tokens(target, table, counts)
        return self._plan_fitted(target, _fitted(table, target), counts)

    def _plan_tokens(self, target: Target, table: pa.Table, counts: Sequence[int]) -> list[NewJob]:
        """The jobs of rows that are tokens. They are not batched with texts."""
        packed = pack_token_ids(table, target.signature)
        target.kept.check_rows(packed)
        columns = [*(feature.name for feature in target.signature.features), *target.kept.names]
        key = None if target.batch_key is None else batch_key_of(str(target.draft.digest), f"tokens {target.rest}")
        return self._plan_fitted(replace(target, batch_key=key), packed.select(list(dict.fromkeys(columns))), counts)

    def _plan_fitted(self, target: Target, table: pa.Table, counts: Sequence[int]) -> list[NewJob]:
        if target.format is not None:
            raise InvalidInput("format", "rows that come with the call have no file format; leave it out")
        return jobs_of_rows(target, self._blocks, table, counts, Action.INFER, choose_rows_per_shard)


def check_free_unless_known(output: OutputPattern, key: str | None, producer: str, submissions: Submissions) -> None:
    """:raises InvalidInput: output files exist already, and no earlier job has the same idempotency key."""
    try:
        check_free(output)
    except InvalidInput:
        if key is None or submissions.find_key(producer, key) is None:
            raise


def _fitted(table: pa.Table, target: Target) -> pa.Table:
    """Select the columns that the version reads and those to keep.

    :raises InvalidInput: a column is missing or has the wrong type, or all of the first rows are unusable.
    """
    signature = target.signature
    table = rename_to(table, signature, target.name)
    check_schema(table.schema, signature)
    target.kept.check_rows(table)
    table = table.select(list(dict.fromkeys([*(feature.name for feature in signature.features), *target.kept.names])))
    check_first_rows(table.slice(0, LOOKED_AT).combine_chunks().to_batches()[0], signature)
    return table


def check_first_rows(first: pa.RecordBatch, signature: Signature) -> None:
    """:raises InvalidInput: all of the first rows are unusable. Single bad rows become row errors later."""
    if any(feature.kind == "image" for feature in signature.features):
        return  # only workers can decode images
    errors = text_errors(first, signature.features) if signature.is_text else to_tensors(first, signature).errors
    if first.num_rows and len(errors) == first.num_rows:
        raise InvalidInput("data", f"row 0: {errors[0]}; the first {first.num_rows} rows are all unusable")


def cut_file(source: Source, rows_per_shard: int | None, action: Action = Action.INFER) -> list[NewShard]:
    """The shards of a file; if its number of rows is unknown, one shard that reads the file and plans the others."""
    if source.rows is None:
        return [NewShard(action=Action.PLAN, start=0, stop=0)]
    return [
        NewShard(action=action, start=cut.start, stop=cut.stop, offset=cut.offset, length=cut.length)
        for cut in source.segments(rows_per_shard)
    ]


@contextmanager
def unreadable_data() -> Iterator[None]:
    """Report unreadable data as an invalid argument."""
    try:
        yield
    except DataError as error:
        raise InvalidInput("data", str(error)) from None
