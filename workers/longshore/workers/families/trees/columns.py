"""The columns of a row as trees take them: missing values as NaN, categories as their codes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform, TextTransform

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TreeColumns:
    """The columns of LightGBM, made of the numbers of a row."""

    #: A name for each column, unique, as LightGBM allows them.
    names: tuple[str, ...]
    #: The feature that each column is of.
    features: tuple[str, ...]
    #: The position of each column in a row.
    positions: tuple[int, ...]
    #: Only for columns that can be missing: the position of the number that says so, by column.
    indicators: Mapping[int, int]
    #: The columns with codes of categories.
    categorical: tuple[int, ...]

    @classmethod
    def of(cls, features: Sequence[Feature]) -> TreeColumns:
        """The columns of a signature.

        :raises InvalidInput: a column is a text or an image; names it.
        """
        of: list[str] = []
        positions: list[int] = []
        indicators: dict[int, int] = {}
        categorical: list[int] = []
        start = 0
        for feature in features:
            _check_kind(feature)
            transform, stop = feature.transform, start + feature.size
            if isinstance(transform, NumberTransform | DateTransform) and transform.indicator:
                stop -= 1
                indicators |= {len(of) + column: stop for column in range(stop - start)}
            if isinstance(transform, CategoryTransform):
                categorical.append(len(of))
            of += [feature.name] * (stop - start)
            positions += range(start, stop)
            start += feature.size
        return cls(_names(of), tuple(of), tuple(positions), indicators, tuple(categorical))

    def matrix(self, rows: Floats) -> Floats:
        """The columns of some rows, ``(n, columns)``; the rows themselves if nothing is missing in any."""
        if not self.indicators:
            return rows
        columns = np.take(rows, self.positions, axis=1)
        for column, indicator in self.indicators.items():
            columns[rows[:, indicator] != 0, column] = np.nan
        return columns


def _check_kind(feature: Feature) -> None:
    if isinstance(feature.transform, TextTransform) or feature.kind == "text":
        raise InvalidInput(
            "features",
            f"column {feature.name!r} has texts of several words, which trees do not read; give "
            f"preprocess={{{feature.name!r}: 'category'}} or 'drop', or use the family mlp",
        )
    if feature.kind == "image":
        raise InvalidInput("features", f"column {feature.name!r} has images, which trees do not read; use cnn")


def _names(features: Sequence[str]) -> tuple[str, ...]:
    """Names for columns: LightGBM allows no blanks, brackets, colons, commas and quotes."""
    names: list[str] = []
    used: set[str] = set()
    #: The last number of each name: a list of numbers has one name in all its columns, of which there can be many.
    numbers: dict[str, int] = {}
    for feature in features:
        name = base = re.sub(r"[^\w.-]", "_", feature).lstrip(".-") or "_"
        number = numbers.get(base, 1)
        while name in used:
            number += 1
            name = f"{base}_{number}"
        numbers[base] = number
        used.add(name)
        names.append(name)
    return tuple(names)
