"""Numbers with a transform: missing values are replaced, and values are scaled."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.columns.column import NOT_REPLACED, Column, Doubles, Flags
from longshore.shared.datasets.columns.nested_lists import nulls, unwrap
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.columns.types import is_number, is_text
from longshore.shared.datasets.columns.utf8 import valid_texts
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import NumberTransform
from longshore.shared.specs.validation import shorten
from longshore.shared.vocabulary import Scale

#: Points of a quantile transform, at most, and the shares of rows that the outer ones stand for.
MAX_POINTS, _OUTER = 200, 1e-4


def encode_numbers(array: pa.Array, feature: Feature, transform: NumberTransform) -> Column:
    """Numbers as ``(n, 1)``, or ``(n, 2)`` with an indicator. Null and NaN are missing.

    :raises TypeError: the column has no numbers.
    """
    values, missing, errors = read_numbers(array)
    if transform.fill is None:
        errors |= dict.fromkeys(np.flatnonzero(missing).tolist(), NOT_REPLACED)
    out = np.zeros((len(values), transform.size), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        filled = np.where(missing, transform.fill or 0.0, values)
        out[:, 0] = scaled(filled, transform.scale, transform.points) - feature.offset
    if transform.indicator:
        out[:, 1] = missing
    out[list(errors)] = 0
    return Column(out, errors)


def read_numbers(array: pa.Array) -> tuple[Doubles, Flags, dict[int, str]]:
    """Numbers, ``(n,)``; which of them are missing, null or NaN; and the rows whose text is not a number.

    :raises TypeError: the column has no numbers.
    """
    array, errors = unwrap(array), {}
    if is_text(array.type):
        array = valid_texts(array)
        numbers = to_numbers(array)
        texts = array.take(pa.array(numbers.bad)).to_pylist()
        errors = {int(row): f"{shorten(text)} is not a number" for row, text in zip(numbers.bad, texts, strict=True)}
        array = numbers.values
    if not is_number(array.type):
        raise TypeError(f"has the type {array.type}")
    missing = nulls(array)
    values = array.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy(zero_copy_only=False)
    missing = missing | np.isnan(values)
    if errors:
        missing[list(errors)] = False
    return values, missing, errors


def scaled(values: Doubles, scale: Scale, points: tuple[tuple[float, float], ...] = ()) -> Doubles:
    """The values as they are scaled, before they are standardised."""
    if scale == "log":
        logs: Doubles = np.copysign(np.log1p(np.abs(values)), values)
        return logs
    if scale == "quantile":
        at, scores = np.array(points).T
        between: Doubles = np.where(np.isfinite(values), np.interp(values, at, scores), values)
        return between
    return values


def quantile_points(values: Doubles) -> tuple[tuple[float, float], ...]:
    """The points of a quantile transform: values of evenly spaced ranks, with the scores of a normal distribution.

    As scikit-learn's ``QuantileTransformer(output_distribution="normal")``, which is linear between ranks, not scores.

    :param values: finite, at least one.
    """
    ranks = np.linspace(0, 1, min(MAX_POINTS, len(values))) if len(values) > 1 else np.array([0.5])
    at = np.quantile(values, ranks)
    normal = NormalDist()
    scores = np.array([normal.inv_cdf(rank) for rank in np.clip(ranks, _OUTER, 1 - _OUTER)])
    # A value that stands for several ranks has their middle score.
    different, where = np.unique(at, return_inverse=True)
    middle = np.bincount(where, scores) / np.bincount(where)
    return tuple(zip(different.tolist(), middle.tolist(), strict=True))
