"""How the learning rate of a training changes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import Option, Spec
from longshore.shared.vocabulary import Schedule

#: The schedules that have an option, for options that only some schedules have.
_SCHEDULES_WITH = {"step_size": ("step",), "gamma": ("step", "plateau"), "patience": ("plateau",)}


class ScheduleConfig(Spec):
    """Learning rate schedule."""

    schedule: Schedule = "constant"
    """How the learning rate changes: at each step over all epochs (cosine, linear, one_cycle), or by epoch (step,
    plateau).
    """
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate first rises to its full value."""
    step_size: Annotated[int, Field(ge=1), Option(metavar="EPOCHS")] = 10
    """Only for the schedule step: epochs between two changes."""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Only for the schedules step and plateau: the factor of each change."""
    patience: Annotated[int, Field(ge=0), Option(metavar="EPOCHS")] = 10
    """Only for the schedule plateau: epochs without a better loss before the learning rate changes."""

    def check_schedule(self) -> None:
        """:raises InvalidInput: the schedule does not have one of the options."""
        for name, schedules in _SCHEDULES_WITH.items():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default and self.schedule not in schedules:
                raise InvalidInput(
                    name, f"{value}: only for the schedule {' or '.join(schedules)}, not {self.schedule}"
                )
        if self.warmup_steps and self.schedule == "one_cycle":
            raise InvalidInput("warmup_steps", f"{self.warmup_steps}: one_cycle warms up by itself; leave it out")
