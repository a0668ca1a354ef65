"""The loss of a training and its arguments."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from longshore.shared.specs.base import Option, Spec
from longshore.shared.specs.class_weights import ClassWeights, read_weights
from longshore.shared.specs.losses import short_name
from longshore.shared.vocabulary import LossName

#: The options that only some losses have.
ARGUMENT_NAMES = ("label_smoothing", "class_weights", "beta", "delta")


class LossConfig(Spec):
    """Loss."""

    loss: Annotated[
        LossName | None, Option(keyword="LossName | TorchLossName | None", metavar="NAME", reader="text")
    ] = None
    """The loss, also as PyTorch writes it (HuberLoss). Default: cross_entropy for classes, mse for numbers,
    dpo for preferences.
    """
    label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """For cross_entropy, the share of each target that is spread evenly over all classes. For dpo, the share of rows
    whose preference is taken to be the wrong way round, below 0.5.
    """
    class_weights: Annotated[
        ClassWeights | None,
        Option(
            keyword='Literal["balanced"] | Mapping[str, float] | Mapping[int, float] | Mapping[bool, float] | None',
            metavar="LABEL=WEIGHT",
            reader="class_weights",
        ),
    ] = None
    """Only for cross_entropy, and only for the rows that are trained on: ``balanced``, or a weight for each label.
    Labels that are not named weigh 1.
    """
    beta: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """For smooth_l1, errors below this number, in the unit of the target, count squared; default: 1. For dpo, what the
    logarithms of probability ratios are multiplied by: the larger, the closer to the base; default: 0.1.
    """
    delta: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Only for huber: errors below this number, in the unit of the target, count squared. Default: 1."""

    @field_validator("loss", mode="before")
    @classmethod
    def _read_loss(cls, value: object) -> object:
        """Accept PyTorch's own spelling."""
        return short_name(value) if isinstance(value, str) else value

    @field_validator("class_weights", mode="before")
    @classmethod
    def _read_weights(cls, value: object) -> object:
        """Labels are stored as text, whatever their type in the data."""
        return read_weights(value)

    @property
    def loss_arguments(self) -> dict[str, object]:
        """The arguments that differ from their defaults: PyTorch's by their names, and the class weights."""
        fields = LossConfig.model_fields
        return {name: value for name in ARGUMENT_NAMES if (value := getattr(self, name)) != fields[name].default}
