"""The optimizers by name, and which arguments each of them has.

Names and meanings are PyTorch's: https://docs.pytorch.org/docs/stable/optim.html
"""

from __future__ import annotations

from collections.abc import Mapping

from longshore.shared.errors import InvalidInput
from longshore.shared.vocabulary import Optimizer

#: The arguments of each optimizer, besides the learning rate and the weight decay, which all of them have.
ARGUMENTS: Mapping[Optimizer, tuple[str, ...]] = {
    "adam": ("betas", "eps", "amsgrad"),
    "adamw": ("betas", "eps", "amsgrad"),
    "sgd": ("momentum", "nesterov"),
    "rmsprop": ("momentum", "alpha", "eps", "centered"),
    "adagrad": ("eps",),
    "nadam": ("betas", "eps"),
    "radam": ("betas", "eps"),
}


def check_arguments(optimizer: Optimizer, arguments: Mapping[str, object]) -> None:
    """Check that ``optimizer`` accepts ``arguments``, and that they can be combined.

    :raises InvalidInput: it does not; names the argument and those that it has.
    """
    has = ARGUMENTS[optimizer]
    for name, value in arguments.items():
        if name not in has:
            raise InvalidInput(
                name,
                f"{optimizer} takes none, and {value} is given; leave it out, or use {', '.join(_having(name))}"
                f"; {optimizer} has {', '.join(has)}",
            )
    if "nesterov" in arguments and "momentum" not in arguments:
        raise InvalidInput("nesterov", "True needs a momentum above 0, and none is given; give momentum=0.9")


def _having(name: str) -> list[str]:
    return [optimizer for optimizer, has in ARGUMENTS.items() if name in has]
