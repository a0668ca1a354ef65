"""Training on several devices of one worker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.specs.base import Option, Spec
from longshore.shared.vocabulary import Strategy


class DistributedConfig(Spec):
    """Several devices."""

    devices: Annotated[int, Field(ge=1, le=64), Option(metavar="N")] = 1
    """Devices of one worker that train together, a process on each. They share the rows of each batch."""
    strategy: Strategy = "ddp"
    """Only for several devices: each device holds the whole network (ddp), or a part of it (fsdp)."""
