"""Checking requests for texts, and cutting their rows into shards."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import pyarrow as pa

from longshore.producers.data import GenerateData
from longshore.producers.planning.context import PlanningContext
from longshore.producers.planning.infer import LOOKED_AT, cut_file, unreadable_data
from longshore.producers.planning.inline_rows import joined
from longshore.producers.planning.job_builder import Draft
from longshore.producers.planning.kept_columns import KeptColumns, check_keep_names
from longshore.producers.planning.language.language_models import NO_FACTS, LanguageFacts, language_facts
from longshore.producers.planning.language.prompt_data import address_of, rows_of
from longshore.producers.planning.language.structured_output import check_structured_output, with_schema
from longshore.producers.planning.options import SortedOptions, sort_options
from longshore.producers.planning.targets import Target, jobs_of_rows
from longshore.producers.requests import Generate
from longshore.producers.ttl_cache import TtlCache
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.open import is_text_file, open_source, with_listing
from longshore.shared.datasets.prompt_columns import check_prompt_columns
from longshore.shared.datasets.prompts import PromptRow, read_prompts
from longshore.shared.datasets.source import Source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import NewJob
from longshore.shared.ledger.shards.row_commits import generate_batch_key
from longshore.shared.references import ModelReference
from longshore.shared.specs.generate import MESSAGES, OUTPUT_KEYS, PROMPT, GenerateSpec, RowOptions
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.validation import build
from longshore.shared.vocabulary import Action, JobKind

#: Rows of a shard. A row takes far longer than in inference, so that many workers share a job of some thousand rows.
ROWS_PER_SHARD: Final = 256
#: Rows up to which a job joins those that run: it has a batch key, and its shard is claimed while others run.
MAX_SMALL_ROWS: Final = 32


@dataclass(frozen=True)
class GenerationTarget(Target):
    """What the jobs of some requests for texts have in common."""

    spec: GenerateSpec = field(kw_only=True)
    facts: LanguageFacts = NO_FACTS

    def batch_key_for(self, rows: int) -> str | None:
        """The batch key of a shard of ``rows`` rows; ``None`` for a shard that is too large to join others."""
        return self.batch_key if rows <= MAX_SMALL_ROWS else None


class GenerationPlanner:
    """Plans the requests for texts of one call; each version and set of options is looked up once."""

    def __init__(self, context: PlanningContext, known: TtlCache[Target]) -> None:
        """:param known: targets that earlier calls looked up."""
        self._context = context
        self._known = known
        self._targets: dict[str, GenerationTarget] = {}

    def target(self, request: Generate) -> GenerationTarget:
        """The version and the options of a request.

        :raises InvalidInput: one of them is wrong; names it.
        """
        options = with_schema(request.options)
        try:
            key = f"generate {request.model} {sorted(options.items())!r}"
        except RecursionError:
            raise InvalidInput("tools" if "tools" in options else "schema", "it is nested too deeply") from None
        target = self._targets.get(key) or self._known.get(key)
        if not isinstance(target, GenerationTarget):
            reference = ModelReference.parse(request.model)
            target = self._make_target(options, reference)
            # Do not cache an alias: it can move between submissions.
            if reference.version is not None:
                self._known.put(key, target)
        self._targets[key] = target
        return target

    def plan(self, requests: Sequence[Generate]) -> list[NewJob]:
        """The jobs of requests that have the same target: one by one for files, together for rows.

        :raises InvalidInput: the data cannot be used.
        """
        jobs = self._plan(requests)
        return [_streamed(job, request.streamed_as) for job, request in zip(jobs, requests, strict=True)]

    def _plan(self, requests: Sequence[Generate]) -> list[NewJob]:
        target = self.target(requests[0])
        addresses = [address_of(request.data, target.format) for request in requests]
        if any(address is not None for address in addresses):
            return [self._plan_one(target, request.data) for request in requests]
        rows = [rows_of(request.data) for request in requests]
        together = joined(rows) if len(rows) > 1 and not target.kept.names else None
        if together is not None:
            return self._plan_rows(target, *together)
        return [self._plan_one(target, request.data) for request in requests]

    def _plan_one(self, target: GenerationTarget, data: GenerateData) -> NewJob:
        address = address_of(data, target.format)
        if address is not None:
            return self._plan_file(target, address)
        table = to_table(rows_of(data))
        return self._plan_rows(target, table, [table.num_rows])[0]

    def _make_target(self, given: Mapping[str, object], reference: ModelReference) -> GenerationTarget:
        options, spec = read_options(given)
        version = self._context.ledger.models.resolve(reference)
        signature = Signature.model_validate(version.manifest["signature"])
        if signature.task != "generation":
            raise InvalidInput(
                "model",
                f"{version.model}:{version.version} is no language model: its task is {signature.task}; use infer",
            )
        draft = Draft(
            kind=JobKind.GENERATE,
            model=version.model,
            version=version.version,
            digest=version.digest,
            options=options.job,
            queue=self._context.queues.choose(options.job.device),
            producer=self._context.producer,
        )
        rest = spec.model_dump_json(exclude={"data"}, exclude_defaults=True)
        facts = language_facts(version, self._context.store)
        check_length(spec, facts)
        batch_key = None if facts.key is None else generate_batch_key(facts.key, spec.engine)
        kept = KeptColumns(spec.keep, spec.key_columns)
        return GenerationTarget(draft, signature, rest, options.format, batch_key, kept, spec=spec, facts=facts)

    def _plan_file(self, target: GenerationTarget, address: str | os.PathLike[str]) -> NewJob:
        file, source = open_prompts(address, target.format, target.spec, target.facts)
        target.kept.check_source(source)
        with unreadable_data():
            shards = cut_file(source, target.draft.options.rows_per_shard, Action.GENERATE)
        spec = target.spec_text(file)
        return target.draft.job(spec, shards, source.rows, spec.encode())

    def _plan_rows(self, target: GenerationTarget, table: pa.Table, counts: Sequence[int]) -> list[NewJob]:
        if target.format is not None:
            raise InvalidInput("format", "rows that come with the call have no file format; leave it out")
        fitted = fit_prompts(table, target.spec, target.facts, counts)
        target.kept.check_rows(table)
        return jobs_of_rows(target, self._context.blocks, fitted, counts, Action.GENERATE, lambda _: ROWS_PER_SHARD)


def _streamed(job: NewJob, id: UUID | None) -> NewJob:
    """The job with this id, and texts that are published; unchanged without an id."""
    return job if id is None else replace(job, id=id, spec=f'{job.spec[:-1]},"streamed":true}}')


def read_options(options: Mapping[str, object]) -> tuple[SortedOptions, GenerateSpec]:
    """The options of a request, checked as far as they go without a version and data.

    :param options: as :func:`~longshore.producers.planning.language.structured_output.with_schema` returns them.
    :raises InvalidInput: one is wrong; names it.
    """
    sorted_options = sort_options(options, GenerateSpec)
    spec = build(GenerateSpec, {"data": FileInput(uri="/", format="csv"), **sorted_options.spec})
    spec.check()
    check_keep_names(spec.keep, ("row", *OUTPUT_KEYS))
    check_structured_output(spec)
    job = sorted_options.job
    if job.rows_per_shard is None:
        job = job.model_copy(update={"rows_per_shard": ROWS_PER_SHARD})
    return SortedOptions(job, sorted_options.spec, sorted_options.format), spec


def check_length(spec: RowOptions, facts: LanguageFacts) -> None:
    """:raises InvalidInput: more tokens are asked for than a version takes; names ``max_tokens``."""
    if facts.max_model_len is not None and spec.max_tokens is not None and spec.max_tokens >= facts.max_model_len:
        raise InvalidInput(
            "max_tokens",
            f"{spec.max_tokens:,}: the version takes {facts.max_model_len:,} tokens, prompt and text together; give "
            "less",
        )


def open_prompts(
    address: str | os.PathLike[str], form: str | None, spec: GenerateSpec, facts: LanguageFacts = NO_FACTS
) -> tuple[FileInput, Source]:
    """A file of prompts or messages, whose first rows are checked.

    :param facts: of the version. Default: nothing is known of it.
    :raises InvalidInput: it cannot be read, or has no prompts that can be run.
    """
    try:
        file = detect(address, form)
    except InvalidInput as error:
        if not isinstance(address, str) or form is not None or error.field != "data":
            raise
        hint = "if it is a prompt and no path, give a list with it, or use --prompt in a shell"
        raise InvalidInput(error.field, f"{error.reason}; {hint}") from None
    source = open_source(file, "data", ColumnUses.for_generation(spec.keep))
    file = with_listing(file, source)
    _check_columns(source.schema, spec, facts, typed=not is_text_file(source))
    with unreadable_data():
        first = source.head(LOOKED_AT)
    check_first_prompts(first, spec, facts)
    return file, source


def fit_prompts(
    table: pa.Table, spec: GenerateSpec, facts: LanguageFacts = NO_FACTS, counts: Sequence[int] | None = None
) -> pa.Table:
    """The columns of rows in memory that are read or kept; the first rows of each request are checked.

    :param facts: of the version. Default: nothing is known of it.
    :param counts: rows of each request, in the table's order. Default: all are of one.
    :raises InvalidInput: a column is missing or has the wrong type, or no row can be run.
    """
    columns = _check_columns(table.schema, spec, facts, typed=True)
    kept = [name for name in spec.keep if name in table.column_names]
    table = table.select(list(dict.fromkeys([*columns, *kept])))
    start = 0
    for count in counts or [table.num_rows]:
        check_first_prompts(table.slice(start, min(count, LOOKED_AT)), spec, facts)
        start += count
    return table


def check_first_prompts(first: pa.RecordBatch | pa.Table, spec: GenerateSpec, facts: LanguageFacts) -> None:
    """:raises InvalidInput: none of the first rows can be run. Single bad rows become row errors later."""
    errors = [_row_error(row, spec, facts) for row in read_prompts(first)]
    reasons = [error for error in errors if error is not None]
    if errors and len(reasons) == len(errors):
        more = f"; the first {len(errors):,} rows are all unusable" if len(errors) > 1 else ""
        raise InvalidInput("data", f"row 0: {reasons[0]}{more}")


def _row_error(row: PromptRow | str, spec: GenerateSpec, facts: LanguageFacts) -> str | None:
    if isinstance(row, str):
        return row
    try:
        options = spec.override(row.options)
        options.check()
        check_length(options, facts)
    except InvalidInput as error:
        return str(error)
    return None


def _check_columns(schema: pa.Schema, spec: GenerateSpec, facts: LanguageFacts, *, typed: bool) -> list[str]:
    columns = check_prompt_columns(schema, spec.keep, typed=typed)
    if spec.tools and MESSAGES not in columns:
        raise InvalidInput("tools", f"only a chat template knows tools, and the data has prompts; give {MESSAGES!r}")
    if MESSAGES in columns and facts.has_chat_template is False:
        raise InvalidInput("data", f"the version has no chat template for {MESSAGES!r}; give a column {PROMPT!r}")
    if spec.tools and facts.knows_tools is False:
        raise InvalidInput("tools", "the chat template of the version has no place for tools; leave them out")
    return columns
