"""The rows of a training job at submission: where they lie, and whether the first of them can be trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.training.texts import refuse_missing
from longshore.shared.datasets.columns.label_lists import is_label_lists, read_label_lists
from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.columns.types import is_list, is_text, stored, type_name
from longshore.shared.datasets.columns.written_targets import WrittenTargets, is_written, read_written
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.datasets.open import is_text_file, open_source, with_listing
from longshore.shared.datasets.preprocess.choice import bad_number, bad_number_reason
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.families import image_shape
from longshore.shared.specs.jobs import Input
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.transforms import NumberTransform

#: Rows of a text file that are checked at the call, at most: all of a file that is read as one block.
_TEXT_ROWS = 1 << 20
#: Rows looked at in one step.
_CHUNK = 8192


@dataclass(frozen=True)
class Taken:
    """The rows of one argument, with their schema."""

    #: The argument that brought them.
    field: str
    data: Input
    #: Bytes that identify the rows, for idempotency keys.
    content: bytes
    schema: pa.Schema
    #: The first rows of a file, or all rows that came with the call.
    rows: pa.Table
    #: Whether ``rows`` is all there is.
    whole: bool
    #: The number of rows; ``None`` if it is unknown until the whole file is read.
    count: int | None
    #: Whether the type of the target is certain: that of a text file depends on all rows.
    settled: bool = True
    #: Whether they are of a text file, whose columns have no types of their own.
    written: bool = False


def take(value: object, field: str, form: str | None, blocks: InputBlocks, spec: TrainSpec, uses: ColumnUses) -> Taken:
    """Look into a file, or take the rows that came with the call.

    :param field: the argument that brought them.
    :param spec: names the target.
    :param uses: what the columns of a text file are used for.
    :raises InvalidInput: there are none, or they cannot be read.
    """
    with _named(field):
        taken = _taken(value, field, form, blocks, uses)
        return _with_target(taken, spec) if taken.written else taken


def _taken(value: object, field: str, form: str | None, blocks: InputBlocks, uses: ColumnUses) -> Taken:
    if isinstance(value, str | os.PathLike):
        file = detect(value, form)
        source = open_source(file, "data", uses)
        written = is_text_file(source)
        return Taken(
            field,
            with_listing(file, source),
            file.uri.encode(),
            source.schema,
            pa.Table.from_batches([source.head(_TEXT_ROWS) if written else source.head()]),
            whole=False,
            count=source.rows,
            written=written,
        )
    if form is not None and field == "data":
        raise InvalidInput("format", "rows that come with the call have no file format; leave it out")
    table = to_table(value)
    inline = blocks.take(table, [table.num_rows])[0]
    return Taken(field, inline, encode_block(table), table.schema, table, whole=True, count=table.num_rows)


def take_as_written(value: object, field: str, form: str | None, blocks: InputBlocks, columns: Iterable[str]) -> Taken:
    """Like :func:`take`, but the values of ``columns`` in a text file are read as the text that they are."""
    uses = ColumnUses(texts=frozenset(columns))
    with _named(field):
        return _taken(value, field, form, blocks, uses)


def _with_target(taken: Taken, spec: TrainSpec) -> Taken:
    """Convert the targets of the first rows of a text file, as far as they tell what they are."""
    name, schema = spec.target, taken.schema
    if schema.names.count(name) != 1 or not is_written(schema.field(name).type):
        return taken
    column = taken.rows[name].combine_chunks()
    written = WrittenTargets(name, spec.task)
    written.add(column)
    where = "" if taken.field == "data" else f" of {taken.field}"
    values = read_written(column, written.reading(), name, where=where)
    index = schema.get_field_index(name)
    return replace(
        taken,
        schema=schema.set(index, pa.field(name, values.type)),
        rows=taken.rows.set_column(index, name, values),
        settled=taken.count is not None and taken.count <= len(values),
    )


def check_rows(taken: Taken, features: tuple[Feature, ...], spec: TrainSpec) -> None:
    """Reject rows that cannot be trained on before the job is queued. Workers check all rows later.

    :raises InvalidInput: a row is bad, or there is but one class.
    """
    target = taken.rows[spec.target]
    if pa.types.is_dictionary(target.type):
        target = target.cast(target.type.value_type)
    where = "" if taken.field == "data" else f" of {taken.field}"
    _refuse(pc.is_null(target, nan_is_null=True), spec.target, "has no value", where)
    if pa.types.is_floating(target.type):
        infinite = pc.invert(pc.is_finite(target.cast(pa.float64())))
        _refuse(infinite, spec.target, "is not a finite number", where)
    _check_kind(target.type, spec)
    if is_label_lists(target.type, spec.task):
        _check_sets(target, spec, taken, where)
    elif taken.whole and taken.field == "data" and spec.task != "regression" and not _is_float(target.type):
        _refuse_one_class(target, spec.target)
    signature = Signature(features=features, task="regression", target=spec.target)
    if signature.is_text:
        refuse_missing(taken.rows, signature, taken.field)
    for feature in features:
        if feature.kind == "category" and feature.name not in (spec.preprocess or {}):
            _refuse_bad_numbers(taken, feature.name)
    numbers = tuple(_checked(feature, spec) for feature in features if feature.kind == "number")
    if not numbers:
        return  # only workers can decode images, and fit other columns
    signature = Signature(features=numbers, task="regression", target=spec.target)
    columns = taken.rows.select([feature.name for feature in numbers])
    offset = 0
    for batch in columns.to_batches(max_chunksize=_CHUNK):
        with _named(taken.field):
            errors = to_matrix(batch, signature).errors
        if errors:
            row = min(errors)
            one_of_many = len(errors) < batch.num_rows or batch.num_rows == 1
            remedy = (
                "correct or remove it" if one_of_many else "and so in every row; list the features without this column"
            )
            raise InvalidInput(taken.field, f"row {offset + row}: {errors[row]}; {remedy}")
        offset += batch.num_rows


def _checked(feature: Feature, spec: TrainSpec) -> Feature:
    """A column of numbers as it is checked: missing values are replaced, unless the caller refuses them."""
    how = (spec.preprocess or {}).get(feature.name)
    strict = feature.width is not None or image_shape(spec.config) is not None or spec.tokenizer is not None
    if strict or (how is not None and how.missing == "error"):
        return feature
    return feature.model_copy(update={"transform": NumberTransform(fill=0)})


def _refuse_bad_numbers(taken: Taken, name: str) -> None:
    """:raises InvalidInput: a column of text has numbers in most rows."""
    bad = bad_number(taken.rows[name].combine_chunks())
    if bad is not None:
        raise InvalidInput(taken.field, bad_number_reason(name, *bad))


def _check_kind(kind: pa.DataType, spec: TrainSpec) -> None:
    if spec.task == "embedding" and is_list(stored(kind)):
        raise InvalidInput(
            "target",
            f"column {spec.target!r} holds {type_name(kind)}; an embedding is learned from one label a row",
        )
    if spec.stratify and is_label_lists(kind, spec.task):
        raise InvalidInput("stratify", "rows with several labels are of no one class; leave it out")


def _check_sets(target: pa.ChunkedArray, spec: TrainSpec, taken: Taken, where: str) -> None:
    """Lists of labels."""
    start, labels = 0, 0
    for chunk in target.chunks:
        labels += len(read_label_lists(chunk, spec.target, start, where).labels)
        start += len(chunk)
    if taken.whole and taken.field == "data" and not labels:
        raise InvalidInput(
            "target", f"column {spec.target!r} has an empty list in every row; there is no label to learn"
        )


def _is_float(kind: pa.DataType) -> bool:
    return not (is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind))


def _refuse_one_class(target: pa.ChunkedArray, name: str) -> None:
    if pc.count_distinct(target).as_py() == 1:
        raise InvalidInput(
            "target", f"column {name!r} has the one label {target[0].as_py()!r}; a classifier needs two or more"
        )


def _refuse(bad: pa.ChunkedArray, target: str, what: str, where: str) -> None:
    row = pc.index(bad, True).as_py()
    if row >= 0:
        count = pc.sum(bad).as_py()
        others = f" (and {count - 1} rows more)" if count > 1 else ""
        raise InvalidInput(
            "target", f"column {target!r} {what} in row {row}{where}{others}; correct or remove such rows"
        )


@contextmanager
def _named(field: str) -> Iterator[None]:
    """Report errors in rows under the argument that contains them."""
    try:
        yield
    except InvalidInput as error:
        if error.field != "data":
            raise
        raise InvalidInput(field, error.reason) from None
    except DataError as error:
        raise InvalidInput(field, str(error)) from None
