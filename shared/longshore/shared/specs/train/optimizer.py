"""The optimizer of a training and its arguments."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from longshore.shared.specs.base import Option, Spec
from longshore.shared.specs.optimizers import check_arguments
from longshore.shared.vocabulary import Optimizer

_Beta = Annotated[float, Field(ge=0, lt=1)]

#: The options that only some optimizers have.
ARGUMENT_NAMES = ("momentum", "nesterov", "betas", "eps", "amsgrad", "alpha", "centered")


class OptimizerConfig(Spec):
    """Optimizer."""

    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 1e-3
    """The learning rate, at its largest."""
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """The weight decay, as PyTorch's optimizer applies it."""
    optimizer: Annotated[Optimizer, Option(keyword="Optimizer | TorchOptimizer")] = "adam"
    """The optimizer, also as PyTorch writes it (AdamW)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Only for sgd and rmsprop: the momentum."""
    nesterov: bool = False
    """Only for sgd with a momentum: Nesterov momentum."""
    betas: tuple[_Beta, _Beta] | None = None
    """Only for adam, adamw, nadam and radam: decay of the running means of the gradient and of its square. Default: 0.9
    and 0.999.
    """
    eps: Annotated[float, Field(gt=0, le=1)] | None = None
    """Not for sgd: the number added to the divisor. Default: 1e-8; 1e-10 for adagrad."""
    amsgrad: bool = False
    """Only for adam and adamw: divide by the largest mean square so far."""
    alpha: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Only for rmsprop: decay of the running mean of the square. Default: 0.99."""
    centered: bool = False
    """Only for rmsprop: divide by the standard deviation of the gradient instead of its mean square."""

    @field_validator("optimizer", mode="before")
    @classmethod
    def _read_name(cls, value: object) -> object:
        """Accept PyTorch's own spelling."""
        return value.lower() if isinstance(value, str) else value

    @property
    def optimizer_arguments(self) -> dict[str, object]:
        """The arguments that differ from their defaults, by PyTorch's names, without learning rate and weight decay."""
        fields = OptimizerConfig.model_fields
        return {name: value for name in ARGUMENT_NAMES if (value := getattr(self, name)) != fields[name].default}

    def check_optimizer(self) -> None:
        """:raises InvalidInput: the optimizer does not have one of the arguments."""
        check_arguments(self.optimizer, self.optimizer_arguments)
