"""What one ``up`` runs, and the command lines of Longshore's own processes."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from longshore.shared.settings import Process

#: Migrates the database, then ends.
MIGRATE = (sys.executable, "-m", "longshore.broker.migrate")
RELAY = (sys.executable, "-m", "longshore.broker.relay")
WORKERS = (sys.executable, "-m", "longshore.workers.process.supervisor")
FLOWER = (sys.executable, "-m", "longshore.broker.flower")
GATEWAY = (sys.executable, "-m", "longshore.producers.gateway")

#: Where Flower and the gateway listen.
_ADDRESS = "127.0.0.1"
#: Seconds that the workers have to finish or hand back their shards.
WORKERS_GRACE_S = 60.0
#: Seconds that the gateway has to finish requests; more than ``LONGSHORE_GATEWAY_SHUTDOWN_S`` by default.
GATEWAY_GRACE_S = 20.0


class Service(BaseModel):
    """A process that runs as long as the cluster does; it is restarted if it exits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: The name of its log file, and before its lines on the terminal.
    name: str
    argv: tuple[str, ...]
    #: Decides about its login to Postgres.
    process: Process = Process.SERVICES
    #: Seconds between SIGTERM and SIGKILL.
    grace_s: float = Field(default=10.0, ge=0)


class Plan(BaseModel):
    """The options of one ``up``, as a value that can be passed to a background process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    devices: str = "auto"
    #: ``None``: the last port of this home if it is free, or else any free port.
    redis_port: int | None = None
    postgres_port: int | None = None
    flower_port: int | None = None
    flower: bool = True
    gateway_port: int | None = None
    gateway: bool = True
    #: In the order of starting; they are stopped in reverse order. ``None`` for Longshore's own.
    services: tuple[Service, ...] | None = None
    #: How many workers the services have; ``up`` waits for them.
    workers: int = 0
    #: The command that migrates the database; empty for none.
    migrate: tuple[str, ...] = MIGRATE

    @property
    def with_flower(self) -> bool:
        """Whether the services include Flower."""
        return self.flower and self.services is None and flower_installed()

    @property
    def with_gateway(self) -> bool:
        """Whether the services include the HTTP gateway."""
        return self.gateway and self.services is None and gateway_installed()

    def build_services(self, *, flower_port: int = 0, gateway_port: int = 0) -> tuple[Service, ...]:
        """The services to start, in order. The gateway is stopped first, while what its requests wait for runs."""
        if self.services is not None:
            return self.services
        relay = Service(name="relay", argv=RELAY)
        workers = Service(name="workers", argv=(*WORKERS, "--devices", self.devices), grace_s=WORKERS_GRACE_S)
        services = [relay, workers]
        if self.with_flower:
            argv = (*FLOWER, "--address", _ADDRESS, "--port", str(flower_port))
            services.insert(0, Service(name="flower", argv=argv, process=Process.MONITOR))
        if self.with_gateway:
            argv = (*GATEWAY, "--address", _ADDRESS, "--port", str(gateway_port))
            gateway = Service(name="gateway", argv=argv, process=Process.GATEWAY, grace_s=GATEWAY_GRACE_S)
            services.append(gateway)
        return tuple(services)


def flower_installed() -> bool:
    """Whether the extra ``monitor`` is installed."""
    return importlib.util.find_spec("flower") is not None


def gateway_installed() -> bool:
    """Whether the extra ``gateway`` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("fastapi", "uvicorn"))


def gateway_url(port: int) -> str:
    """The URL of the gateway of a home; it has the environment of ``up``."""
    scheme = "https" if os.environ.get("LONGSHORE_GATEWAY_TLS_CERTIFICATE") else "http"
    return f"{scheme}://{_ADDRESS}:{port}"
