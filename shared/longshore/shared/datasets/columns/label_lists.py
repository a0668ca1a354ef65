"""Columns of label lists: the targets of a multi-label classification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.nested_lists import flatten
from longshore.shared.datasets.columns.types import is_list, is_number, is_text, stored, type_name
from longshore.shared.errors import InvalidInput


@dataclass(frozen=True)
class LabelLists:
    """The labels of n rows."""

    #: The labels of all rows, concatenated; without lists and nulls.
    labels: pa.Array
    #: The row of each label, from 0, ascending; the same length as ``labels``.
    rows: npt.NDArray[np.int64]


def holds_texts(kind: pa.DataType) -> bool:
    """Whether a column has lists of texts, which can only be label sets."""
    outer = stored(kind)
    return is_list(outer) and is_text(stored(outer.value_type))


def is_label_lists(kind: pa.DataType, task: str) -> bool:
    """Whether a target of this type is a column of label lists.

    :param task: the task of a :class:`~longshore.shared.specs.train.TrainSpec`.
    """
    return task == "multilabel" or (task == "auto" and holds_texts(kind))


def check_label_lists(kind: pa.DataType, name: str) -> None:
    """Check the type of a multi-label target.

    :raises InvalidInput: column ``name`` does not have lists of labels.
    """
    outer = stored(kind)
    inner = stored(outer.value_type) if is_list(outer) else None
    if inner is None:
        raise InvalidInput(
            "target",
            f"column {name!r} has {type_name(kind)}, but multilabel needs lists of labels; give them as JSON Lines, "
            "Parquet or rows in memory",
        )
    if pa.types.is_boolean(inner):
        raise InvalidInput("target", f"column {name!r} has lists of booleans; give lists of the labels that apply")
    if not (is_text(inner) or is_number(inner)) or pa.types.is_decimal(inner):
        raise InvalidInput("target", f"column {name!r} has {kind}; labels must be strings or integers")


def read_label_lists(array: pa.Array, name: str, row: int = 0, where: str = "") -> LabelLists:
    """Flatten a column of label lists. The rows themselves must not be null.

    :param name: the name of the column, for errors.
    :param row: the number of the first row, for errors. Default: 0.
    :param where: follows the row number in an error, as in ``" of validation"``.
    :raises InvalidInput: the column does not have lists of labels, or a list has a null.
    """
    check_label_lists(array.type, name)
    lists = flatten(array)
    bad_rows = np.flatnonzero(lists.has_null)
    if len(bad_rows):
        others = f" (and in {len(bad_rows) - 1} more)" if len(bad_rows) > 1 else ""
        raise InvalidInput(
            "target",
            f"column {name!r} has a list with a null in row {row + int(bad_rows[0])}{where}{others}; "
            "correct or remove such rows",
        )
    return LabelLists(lists.values, np.repeat(np.arange(len(array), dtype=np.int64), np.diff(lists.offsets)))
