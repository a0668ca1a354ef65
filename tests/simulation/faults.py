"""What happens at fault points: nothing, a pause, a long delay, the end of the actor, or the loss of its connection."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from random import Random
from typing import Final

import psycopg

from tests.simulation.scheduler import ActorKilled, Scheduler

#: Virtual seconds of the lease of a simulated worker.
LEASE_S: Final = 4.0
#: Fault points inside the use of a connection, at which the connection can be lost.
_CONNECTED: Final = "ledger:"


@dataclass(frozen=True)
class Rates:
    """How often each kind of fault happens, per fault point."""

    kill: float
    cut: float
    delay: float
    pause: float

    @classmethod
    def draw(cls, random: Random) -> Rates:
        """Those of one simulation: some are calm, some are a storm, some have one kind of fault only."""
        level = random.choice([0.0, 0.01, 0.03, 0.06])
        kill, cut, delay = (level * random.choice([0.0, 0.5, 1.0]) for _ in range(3))
        return cls(kill, cut, delay, random.choice([0.1, 0.3, 0.6]))


class Faults:
    """The hook of the fault points.

    Each actor draws its faults from a sequence of its own, so that leaving one out does not change the others.

    :param drop: the faults to leave out, as :attr:`happened` names them.
    :param log: records what happened: the actor and a sentence.
    """

    def __init__(
        self, scheduler: Scheduler, seed: int, rates: Rates, drop: Set[str], log: Callable[[str, str], None]
    ) -> None:
        self._scheduler = scheduler
        self._seed = seed
        self._rates = rates
        self._drop = drop
        self._log = log
        self._randoms: dict[str, Random] = {}
        #: Whether faults happen; pauses go on.
        self.on = True
        #: The names of the faults so far.
        self.happened: list[str] = []

    def __call__(self, point: str) -> None:
        """Pass a fault point."""
        actor = self._scheduler.current()
        if actor is None or self._scheduler.stopping:
            return
        actor.points += 1
        random = self._randoms.setdefault(actor.name, Random(f"{self._seed} {actor.name}"))
        chance, size = random.random(), random.random()
        rates = self._rates
        name = f"{actor.name}:{actor.points}"
        if chance < rates.kill + rates.cut + rates.delay:
            if not self.on or name in self._drop:
                return
            if chance < rates.kill:
                self._record(name, actor.name, f"is killed at {point}")
                raise ActorKilled
            if chance < rates.kill + rates.cut:
                if point.startswith(_CONNECTED):
                    self._record(name, actor.name, f"loses its connection at {point}")
                    raise psycopg.OperationalError("simulated: the connection was lost")
            else:
                seconds = round(LEASE_S * (0.1 if size < 0.5 else 1.4) * (0.5 + size), 2)
                self._record(name, actor.name, f"stands still for {seconds} s at {point}")
                self._scheduler.pause(seconds)
        elif chance > 1 - rates.pause:
            self._scheduler.pause()

    def _record(self, name: str, actor: str, what: str) -> None:
        self.happened.append(name)
        self._log(actor, f"{what}   [{name}]")
