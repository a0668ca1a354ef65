"""Runs one simulation, from a seed to its violations."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace, TracebackType
from typing import Final

import psycopg

from longshore.broker import upcoming
from longshore.broker.circuit_breaker import CircuitBreaker
from longshore.broker.relay import Relay
from longshore.producers import Client
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.fault_point import armed
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.ledger import Ledger
from tests.simulation import checks
from tests.simulation.broker import SimulatedApp, SimulatedCoalescer, SimulatedRedis, make_encoder
from tests.simulation.database import EMPTY, VACUUM
from tests.simulation.faults import Faults, Rates
from tests.simulation.producer import Acknowledged, Producer
from tests.simulation.scheduler import Scheduler, Stuck
from tests.simulation.worker import Store, Worker
from tests.simulation.workload import ACTIVE_S, Workload, draw

#: Virtual seconds after the faults in which every job must end: several leases, attempts and rounds of the relay.
LIVENESS_S: Final = 240.0
#: Virtual seconds between two checks while faults happen.
CHECK_INTERVAL_S: Final = 3.0
#: Virtual seconds between two rounds of a simulated relay.
_ROUND_S: Final = 1.0

#: Say so much about faults that nobody would read it.
_NOISY: Final = ("longshore", "psycopg")


@dataclass
class Outcome:
    """What came out of one simulation."""

    seed: int
    violations: list[str]
    history: list[str]
    faults: list[str]
    #: The steps of producers and the faults of Redis that there were.
    steps: list[str]
    jobs: int = 0
    lock_waits: int = 0
    virtual_s: float = 0.0


class World:
    """The connections of one process that simulates, kept for all its simulations.

    :param url: a database that :func:`tests.simulation.database.create` has made.
    """

    def __init__(self, url: str) -> None:
        self.monitor: Connection = psycopg.connect(url, autocommit=True, application_name="simulation")
        actors = ("cpu0", "cpu1", "gpu0", "relay0", "relay1")
        self.ledgers = {name: Ledger(url, f"longshore {name}") for name in actors}
        self.clients = {
            name: Client(redis_url="redis://localhost:1/0", database_url=url, store="file:///nowhere", producer=name)
            for name in ("producer0", "producer1")
        }
        self.encoder = make_encoder(self.clients["producer0"].settings)
        # Other tests of this process read what is logged: not for longer than this exists.
        self._levels = {name: logging.getLogger(name).level for name in _NOISY}
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def close(self) -> None:
        """Close them."""
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        for ledger in self.ledgers.values():
            ledger.close()
        for client in self.clients.values():
            client.ledger.close()
        self.monitor.close()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def simulate(world: World, seed: int, drop: Set[str] = frozenset()) -> Outcome:
    """Run the simulation of a seed.

    :param drop: faults and steps of producers to leave out, by name.
    """
    world.monitor.execute(EMPTY)
    world.monitor.execute(VACUUM)
    with _seeded_ids(seed), _short_queues():
        return _Simulation(world, seed, draw(Random(f"{seed} workload")), drop).run()


@dataclass
class _Simulation:
    world: World
    seed: int
    workload: Workload
    drop: Set[str]
    history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        world, seed = self.world, self.seed
        self.scheduler = Scheduler(world.monitor, Random(f"{seed} schedule"))
        self.redis = SimulatedRedis(self.scheduler.clock)
        self.app = SimulatedApp(self.redis, world.encoder)
        self.store = Store()
        self.known = Acknowledged()
        rates = Rates.draw(Random(f"{seed} rates"))
        self.faults = Faults(self.scheduler, seed, rates, self.drop, self.log)
        restarts = Random(f"{seed} restarts")

        def restart() -> float:
            return restarts.choice([0.1, 1.0, 3.0])

        for name, steps in self.workload.producers.items():
            client = world.clients[name]
            coalescer = SimulatedCoalescer(self.app, self.redis)
            breaker = CircuitBreaker(self.scheduler.clock)
            vars(client._publisher).update(_made_app=self.app, _made_coalescer=coalescer, _made_breaker=breaker)
            left = [step for step in steps if step.name not in self.drop]
            arguments = (name, client, self.scheduler, left, self.known, Random(f"{seed} {name}"), self.log)
            self.scheduler.spawn(name, Producer(*arguments).run, restart)
        for name in self.workload.workers:
            worker = Worker(
                *(name, world.ledgers[name], self.redis, self.app, self.store, self.scheduler),
                *(Random(f"{seed} work of {name}"), self.log),
            )
            self.scheduler.spawn(name, worker.run, restart)
        for name in self.workload.relays:
            self.scheduler.spawn(name, self._relay(name), restart)
        self.scheduler.spawn("redis", self._disturb_redis, lambda: None)

    def log(self, actor: str, what: str) -> None:
        """Add a line to the history."""
        self.history.append(f"{self.scheduler.now:8.2f} s  {actor:10} {what}")

    def run(self) -> Outcome:
        """Run to the end."""
        violations: list[str] = []
        try:
            with armed(self.faults):
                try:
                    violations = self._run()
                except (Stuck, RuntimeError) as error:
                    violations = [str(error)]
                finally:
                    self.scheduler.stop()
        except Stuck as error:
            violations.append(str(error))
        steps = [step.name for steps in self.workload.producers.values() for step in steps]
        return Outcome(
            *(self.seed, violations, self.history, self.faults.happened),
            [name for name in (*steps, *self.workload.redis_faults) if name not in self.drop],
            *(len(self.known.jobs), self.scheduler.lock_waits, self.scheduler.now),
        )

    def _run(self) -> list[str]:
        monitor, scheduler = self.world.monitor, self.scheduler
        moment = 0.0
        while moment < ACTIVE_S:
            moment += CHECK_INTERVAL_S
            scheduler.run_until(moment)
            if found := checks.check_safety(monitor):
                return found
        self.faults.on = False
        self.redis.down_until = 0.0
        self.log("", "no more faults")
        # The producers end, and then every job.
        scheduler.run_until(ACTIVE_S + LIVENESS_S, self._all_ended)
        return checks.check_end(monitor, self.known, self.redis.accepted, self.store)

    def _all_ended(self) -> bool:
        return self.scheduler.ended("producer") and not self.world.monitor.execute(checks.OPEN_JOBS).fetchall()

    def _relay(self, name: str) -> Callable[[], None]:
        def run() -> None:
            relay = Relay(self.world.ledgers[name], self.app, clock=self.scheduler.clock)
            while True:
                try:
                    relay.step()
                except ServiceUnavailable as error:
                    self.log(name, f"waits: {error}")
                self.scheduler.pause(_ROUND_S)

        return run

    def _disturb_redis(self) -> None:
        random = Random(f"{self.seed} redis")
        for name, moment in sorted(self.workload.redis_faults.items(), key=lambda item: item[1]):
            self.scheduler.pause(max(0.0, moment - self.scheduler.now))
            own = Random(random.random())
            if name not in self.drop:
                self.log("redis", f"{self.redis.disturb(own)}   [{name}]")


@contextmanager
def _seeded_ids(seed: int) -> Iterator[None]:
    """Make ``uuid4`` return the same ids in each run of a seed."""
    random = Random(f"{seed} ids")
    uuid.os = SimpleNamespace(urandom=random.randbytes)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        uuid.os = os  # type: ignore[attr-defined]


@contextmanager
def _short_queues() -> Iterator[None]:
    """Have the relay search short queues for stale messages, too."""
    limit = upcoming.MAX_MESSAGES
    upcoming.MAX_MESSAGES = 3  # type: ignore[misc]
    try:
        yield
    finally:
        upcoming.MAX_MESSAGES = limit  # type: ignore[misc]
