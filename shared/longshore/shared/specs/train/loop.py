"""How long a training runs, and what one step of its optimizer is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.specs.base import Option, Spec
from longshore.shared.vocabulary import Precision


class LoopConfig(Spec):
    """Training loop."""

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """How many times the training passes over its rows."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000), Option(metavar="ROWS")] = 128
    """Rows in one batch, over all devices."""


class StepConfig(Spec):
    """Steps."""

    accumulate: Annotated[int, Field(ge=1, le=1_000_000), Option(metavar="BATCHES")] = 1
    """Batches whose gradients are added up for one step. Their mean is that of one batch with all of their rows."""
    clip_grad_norm: Annotated[float, Field(gt=0)] | None = None
    """The norm to which all gradients of a step together are scaled down. Default: gradients are not scaled."""
    precision: Precision = "auto"
    """The type in which the network computes; its weights stay float32. ``auto`` is fp32. fp16 needs a GPU."""
