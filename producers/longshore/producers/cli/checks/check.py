"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from longshore.shared.errors import LongshoreError


class Level(StrEnum):
    """The severity of a result. Only ``fail`` means that jobs cannot run."""

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
    """The result of a check that raised an error."""
    return Check(name, Level.FAIL, str(error))
