"""How the values of a column were distributed in the rows that a version was trained on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, FiniteFloat


class ColumnStatistics(BaseModel):
    """The shares of rows in some ranges of values; for categories, of their codes.

    The values are those of the row's matrix, after the column is preprocessed and before it is standardised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    #: Increasing borders of the ranges: the first is below the first border, the last from the last border on.
    borders: tuple[FiniteFloat, ...]
    #: One for each range, and then one for missing values if the version tells these apart.
    shares: tuple[FiniteFloat, ...]
