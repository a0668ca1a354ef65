"""What training gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from longshore.shared.specs.families import FamilyConfig
from longshore.shared.specs.signature import Signature


@dataclass(frozen=True)
class TrainedModel:
    """A module that takes raw rows, and what a version of it records."""

    #: On the CPU, in eval mode: float32 ``(n, width)`` to ``(n, outputs)``.
    module: nn.Module
    signature: Signature
    #: The family's configuration with every default filled in.
    config: FamilyConfig
    #: Of the last epoch, and of the rows kept for testing.
    metrics: dict[str, float]
    #: What is odd about the data and no reason to refuse it, a sentence each.
    notes: tuple[str, ...] = ()
    #: Of texts: what makes ids of them, the content of ``tokenizer.json``.
    tokenizer: str | None = None
    #: Of the held-out rows, in the end: rows by true class and predicted class; ``None`` where there is none.
    confusion: list[list[int]] | None = None
