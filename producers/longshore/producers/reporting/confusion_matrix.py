"""The confusion matrix in the outcome of a job."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError


class ConfusionTable(BaseModel):
    """How often each class was predicted for the rows of each class."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: The classes as text, by index.
    labels: tuple[str, ...]
    #: ``counts[target][prediction]``.
    counts: tuple[tuple[int, ...], ...]


def parse_confusion_matrix(outcome: Mapping[str, JsonValue]) -> ConfusionTable | None:
    """The confusion matrix of an outcome; ``None`` if it has none."""
    document = outcome.get("confusion_matrix")
    if not isinstance(document, dict):
        return None
    labels = document.get("labels")
    try:
        return ConfusionTable.model_validate(
            {**document, "labels": list(map(str, labels)) if isinstance(labels, list) else ()}
        )
    except ValidationError:
        return None
