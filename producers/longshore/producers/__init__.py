"""What producers use: :class:`Client`, its jobs, and the command line.

Names are loaded when first used, so that a command that needs none of them starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longshore.producers.client import Client
    from longshore.producers.job import Job, JobError
    from longshore.producers.reporting.progress import Progress
    from longshore.producers.requests import CrossValidate, Evaluate, Infer, Train, Tune

__all__ = ["Client", "CrossValidate", "Evaluate", "Infer", "Job", "JobError", "Progress", "Train", "Tune"]

_PLACES = {
    "Client": "client",
    "CrossValidate": "requests",
    "Evaluate": "requests",
    "Infer": "requests",
    "Job": "job",
    "JobError": "job",
    "Progress": "reporting.progress",
    "Train": "requests",
    "Tune": "requests",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
