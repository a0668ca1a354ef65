"""The preprocess option: how the columns of a table become numbers, where the choice is not left to the rules."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from longshore.shared.errors import InvalidInput
from longshore.shared.vocabulary import ColumnKind, DatePart, Encoding, Scale

#: The options of each kind of column.
_OPTIONS: dict[ColumnKind, tuple[str, ...]] = {
    "number": ("missing", "indicator", "scale"),
    "category": ("encoding", "max_categories", "min_count", "width"),
    "datetime": ("missing", "indicator", "parts"),
    "text": ("length", "buckets", "width"),
    "drop": (),
}
_NO_DATE = "missing: a date cannot be replaced by a number; use median, mean or error"


class ColumnPreprocess(BaseModel):
    """How one column is preprocessed. A string is short for ``{"kind": ...}``.

    What is left out is chosen by the values of the rows to train on: see ``docs/how-to/training/tables.md``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ColumnKind | None = None
    """``number``, ``category``, ``datetime``, ``text``, or ``drop`` to leave the column out."""
    missing: Literal["median", "mean", "error"] | FiniteFloat | None = None
    """Only for numbers and dates: what a missing value becomes, as measured on the rows to train on; a number is taken
    as it is, and only for numbers. ``error``: a row without the value is an error. Default: ``median`` if a value is
    missing in the rows to train on, otherwise ``error``.
    """
    indicator: bool | None = None
    """Only for numbers and dates: add a number that says whether the value was missing. Default: true if missing values
    are replaced.
    """
    scale: Scale | None = None
    """Only for numbers: ``none``, ``log`` for sign(x) · log(1 + |x|), or ``quantile`` for the normal score of the
    value among those of the rows to train on. Default: by the skewness of the values.
    """
    encoding: Encoding | None = None
    """Only for categories: ``one_hot`` or ``embedding``, a learned vector. Default: ``one_hot`` for up to 32."""
    max_categories: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Only for categories: how many are told apart, the most frequent. The others are unknown. Default: 1,000."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """Only for categories: those in fewer rows are unknown. Default: 2 if there are 100 rows to train on or more,
    otherwise 1.
    """
    width: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Only for categories with learned vectors, and texts: the length of a vector. Default: for categories by their
    number, for texts 32.
    """
    parts: tuple[DatePart, ...] | None = None
    """Only for dates: ``time``, ``season``, ``weekday`` and ``hour``. Default: those that differ in the rows to train
    on.
    """
    length: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Only for texts: how many words are read of each. Default: as many as 95 % of the texts have, at most 128."""
    buckets: Annotated[int, Field(ge=16, le=2**22)] | None = None
    """Only for texts: how many buckets words are hashed into. Default: 16,384."""

    @model_validator(mode="before")
    @classmethod
    def _read_kind(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _go_together(self) -> ColumnPreprocess:
        kinds = set(_OPTIONS) if self.kind is None else {self.kind}
        for name in self._given():
            kinds = {kind for kind in kinds if name in _OPTIONS[kind]}
            if not kinds:
                raise ValueError(f"{_only_for(name)}; leave it out, or change the kind")
        if self.implied_kind == "datetime" and isinstance(self.missing, float):
            raise ValueError(_NO_DATE)
        if self.encoding == "one_hot" and self.width is not None:
            raise ValueError("width is only for learned vectors; leave it out, or use encoding=embedding")
        if self.parts is not None and (not self.parts or len(set(self.parts)) < len(self.parts)):
            raise ValueError("parts: list each part that is used once, at least one")
        if self.missing == "error" and self.indicator:
            raise ValueError("indicator: a missing value is an error; leave it out, or replace missing values")
        return self

    @property
    def implied_kind(self) -> ColumnKind | None:
        """The kind, also if only options name it; ``None`` if it depends on the values."""
        if self.kind is not None:
            return self.kind
        given = set(self._given())
        kinds = [kind for kind, options in _OPTIONS.items() if given and given <= set(options)]
        return kinds[0] if len(kinds) == 1 else None

    def check_kind(self, column: str, kind: ColumnKind) -> None:
        """Check the options once the kind of a column is known, which its values can decide.

        :raises InvalidInput: an option is not for this kind.
        """
        wrong = [name for name in self._given() if name not in _OPTIONS[kind]]
        if wrong:
            raise InvalidInput(
                "preprocess",
                f"column {column!r}: {_only_for(wrong[0])}, and this column is taken for the kind {kind}; leave it "
                "out, or give the kind, too",
            )
        if kind == "datetime" and isinstance(self.missing, float):
            raise InvalidInput("preprocess", f"column {column!r} has dates; {_NO_DATE}")

    def _given(self) -> list[str]:
        return [name for name in type(self).model_fields if name != "kind" and getattr(self, name) is not None]


def _only_for(option: str) -> str:
    kinds = " or ".join(kind for kind, options in _OPTIONS.items() if option in options)
    return f"{option} is only for the kind {kinds}"
