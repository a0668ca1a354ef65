"""The bodies that change models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore.producers.gateway.bodies.jobs import Body


class PromoteBody(Body):
    """Which alias to move."""

    alias: Annotated[str, Field(examples=["production"])]
    if_: Annotated[str | None, Field(alias="if", examples=["accuracy >= 0.97 and accuracy >= production"])] = None
    """A condition on the metrics of the version. If it is false, the alias is not moved."""


class RollbackBody(Body):
    """How far to go back."""

    to: Annotated[int | None, Field(ge=1, lt=2**31, strict=True)] = None
    """The version to go back to. Default: the one before."""
    dry_run: Annotated[bool, Field(strict=True)] = False
    """Only answer with what would be done."""
