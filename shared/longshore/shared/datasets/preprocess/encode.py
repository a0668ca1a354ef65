"""Converts a column as its transform says."""

from __future__ import annotations

import pyarrow as pa

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.preprocess.categories import encode_categories
from longshore.shared.datasets.preprocess.dates import encode_dates
from longshore.shared.datasets.preprocess.scaling import encode_numbers
from longshore.shared.datasets.preprocess.words import encode_words
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform


def encode_column(array: pa.Array, feature: Feature) -> Column:
    """The numbers of a feature with a transform, ``(n, size)``.

    :raises TypeError: the type of the column does not fit the feature.
    """
    transform = feature.transform
    assert transform is not None
    if isinstance(transform, NumberTransform):
        return encode_numbers(array, feature, transform)
    if isinstance(transform, CategoryTransform):
        return encode_categories(array, transform)
    if isinstance(transform, DateTransform):
        return encode_dates(array, transform)
    return encode_words(array, transform)
