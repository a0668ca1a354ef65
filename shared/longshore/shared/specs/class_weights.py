"""How much each class counts in the loss of a classifier."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten

#: ``balanced``, or the weights of some labels by their text; other classes weigh 1.
ClassWeights: TypeAlias = Literal["balanced"] | dict[str, float]

#: Labels that an error lists before it says only how many more there are.
_SHOWN = 10


def read_weights(weights: object) -> ClassWeights | None:
    """Read class weights from a caller, with labels of any type.

    :raises InvalidInput: it is neither ``balanced`` nor a mapping from labels to finite numbers above 0.
    """
    if weights is None or weights == "balanced":
        return None if weights is None else "balanced"
    if not isinstance(weights, Mapping) or not weights:
        raise InvalidInput("class_weights", f"{shorten(weights)}: give 'balanced', or a weight by label: {{'spam': 5}}")
    for label, weight in weights.items():
        proper = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
        if not proper or not math.isfinite(weight) or weight <= 0:
            raise InvalidInput("class_weights", f"{weight!r} of {label!r}: a weight is a finite number above 0")
    return {str(label): float(weight) for label, weight in weights.items()}


def by_class(weights: Mapping[str, float], labels: Sequence[object]) -> list[float]:
    """The weight of each of ``labels``, in their order.

    :raises InvalidInput: one is of no label; names those there are.
    """
    # Booleans are written in lower case by most programs but Python.
    named = {(key.title() if key.lower() in ("true", "false") else key): weight for key, weight in weights.items()}
    plain = weights if all(isinstance(label, str) for label in labels) else named
    known = [str(label) for label in labels]
    for key in plain:
        if key not in known:
            more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            raise InvalidInput(
                "class_weights",
                f"{shorten(key)} is no label of the target; there are {', '.join(known[:_SHOWN])}{more}",
            )
    return [plain.get(label, 1.0) for label in known]


def balanced(counts: Sequence[int]) -> list[float]:
    """Weights with which all classes count the same: rows / (classes * rows of the class). A row's mean weight is 1.

    :param counts: rows of each class, 1 or more.

    As scikit-learn's: https://scikit-learn.org/stable/modules/generated/sklearn.utils.class_weight.compute_class_weight.html,
    after King and Zeng, "Logistic regression in rare events data", 2001, https://doi.org/10.1093/oxfordjournals.pan.a004868.
    """
    return [sum(counts) / (len(counts) * count) for count in counts]
