"""When a training writes checkpoints, and how many of them it keeps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.specs.base import Spec


class CheckpointConfig(Spec):
    """Checkpoints."""

    checkpoint_seconds: Annotated[float, Field(gt=0)] | None = 30.0
    """Seconds between two checkpoints. None in Python: no checkpoints by time."""
    checkpoint_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps between two checkpoints. Default: no checkpoints by steps."""
    keep_checkpoints: Annotated[int, Field(ge=0, le=1000)] = 1
    """How many checkpoints a running job has at most. One of them stays after success, to extend the training. 0 writes
    none at all.
    """
