"""Notes on columns that have one value in all rows to train on, and so teach nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, NumberTransform
from longshore.shared.specs.validation import shorten

#: Columns that the note lists, at most; it counts the others.
_LISTED = 12


def constant_notes(
    features: Sequence[Feature], first: npt.NDArray[np.floating], is_constant: Callable[[slice], bool]
) -> Iterator[str]:
    """Yield a note if columns are constant. Lists, images and texts are left out: there it is common.

    :param first: the numbers of a row to train on, before they are standardised, ``(width,)``.
    :param is_constant: whether all rows to train on have the same numbers at some positions.
    """
    constant: list[str] = []
    position = 0
    for feature in features:
        part = slice(position, position + feature.size)
        if feature.width is None and feature.kind != "text" and is_constant(part):
            constant.append(f"{feature.name!r}{_value(feature, first[part])}")
        position += feature.size
    if constant:
        more = f" and {len(constant) - _LISTED:,} more" if len(constant) > _LISTED else ""
        yield (
            f"constant in the rows to train on, which teaches nothing: {', '.join(constant[:_LISTED])}{more}; "
            "kept, unless left out of features"
        )


def _value(feature: Feature, numbers: npt.NDArray[np.floating]) -> str:
    """The value of a constant column, if its numbers tell it."""
    transform = feature.transform
    if transform is None:
        return f" ({float(numbers[0]) + feature.offset:g})"
    if isinstance(transform, CategoryTransform) and 1 <= numbers[0] <= len(transform.categories):
        return f" ({shorten(transform.categories[int(numbers[0]) - 1])})"
    if isinstance(transform, NumberTransform) and transform.scale == "none":
        return f" ({float(numbers[0]) + feature.offset:g})"
    return ""
