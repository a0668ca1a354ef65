"""What the columns of a text file are used for, which decides how their values are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from longshore.shared.datasets.columns.types import is_list, is_number, is_text
from longshore.shared.specs.generate import MESSAGES, PROMPT, ROW_OPTIONS
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.signature import Signature

#: Kinds of features whose values are read as text: a category 007 is not 7.
_WRITTEN = ("text", "category", "datetime")


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
        digits = frozenset(feature.name for feature in signature.features if feature.reads_digits)
        numeric = [each for each in signature.features if each.kind == "number" and not each.reads_digits]
        return cls(
            numbers=frozenset(feature.name for feature in numeric if feature.width is None),
            lists=frozenset(feature.name for feature in numeric if feature.width is not None),
            texts=digits | frozenset(feature.name for feature in signature.features if feature.kind in _WRITTEN),
            written=frozenset(keep),
            target=target,
        )

    @classmethod
    def for_training(
        cls,
        target: str,
        features: Iterable[str] | None,
        split: str | None,
        *,
        texts: bool,
        preprocess: Mapping[str, ColumnPreprocess] | None = None,
    ) -> ColumnUses:
        """The uses of the columns that a model is trained on.

        :param features: the columns to predict from; ``None``: not known yet.
        :param split: the column that assigns rows to splits, if there is one.
        :param texts: whether the features are texts; otherwise they are whatever the first block has.
        :param preprocess: how columns are preprocessed, by name; if it names the kind of a column, it is read so.
        """
        kinds = {name: how.implied_kind for name, how in (preprocess or {}).items()}
        return cls(
            numbers=frozenset(name for name, kind in kinds.items() if kind == "number"),
            texts=frozenset(() if split is None else (split,))
            | frozenset(name for name, kind in kinds.items() if kind in _WRITTEN)
            | frozenset((features or ()) if texts else ()),
            target=target,
        )

    @classmethod
    def for_generation(cls, keep: Iterable[str] = ()) -> ColumnUses:
        """The uses of the columns of a job that generates text. All are read as they are written: a prompt ``007`` is
        no number, and a list of messages has every key that it was written with.

        :param keep: columns that are stored with the results. Default: none.
        """
        return cls(written=frozenset((PROMPT, MESSAGES, *ROW_OPTIONS, *keep)))

    def like(self, schema: pa.Schema) -> ColumnUses:
        """The uses of the same columns of another file, which are read as numbers or text like those of ``schema``."""
        texts = frozenset(field.name for field in schema if is_text(field.type)) - {self.target}
        numbers = frozenset(field.name for field in schema if is_number(field.type)) - {self.target}
        lists = frozenset(field.name for field in schema if is_list(field.type)) - {self.target}
        return replace(self, numbers=self.numbers | numbers, texts=self.texts | texts, lists=self.lists | lists)
