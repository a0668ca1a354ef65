"""The target column: the task that it implies, and its values as the numbers that a loss takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.label_lists import is_label_lists, read_label_lists
from longshore.shared.datasets.columns.numbers import convert
from longshore.shared.datasets.columns.types import is_list, is_number, is_text, shape_of, stored, type_name
from longshore.shared.datasets.columns.written_targets import MAX_INTEGER_LABELS
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature, Task
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import shorten
from longshore.shared.vocabulary import TrainTask

#: Larger whole numbers are not exact as 64-bit floats.
MAX_EXACT_INTEGER = 2**53
#: Classes of a model, at most. A column with more is most likely an id.
MAX_LABELS = 100_000
#: Labels of a multilabel model, at most: each takes a byte of every row.
MAX_MULTILABEL_LABELS = 10_000

Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.int64] | npt.NDArray[np.float32] | npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Targets:
    """The targets of n rows."""

    task: Task
    #: Classification and embedding: int64 ``(n,)`` indexes into ``labels``. Regression: float32 ``(n,)``, or of lists
    #: of k numbers ``(n, k)``. Multilabel: bool ``(n, labels)``, whether the label holds.
    values: Values
    #: The labels, sorted; ``None`` for regression.
    labels: tuple[str | int | bool, ...] | None

    @property
    def outputs(self) -> int:
        """Outputs of the network for a row."""
        return len(self.labels) if self.labels is not None else self.width or 1

    @property
    def width(self) -> int | None:
        """Only for regression on lists: numbers in each list."""
        return self.values.shape[1] if self.task == "regression" and self.values.ndim == 2 else None


@dataclass(frozen=True)
class TargetEncoder:
    """Encodes the values of a target column as the numbers that a loss takes."""

    #: The column's name.
    name: str
    task: Task
    #: The labels, sorted; ``None`` for regression.
    labels: tuple[str | int | bool, ...] | None
    #: The type in which labels are looked up.
    kind: pa.DataType
    #: Only for regression on lists: numbers in each list.
    width: int | None = None

    @property
    def outputs(self) -> int:
        """Outputs of the network for a row."""
        return len(self.labels) if self.labels is not None else self.width or 1

    def encode(self, column: pa.ChunkedArray, row: int = 0, where: str = "") -> Values:
        """Encode some rows.

        :param row: the number of the first, for errors; ``where`` follows it there, as in ``" of validation"``.
        :raises InvalidInput: a value is missing, not finite, or an unknown label.
        """
        column = _decoded(column)
        refuse_missing(column, self.name, row, where)
        if self.task == "multilabel":
            return self._sets(column, row, where)
        if self.width is not None:
            return _vectors(column, Feature(name=self.name, width=self.width), row, where)
        if self.labels is None:
            return _quantities(column, self.name, row, where)
        return self._codes(column, range(row, row + len(column)), where)

    def with_labels_of(self, column: pa.ChunkedArray) -> TargetEncoder:
        """An encoder that also knows the labels of ``column``: an embedding may be tested on new labels."""
        assert self.labels is not None
        column = _as_labels(pc.drop_null(_decoded(column)), self.name)
        if pa.types.is_boolean(column.type) != pa.types.is_boolean(self.kind):
            return self
        labels = tuple(sorted({*self.labels, *pc.unique(column).to_pylist()}))
        return replace(self, labels=labels, kind=pa.array(labels).type)

    def _codes(self, column: pa.ChunkedArray, rows: Sequence[int] | Rows, where: str) -> Rows:
        """The indexes of labels, ``(n,)``.

        :param rows: the row number of each label.
        """
        column = _as_labels(column, self.name)
        known, written = pa.chunked_array([pa.array(self.labels, self.kind)]), column
        if column.type != known.type and pa.types.is_integer(column.type) and pa.types.is_integer(known.type):
            # A type that holds both: as 8 bits, the label 300 would be 44.
            common = pa.uint64() if pa.uint64() in (column.type, known.type) else pa.int64()
            column, known = _widened(column, common), _widened(known, common)
        value_set = known.cast(column.type).combine_chunks()
        codes = pc.index_in(column, value_set=value_set, skip_nulls=True)
        unknown = pc.index(pc.is_null(codes), True).as_py()
        if unknown >= 0:
            raise unseen(self.name, written[unknown].as_py(), int(rows[unknown]), where, codes.null_count)
        values: Rows = codes.to_numpy().astype(np.int64)
        return values

    def _sets(self, column: pa.ChunkedArray, row: int, where: str) -> npt.NDArray[np.bool_]:
        """Bool ``(n, labels)``. A label that a row lists twice counts once."""
        values = np.zeros((len(column), len(self.labels or ())), np.bool_)
        start = 0
        for chunk in column.chunks:
            lists = read_label_lists(chunk, self.name, row + start, where)
            if len(lists.labels):
                rows = lists.rows + start
                values[rows, self._codes(pa.chunked_array([lists.labels]), rows + row, where)] = True
            start += len(chunk)
        return values


def _widened(integers: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Integers as another type; null if it cannot hold the value."""
    if pa.types.is_unsigned_integer(kind) and not pa.types.is_unsigned_integer(integers.type):
        integers = pc.if_else(pc.less(integers, 0), None, integers)
    return integers.cast(kind)


def make_signature(spec: TrainSpec, features: tuple[Feature, ...], target: TargetEncoder | Targets) -> Signature:
    """The signature of the trained version. An embedding has no labels: its vectors also separate other classes."""
    embedding = target.task == "embedding"
    return Signature(
        features=features,
        task=target.task,
        target=spec.target,
        labels=None if embedding else target.labels,
        target_width=target.width,
        embedding_width=spec.embedding_width if embedding else None,
    )


def unseen(name: str, label: object, row: int, where: str, count: int) -> InvalidInput:
    """The error for a held-out label that occurs in no training row."""
    others = f" (and {count - 1} rows more)" if count > 1 else ""
    return InvalidInput(
        "target",
        f"column {name!r} has {shorten(label)} in row {row}{where}{others}, and in no row to train on; "
        "a label that is never seen cannot be learned: train on rows that have it, or remove those",
    )


def read_targets(column: pa.ChunkedArray, name: str, task: TrainTask) -> Targets:
    """Read the target column ``name``.

    :raises InvalidInput: a value is missing or not finite, the type does not fit the task, or there is only one class.
    """
    encoder = make_target_encoder(column, name, task)
    return Targets(encoder.task, encoder.encode(column), encoder.labels)


def make_target_encoder(column: pa.ChunkedArray, name: str, task: TrainTask) -> TargetEncoder:
    """Make the encoder of the target column ``name``. The column must have every value, in any order.

    :raises InvalidInput: a value is missing, the type does not fit the task, or there is only one class.
    """
    column = _decoded(column)
    refuse_missing(column, name)
    if is_label_lists(column.type, task):
        return _code_sets(column, name)
    if is_list(stored(column.type)):
        return _code_lists(column, name, task)
    chosen = _chosen_task(column, name, task)
    if chosen == "regression":
        return TargetEncoder(name, "regression", None, column.type)
    column = _as_labels(column, name)
    labels = tuple(sorted(pc.unique(column).to_pylist()))
    if len(labels) < 2:
        needs = "a classifier" if chosen == "classification" else "an embedding"
        raise InvalidInput(
            "target", f"column {name!r} has the one label {shorten(labels[0])}; {needs} needs two or more"
        )
    _check_labels(labels, name, MAX_LABELS)
    return TargetEncoder(name, chosen, labels, column.type)


def _code_sets(column: pa.ChunkedArray, name: str) -> TargetEncoder:
    """Multilabel: any number of labels per row."""
    parts, start = [], 0
    for chunk in column.chunks:
        parts.append(read_label_lists(chunk, name, start).labels)
        start += len(chunk)
    values = _as_labels(pa.chunked_array(parts), name)
    labels = tuple(sorted(pc.unique(values).to_pylist()))
    if not labels:
        raise InvalidInput("target", f"column {name!r} has an empty list in every row; there is no label to learn")
    _check_labels(labels, name, MAX_MULTILABEL_LABELS)
    return TargetEncoder(name, "multilabel", labels, values.type)


def _code_lists(column: pa.ChunkedArray, name: str, task: str) -> TargetEncoder:
    """Regression on lists: several numbers per row."""
    if task in ("classification", "embedding") or shape_of(column.type) is None:
        raise InvalidInput(
            "target",
            f"column {name!r} holds {type_name(column.type)}; lists of numbers are predicted by regression, "
            "and lists of labels by multilabel",
        )
    width = int(pc.list_value_length(column.slice(0, 1).cast(pa.list_(pa.float64()), safe=False))[0].as_py())
    if width < 1:
        raise InvalidInput("target", f"column {name!r} holds an empty list in row 0")
    return TargetEncoder(name, "regression", None, column.type, width)


def _vectors(column: pa.ChunkedArray, feature: Feature, row: int, where: str) -> npt.NDArray[np.float32]:
    """Float32 ``(n, width)``."""
    values = np.empty((len(column), feature.size), np.float32)
    start = 0
    for chunk in column.chunks:
        part = convert(chunk, feature)
        for number, reason in part.errors.items():
            raise InvalidInput(
                "target",
                f"column {feature.name!r}: {reason} in row {row + start + number}{where}; correct or remove it",
            )
        values[start : start + len(chunk)] = part.values
        start += len(chunk)
    bad = pa.array(~np.isfinite(values).all(axis=1))
    _refuse_rows(bad, f"column {feature.name!r} is not made of finite 32-bit floats", row, where)
    return values


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _chosen_task(column: pa.ChunkedArray, name: str, task: TrainTask) -> Task:
    kind = column.type
    if not (is_text(kind) or is_number(kind)):
        raise InvalidInput(
            "target", f"column {name!r} holds {kind}; a target holds strings, booleans, integers or floats"
        )
    if task == "regression" and is_text(kind):
        raise InvalidInput("task", f"regression needs numbers, and column {name!r} holds {kind}; use classification")
    if task == "language_model" or task == "preference":
        raise InvalidInput("task", f"{task}: only for families that train language models")
    if task != "auto":
        return task
    if pa.types.is_integer(kind):
        return "classification" if pc.count_distinct(column).as_py() <= MAX_INTEGER_LABELS else "regression"
    return "classification" if is_text(kind) or pa.types.is_boolean(kind) else "regression"


def _quantities(column: pa.ChunkedArray, name: str, row: int, where: str) -> npt.NDArray[np.float32]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    with np.errstate(over="ignore"):
        values: npt.NDArray[np.float32] = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float32)
    _refuse_rows(pa.array(~np.isfinite(values)), f"column {name!r} is not a finite 32-bit float", row, where)
    return values


def _as_labels(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Cast labels to strings, booleans or integers. Whole floats become integers: pandas stores integers with
    nulls as floats."""
    if is_text(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        return column
    if pa.types.is_floating(column.type) and pc.any(pc.greater_equal(pc.abs(column), MAX_EXACT_INTEGER)).as_py():
        raise InvalidInput(
            "target",
            f"column {name!r} holds {column.type} labels of {MAX_EXACT_INTEGER} or more, which are not exact, so that "
            "different labels would become one; store them as integers or as text",
        )
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise InvalidInput(
            "task",
            f"labels are text, booleans or integers; column {name!r} holds {column.type} values that are not whole: "
            f"{error}",
        ) from None


def _check_labels(labels: tuple[str | int | bool, ...], name: str, most: int) -> None:
    if len(labels) > most:
        raise InvalidInput(
            "target", f"column {name!r} has {len(labels)} labels; a model has at most {most}. Is the column an id?"
        )
    # JSON in Postgres cannot hold this character.
    nul = next((label for label in labels if isinstance(label, str) and "\0" in label), None)
    if nul is not None:
        raise InvalidInput(
            "target", f"column {name!r} has the label {shorten(nul)}; a label must not have a NUL character"
        )


def refuse_missing(column: pa.ChunkedArray, name: str, row: int = 0, where: str = "") -> None:
    """:raises InvalidInput: a value is missing; ``row`` is the number of the first, and ``where`` follows it."""
    _refuse_rows(pc.is_null(column), f"column {name!r} has no value", row, where)


def _refuse_rows(bad: pa.Array | pa.ChunkedArray, reason: str, row: int, where: str) -> None:
    first = pc.index(bad, True).as_py()
    if first >= 0:
        count = pc.sum(bad).as_py()
        others = f" (and {count - 1} rows more)" if count > 1 else ""
        raise InvalidInput("target", f"{reason} in row {row + first}{where}{others}; correct or remove such rows")
