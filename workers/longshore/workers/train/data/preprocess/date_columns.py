"""Fits the transform of a column of dates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.column import Doubles
from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.types import is_text
from longshore.shared.datasets.preprocess.dates import YEAR, first_zone, is_date, read_dates
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import DateTransform
from longshore.shared.vocabulary import DatePart
from longshore.workers.train.data.sample import number_sample

#: Days that the dates must span so that their season, or their weekday, is read.
_SEASON_DAYS, _WEEKDAY_DAYS = YEAR / 4, 10


class DateFitter:
    """Sees the values of a column, and fits its transform."""

    def __init__(self, name: str, how: ColumnPreprocess) -> None:
        self._name = name
        self._how = how
        self._sample = number_sample()
        #: Whether the dates have a time zone; ``None`` until there are some.
        self._zoned: bool | None = None
        self.missing = 0

    def add(self, column: pa.Array, trained: npt.NDArray[np.bool_]) -> None:
        """See the next rows; see :meth:`NumberFitter.add`.

        :raises TypeError: the column has no dates.
        """
        if self._zoned is None:
            self._zoned = _is_zoned(column)
        days, missing, errors = read_dates(column, zoned=bool(self._zoned))
        self.missing += int(missing.sum())
        good = trained & ~missing
        good[list(errors)] = False
        self._sample.add(days[good])

    def fitted(self) -> Feature:
        """The feature with its transform.

        :raises InvalidInput: no row to train on has a date.
        """
        days, how = self._sample.values, self._how
        if not len(days):
            raise InvalidInput(
                "features", f"column {self._name!r} has no date in the rows to train on; list the features without it"
            )
        replaced = how.missing or ("median" if self.missing else "error")
        fill = None if replaced == "error" else float(np.median(days) if replaced == "median" else days.mean())
        parts = how.parts or _choose_parts(days)
        transform = DateTransform(
            # The number that is standardised comes first.
            parts=tuple(sorted(parts, key=("time", "season", "weekday", "hour").index)),
            zoned=bool(self._zoned),
            origin=float(np.floor(np.median(days))) if "time" in parts else 0.0,
            fill=fill,
            indicator=fill is not None and how.indicator is not False,
        )
        return Feature(name=self._name, kind="datetime", transform=transform)


def _choose_parts(days: Doubles) -> tuple[DatePart, ...]:
    span = float(days.max() - days.min())
    parts: list[DatePart] = ["time"]
    if span > _SEASON_DAYS:
        parts.append("season")
    if span > _WEEKDAY_DAYS and len(np.unique(np.floor(days) % 7)) > 1:
        parts.append("weekday")
    if len(np.unique(days % 1)) > 1:
        parts.append("hour")
    return tuple(parts)


def _is_zoned(column: pa.Array) -> bool | None:
    """Whether the dates have a time zone; ``None`` if there are none."""
    column = plain_texts(column) if is_json(column.type) else unwrap(column)
    if pa.types.is_timestamp(column.type):
        return column.type.tz is not None
    if not is_text(column.type):
        return False if is_date(column.type) else None
    return first_zone(column)
