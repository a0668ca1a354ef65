"""When a training ends before its last epoch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import Option, Spec


class EarlyStoppingConfig(Spec):
    """Early stopping."""

    early_stopping: Annotated[Annotated[int, Field(ge=1)] | None, Option(metavar="EPOCHS")] = None
    """Epochs without a better ``monitor`` after which the training ends, with the weights of its best epoch. Default:
    train all epochs.
    """
    monitor: Annotated[str, Option(metavar="METRIC")] = "val_loss"
    """The metric that ``early_stopping`` watches."""

    def check_early_stopping(self, has_validation: bool) -> None:
        """:raises InvalidInput: ``monitor`` needs held-out rows and there are none, or nothing watches it."""
        if self.early_stopping is not None and self.monitor.startswith("val_") and not has_validation:
            raise InvalidInput(
                "early_stopping", f"{self.monitor} needs held-out rows; give validation, or leave it out"
            )
        if self.early_stopping is None and self.monitor != "val_loss":
            raise InvalidInput("monitor", f"{self.monitor!r}: it is what early_stopping watches; give that, too")
