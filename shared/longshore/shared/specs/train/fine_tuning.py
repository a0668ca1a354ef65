"""Beginning with the weights of a version."""

from __future__ import annotations

from typing import Annotated

from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec


class FineTuningConfig(Spec):
    """Fine-tuning."""

    base: Annotated[str | None, Option(metavar="MODEL")] = None
    """The version whose weights the training begins with, wherever their names and shapes fit."""
    #: The digest of the version that ``base`` named at submission.
    base_digest: Annotated[str | None, NOT_AN_OPTION] = None
    freeze: Annotated[tuple[str, ...], Option(metavar="PATTERN", reader="repeated")] = ()
    """Names of parameters that are not trained, with ``*`` for any characters, such as '0.*'."""
