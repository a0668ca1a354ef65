"""The confusion matrix in the outcome of a job."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError


class Confusion(BaseModel):
    """How often rows of a class were given each class."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: By index, as text.
    labels: tuple[str, ...]
    #: ``counts[true][predicted]``.
    counts: tuple[tuple[int, ...], ...]


def find_confusion(outcome: Mapping[str, JsonValue]) -> Confusion | None:
    """That of an outcome; ``None`` for one without."""
    found = outcome.get("confusion_matrix")
    if not isinstance(found, dict):
        return None
    labels = found.get("labels")
    try:
        return Confusion.model_validate({**found, "labels": list(map(str, labels)) if isinstance(labels, list) else ()})
    except ValidationError:
        return None
