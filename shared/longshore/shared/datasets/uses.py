"""What the columns of a text file are used for, which decides how their values are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from longshore.shared.specs.signature import Signature


@dataclass(frozen=True)
class ColumnUses:
    """Columns of a CSV or JSON Lines file by use. Other formats have types of their own and ignore it.

    A column without a use is read as numbers or as text, whichever its values in the first block are.
    """

    #: One number per row.
    numbers: frozenset[str] = frozenset()
    #: A list of numbers per row; in a column that is also among ``numbers``, whichever the first block has.
    lists: frozenset[str] = frozenset()
    #: Text as it is written.
    texts: frozenset[str] = frozenset()
    #: Columns that are copied as they are written.
    written: frozenset[str] = frozenset()
    #: The column to predict: read as it is written, because only all of its values tell what they are.
    target: str | None = None

    @classmethod
    def of(cls, signature: Signature, keep: Iterable[str] = (), target: str | None = None) -> ColumnUses:
        """The uses of the features of a version.

        :param keep: columns that are copied to output files. Default: none.
        :param target: the column that predictions are compared with. Default: none.
        """
        numeric = [feature for feature in signature.features if feature.kind == "number"]
        return cls(
            numbers=frozenset(feature.name for feature in numeric if feature.width is None),
            lists=frozenset(feature.name for feature in numeric if feature.width is not None),
            texts=frozenset(feature.name for feature in signature.features if feature.kind == "text"),
            written=frozenset(keep),
            target=target,
        )

    @classmethod
    def for_training(
        cls, target: str, features: Iterable[str] | None, split: str | None, *, texts: bool | None
    ) -> ColumnUses:
        """The uses of the columns that a model is trained on.

        :param features: the columns to predict from; ``None``: not known yet.
        :param split: the column that assigns rows to splits, if there is one.
        :param texts: whether the features are texts; ``None``: they are whatever the first block has.
        """
        names = frozenset(features or ())
        numbers = names if texts is False else frozenset()
        return cls(
            numbers=numbers,
            lists=numbers,
            texts=frozenset(() if split is None else (split,)) | (names if texts else frozenset()),
            target=target,
        )
