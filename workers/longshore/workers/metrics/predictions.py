"""What a row's outputs predict, and how much of the target's probability they miss.

Inference, training and evaluation use the same predictions.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from longshore.shared.specs.positive import EVEN, PositiveClass
from longshore.shared.specs.signature import OutputKind

#: The minimum probability at which a label of multilabel is predicted.
THRESHOLD = 0.5


def predicted_classes(logits: torch.Tensor) -> torch.Tensor:
    """The class with the largest logit, int64 ``(n,)``; of equal ones the first.

    Probabilities in 32 bits do not decide: they are equal where logits differ by little, or are large.

    :param logits: ``(n, classes)``.
    """
    return logits.argmax(dim=1)


def decided_classes(outputs: torch.Tensor, labels: int) -> torch.Tensor:
    """The class of each row, int64 ``(n,)``: the one that the version puts out itself, or :func:`predicted_classes`.

    :param outputs: of a runtime: ``(n, labels)``, or one more column with the class.
    """
    return outputs[:, labels].long() if outputs.shape[1] > labels else predicted_classes(outputs)


def class_scores(outputs: torch.Tensor, kind: OutputKind) -> torch.Tensor:
    """The probabilities of the classes, float32 ``(n, classes)``; for scores that are no probabilities, the scores.

    :param outputs: ``(n, classes)``; for a program of probabilities their logarithms.
    """
    if kind == "scores":
        return outputs.float()
    if kind == "logits":
        return torch.softmax(outputs.float(), dim=1)
    # The logarithm of 0 is put out as that of the smallest number.
    smallest = math.log(torch.finfo(torch.float32).tiny)
    logs = outputs.float()
    return torch.where(logs <= smallest, 0.0, logs.exp())


def apply_threshold(decided: torch.Tensor, scores: torch.Tensor, positive: PositiveClass | None) -> torch.Tensor:
    """The classes that the threshold of the positive class decides, int64 ``(n,)``.

    :param decided: the classes that the version decides by itself, which stay at :data:`EVEN`.
    :param scores: the probabilities of the two classes, ``(n, 2)``.
    """
    if positive is None or positive.threshold == EVEN:
        return decided
    threshold = torch.tensor(positive.threshold, dtype=scores.dtype, device=scores.device)
    return torch.where(scores[:, positive.index] >= threshold, positive.index, 1 - positive.index)


def predicted_labels(logits: torch.Tensor) -> torch.Tensor:
    """Whether each label is predicted, bool ``(n, labels)``: if its probability is at least ``THRESHOLD``.

    :param logits: ``(n, labels)``.
    """
    return torch.sigmoid(logits.float()) >= THRESHOLD


def class_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Minus the natural logarithm of the target's probability, float64 ``(n,)``. It is not clipped.

    :param logits: ``(n, classes)``.
    :param targets: class indexes, int64 ``(n,)``.
    """
    return functional.cross_entropy(logits.double(), targets, reduction="none")


def label_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The binary cross entropy of each row, float64 ``(n,)``: the mean over its labels.

    :param logits: ``(n, labels)``.
    :param targets: bool ``(n, labels)``.
    """
    losses = functional.binary_cross_entropy_with_logits(logits.double(), targets.double(), reduction="none")
    return losses.mean(dim=1)
