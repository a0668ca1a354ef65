"""What a row's outputs predict, and how much of the target's probability they miss.

Inference, training and evaluation use the same predictions.
"""

from __future__ import annotations

import torch
from torch.nn import functional

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
