"""Fits the transform of a column of texts: dates, categories, or texts of words, whichever its values are."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.preprocess.categories import category_texts
from longshore.shared.datasets.preprocess.choice import (
    are_numbers,
    bad_number_reason,
    count_numbers,
    text_at,
    texts_are_mistakes,
)
from longshore.shared.datasets.preprocess.dates import date_zones
from longshore.shared.datasets.preprocess.words import count_words, split_words
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, TextTransform
from longshore.shared.vocabulary import ColumnKind
from longshore.workers.train.data.preprocess.date_columns import DateFitter
from longshore.workers.train.data.preprocess.number_columns import NumberFitter
from longshore.workers.train.data.sample import number_sample

#: Different values that are counted, at most.
_MAX_COUNTED = 1 << 20
#: More categories than this get learned vectors.
_MAX_ONE_HOT = 32
_MAX_CATEGORIES = 1000
#: Fewer rows are too few to call a category rare, or a column an identifier.
_FEW_ROWS, _FEW_IDENTIFIERS = 100, 50
#: The share of different values from which on a column of single words is an identifier.
_IDENTIFIER = 0.9
#: Mean words of a text, between white space, and the share of different values, from which on texts are no categories.
_WORDS, _DIFFERENT = 3.0, 0.3
#: Defaults of the words of a text.
_MAX_LENGTH, _BUCKETS, _WIDTH = 128, 1 << 14, 32


class TextFitter:
    """Sees the values of a column, and fits its transform.

    :param how: what the caller said of it; the kind is chosen by the values if it is not given.
    """

    def __init__(self, name: str, how: ColumnPreprocess) -> None:
        self._name = name
        self._how = how
        self._wanted: ColumnKind | None = how.implied_kind
        self._counts: Counter[str] = Counter()
        self._rows, self._missing = 0, 0
        #: Rows seen; of those trained on, how many are numbers; and the first that is not, with its text.
        self._seen, self._numbers, self._bad = 0, 0, (-1, "")
        self._lengths = number_sample()
        #: Words of all rows to train on, as white space separates them.
        self._words = 0
        self._dates: DateFitter | None = DateFitter(name, how) if self._wanted is None else None
        #: What all texts are as dates: see :func:`date_zones`.
        self._zones = {False, True}
        self._as_numbers: NumberFitter | None = None
        if self._wanted is None:
            self._as_numbers = NumberFitter(Feature(name=name), how)

    def add(self, column: pa.Array, trained: npt.NDArray[np.bool_]) -> None:
        """See the next rows; see :meth:`NumberFitter.add`."""
        texts = category_texts(column)
        if self._dates is not None:
            self._zones &= set(date_zones(texts))
            if not self._zones:
                self._dates = None
            else:
                self._dates.add(texts, trained)
        if self._as_numbers is not None:
            if are_numbers(texts):
                self._as_numbers.add(texts, trained)
            else:
                self._as_numbers = None
        self._look_for_bad_numbers(texts)
        texts = texts.filter(pa.array(trained))
        if self._wanted != "category":
            self._lengths.add(np.diff(split_words(texts).offsets).astype(np.float64))
        if self._wanted is None:
            self._words += int(count_words(texts).sum())
        self._rows += len(texts)
        self._missing += texts.null_count
        if self._wanted != "text":
            self._count(texts.drop_null())

    def _look_for_bad_numbers(self, texts: pa.Array) -> None:
        if self._wanted is None and not self._bad[1]:
            bad = to_numbers(texts).bad
            if len(bad):
                self._bad = (self._seen + int(bad[0]), text_at(texts, int(bad[0])))
        self._seen += len(texts)

    def _count(self, texts: pa.Array) -> None:
        if self._wanted is None:
            self._numbers += count_numbers(texts)
        counted = pc.value_counts(texts)
        values, counts = counted.field(0).to_pylist(), counted.field(1).to_pylist()
        for value, count in zip(values, counts, strict=True):
            if value in self._counts or len(self._counts) < _MAX_COUNTED:
                self._counts[value] += count

    def kind(self) -> ColumnKind:
        """What the column is taken for.

        :raises InvalidInput: it has numbers, but for some rows.
        """
        if self._wanted is not None:
            return self._wanted
        present = self._rows - self._missing
        if self._dates is not None and len(self._zones) == 1 and present:
            return "datetime"
        if self._as_numbers is not None and self._numbers:
            return "number"
        if self._bad[1] and texts_are_mistakes(self._numbers, present):
            raise InvalidInput("data", bad_number_reason(self._name, *self._bad))
        different = len(self._counts) / max(1, present)
        many = len(self._counts) > _MAX_ONE_HOT
        if many and different > _DIFFERENT and self._words >= _WORDS * present:
            return "text"
        return "drop" if present >= _FEW_IDENTIFIERS and different >= _IDENTIFIER else "category"

    def fitted(self) -> Feature:
        """The feature with its transform, of the kind that :meth:`kind` says, which is not ``drop``.

        :raises InvalidInput: no row to train on has a value.
        """
        kind = self.kind()
        self._how.check_kind(self._name, kind)
        if kind == "datetime":
            assert self._dates is not None
            return self._dates.fitted()
        if kind == "number":
            assert self._as_numbers is not None
            return self._as_numbers.fitted()
        if self._rows == self._missing:
            raise InvalidInput(
                "features",
                f"column {self._name!r} has no value in the rows to train on; list the features without it",
            )
        transform = self._text() if kind == "text" else self._category()
        return Feature(name=self._name, kind=transform.kind, transform=transform)

    def _text(self) -> TextTransform:
        lengths = self._lengths.values
        usual = int(np.quantile(lengths, 0.95)) if len(lengths) else 1
        return TextTransform(
            length=self._how.length or min(_MAX_LENGTH, max(1, usual)),
            buckets=self._how.buckets or _BUCKETS,
            width=self._how.width or _WIDTH,
        )

    def _category(self) -> CategoryTransform:
        how = self._how
        fewest = how.min_count or (2 if self._rows >= _FEW_ROWS else 1)
        frequent = [text for text, count in self._counts.items() if count >= fewest]
        # The most frequent ones; of equally frequent ones, by their text, so that the order of the rows is no matter.
        frequent.sort(key=lambda text: (-self._counts[text], text))
        categories = tuple(sorted(frequent[: how.max_categories or _MAX_CATEGORIES]))
        encoding = how.encoding or ("embedding" if how.width or len(categories) > _MAX_ONE_HOT else "one_hot")
        # As fastai's rule of thumb: 1.6 n^0.56, at most 600; smaller, since 64 are enough.
        width = how.width or min(64, math.ceil(1.6 * max(1, len(categories)) ** 0.56))
        return CategoryTransform(
            categories=categories,
            missing=self._missing > 0,
            encoding=encoding,
            width=width if encoding == "embedding" else None,
        )

    def unknown(self, transform: CategoryTransform) -> int:
        """Rows to train on whose category is unknown."""
        return self._rows - self._missing - sum(self._counts[category] for category in transform.categories)
