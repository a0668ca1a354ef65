"""The producer side: :class:`Client`, its jobs, and the command line.

Names are imported on first use, so that a command that needs none of them starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longshore.producers.aio.client import AsyncClient
    from longshore.producers.aio.job import AsyncJob
    from longshore.producers.client import Client
    from longshore.producers.job import Job
    from longshore.producers.job_errors import JobError
    from longshore.producers.reporting.progress import Progress
    from longshore.producers.requests import CrossValidate, Evaluate, Generate, Infer, Train, Tune
    from longshore.producers.results import ResultRow, Results
    from longshore.producers.version import __version__ as __version__

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "CrossValidate",
    "Evaluate",
    "Generate",
    "Infer",
    "Job",
    "JobError",
    "Progress",
    "ResultRow",
    "Results",
    "Train",
    "Tune",
]

_MODULES = {
    "AsyncClient": "aio.client",
    "AsyncJob": "aio.job",
    "Client": "client",
    "CrossValidate": "requests",
    "Evaluate": "requests",
    "Generate": "requests",
    "Infer": "requests",
    "Job": "job",
    "JobError": "job_errors",
    "Progress": "reporting.progress",
    "ResultRow": "results",
    "Results": "results",
    "Train": "requests",
    "Tune": "requests",
    "__version__": "version",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    # What a prompt completes: not what this module imports for itself.
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__, "__version__"})
