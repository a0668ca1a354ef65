"""What one look at one thing found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from longshore.shared.errors import LongshoreError


class Level(StrEnum):
    """How bad it is: only ``fail`` keeps jobs from being run."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One line of ``longshore doctor``."""

    name: str
    level: Level
    detail: str


def failed(name: str, error: LongshoreError) -> Check:
    """The check that ended with an error."""
    return Check(name, Level.FAIL, str(error))
