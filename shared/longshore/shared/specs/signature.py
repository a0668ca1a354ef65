"""What a version takes and gives: the columns of a row, and the kind of its output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from longshore.shared.errors import InvalidInput

Task = Literal["classification", "regression", "embedding", "multilabel"]


class Feature(BaseModel):
    """One input column: a number, a list of ``width`` numbers, a text, or an image file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    #: ``None``: the column holds one number a row; n: it holds lists of n numbers, or images of n numbers. Of a
    #: text: the tokens of it that a family reads; ``None`` where the runtime knows.
    width: int | None = None
    #: ``image``: the column holds encoded image files (JPEG, PNG, ...), which are decoded to ``shape``.
    kind: Literal["number", "text", "image"] = "number"
    #: Of an image: (channels, height, width).
    shape: tuple[int, int, int] | None = None

    @property
    def size(self) -> int:
        """Numbers this column adds to a row."""
        return 1 if self.width is None else self.width

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Columns of numbers are written as they always were, so that the digests of their versions stay.
        written: dict[str, object] = handler(self)
        if self.kind == "number":
            del written["kind"], written["shape"]
        return written


class Signature(BaseModel):
    """The columns a version reads, in order, and what it puts out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Feature, ...]
    task: Task
    #: The column it was trained to predict.
    target: str
    #: Class names by output index; of classification, and of multilabel, where any number of them holds for a row.
    labels: tuple[str | int | bool, ...] | None = None
    #: Of regression alone. ``None``: one number a row; n: lists of n numbers.
    target_width: int | None = None
    #: Of an embedding alone: the numbers in one. ``None``: any, as of versions that were imported.
    embedding_width: int | None = None

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Written only where it is set, so that the digests of versions without it stay.
        written: dict[str, object] = handler(self)
        for name in ("target_width", "embedding_width"):
            if written[name] is None:
                del written[name]
        return written

    @property
    def width(self) -> int:
        """Numbers in one row: a batch of n rows is a float32 matrix of shape (n, width)."""
        return sum(feature.size for feature in self.features)

    @property
    def is_text(self) -> bool:
        """Whether it reads texts and no numbers."""
        return any(feature.kind == "text" for feature in self.features)

    @property
    def outputs(self) -> int | None:
        """Numbers the model puts out for one row; ``None`` for an embedding of any width."""
        if self.task in ("classification", "multilabel"):
            return len(self.labels or ())
        return (self.target_width or 1) if self.task == "regression" else self.embedding_width

    def check(self, field: str) -> None:
        """Whether it says something that a model can do. Those that Longshore writes itself always do.

        :param field: stands before the name of the wrong part in an error.
        :raises InvalidInput: features or labels are missing, repeated, empty, or do not go with the task.
        """
        if not self.features:
            raise InvalidInput(f"{field}.features", "none is given; name the columns that the model reads")
        _check_repeated(f"{field}.features", (feature.name for feature in self.features))
        for feature in self.features:
            if not feature.name or (feature.width is not None and feature.width < 1):
                raise InvalidInput(f"{field}.features", f"{feature.name!r} of width {feature.width} is no column")
        for name, width, task in (
            ("target_width", self.target_width, "regression"),
            ("embedding_width", self.embedding_width, "embedding"),
        ):
            if width is not None and (self.task != task or width < 1):
                raise InvalidInput(f"{field}.{name}", f"{width}: of a {self.task}; leave it out")
        self._check_labels(f"{field}.labels")

    def _check_labels(self, field: str) -> None:
        if self.task in ("regression", "embedding"):
            if self.labels is not None:
                what = "a regression" if self.task == "regression" else "an embedding"
                raise InvalidInput(field, f"{what} has none; leave them out")
            return
        least = 2 if self.task == "classification" else 1
        if self.labels is None or len(self.labels) < least:
            what = "a classification has two or more" if least == 2 else "multilabel has one or more"
            raise InvalidInput(field, f"{what}, one for each output of the model")
        # As they are written in results: 1, true and "1" are three labels.
        _check_repeated(field, (repr(label) for label in self.labels))


def _check_repeated(field: str, names: Iterable[str]) -> None:
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InvalidInput(field, f"{repeated[0]} is given more than once")
