"""Bringing the services of a home up, in order, each ready before the next."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Protocol

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.plan import Plan
from longshore.broker.embedded.process.processes import Child, Children, Command
from longshore.broker.embedded.process.signals import StopSignals
from longshore.broker.embedded.services.account import server_account
from longshore.broker.embedded.services.ports import LOOPBACK, Ports, any_free_port, choose_ports, is_free, remember
from longshore.broker.embedded.services.postgres_server import PostgresServer
from longshore.broker.embedded.services.redis_server import RedisServer
from longshore.shared.errors import HomeError
from longshore.shared.settings import Settings, default_producer

logger = logging.getLogger("longshore.up")

#: Seconds Redis or Postgres gets to answer. After a crash they first read their logs.
_START_S = 300.0
#: Seconds Flower gets before ``up`` goes on without it.
_FLOWER_S = 30.0
#: Seconds between two tries to reach a service.
_PAUSE_S = 0.05
#: How often a port that is taken in the last moment is replaced.
_TRIES = 3


class Server(Protocol):
    """Redis or Postgres, as far as starting it goes."""

    @property
    def name(self) -> str: ...

    def command(self, port: int) -> Command: ...

    def answers(self, port: int) -> bool: ...


class Startup:
    """The steps of one ``up``.

    :raises Stopped: by each step, when stopping was asked for.
    :raises HomeError: by each step, when it cannot be done.
    """

    def __init__(self, home: Home, plan: Plan, children: Children, stop: StopSignals) -> None:
        self._home = home
        self._plan = plan
        self._children = children
        self._stop = stop

    def start_servers(self) -> tuple[Settings, Ports]:
        """Redis and Postgres; what is known afterwards is where they are."""
        plan = self._plan
        secrets = self._home.ensure_secrets()
        file = self._home.run / "ports.json"
        ports = choose_ports(file, redis=plan.redis_port, postgres=plan.postgres_port, flower=plan.flower_port)
        redis = RedisServer(self._home, secrets.redis_password)
        postgres = PostgresServer(self._home, secrets.postgres_password, server_account())
        postgres.prepare(lambda command: self._children.run(command, self._stop))
        ports = Ports(
            redis=self._start_server(redis, ports.redis, given=plan.redis_port is not None),
            postgres=self._start_server(postgres, ports.postgres, given=plan.postgres_port is not None),
            flower=ports.flower,
        )
        remember(file, ports)
        settings = Settings(
            redis_url=redis.url(ports.redis),
            database_url=postgres.url(ports.postgres),
            store=f"file://{self._home.store}",
            producer=os.environ.get("LONGSHORE_PRODUCER") or default_producer(),
            home=self._home.path,
        )
        return settings, ports

    def start_services(self, settings: Settings, ports: Ports) -> None:
        """The schema, then what works on it."""
        environ = {
            **os.environ,
            **settings.environment(),
            "PYTHONUNBUFFERED": "1",
            # A file named like a package, in the folder `up` was called in, must not take that package's place.
            "PYTHONSAFEPATH": "1",
        }
        if self._plan.migrate:
            self._children.run(Command(name="migrate", argv=self._plan.migrate, environ=environ), self._stop)
        children: dict[str, Child] = {}
        for service in self._plan.build_services(ports.flower):
            command = Command(name=service.name, argv=service.argv, environ=environ, grace_s=service.grace_s)
            children[service.name] = self._children.start(command)
            logger.info("%s started, pid %d", service.name, children[service.name].popen.pid)
        if self._plan.with_flower:
            self._await_flower(children["flower"], ports.flower)
        elif self._plan.flower and self._plan.services is None:
            logger.info("flower is not installed, so there is none; to have it: pip install 'longshore[monitor]'")

    def _start_server(self, server: Server, port: int, *, given: bool) -> int:
        for _ in range(_TRIES):
            child = self._children.start(server.command(port))
            if self._await_answer(child, server, port):
                logger.info("%s listens on %s:%d, pid %d", server.name, LOOPBACK, port, child.popen.pid)
                return port
            failure = self._children.failure(child, "did not start")
            self._children.discard(server.name)
            if given or is_free(port):
                raise failure
            port = any_free_port()
        raise failure

    def _await_answer(self, child: Child, server: Server, port: int) -> bool:
        """False when it ends instead."""
        deadline = time.monotonic() + _START_S
        while child.exit_code is None:
            if server.answers(port):
                return True
            if time.monotonic() > deadline:
                log = self._home.log(server.name)
                raise HomeError(f"{server.name} does not answer on {LOOPBACK}:{port} after {_START_S:.0f} s; see {log}")
            self._stop.pause(_PAUSE_S)
        return False

    def _await_flower(self, child: Child, port: int) -> None:
        """Not being able to look on is no reason not to work, so this never fails."""
        deadline = time.monotonic() + _FLOWER_S
        while time.monotonic() < deadline and child.exit_code is None:
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
                return
            except OSError:
                self._stop.pause(_PAUSE_S)
        logger.warning("flower does not answer yet; see %s", self._home.log("flower"))
