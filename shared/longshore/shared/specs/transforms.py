"""Fitted preprocessing: how the value of a column becomes the numbers of a row. It is part of a version's signature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, SerializerFunctionWrapHandler, model_serializer

from longshore.shared.vocabulary import DatePart, Encoding, Scale

#: How many numbers each part has.
PART_SIZES: dict[DatePart, int] = {"time": 1, "season": 2, "weekday": 7, "hour": 2}


class _Fitted(BaseModel, ABC):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def size(self) -> int:
        """How many numbers a value adds to a row."""

    @property
    @abstractmethod
    def standardized(self) -> int:
        """How many of these numbers, from the first on, are standardised if the training standardises."""

    @property
    def network_size(self) -> int:
        """How many numbers the network gets instead of :attr:`size`, after categories and words are looked up."""
        return self.size

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Values that are the default are left out: a row of the catalogue has the whole signature.
        fields: dict[str, object] = handler(self)
        defaults = type(self).model_fields
        return {
            name: value
            for name, value in fields.items()
            if name == "kind" or getattr(self, name) != defaults[name].default
        }


class NumberTransform(_Fitted):
    """A number, and whether it was missing."""

    kind: Literal["number"] = "number"
    #: In place of a missing value; ``None``: a row without the value is an error.
    fill: FiniteFloat | None = None
    #: Whether a second number says that the value was missing.
    indicator: bool = False
    #: ``log``: sign(x) · log(1 + |x|). ``quantile``: linear between ``points``, constant outside of them.
    scale: Scale = "none"
    #: Only for ``quantile``: pairs of a value and its normal score, both increasing.
    points: tuple[tuple[FiniteFloat, FiniteFloat], ...] = ()

    @property
    def size(self) -> int:
        """See the base class."""
        return 2 if self.indicator else 1

    @property
    def standardized(self) -> int:
        """See the base class."""
        return 1


class CategoryTransform(_Fitted):
    """One of some categories: its code, from 1 on in their order. The code of any other value is 0."""

    kind: Literal["category"] = "category"
    categories: tuple[str, ...]
    #: Whether a missing value has a code of its own, the last; otherwise it has the code 0.
    missing: bool = False
    encoding: Encoding = "one_hot"
    #: Only for ``embedding``: the length of a vector.
    width: int | None = None

    @property
    def codes(self) -> int:
        """How many codes there are, besides 0."""
        return len(self.categories) + self.missing

    @property
    def size(self) -> int:
        """See the base class."""
        return 1

    @property
    def standardized(self) -> int:
        """See the base class."""
        return 0

    @property
    def network_size(self) -> int:
        """See the base class."""
        return self.codes if self.width is None else self.width


class DateTransform(_Fitted):
    """A date or a time."""

    kind: Literal["datetime"] = "datetime"
    parts: tuple[DatePart, ...]
    #: Whether the times have a time zone. They are read in UTC, others as they are written.
    zoned: bool = False
    #: Subtracted from the part ``time``: days since 1970-01-01.
    origin: FiniteFloat = 0.0
    #: In place of a missing value: days since 1970-01-01; ``None``: a row without the value is an error.
    fill: FiniteFloat | None = None
    #: Whether a last number says that the value was missing.
    indicator: bool = False

    @property
    def size(self) -> int:
        """See the base class."""
        return sum(PART_SIZES[part] for part in self.parts) + self.indicator

    @property
    def standardized(self) -> int:
        """See the base class."""
        return 1 if self.parts[:1] == ("time",) else 0


class TextTransform(_Fitted):
    """The words of a text, in lower case, each as the number of a bucket, from 1 on; 0 follows the last."""

    kind: Literal["text"] = "text"
    #: Words that are read.
    length: int
    #: Buckets into which words are hashed.
    buckets: int
    #: The length of the vector that the network gets: the mean of the learned vectors of the words.
    width: int

    @property
    def size(self) -> int:
        """See the base class."""
        return self.length

    @property
    def standardized(self) -> int:
        """See the base class."""
        return 0

    @property
    def network_size(self) -> int:
        """See the base class."""
        return self.width


Transform: TypeAlias = Annotated[
    NumberTransform | CategoryTransform | DateTransform | TextTransform, Field(discriminator="kind")
]
