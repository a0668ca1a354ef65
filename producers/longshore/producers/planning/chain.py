"""Links of a chain: jobs that wait for another, and run on the version that it has made or used."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from longshore.producers.data import Data, GenerateData
from longshore.producers.options.keywords import EvaluateOptions, GenerateOptions, InferOptions, PromoteOptions
from longshore.producers.planning.conditions import check_condition
from longshore.producers.planning.context import PlanningContext
from longshore.producers.planning.evaluate import plan_evaluation
from longshore.producers.planning.infer import InferencePlanner, check_free_unless_known, cut_file
from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.job_builder import Draft
from longshore.producers.planning.kept_columns import NOTHING_KEPT, KeptColumns
from longshore.producers.planning.language.evaluate import check_target
from longshore.producers.planning.language.generate import (
    ROWS_PER_SHARD,
    GenerationPlanner,
    fit_prompts,
    open_prompts,
    read_options,
)
from longshore.producers.planning.language.prompt_data import address_of, rows_of
from longshore.producers.planning.language.structured_output import with_schema
from longshore.producers.planning.options import sort_options
from longshore.producers.planning.output_files import check_apart, settle_output
from longshore.producers.planning.queues import QueueChoice
from longshore.producers.requests import Evaluate, Generate, Infer
from longshore.producers.ttl_cache import TtlCache
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.datasets.open import open_source, with_listing
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.datasets.segments import choose_rows_per_shard
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.jobs.chains import VERSION_MAKING_KINDS
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, NewJob, NewShard
from longshore.shared.references import check_alias
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import EvaluateSpec, InferSpec, Input, JobOptions, PromoteSpec
from longshore.shared.specs.validation import build
from longshore.shared.store.store import Store
from longshore.shared.vocabulary import Action, JobKind, State

#: Kinds that make no version and run none.
_WITHOUT_VERSION = (JobKind.CROSS_VALIDATE,)


@dataclass(frozen=True)
class Promote:
    """A request for a promotion, after another job."""

    alias: str
    if_: str | None = None
    options: PromoteOptions | None = None


@dataclass(frozen=True)
class Opened:
    """An input whose columns and shards are known."""

    data: Input
    rows: int | None
    shards: list[NewShard]
    columns: Sequence[str]
    content: bytes


class LinkPlanner:
    """Plans one link. If the version is not known yet, the worker checks what depends on it."""

    def __init__(self, ledger: Ledger, producer: str, store: Callable[[], Store], after: JobRecord) -> None:
        if after.kind in _WITHOUT_VERSION:
            raise InvalidInput("job", f"{after.id} is of kind {after.kind}, which makes no version to go on with")
        if after.state in (State.FAILED, State.CANCELLED):
            raise InvalidInput("job", f"{after.id} is {after.state}; retry it first")
        self._ledger = ledger
        self._producer = producer
        #: Collects the rows that are passed in memory.
        self.blocks = InputBlocks(store)
        self._after = after
        self._queues = QueueChoice(ledger.workers)
        self._context = PlanningContext(ledger, self._queues, producer, self.blocks, store)
        self._version = _known_version(after)

    def promote(self, request: Promote) -> NewJob:
        """:raises InvalidInput: the alias or the condition is wrong; names it."""
        check_alias(request.alias)
        if request.if_ is not None:
            check_condition(request.if_, "if_")
        options = sort_options(request.options or {}, PromoteSpec)
        _no_format(options.format)
        spec = PromoteSpec(alias=request.alias, condition=request.if_).model_dump_json(exclude_defaults=True)
        draft = self._draft(JobKind.PROMOTE, options.job)
        shard = NewShard(action=Action.PROMOTE, start=0, stop=1)
        return self._link(draft.job(spec, [shard], 1, self._identity(spec.encode())))

    def evaluate(self, data: Data, target: str | None, options: EvaluateOptions) -> NewJob:
        """:raises InvalidInput: an option or the data is wrong; names it."""
        if self._version is not None:
            request = Evaluate(self._version, data, target, options)
            return self._link(plan_evaluation(request, self._context))
        parsed = sort_options(with_schema(options), EvaluateSpec)
        if "judge" in options or "against" in options:
            raise InvalidInput("judge", "a version that does not exist yet cannot be compared; wait for it")
        column = target or self._trained_target()
        spec = build(EvaluateSpec, {"data": {"uri": "/", "format": "csv"}, "target": column, **parsed.spec})
        opened = self._open(data, parsed.format, None)
        check_target(opened.columns, column, f"the version of {self._after.model}")
        spec = spec.model_copy(update={"data": opened.data})
        identity = self._identity(
            spec.model_dump_json(exclude={"data"}, exclude_defaults=True).encode() + opened.content
        )
        shard = NewShard(action=Action.EVALUATE, start=0, stop=opened.rows or 0)
        draft = self._draft(JobKind.EVALUATE, parsed.job)
        return self._link(draft.job(spec.model_dump_json(exclude_defaults=True), [shard], opened.rows, identity))

    def infer(self, data: Data, options: InferOptions) -> NewJob:
        """:raises InvalidInput: an option or the data is wrong; names it."""
        if self._version is not None:
            planner = InferencePlanner(self._context, TtlCache())
            return self._link(planner.plan([Infer(self._version, data, options)])[0])
        parsed = sort_options(options, InferSpec)
        spec = build(InferSpec, {"data": {"uri": "/", "format": "csv"}, **parsed.spec})
        spec, output = settle_output(spec)
        if output is not None:
            check_free_unless_known(output, parsed.job.idempotency_key, self._producer, self._ledger.submissions)
        opened = self._open(data, parsed.format, parsed.job.rows_per_shard, KeptColumns.of(spec, output), output)
        spec = spec.model_copy(update={"data": opened.data})
        identity = self._identity(
            spec.model_dump_json(exclude={"data"}, exclude_defaults=True).encode() + opened.content
        )
        draft = self._draft(JobKind.INFER, parsed.job)
        return self._link(draft.job(spec.model_dump_json(exclude_defaults=True), opened.shards, opened.rows, identity))

    def generate(self, data: GenerateData, options: GenerateOptions) -> NewJob:
        """:raises InvalidInput: an option or the data is wrong; names it."""
        if self._version is not None:
            planner = GenerationPlanner(self._context, TtlCache())
            return self._link(planner.plan([Generate(self._version, data, options)])[0])
        parsed, spec = read_options(with_schema(options))
        opened = self._open_prompts(data, parsed.format, parsed.job, spec)
        spec = spec.model_copy(update={"data": opened.data})
        identity = self._identity(
            spec.model_dump_json(exclude={"data"}, exclude_defaults=True).encode() + opened.content
        )
        draft = self._draft(JobKind.GENERATE, parsed.job)
        return self._link(draft.job(spec.model_dump_json(exclude_defaults=True), opened.shards, opened.rows, identity))

    def _open_prompts(self, data: GenerateData, form: str | None, options: JobOptions, spec: GenerateSpec) -> Opened:
        kept = KeptColumns(spec.keep, spec.key_columns)
        address = address_of(data, form)
        if address is not None:
            file, source = open_prompts(address, form, spec)
            kept.check_source(source)
            shards = cut_file(source, options.rows_per_shard, Action.GENERATE)
            return Opened(file, source.rows, shards, source.schema.names, file.model_dump_json().encode())
        _no_format(form)
        table = to_table(rows_of(data))
        kept.check_rows(table)
        return self._store_rows(fit_prompts(table, spec), options.rows_per_shard or ROWS_PER_SHARD, Action.GENERATE)

    def _open(
        self,
        data: object,
        form: str | None,
        rows_per_shard: int | None,
        kept: KeptColumns = NOTHING_KEPT,
        output: OutputPattern | None = None,
    ) -> Opened:
        if isinstance(data, str | os.PathLike):
            file = detect(data, form)
            source = open_source(file, "data")
            file = with_listing(file, source)
            if output is not None:
                check_apart(output, file)
            kept.check_source(source)
            shards = cut_file(source, rows_per_shard)
            return Opened(file, source.rows, shards, source.schema.names, file.model_dump_json().encode())
        _no_format(form)
        table = to_table(data)
        kept.check_rows(table)
        return self._store_rows(table, rows_per_shard or choose_rows_per_shard(table.num_rows), Action.INFER)

    def _store_rows(self, table: pa.Table, step: int, action: Action) -> Opened:
        shards = [
            NewShard(action=action, start=first, stop=min(first + step, table.num_rows))
            for first in range(0, table.num_rows, step)
        ]
        inline = self.blocks.take(table, [table.num_rows])[0]
        return Opened(inline, table.num_rows, shards, table.column_names, encode_block(table))

    def _trained_target(self) -> str:
        """The target column of the training that makes the version."""
        for job in self._ledger.chains.of(self._after.id):
            record = self._ledger.queries.job(job)
            train = record.spec.get("train") if record.kind == JobKind.TUNE else record.spec
            if record.kind in VERSION_MAKING_KINDS and isinstance(train, dict):
                return str(train["target"])
        raise InvalidInput("target", "required: the chain does not say what its version predicts")

    def _draft(self, kind: JobKind, options: JobOptions) -> Draft:
        return Draft(
            kind=kind,
            model=self._after.model,
            version=None,
            digest=None,
            options=options,
            queue=self._queues.choose(options.device),
            producer=self._producer,
        )

    def _identity(self, content: bytes) -> bytes:
        return f"after {self._after.id}\n".encode() + content

    def _link(self, job: NewJob) -> NewJob:
        """The job as a link. Its version comes from the job before, and it runs alone."""
        shards = [replace(shard, batch_key=None) for shard in job.shards]
        return replace(job, depends_on=self._after.id, version=None, digest=None, shards=shards)


def _known_version(after: JobRecord) -> str | None:
    """The version that the previous job uses or made; ``None`` if it is not known yet."""
    made = (after.outcome or {}).get("version") if after.kind in VERSION_MAKING_KINDS else after.version
    return None if made is None else f"{after.model}:{made}"


def _no_format(form: str | None) -> None:
    if form is not None:
        raise InvalidInput("format", "it is of a file, and none is given; leave it out")
