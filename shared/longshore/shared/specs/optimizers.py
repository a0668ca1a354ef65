"""The optimizers by name, and which arguments each of them has.

Names and meanings are PyTorch's: https://docs.pytorch.org/docs/stable/optim.html
"""

from __future__ import annotations

from collections.abc import Mapping

from longshore.shared.errors import InvalidInput
from longshore.shared.vocabulary import Optimizer

#: What each optimizer can be told, besides the learning rate and the weight decay that all of them have.
ARGUMENTS: Mapping[Optimizer, tuple[str, ...]] = {
    "adam": ("betas", "eps", "amsgrad"),
    "adamw": ("betas", "eps", "amsgrad"),
    "sgd": ("momentum", "nesterov"),
    "rmsprop": ("momentum", "alpha", "eps", "centered"),
    "adagrad": ("eps",),
    "nadam": ("betas", "eps"),
    "radam": ("betas", "eps"),
}


def check_arguments(optimizer: Optimizer, given: Mapping[str, object]) -> None:
    """Whether ``optimizer`` has the arguments ``given``, and they go together.

    :raises InvalidInput: it has not; names the argument and those that it has.
    """
    has = ARGUMENTS[optimizer]
    for name, value in given.items():
        if name not in has:
            raise InvalidInput(
                name,
                f"{optimizer} takes none, and {value} is given; leave it out, or use {', '.join(_having(name))}"
                f"; {optimizer} has {', '.join(has)}",
            )
    if "nesterov" in given and "momentum" not in given:
        raise InvalidInput("nesterov", "True needs a momentum above 0, and none is given; give momentum=0.9")


def _having(name: str) -> list[str]:
    return [optimizer for optimizer, has in ARGUMENTS.items() if name in has]
