"""The positive class of a classification of two classes: the one that a probability and a threshold are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Signature

#: At this threshold, the label is the one that the version decides by itself: the more probable class.
EVEN: Final = 0.5
#: The column of the outputs with the probability of the positive class.
PROBABILITY: Final = "probability"


@dataclass(frozen=True)
class PositiveClass:
    """One of two classes, and from which probability on it is the label of a row."""

    #: 0 or 1.
    index: int
    #: Above 0 and below 1.
    threshold: float = EVEN


def read_positive(signature: Signature, positive: bool | int | str | None, threshold: float) -> PositiveClass | None:
    """The positive class that a caller asks for; ``None`` if none is.

    :param positive: the class, or its text, as in ``"True"``.
    :raises InvalidInput: the version has no two classes, or no such class, or gives no probabilities; or the threshold
        is not between 0 and 1, or is given without a class.
    """
    labels = signature.labels or ()
    is_binary = signature.task == "classification" and len(labels) == 2
    if positive is None:
        if threshold == EVEN:
            return None
        if is_binary:
            raise InvalidInput("threshold", f"{threshold}: say of which class: positive={_either(labels)}")
        if signature.task == "multilabel":  # only an evaluation asks here
            raise InvalidInput("threshold", f"{threshold}: an evaluation of multilabel measures at 0.5; leave it out")
        task = f"classification of {len(labels)} classes" if signature.task == "classification" else signature.task
        raise InvalidInput(
            "threshold", f"{threshold}: only for multilabel, and with positive= for two classes; the task is {task}"
        )
    if not is_binary:
        what = f"has {len(labels)} classes" if signature.task == "classification" else f"is for {signature.task}"
        raise InvalidInput("positive", f"{positive!r}: only for a classification of two classes; this version {what}")
    if signature.output_kind == "scores":
        raise InvalidInput(
            "positive", f"{positive!r}: the version gives scores that are no probabilities; leave it out"
        )
    if not 0 < threshold < 1:
        raise InvalidInput("threshold", f"{threshold}: with positive=, give a number above 0 and below 1, such as 0.7")
    return PositiveClass(_index(labels, positive), threshold)


def _index(labels: Sequence[str | int | bool], positive: bool | int | str) -> int:
    for index, label in enumerate(labels):
        if type(label) is type(positive) and label == positive:
            return index
    # From the command line it is text. Booleans are written in lower case by most programs but Python.
    text = positive.title() if isinstance(positive, str) and positive.lower() in ("true", "false") else str(positive)
    for index, label in enumerate(labels):
        if isinstance(positive, str) != isinstance(label, str) and str(label) == text:
            return index
    raise InvalidInput("positive", f"{positive!r} is no class of the version; give {_either(labels)}")


def _either(labels: Sequence[str | int | bool]) -> str:
    return " or ".join(map(repr, labels))
