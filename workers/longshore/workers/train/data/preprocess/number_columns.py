"""Fits the transform of a column of numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.column import Doubles
from longshore.shared.datasets.columns.types import is_text, stored
from longshore.shared.datasets.preprocess.scaling import quantile_points, read_numbers, scaled
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import NumberTransform
from longshore.shared.vocabulary import Scale
from longshore.workers.train.data.sample import number_sample

#: A column is scaled if it is this skewed, or has tails this heavy (the kurtosis of a normal distribution is 3), and
#: has at least as many different values.
_SKEWNESS, _KURTOSIS, _DIFFERENT = 2.0, 30.0, 20


class NumberFitter:
    """Sees the values of a column, and fits its transform.

    :param how: what the caller said of it.
    """

    def __init__(self, feature: Feature, how: ColumnPreprocess) -> None:
        self._feature = feature
        self._how = how
        self._sample = number_sample()
        #: Whether the numbers are texts, as which inference gets them, too: then there is always a transform.
        self._are_texts = False
        #: Missing values among all rows of the data, also those that are held out.
        self.missing = 0

    def add(self, column: pa.Array, trained: npt.NDArray[np.bool_]) -> None:
        """See the next rows.

        :param trained: which of them are trained on.
        """
        values, missing, errors = read_numbers(column)
        self._are_texts |= is_text(stored(column.type))
        self.missing += int(missing.sum())
        good = trained & ~missing & np.isfinite(values)
        good[list(errors)] = False
        self._sample.add(values[good])

    def fitted(self) -> Feature:
        """The feature with its transform; without one if it needs none.

        :raises InvalidInput: no row to train on has a number.
        """
        values, how = self._sample.values, self._how
        replaced = how.missing if how.missing is not None else ("median" if self.missing else "error")
        if not len(values) and not isinstance(replaced, float):
            name = self._feature.name
            raise InvalidInput(
                "features",
                f"column {name!r} has no finite number in the rows to train on; list the features without it, or "
                f"give preprocess={{{name!r}: 'drop'}}",
            )
        fill: float | None
        if isinstance(replaced, float):
            fill = replaced
        elif replaced == "error":
            fill = None
        else:
            fill = float(np.median(values) if replaced == "median" else values.mean())
        scale = how.scale or _choose_scale(values)
        transform = NumberTransform(
            fill=fill,
            indicator=fill is not None and how.indicator is not False,
            scale=scale if len(values) else "none",
            points=quantile_points(values) if scale == "quantile" and len(values) else (),
        )
        return self._feature.model_copy(
            update={"transform": transform if transform != NumberTransform() or self._are_texts else None}
        )


def _choose_scale(values: Doubles) -> Scale:
    if len(np.unique(values[:: max(1, len(values) // 4096)])) < _DIFFERENT:
        return "none"
    skewness, kurtosis = _moments(values)
    if abs(skewness) <= _SKEWNESS and kurtosis <= _KURTOSIS:
        return "none"
    if values.min() >= 0 and abs(_moments(scaled(values, "log"))[0]) < abs(skewness) / 2:
        return "log"
    return "quantile" if kurtosis > _KURTOSIS else "none"


def _moments(values: Doubles) -> tuple[float, float]:
    """Skewness and kurtosis; 0 of values without a spread."""
    with np.errstate(over="ignore", invalid="ignore"):
        away = values - values.mean()
        spread = away.std()
        if not (np.isfinite(spread) and spread > 0):
            return 0.0, 0.0
        away /= spread
        return float((away**3).mean()), float((away**4).mean())
