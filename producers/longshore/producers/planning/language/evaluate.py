"""Checking the data for the evaluation of a language model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from longshore.producers.planning.infer import LOOKED_AT, unreadable_data
from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.language.generate import fit_prompts, open_prompts
from longshore.producers.planning.language.structured_output import check_structured_output
from longshore.shared.datasets.columns.reference_texts import read_references
from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.datasets.schemas import list_columns
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.models.registry import Models
from longshore.shared.references import ModelReference
from longshore.shared.specs.generate import MESSAGES, PROMPT, GenerateSpec
from longshore.shared.specs.jobs import EvaluateSpec, Input
from longshore.shared.specs.signature import Signature


def check_language_options(spec: EvaluateSpec, target: str | None, signature: Signature, name: str) -> None:
    """Check the options before the data, which can be slow to read.

    :param target: as the caller gave it.
    :raises InvalidInput: one is wrong; names it.
    """
    spec.check_task(signature.task)
    if (spec.against is None) != (spec.judge is None):
        missing = "judge" if spec.judge is None else "against"
        raise InvalidInput(missing, "required: a comparison has another version and a judge")
    if spec.judge is not None:
        _check_comparison(spec, target)
        return
    if target is None:
        raise InvalidInput("target", f"required: {name} is a language model; name the column with the expected texts")
    if target in (PROMPT, MESSAGES):
        raise InvalidInput("target", f"{target!r} has what {name} reads; name the column with the expected texts")
    check_structured_output(GenerateSpec.of_evaluation(spec, checked=True))


def with_judges(spec: EvaluateSpec, models: Models) -> EvaluateSpec:
    """The spec with the digests of the versions that it names.

    :raises UnknownModel: there is no such version; names the option.
    :raises InvalidInput: one of them is no language model.
    """
    if spec.against is None or spec.judge is None:
        return spec
    digests = {}
    for option, reference in (("against", spec.against), ("judge", spec.judge)):
        version = models.resolve(ModelReference.parse(reference, option), option)
        signature = Signature.model_validate(version.manifest["signature"])
        if signature.task != "generation":
            raise InvalidInput(option, f"{reference} is no language model: its task is {signature.task}")
        digests[f"{option}_digest"] = version.digest
    return spec.model_copy(update=digests)


def _check_comparison(spec: EvaluateSpec, target: str | None) -> None:
    """:raises InvalidInput: an option is set that measures expected texts."""
    if target is not None:
        raise InvalidInput("target", "a judge compares two texts, and no column; leave it out")
    for name in ("json_schema", "perplexity"):
        if getattr(spec, name):
            raise InvalidInput(name.removeprefix("json_"), "not together with judge; measure it without one")


def take_prompts(
    data: object, form: str | None, spec: EvaluateSpec, name: str, blocks: InputBlocks
) -> tuple[Input, int | None, bytes]:
    """The input, its number of rows (``None`` if unknown), and bytes that identify its content.

    :raises InvalidInput: it has no prompts that can be run, or no expected texts.
    """
    generation = GenerateSpec.of_evaluation(spec)
    compared = spec.judge is not None
    if isinstance(data, str | os.PathLike):
        file, source = open_prompts(data, form, generation)
        if not compared:
            check_target(source.schema.names, spec.target, name)
            with unreadable_data():
                head = source.head(LOOKED_AT)
            _check_first(head.column(spec.target), spec.target)
        return file, source.rows, file.model_dump_json().encode()
    if form is not None:
        raise InvalidInput("format", "rows that come with the call have no file format; leave it out")
    table = to_table(data)
    if not compared:
        check_target(table.column_names, spec.target, name)
    table = fit_prompts(table, generation)
    if not compared:
        _check_first(table.slice(0, LOOKED_AT).column(spec.target), spec.target)
    return blocks.take(table, [table.num_rows])[0], table.num_rows, encode_block(table)


def check_target(columns: Sequence[str], target: str, name: str) -> None:
    """:raises InvalidInput: there is no column, or more than one, with what ``name`` should have predicted."""
    times = Counter(columns)[target]
    if times != 1:
        said = f"no column {target!r}" if not times else f"{times} columns are called {target!r}"
        raise InvalidInput("target", f"{said}; {list_columns(columns)}. It holds what {name} should predict")


def _check_first(column: pa.Array | pa.ChunkedArray, target: str) -> None:
    """:raises InvalidInput: none of the first rows has an expected text. Single bad rows become row errors later."""
    references = read_references(column)
    if references and all(isinstance(each, str) for each in references):
        raise InvalidInput("target", f"column {target!r} holds in row 0: {references[0]}")
