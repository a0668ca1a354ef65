"""Fits the transforms of the columns of a table, and says what was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.signature import UNFITTED, Feature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform, TextTransform
from longshore.workers.train.data.preprocess.date_columns import DateFitter
from longshore.workers.train.data.preprocess.number_columns import NumberFitter
from longshore.workers.train.data.preprocess.text_columns import TextFitter

#: Columns that a note lists, at most; it counts the others.
_LISTED = 12

_Fitter: TypeAlias = NumberFitter | DateFitter | TextFitter


@dataclass(frozen=True)
class FittedColumns:
    """The features of a training, each with its transform."""

    features: tuple[Feature, ...]
    #: What was chosen, a sentence each.
    notes: tuple[str, ...] = ()


def needs_fit(
    features: Sequence[Feature], preprocess: Mapping[str, ColumnPreprocess] | None, rows: pa.Table | pa.RecordBatch
) -> bool:
    """Whether a table has more than numbers: other columns, missing values in ``rows``, or wishes of the caller."""
    if preprocess or any(feature.kind in UNFITTED for feature in features):
        return True
    return any(_has_missing(rows.column(feature.name)) for feature in features if _is_number(feature))


class TableFitter:
    """Sees the rows of a table, batch by batch, and fits a transform for each column.

    :param features: as :func:`~longshore.shared.datasets.schemas.infer_features` made them.
    :param preprocess: what the caller said of some columns.
    :param trees: whether trees are grown, to which the scale of a number and the encoding of a category mean nothing.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        preprocess: Mapping[str, ColumnPreprocess] | None,
        trees: bool = False,
    ) -> None:
        self._features = tuple(features)
        self._trees = trees
        self._fitters = {
            feature.name: _fitter(feature, (preprocess or {}).get(feature.name, ColumnPreprocess()), trees)
            for feature in features
            if feature.kind in UNFITTED or _is_number(feature)
        }

    @property
    def columns(self) -> list[str]:
        """The names of the columns that are looked at."""
        return list(self._fitters)

    def add(self, batch: pa.RecordBatch, trained: npt.NDArray[np.bool_]) -> None:
        """See the next rows.

        :param trained: which of them are trained on, ``(n,)``. Others say only which columns have missing values.
        :raises InvalidInput: a column has other values than its kind.
        """
        for name, fitter in self._fitters.items():
            try:
                fitter.add(batch.column(name), trained)
            except TypeError:
                kind = batch.schema.field(name).type
                raise InvalidInput("preprocess", f"column {name!r} has {kind}, which does not fit its kind") from None

    def fitted(self) -> FittedColumns:
        """The features with their transforms, without those that are left out.

        :raises InvalidInput: no column is left, or one cannot be used.
        """
        fitted: list[Feature] = []
        left_out: list[str] = []
        for feature in self._features:
            fitter = self._fitters.get(feature.name)
            if fitter is None:
                fitted.append(feature)
            elif isinstance(fitter, TextFitter) and fitter.kind() == "drop":
                left_out.append(feature.name)
            else:
                fitted.append(fitter.fitted())
        notes = tuple(self._notes(fitted, left_out))
        if not fitted:
            raise InvalidInput("features", f"no column is left to learn from: {notes[-1]}")
        return FittedColumns(tuple(fitted), notes)

    def _notes(self, fitted: Sequence[Feature], left_out: Sequence[str]) -> Iterator[str]:
        said: dict[str, list[str]] = {}
        for feature in fitted:
            for what, column in self._said(feature):
                said.setdefault(what, []).append(column)
        for what, columns in said.items():
            yield f"{what}: {_listed(columns)}"
        if left_out:
            yield (
                f"left out, because nearly every row has another value: {_listed([*map(repr, left_out)])}; give "
                f"preprocess={{{left_out[0]!r}: 'category'}} or 'text' to use such a column"
            )

    def _said(self, feature: Feature) -> Iterator[tuple[str, str]]:
        """What was chosen for a column, and how the column is listed there."""
        transform, fitter, name = feature.transform, self._fitters.get(feature.name), repr(feature.name)
        missing = 0 if fitter is None or isinstance(fitter, TextFitter) else fitter.missing
        if isinstance(transform, NumberTransform):
            if transform.fill is not None:
                filled = "" if self._trees and transform.indicator else f", {transform.fill:g}"
                yield self._filled(transform.indicator), f"{name} ({missing:,} rows{filled})"
            if transform.scale == "log":
                yield "scaled by a logarithm, because the values are skewed or it was asked for", name
            if transform.scale == "quantile":
                yield "scaled by quantiles, because the values have heavy tails or it was asked for", name
        elif isinstance(transform, CategoryTransform):
            assert isinstance(fitter, TextFitter)
            unknown = fitter.unknown(transform)
            said = f"{len(transform.categories):,}"
            said += ", and missing" if transform.missing else ""
            said += "" if transform.width is None or self._trees else f" in {transform.width} numbers"
            said += f", {unknown:,} rows of rare ones as unknown" if unknown else ""
            each = "one number" if transform.width is None else "a learned vector"
            yield "categories" if self._trees else f"categories, {each} for each", f"{name} ({said})"
        elif isinstance(transform, DateTransform):
            zone = " in UTC" if transform.zoned else ""
            yield "dates and times", f"{name} ({', '.join(transform.parts)}{zone})"
            if transform.fill is not None:
                yield self._filled(transform.indicator), f"{name} ({missing:,} rows)"
        elif isinstance(transform, TextTransform):
            yield "texts, the mean of learned vectors of their words", f"{name} ({transform.length} words)"

    def _filled(self, indicator: bool) -> str:
        if self._trees and indicator:
            return "missing values, which each split sends to one side"
        said = ", and a number says where" if indicator else ""
        return f"missing values replaced by a value of the rows to train on{said}"


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _LISTED} more" if len(columns) > _LISTED else ""
    return ", ".join(columns[:_LISTED]) + more


def _fitter(feature: Feature, how: ColumnPreprocess, trees: bool) -> _Fitter:
    if feature.kind == "datetime":
        return DateFitter(feature.name, how)
    if feature.kind == "category":
        return TextFitter(feature.name, how)
    if trees and how.scale is None:
        how = how.model_copy(update={"scale": "none"})
    return NumberFitter(feature, how)


def _is_number(feature: Feature) -> bool:
    return feature.kind == "number" and feature.width is None


def _has_missing(column: pa.ChunkedArray | pa.Array) -> bool:
    if column.null_count:
        return True
    return pa.types.is_floating(column.type) and bool(pc.any(pc.is_nan(column)).as_py())
