"""Columns of lists of labels: the targets of a multi-label classification."""

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

    #: Of all rows, one after the other; no lists, and no nulls.
    labels: pa.Array
    #: The row of each, from 0, ascending: int64.
    rows: npt.NDArray[np.int64]


def holds_texts(kind: pa.DataType) -> bool:
    """Whether a column holds lists of texts, which nothing but sets of labels can be."""
    plain = stored(kind)
    return is_list(plain) and is_text(stored(plain.value_type))


def is_label_lists(kind: pa.DataType, task: str) -> bool:
    """Whether a target of this type is lists of labels.

    :param task: as of :class:`~longshore.shared.specs.train.TrainSpec`.
    """
    return task == "multilabel" or (task == "auto" and holds_texts(kind))


def check_label_lists(kind: pa.DataType, name: str) -> None:
    """:raises InvalidInput: column ``name`` is none of lists of labels; CSV and text have no lists at all."""
    plain = stored(kind)
    inner = stored(plain.value_type) if is_list(plain) else None
    if inner is None:
        raise InvalidInput(
            "target",
            f"column {name!r} holds {type_name(kind)}, and multilabel takes lists of labels, as JSON Lines, Parquet "
            "and rows in memory have them",
        )
    if pa.types.is_boolean(inner):
        raise InvalidInput("target", f"column {name!r} holds lists of booleans; give lists of the labels that hold")
    if not (is_text(inner) or is_number(inner)) or pa.types.is_decimal(inner):
        raise InvalidInput("target", f"column {name!r} holds {kind}; labels are strings or integers")


def read_label_lists(array: pa.Array, name: str, row: int = 0, where: str = "") -> LabelLists:
    """Take the labels out of their lists. Rows must not be null themselves.

    :param row: the number of the first, for errors; ``where`` follows it there, as in ``" of validation"``.
    :raises InvalidInput: the column is none of such lists, or one holds a null.
    """
    check_label_lists(array.type, name)
    leaves = flatten(array)
    holed = np.flatnonzero(leaves.holed)
    if len(holed):
        others = f" (and {len(holed) - 1} rows more)" if len(holed) > 1 else ""
        raise InvalidInput(
            "target",
            f"column {name!r} has a list with a null in row {row + int(holed[0])}{where}{others}; "
            "mend or remove such rows",
        )
    return LabelLists(leaves.values, np.repeat(np.arange(len(array), dtype=np.int64), np.diff(leaves.offsets)))
