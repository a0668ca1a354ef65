"""What one ``up`` is asked to run, and the command lines of Longshore's own processes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

#: Brings the schema up to date, then ends.
MIGRATE = (sys.executable, "-m", "longshore.broker.migrate")
RELAY = (sys.executable, "-m", "longshore.broker.relay")
WORKERS = (sys.executable, "-m", "longshore.workers.process.supervisor")
FLOWER = (sys.executable, "-m", "longshore.broker.flower")

#: Seconds the workers get to finish or hand back what they run.
WORKERS_GRACE_S = 60.0


class Service(BaseModel):
    """A process that runs as long as the cluster does, and is started again when it ends by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Names its log file and its lines on the terminal.
    name: str
    argv: tuple[str, ...]
    #: Seconds between SIGTERM and SIGKILL.
    grace_s: float = Field(default=10.0, ge=0)


class Plan(BaseModel):
    """One ``up``, as a value that can be handed to a process in the background."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    devices: str = "auto"
    #: ``None``: the last one if it is free, else any free one.
    redis_port: int | None = None
    postgres_port: int | None = None
    flower_port: int | None = None
    flower: bool = True
    #: In the order of starting; they are stopped the other way round. ``None`` for Longshore's own.
    services: tuple[Service, ...] | None = None
    #: Empty for none.
    migrate: tuple[str, ...] = MIGRATE

    @property
    def with_flower(self) -> bool:
        """Whether Flower is among the services."""
        return self.flower and self.services is None and flower_installed()

    def build_services(self, flower_port: int) -> tuple[Service, ...]:
        """The services to start, in order."""
        if self.services is not None:
            return self.services
        relay = Service(name="relay", argv=RELAY)
        workers = Service(name="workers", argv=(*WORKERS, "--devices", self.devices), grace_s=WORKERS_GRACE_S)
        if not self.with_flower:
            return relay, workers
        flower = Service(name="flower", argv=(*FLOWER, "--address", "127.0.0.1", "--port", str(flower_port)))
        return flower, relay, workers


def flower_installed() -> bool:
    """Whether the extra ``monitor`` is there."""
    return importlib.util.find_spec("flower") is not None
