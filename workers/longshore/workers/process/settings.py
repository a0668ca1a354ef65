"""The settings that a supervisor passes to a worker, read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput

#: Seconds without a renewal after which an attempt counts as lost.
DEFAULT_LEASE_S = 20.0
#: Seconds from SIGTERM until what still runs is ended and handed back.
DEFAULT_GRACE_S = 30.0
#: Seconds in which a run that neither computes, reads nor writes counts as hanging.
DEFAULT_STALL_TIMEOUT_S = 45.0
#: Seconds in which a run that computes, but neither reads nor writes, has to end a batch or a step.
DEFAULT_PROGRESS_TIMEOUT_S = 3600.0
#: Seconds of its tokens that a text loses at most, about, if its worker is killed.
DEFAULT_TEXT_SAVE_INTERVAL_S = 2.0


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """The settings of one worker process."""

    #: Unique in the cluster: ``cpu:0@host``; see :class:`~longshore.workers.process.names.WorkerNames`.
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
    #: Seconds from SIGTERM until what still runs is ended and handed back.
    grace: float = DEFAULT_GRACE_S
    #: Seconds without any sign of progress after which a run is ended.
    stall_timeout: float = DEFAULT_STALL_TIMEOUT_S
    #: Seconds of computing without a batch or a step that ends, and without reading or writing.
    progress_timeout: float = DEFAULT_PROGRESS_TIMEOUT_S
    #: Seconds that one attempt at a shard can take; ``None`` for no limit.
    shard_timeout: float | None = None
    #: Bytes of memory that the child and its processes can take; ``None`` for no limit.
    memory_limit: int | None = None
    #: Bytes for the keys and values of texts that are generated; ``None``: chosen by the engine.
    engine_cache_bytes: int | None = None
    #: The part of a GPU's memory that an engine may take, whatever a version asks for; ``None``: what it asks for.
    engine_memory_share: float | None = None
    #: Texts that an engine computes in one step, at most; ``None``: chosen by the engine.
    engine_requests: int | None = None
    #: Seconds after which what a text has got is saved, while it is generated.
    text_save_interval: float = DEFAULT_TEXT_SAVE_INTERVAL_S

    def environment(self) -> dict[str, str]:
        """For the child process; :meth:`load` reads it back."""
        variables = {
            "LONGSHORE_WORKER_NAME": self.name,
            "LONGSHORE_WORKER_DEVICE": self.device,
            "LONGSHORE_WORKER_THREADS": str(self.threads),
            "LONGSHORE_WORKER_DEVICES": str(self.devices),
            "LONGSHORE_LEASE": str(self.lease),
            "LONGSHORE_GRACE": str(self.grace),
            "LONGSHORE_STALL_TIMEOUT": str(self.stall_timeout),
            "LONGSHORE_PROGRESS_TIMEOUT": str(self.progress_timeout),
            "LONGSHORE_TEXT_SAVE_INTERVAL": str(self.text_save_interval),
        }
        limits = {
            "LONGSHORE_RESIDENT_BYTES": self.resident_bytes,
            "LONGSHORE_SHARD_TIMEOUT": self.shard_timeout,
            "LONGSHORE_MEMORY_LIMIT_BYTES": self.memory_limit,
            "LONGSHORE_ENGINE_CACHE_BYTES": self.engine_cache_bytes,
            "LONGSHORE_ENGINE_MEMORY_SHARE": self.engine_memory_share,
            "LONGSHORE_ENGINE_REQUESTS": self.engine_requests,
        }
        return {**variables, **{name: str(value) for name, value in limits.items() if value is not None}}

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> WorkerSettings:
        """:raises InvalidInput: a value is not a number, not positive, or a share above 1."""
        return cls(
            name=environ.get("LONGSHORE_WORKER_NAME", f"worker-{os.getpid()}"),
            device=environ.get("LONGSHORE_WORKER_DEVICE", "cpu"),
            threads=int(_positive(environ, "LONGSHORE_WORKER_THREADS", 1)),
            devices=int(_positive(environ, "LONGSHORE_WORKER_DEVICES", 1)),
            lease=lease_seconds(environ),
            resident_bytes=_optional_count(environ, "LONGSHORE_RESIDENT_BYTES"),
            grace=_positive(environ, "LONGSHORE_GRACE", DEFAULT_GRACE_S),
            stall_timeout=_positive(environ, "LONGSHORE_STALL_TIMEOUT", DEFAULT_STALL_TIMEOUT_S),
            progress_timeout=_positive(environ, "LONGSHORE_PROGRESS_TIMEOUT", DEFAULT_PROGRESS_TIMEOUT_S),
            shard_timeout=_optional(environ, "LONGSHORE_SHARD_TIMEOUT"),
            memory_limit=_optional_count(environ, "LONGSHORE_MEMORY_LIMIT_BYTES"),
            engine_cache_bytes=_optional_count(environ, "LONGSHORE_ENGINE_CACHE_BYTES"),
            engine_memory_share=_optional_share(environ, "LONGSHORE_ENGINE_MEMORY_SHARE"),
            engine_requests=_optional_count(environ, "LONGSHORE_ENGINE_REQUESTS"),
            text_save_interval=_positive(environ, "LONGSHORE_TEXT_SAVE_INTERVAL", DEFAULT_TEXT_SAVE_INTERVAL_S),
        )


def lease_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """``LONGSHORE_LEASE``, in seconds."""
    return _positive(environ, "LONGSHORE_LEASE", DEFAULT_LEASE_S)


def _optional(environ: Mapping[str, str], name: str) -> float | None:
    return _positive(environ, name, 0) if name in environ else None


def _optional_count(environ: Mapping[str, str], name: str) -> int | None:
    value = _optional(environ, name)
    if value is not None and value != int(value):
        raise InvalidInput(name, f"{environ[name]!r}: write a whole number above 0")
    return None if value is None else int(value)


def _optional_share(environ: Mapping[str, str], name: str) -> float | None:
    value = _optional(environ, name)
    if value is not None and value > 1:
        raise InvalidInput(name, f"{environ[name]!r}: write a number above 0, at most 1")
    return value


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
