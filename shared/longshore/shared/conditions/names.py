"""The names of metrics."""

from __future__ import annotations

import difflib
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.evaluate import METRICS as EVALUATED
from longshore.shared.specs.train.metrics import MEASURABLE as TRAINED

#: Metrics of an evaluation, and with one of :data:`SPLIT_PREFIXES` of a training.
METRICS: Final = frozenset((*EVALUATED, *TRAINED))
#: Prefixes of the metrics of a training: the split that a metric was measured on.
SPLIT_PREFIXES: Final = ("train_", "val_", "test_")


def is_metric(name: str) -> bool:
    """Whether a name is a metric of a training or of an evaluation."""
    return name in METRICS or name.startswith(SPLIT_PREFIXES)


def base_of(name: str) -> str:
    """The name of a metric without the prefix of its split."""
    prefix = next((prefix for prefix in SPLIT_PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def check_metric(name: str, field: str) -> None:
    """Refuse a metric that no evaluation and no training measures: a condition on it would never hold.

    :param field: the argument to name in an error.
    :raises InvalidInput: names the metrics that there are.
    """
    base = base_of(name)
    measured = EVALUATED if base == name else TRAINED
    if base in measured:
        return
    prefix = name.removesuffix(base)
    near = difflib.get_close_matches(base, measured, n=1, cutoff=0.8)
    if base == name and base in TRAINED:
        meant = f"a training gives val_{name}, or with test rows test_{name}"
    elif near:
        meant = f"did you mean {prefix}{near[0]}?"
    else:
        meant = f"there are {', '.join(prefix + each for each in measured)}"
    kind = "an evaluation" if base == name else "a training"
    raise InvalidInput(field, f"{name!r} is no metric of {kind}; {meant}")
