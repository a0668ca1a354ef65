"""The settings that a supervisor passes to a worker, read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput

#: Seconds without a renewal after which an attempt counts as lost.
DEFAULT_LEASE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """The settings of one worker process."""

    #: Unique in the cluster: ``cpu:0@host``.
    name: str
    #: The device as torch names it: ``cpu``, or ``cuda:0`` for the first GPU it sees.
    device: str
    #: Threads for its computations.
    threads: int
    #: GPUs that it sees: ``device`` is the first of them. 1 for a worker on CPUs.
    devices: int = 1
    #: Seconds from a renewal to the loss of an attempt.
    lease: float = DEFAULT_LEASE_S
    #: Bytes of models that stay loaded; ``None`` for a share of the device's memory.
    resident_bytes: int | None = None

    def environment(self) -> dict[str, str]:
        """For the child process; :meth:`load` reads it back."""
        variables = {
            "LONGSHORE_WORKER_NAME": self.name,
            "LONGSHORE_WORKER_DEVICE": self.device,
            "LONGSHORE_WORKER_THREADS": str(self.threads),
            "LONGSHORE_WORKER_DEVICES": str(self.devices),
            "LONGSHORE_LEASE": str(self.lease),
        }
        return (
            variables
            if self.resident_bytes is None
            else {**variables, "LONGSHORE_RESIDENT_BYTES": str(self.resident_bytes)}
        )

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> WorkerSettings:
        """:raises InvalidInput: a value is not a number, or not positive."""
        resident = environ.get("LONGSHORE_RESIDENT_BYTES")
        return cls(
            name=environ.get("LONGSHORE_WORKER_NAME", f"worker-{os.getpid()}"),
            device=environ.get("LONGSHORE_WORKER_DEVICE", "cpu"),
            threads=int(_positive(environ, "LONGSHORE_WORKER_THREADS", 1)),
            devices=int(_positive(environ, "LONGSHORE_WORKER_DEVICES", 1)),
            lease=lease_seconds(environ),
            resident_bytes=None if resident is None else int(_positive(environ, "LONGSHORE_RESIDENT_BYTES", 0)),
        )


def lease_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """``LONGSHORE_LEASE``, in seconds."""
    return _positive(environ, "LONGSHORE_LEASE", DEFAULT_LEASE_S)


def _positive(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InvalidInput(name, f"{text!r}: write a number above 0")
    return value
