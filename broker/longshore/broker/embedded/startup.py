"""Starting the services of a home, in order, each ready before the next starts."""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.plan import Plan
from longshore.broker.embedded.process.account import server_account
from longshore.broker.embedded.process.processes import Child, Children, Command
from longshore.broker.embedded.process.signals import StopSignals
from longshore.broker.embedded.services.ports import LOOPBACK, Ports, any_free_port, choose_ports, is_free, save_ports
from longshore.broker.embedded.services.postgres_server import PostgresServer
from longshore.broker.embedded.services.redis_server import RedisServer
from longshore.broker.monitoring.address import metrics_address
from longshore.shared.errors import HomeError
from longshore.shared.settings import Process, Settings, default_producer

logger = logging.getLogger(__name__)

#: Seconds for Redis or Postgres to answer. After a crash they first read their logs.
_SERVER_TIMEOUT_S = 300.0
#: Seconds for Flower or the gateway to answer, before ``up`` goes on without it.
_PAGES_TIMEOUT_S = 30.0
#: Seconds between two tries to reach a service.
_POLL_INTERVAL_S = 0.05
#: How often to start a server, with another port if its port was taken in the last moment.
_MAX_STARTS = 3


class Server(Protocol):
    """The part of Redis or Postgres that is needed to start it."""

    @property
    def name(self) -> str: ...

    def command(self, port: int) -> Command: ...

    def answers(self, port: int) -> bool: ...

    def set_aside(self, pid: int) -> Path | None: ...


@dataclass(frozen=True)
class Servers:
    """Redis and Postgres of a home, once they answer."""

    #: Of a producer.
    settings: Settings
    ports: Ports
    postgres: PostgresServer

    def settings_of(self, process: Process) -> Settings:
        """The settings of a kind of process: with its login to Postgres."""
        return replace(self.settings, database_url=self.postgres.url(self.ports.postgres, process))


class Startup:
    """The steps of one ``up``. Each of them raises:

    :raises Stopped: a signal to stop was received.
    :raises HomeError: the step failed.
    """

    def __init__(self, home: Home, plan: Plan, children: Children, stop: StopSignals) -> None:
        self._home = home
        self._plan = plan
        self._children = children
        self._stop = stop

    def check_metrics_ports(self) -> None:
        """Refuse a setting with which the relay and the first worker would end again and again.

        :raises InvalidInput: the port for metrics is no port, or is taken.
        """
        address = metrics_address() if self._plan.services is None else None
        if address is not None:
            address.check_free()
            address.of_worker(0).check_free()

    def start_servers(self) -> Servers:
        """Start Redis and Postgres."""
        plan = self._plan
        secrets = self._home.ensure_secrets()
        file = self._home.run / "ports.json"
        ports = choose_ports(
            file,
            redis=plan.redis_port,
            postgres=plan.postgres_port,
            flower=plan.flower_port,
            gateway=plan.gateway_port,
        )
        account = server_account()
        redis = RedisServer(self._home, secrets.redis_password, account)
        postgres = PostgresServer(self._home, secrets.postgres_password, account)
        postgres.prepare(lambda command: self._children.run(command, self._stop))
        ports = Ports(
            redis=self._start_server(redis, ports.redis, fixed=plan.redis_port is not None),
            postgres=self._start_server(postgres, ports.postgres, fixed=plan.postgres_port is not None),
            flower=ports.flower,
            gateway=ports.gateway,
        )
        save_ports(file, ports)
        settings = Settings(
            redis_url=redis.url(ports.redis),
            database_url=postgres.url(ports.postgres, Process.PRODUCER),
            store=f"file://{self._home.store}",
            producer=os.environ.get("LONGSHORE_PRODUCER") or default_producer(),
            home=self._home.path,
        )
        return Servers(settings, ports, postgres)

    def start_services(self, servers: Servers) -> None:
        """Migrate the database and make its logins, then start the services that use it."""
        ports = servers.ports

        def environ(process: Process) -> dict[str, str]:
            return {
                **os.environ,
                **servers.settings_of(process).environment(),
                "PYTHONUNBUFFERED": "1",
                # A file in the working folder must not shadow a package of the same name.
                "PYTHONSAFEPATH": "1",
            }

        if self._plan.migrate:
            migrate = Command(name="migrate", argv=self._plan.migrate, environ=environ(Process.OWNER))
            self._children.run(migrate, self._stop)
        servers.postgres.install_logins(ports.postgres)
        children: dict[str, Child] = {}
        for service in self._plan.build_services(flower_port=ports.flower, gateway_port=ports.gateway):
            command = Command(
                name=service.name, argv=service.argv, environ=environ(service.process), grace_s=service.grace_s
            )
            children[service.name] = self._children.start(command)
            logger.info("%s started, pid %d", service.name, children[service.name].popen.pid)
        if self._plan.with_flower:
            self._await_port(children["flower"], ports.flower)
        elif self._plan.flower and self._plan.services is None:
            logger.info("flower is not installed and does not run; to install it: pip install 'longshore[monitor]'")
        if self._plan.with_gateway:
            self._await_port(children["gateway"], ports.gateway)
        elif self._plan.gateway and self._plan.services is None:
            logger.info("the gateway is not installed; to install it: pip install 'longshore[gateway]'")

    def _start_server(self, server: Server, port: int, *, fixed: bool) -> int:
        for _ in range(_MAX_STARTS):
            child = self._children.start(server.command(port))
            if self._await_answer(child, server, port):
                logger.info("%s listens on %s:%d, pid %d", server.name, LOOPBACK, port, child.popen.pid)
                return port
            failure = self._children.failure(child, "did not start")
            self._children.discard(server.name)
            if (kept := server.set_aside(child.popen.pid)) is not None:
                logger.warning(
                    "the data of %s cannot be read: they are kept in %s, and the relay publishes again what waits",
                    server.name,
                    kept,
                )
                continue
            if fixed or is_free(port):
                raise failure
            port = any_free_port()
        raise failure

    def _await_answer(self, child: Child, server: Server, port: int) -> bool:
        """Wait until a server answers. Returns ``False`` if its process exits first."""
        deadline = time.monotonic() + _SERVER_TIMEOUT_S
        while child.exit_code is None:
            if server.answers(port):
                return True
            if time.monotonic() > deadline:
                log = self._home.log(server.name)
                raise HomeError(
                    f"{server.name} does not answer on {LOOPBACK}:{port} after {_SERVER_TIMEOUT_S:.0f} s; see {log}"
                )
            self._stop.pause(_POLL_INTERVAL_S)
        return False

    def _await_port(self, child: Child, port: int) -> None:
        """Wait for Flower or the gateway. Jobs run without them, so this never fails."""
        deadline = time.monotonic() + _PAGES_TIMEOUT_S
        while time.monotonic() < deadline and child.exit_code is None:
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
                return
            except OSError:
                self._stop.pause(_POLL_INTERVAL_S)
        logger.warning("%s does not answer yet; see %s", child.command.name, self._home.log(child.command.name))
