"""What a training learns to predict, and from what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec
from longshore.shared.specs.jobs import Input
from longshore.shared.vocabulary import TrainTask

#: Options that only one task has.
_ONLY_FOR: Mapping[TrainTask, tuple[str, ...]] = {
    "embedding": ("embedding_width", "contrast_temperature"),
    "preference": ("rejected", "truncate_prompt"),
}


class TaskConfig(Spec):
    """Model and task."""

    model: Annotated[str, NOT_AN_OPTION]
    family: Annotated[str, NOT_AN_OPTION]
    data: Annotated[Input, NOT_AN_OPTION]
    #: The column to predict. Strings and integers are class labels unless ``task`` says otherwise. Lists of strings are
    #: sets of labels.
    target: Annotated[str, NOT_AN_OPTION]
    task: TrainTask = "auto"
    """What the target is. ``auto`` decides by the type of the target. ``multilabel``: any number of labels for each
    row. ``embedding``: vectors that are close to each other for rows with the same label. ``language_model``: the
    next token of the target, which is a text; only for causal_lm and lora, and their default. ``preference``: which of
    two answers is better, the target or the one in the column ``rejected``; only for causal_lm and lora.
    """
    embedding_width: Annotated[int, Field(ge=1, le=65_536), Option(metavar="N")] = 128
    """Only for the task embedding: the number of dimensions of a vector."""
    contrast_temperature: Annotated[float, Field(gt=0, le=1000)] = 0.1
    """Only for the task embedding: the loss divides the cosine similarity of vectors by this number."""
    rejected: Annotated[str, Field(min_length=1, max_length=1000), Option(metavar="COLUMN")] = "rejected"
    """Only for the task preference: the column of the answers that are worse than the target."""
    truncate_prompt: bool = False
    """Only for the task preference: drop the first tokens of prompts that are too long, so that both answers fit the
    context. Otherwise a row that is too long is refused.
    """

    def check_task(self) -> None:
        """:raises InvalidInput: an option is only for another task."""
        for task, names in _ONLY_FOR.items():
            for name in names if self.task != task else ():
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise InvalidInput(name, f"{getattr(self, name)}: only for task={task!r}, not {self.task}")
