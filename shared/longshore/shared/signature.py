"""What a version takes and gives: the columns of a row, and the kind of its output."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Task = Literal["classification", "regression"]


class Feature(BaseModel):
    """One input column: a number, or a list of ``width`` numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    #: ``None``: the column holds one number a row; n: it holds lists of n numbers.
    width: int | None = None

    @property
    def size(self) -> int:
        """Numbers this column adds to a row."""
        return 1 if self.width is None else self.width


class Signature(BaseModel):
    """The columns a version reads, in order, and what it puts out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Feature, ...]
    task: Task
    #: The column it was trained to predict.
    target: str
    #: Class names by output index; ``None`` for regression.
    labels: tuple[str | int | bool, ...] | None = None

    @property
    def width(self) -> int:
        """Numbers in one row: a batch of n rows is a float32 matrix of shape (n, width)."""
        return sum(feature.size for feature in self.features)
