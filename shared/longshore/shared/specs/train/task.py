"""What a training learns to predict, and from what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec
from longshore.shared.specs.jobs import Input
from longshore.shared.vocabulary import TrainTask


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
    next token of the target, which is a text; only for causal_lm and lora, and their default.
    """
    embedding_width: Annotated[int, Field(ge=1, le=65_536), Option(metavar="N")] = 128
    """Only for the task embedding: the number of dimensions of a vector."""
    contrast_temperature: Annotated[float, Field(gt=0, le=1000)] = 0.1
    """Only for the task embedding: the loss divides the cosine similarity of vectors by this number."""

    def check_task(self) -> None:
        """:raises InvalidInput: an option is only for embeddings, and the task is another one."""
        if self.task == "embedding":
            return
        for name in ("embedding_width", "contrast_temperature"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise InvalidInput(name, f"{getattr(self, name)}: only for task='embedding', not {self.task}")
