"""Learning from the outputs of a version."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec
from longshore.shared.vocabulary import TrainTask


class DistillationConfig(Spec):
    """Distillation."""

    teacher: Annotated[str | None, Option(metavar="MODEL")] = None
    """The version from whose outputs the network learns besides the targets."""
    #: The digest of the version that ``teacher`` named at submission.
    teacher_digest: Annotated[str | None, NOT_AN_OPTION] = None
    temperature: Annotated[float, Field(gt=0, le=1000)] = 2.0
    """The outputs of both networks are divided by this number before they are compared."""
    mix: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The weight of the teacher against the targets, 0 to 1."""

    def check_teacher(self, task: TrainTask) -> None:
        """:raises InvalidInput: an embedding has a teacher."""
        if task == "embedding" and self.teacher is not None:
            raise InvalidInput("teacher", f"{self.teacher}: an embedding learns from its targets alone; leave it out")
