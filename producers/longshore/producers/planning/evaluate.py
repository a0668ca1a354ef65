"""Checking requests for evaluation."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc

from longshore.producers.planning.context import PlanningContext
from longshore.producers.planning.infer import LOOKED_AT, check_first_rows
from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.job_builder import Draft
from longshore.producers.planning.language.evaluate import (
    check_language_options,
    check_target,
    take_prompts,
    with_judges,
)
from longshore.producers.planning.language.structured_output import with_schema
from longshore.producers.planning.options import sort_options
from longshore.producers.requests import Evaluate
from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.columns.types import is_list, is_number, is_text, stored, type_name
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.datasets.open import is_text_file, open_source, with_listing
from longshore.shared.datasets.schemas import check_schema
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.references import ModelReference
from longshore.shared.specs.jobs import EvaluateSpec, FileInput, Input
from longshore.shared.specs.positive import read_positive
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.validation import build, shorten
from longshore.shared.vocabulary import Action, JobKind, RuntimeName


def plan_evaluation(request: Evaluate, context: PlanningContext) -> NewJob:
    """Plan one evaluation job.

    :raises InvalidInput: the version cannot be measured, an option is wrong, or the data does not fit; names it.
    """
    options = sort_options(with_schema(request.options), EvaluateSpec)
    version = context.ledger.models.resolve(ModelReference.parse(request.model))
    signature = Signature.model_validate(version.manifest["signature"])
    name = f"{version.model}:{version.version}"
    if signature.task == "embedding":
        raise InvalidInput("model", f"{name} gives embeddings, which no column can be compared with")
    if signature.task == "tokens":
        raise InvalidInput("model", f"{name} gives spans of texts, which evaluations do not measure; compare results")
    if signature.target_width is not None:
        raise InvalidInput("model", f"{name} predicts lists of numbers; train with a test to measure such a model")
    target = signature.target if request.target is None else request.target
    # Check all options before reading the data, which can be slow.
    spec = build(EvaluateSpec, {"data": {"uri": "/", "format": "csv"}, "target": target, **options.spec})
    if signature.task == "generation":
        check_language_options(spec, request.target, signature, name)
        spec = with_judges(spec, context.ledger.models)
        data, rows, content = take_prompts(request.data, options.format, spec, name, context.blocks)
    else:
        spec.check_task(signature.task)
        read_positive(signature, spec.positive, spec.threshold)
        spec.inference().check(signature, str(version.manifest.get("runtime", RuntimeName.FAMILY)))
        data, rows, content = _take(request.data, options.format, signature, target, name, context.blocks)
    spec = spec.model_copy(update={"data": data})
    draft = Draft(
        kind=JobKind.EVALUATE,
        model=version.model,
        version=version.version,
        digest=version.digest,
        options=options.job,
        queue=context.queues.choose(options.job.device),
        producer=context.producer,
    )
    identity = spec.model_dump_json(exclude={"data"}, exclude_defaults=True).encode() + content
    shard = NewShard(action=Action.EVALUATE, start=0, stop=rows or 0)
    return draft.job(spec.model_dump_json(exclude_defaults=True), [shard], rows, identity)


def _take(
    data: object, form: str | None, signature: Signature, target: str, name: str, blocks: InputBlocks
) -> tuple[Input, int | None, bytes]:
    """The input, its number of rows (``None`` if unknown), and bytes that identify its content."""
    if isinstance(data, str | os.PathLike):
        file = detect(data, form)
        source = open_source(file, "data", ColumnUses.of(signature, target=target))
        written = is_text_file(source)
        _check(source.schema, signature, target, name, written=written)
        try:
            head = source.head(LOOKED_AT)
            check_first_rows(head, signature)
            if written:
                _check_written(head.column(target), signature, target, name)
        except DataError as error:
            raise InvalidInput("data", str(error)) from None
        settled: FileInput = with_listing(file, source)
        return settled, source.rows, settled.model_dump_json().encode()
    if form is not None:
        raise InvalidInput("format", "rows that come with the call have no file format; leave it out")
    table = to_table(data)
    _check(table.schema, signature, target, name, written=False)
    table = table.select(list(dict.fromkeys([*(feature.name for feature in signature.features), target])))
    check_first_rows(table.slice(0, LOOKED_AT).combine_chunks().to_batches()[0], signature)
    return blocks.take(table, [table.num_rows])[0], table.num_rows, encode_block(table)


def _label_of(kind: pa.DataType, target: str, name: str) -> pa.DataType:
    """The type of the labels in a column of lists."""
    if not is_list(kind):
        raise InvalidInput(
            "target",
            f"column {target!r} holds {type_name(kind)}, and {name} predicts several labels a row; give lists",
        )
    return stored(kind.value_type)


def _check_written(column: pa.Array, signature: Signature, target: str, name: str) -> None:
    """Check the first targets of a text file: at least one must be what the version predicts.

    :raises InvalidInput: none of them is.
    """
    if is_list(stored(column.type)) or not (is_text(column.type) or is_json(column.type)):
        return
    texts = plain_texts(column) if is_json(column.type) else column
    numbers = to_numbers(texts)
    missing = numbers.values.null_count - len(numbers.bad)
    if signature.labels is None or not any(isinstance(label, str) for label in signature.labels):
        unfit, expected = len(numbers.bad) + missing == len(texts) and len(numbers.bad) > 0, "numbers"
    else:
        known = pc.is_in(texts, value_set=pa.array([str(label) for label in signature.labels]))
        unfit, expected = not pc.any(known).as_py() and not len(numbers.bad), "text"
    if unfit:
        what = "predicts values" if signature.labels is None else f"has labels such as {signature.labels[0]!r}"
        raise InvalidInput(
            "target",
            f"column {target!r} holds {shorten(texts[0].as_py())} in row 0, and {name} {what}; give {expected}",
        )


def _check(schema: pa.Schema, signature: Signature, target: str, name: str, *, written: bool) -> None:
    """Check that the data has the columns of the version and a suitable target column.

    :param written: whether the target is text as it is written, whatever it stands for.
    """
    check_target(schema.names, target, name)
    check_schema(schema, signature)
    kind = stored(schema.field(target).type)
    if written and is_text(kind) and signature.task != "multilabel":
        return
    if signature.task == "multilabel":
        kind = _label_of(kind, target, name)
    number = is_number(kind) or pa.types.is_boolean(kind)
    if signature.labels is None:
        fits, expected = is_number(kind), "numbers"
    elif all(isinstance(label, str) for label in signature.labels):
        fits, expected = is_text(kind), "text"
    elif any(isinstance(label, str) for label in signature.labels):
        fits, expected = is_text(kind) or number, "text or numbers"
    elif all(isinstance(label, bool) for label in signature.labels):
        fits, expected = pa.types.is_boolean(kind), "booleans"
    else:
        fits, expected = is_number(kind), "numbers"
    if not fits and not (signature.task == "multilabel" and pa.types.is_null(kind)):
        what = "predicts values" if signature.labels is None else f"has labels such as {signature.labels[0]!r}"
        raise InvalidInput("target", f"column {target!r} holds {type_name(kind)}, and {name} {what}; give {expected}")
