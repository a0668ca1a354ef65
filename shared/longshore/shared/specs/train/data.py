"""The rows of a training: which are held out, and how they are read and changed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec
from longshore.shared.specs.jobs import Input
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train.augment import Augment

#: A fraction of the rows, drawn by the seed.
Fraction = Annotated[float, Field(ge=0, lt=1)]


class DataConfig(Spec):
    """Data."""

    features: Annotated[tuple[str, ...] | None, Option(metavar="COLUMN,...", reader="comma_separated")] = None
    """The columns to predict from. Default: all but the target."""
    validation: Annotated[
        Fraction | Input, Option(keyword="float | Data", metavar="FRACTION|FILE", reader="fraction_or_file")
    ] = 0.1
    """Rows that measure each epoch and are not trained on: a fraction of the data, drawn by ``seed`` (0 for none), or
    data of their own.
    """
    test: Annotated[
        Fraction | Input, Option(keyword="float | Data", metavar="FRACTION|FILE", reader="fraction_or_file")
    ] = 0.0
    """Rows that only measure the final weights, once: a fraction of the data, drawn by ``seed``, or data of their own.
    """
    split: Annotated[str | None, Option(metavar="COLUMN")] = None
    """The column that says of each row whether it is ``train``, ``validation`` or ``test``. It replaces ``validation``
    and ``test``.
    """
    stratify: bool | None = None
    """Draw the fractions from each class in proportion to its size. Default: true if there are classes."""
    augment: Annotated[Augment | None, Option(metavar="KEY=VALUE", reader="settings")] = None
    """Random changes of the training images, such as horizontal_flip=0.5."""
    tokenizer: Annotated[Tokenizer | None, Option(metavar="KEY=VALUE", reader="settings")] = None
    """How a column of text becomes ids, such as kind=bpe and length=128, or version=news:1 for the tokenizer of a
    version.
    """
    #: The digest of the version that ``tokenizer`` named at submission.
    tokenizer_digest: Annotated[str | None, NOT_AN_OPTION] = None
    stream: bool | None = None
    """Read the file again in each epoch instead of holding its rows in memory. Default: true if the file is large."""
    shuffle_window: Annotated[Annotated[int, Field(ge=1)] | None, Option(metavar="ROWS")] = None
    """Only for a stream: how many rows are shuffled together. Default: as many as fit into 128 MiB."""
    preprocess: Annotated[dict[str, ColumnPreprocess] | None, Option(metavar="COLUMN=HOW", reader="settings")] = None
    """How columns become numbers, such as color=category, when=datetime or age={"missing": 0}, by column. Default: by
    the values of the rows to train on.
    """

    @property
    def has_validation(self) -> bool:
        """Whether rows are held out to measure each epoch."""
        return self.split is not None or not isinstance(self.validation, float) or self.validation > 0

    def check_held_out(self) -> None:
        """:raises InvalidInput: the fractions leave no rows to train on."""
        fraction = sum(rows for rows in (self.validation, self.test) if isinstance(rows, float))
        if fraction >= 1:
            raise InvalidInput(
                "test", f"{self.test} and the validation of {self.validation} leave no rows to train on; give less"
            )
