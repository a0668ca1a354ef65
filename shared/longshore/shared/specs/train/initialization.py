"""The first weights of a training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from longshore.shared.specs.base import Option, Spec
from longshore.shared.specs.initialization import check_init
from longshore.shared.vocabulary import InitName


class InitializationConfig(Spec):
    """Initial weights."""

    init: Annotated[InitName, Option(keyword="InitName | TorchInitName", metavar="NAME", reader="text")] = "default"
    """How weights with two or more dimensions are initialised, by PyTorch's name. ``default`` leaves it to the family.
    Biases start at 0. The weights of ``base`` replace these.
    """
    init_std: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Only for normal and trunc_normal: the standard deviation. Default: 0.02."""

    @field_validator("init", mode="before")
    @classmethod
    def _read_init(cls, value: object) -> object:
        """Accept PyTorch's own names, which end with an underscore."""
        return value.lower().rstrip("_") if isinstance(value, str) else value

    def check_initialization(self) -> None:
        """:raises InvalidInput: ``init`` has no standard deviation, and one is given."""
        check_init(self.init, self.init_std)
