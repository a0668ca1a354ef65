"""The losses by name, what each is for, and which arguments each of them has.

Names and meanings are PyTorch's: https://docs.pytorch.org/docs/stable/nn.html#loss-functions; ``dpo`` is that of
Rafailov et al., "Direct Preference Optimization", 2023, https://arxiv.org/abs/2305.18290.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten
from longshore.shared.vocabulary import LossName

#: The task that each loss is for.
TASKS: Final[Mapping[LossName, str]] = {
    "cross_entropy": "classification",
    "mse": "regression",
    "l1": "regression",
    "smooth_l1": "regression",
    "huber": "regression",
    "dpo": "preference",
}
#: The arguments of each loss.
ARGUMENTS: Final[Mapping[LossName, tuple[str, ...]]] = {
    "cross_entropy": ("label_smoothing", "class_weights"),
    "mse": (),
    "l1": (),
    "smooth_l1": ("beta",),
    "huber": ("delta",),
    "dpo": ("label_smoothing", "beta"),
}
#: The default loss of each task.
DEFAULTS: Final[Mapping[str, LossName]] = {
    "classification": "cross_entropy",
    "regression": "mse",
    "preference": "dpo",
}


def short_name(name: str) -> str:
    """``smooth_l1`` for ``SmoothL1Loss``, ``smooth_l1_loss`` or ``smoothl1``; other names are returned unchanged."""
    bare = name.lower().replace("_", "").removesuffix("loss")
    return next((loss for loss in TASKS if loss.replace("_", "") == bare), name)


def check_loss(loss: LossName | None, arguments: Mapping[str, object], task: str) -> None:
    """Check that ``loss`` is for ``task`` and accepts ``arguments``.

    :param loss: ``None`` is the default loss of the task.
    :param task: ``auto`` if it is not known yet; checks that depend on the task are then skipped.
    :raises InvalidInput: names the option, and the losses that would do.
    """
    if loss is not None and task not in ("auto", TASKS[loss]):
        fitting = " or ".join(name for name, of in TASKS.items() if of == task)
        do = f"use {fitting}, or leave it out" if fitting else "leave it out"
        raise InvalidInput("loss", f"{loss} is for {TASKS[loss]}, and the task is {task}; {do}")
    chosen = loss or DEFAULTS.get(task)
    for name, value in arguments.items():
        having = [each for each, has in ARGUMENTS.items() if name in has]
        if chosen is None and task != "auto":
            raise InvalidInput(
                name, f"{shorten(value)}: it is of the loss {' or '.join(having)}, and the task is {task}; leave it out"
            )
        if chosen is not None and chosen not in having:
            said = ", ".join(ARGUMENTS[chosen]) or "no arguments"
            raise InvalidInput(
                name, f"{shorten(value)}: it is of the loss {' or '.join(having)}; {chosen} has {said}; leave it out"
            )
        if chosen is None and not {DEFAULTS["classification"], DEFAULTS["regression"]} & set(having):
            raise InvalidInput(name, f"{shorten(value)}: it is of the loss {' or '.join(having)}; give that, too")
