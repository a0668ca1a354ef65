"""A reason, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NextStep:
    """Something that can be done now."""

    #: What it is for: ``to run it again``.
    purpose: str
    #: The command line.
    command: str

    def __str__(self) -> str:
        return f"{self.purpose}: {self.command}"


@dataclass(frozen=True)
class Reason:
    """Why a job is in its state."""

    #: One sentence, without a full stop.
    text: str
    details: tuple[str, ...] = ()
    next: tuple[NextStep, ...] = ()
