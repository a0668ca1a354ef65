"""The column to predict: which task it poses, and as the numbers a loss takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.shapes import is_number, is_text
from longshore.shared.errors import InvalidInput
from longshore.shared.signature import Task
from longshore.shared.validation import shorten

#: Integers of more distinct values than this are quantities rather than labels, unless ``task`` says otherwise.
MAX_INTEGER_LABELS = 1000
#: Classes one model can have. Beyond it the column is most likely an id.
MAX_LABELS = 100_000


@dataclass(frozen=True)
class Targets:
    """What to predict, for n rows."""

    task: Task
    #: Classification: int64 ``(n,)`` indexes into ``labels``. Regression: float32 ``(n,)``.
    values: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    #: Sorted; ``None`` for regression.
    labels: tuple[str | int | bool, ...] | None

    @property
    def outputs(self) -> int:
        """Numbers the network gives for a row."""
        return 1 if self.labels is None else len(self.labels)


def read_targets(column: pa.ChunkedArray, name: str, task: Literal["auto", "classification", "regression"]) -> Targets:
    """Read the target column ``name``.

    :raises InvalidInput: a value is missing or not finite, the type does not fit the task, or there is but one class.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    _refuse_rows(pc.is_null(column), f"column {name!r} has no value")
    if _chosen_task(column, name, task) == "regression":
        return Targets("regression", _quantities(column, name), None)
    column = _as_labels(column, name)
    labels = tuple(sorted(pc.unique(column).to_pylist()))
    _check_labels(labels, name)
    codes = pc.index_in(column, value_set=pa.array(labels, type=column.type))
    return Targets("classification", codes.to_numpy().astype(np.int64), labels)


def _chosen_task(column: pa.ChunkedArray, name: str, task: Literal["auto", "classification", "regression"]) -> Task:
    kind = column.type
    if not (is_text(kind) or is_number(kind)):
        raise InvalidInput(
            "target", f"column {name!r} holds {kind}; a target holds strings, booleans, integers or floats"
        )
    if task == "regression" and is_text(kind):
        raise InvalidInput("task", f"regression needs numbers, and column {name!r} holds {kind}; use classification")
    if task != "auto":
        return task
    if pa.types.is_integer(kind):
        return "classification" if pc.count_distinct(column).as_py() <= MAX_INTEGER_LABELS else "regression"
    return "classification" if is_text(kind) or pa.types.is_boolean(kind) else "regression"


def _quantities(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float32]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    with np.errstate(over="ignore"):
        values: npt.NDArray[np.float32] = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float32)
    _refuse_rows(pa.array(~np.isfinite(values)), f"column {name!r} is not a finite 32-bit float")
    return values


def _as_labels(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Strings, booleans or integers. Whole floats are integers: so pandas keeps labels where some were missing."""
    if is_text(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise InvalidInput(
            "task",
            f"classification needs labels, and column {name!r} holds {column.type} values that are not whole: {error}",
        ) from None


def _check_labels(labels: tuple[str | int | bool, ...], name: str) -> None:
    if len(labels) < 2:
        raise InvalidInput(
            "target", f"column {name!r} has the one label {shorten(labels[0])}; a classifier needs two or more"
        )
    if len(labels) > MAX_LABELS:
        raise InvalidInput(
            "target",
            f"column {name!r} has {len(labels)} labels; a classifier has at most {MAX_LABELS}. Is the column an id?",
        )
    # JSON in Postgres cannot hold this character.
    nul = next((label for label in labels if isinstance(label, str) and "\0" in label), None)
    if nul is not None:
        raise InvalidInput("target", f"column {name!r} has the label {shorten(nul)}; a label has no NUL character")


def _refuse_rows(bad: pa.Array | pa.ChunkedArray, reason: str) -> None:
    first = pc.index(bad, True).as_py()
    if first >= 0:
        count = pc.sum(bad).as_py()
        others = f" (and {count - 1} rows more)" if count > 1 else ""
        raise InvalidInput("target", f"{reason} in row {first}{others}; mend or remove such rows")
