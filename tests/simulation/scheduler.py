"""Actors that take turns: one thread each, of which exactly one runs, in an order that a seed decides.

An actor runs until it pauses: at a fault point, or to let virtual time pass. An actor whose statement waits for a lock
in Postgres is set aside until Postgres has granted the lock, so that real waits of real transactions are simulated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from longshore.shared.ledger.database import Connection
from tests.simulation.database import EPOCH_S, OF_THIS_DATABASE, SET_CLOCK, WAITING_FOR_LOCK

#: Real seconds until a running actor is suspected to wait for a lock.
LOCK_CHECK_S: Final = 0.004
#: Real seconds in which an actor must pause or wait for a lock, whatever it does.
STUCK_S: Final = 60.0


class ActorKilled(BaseException):
    """Ends an actor as SIGKILL ends a process: no handler of errors catches it."""


class ActorStopped(BaseException):
    """Ends an actor because the simulation is over."""


class Stuck(Exception):
    """No actor can go on."""


@dataclass(eq=False)
class Actor:
    """One process of the simulated cluster."""

    name: str
    thread: threading.Thread
    #: Virtual seconds at which it goes on.
    wake: float = 0.0
    #: Its connection that waits for a lock.
    blocked_pid: int | None = None
    ended: bool = False
    #: Fault points that it has passed.
    points: int = 0
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    paused: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Scheduler:
    """Virtual time, and the actors that live in it.

    :param monitor: a connection that no actor uses, in autocommit mode.
    :param random: decides who is next.
    """

    def __init__(self, monitor: Connection, random: Random) -> None:
        self._monitor = monitor
        self._random = random
        self._actors: list[Actor] = []
        self._by_thread: dict[int, Actor] = {}
        #: Whether every actor is being ended.
        self.stopping = False
        self._clock_set_to: float | None = None
        self._errors: list[tuple[str, BaseException]] = []
        #: Virtual seconds since the beginning.
        self.now = 0.0
        #: How often an actor had to wait for a lock.
        self.lock_waits = 0

    def clock(self) -> float:
        """:attr:`now`, as a function."""
        return self.now

    def spawn(self, name: str, body: Callable[[], None], restart: Callable[[], float | None], at: float = 0.0) -> None:
        """Add an actor.

        :param body: what it does; when it returns, the actor has ended.
        :param restart: virtual seconds after which it starts anew when it was killed; ``None`` if it does not.
        """

        def run() -> None:
            actor.go.acquire()
            self._by_thread[threading.get_ident()] = actor
            try:
                while not self.stopping:
                    try:
                        body()
                        return
                    except ActorKilled:
                        delay = restart()
                        if delay is None:
                            return
                        self.pause(delay)
            except ActorStopped:
                pass
            except BaseException as error:
                self._errors.append((name, error))
            finally:
                actor.ended = True
                actor.paused.release()

        actor = Actor(name, threading.Thread(target=run, name=name, daemon=True), wake=at)
        actor.thread.start()
        self._actors.append(actor)

    def current(self) -> Actor | None:
        """The actor whose thread asks; ``None`` for others."""
        return self._by_thread.get(threading.get_ident())

    def pause(self, seconds: float = 0.0) -> None:
        """Let others run, and go on no sooner than after so many virtual seconds."""
        actor = self.current()
        assert actor is not None
        actor.wake = self.now + seconds
        actor.paused.release()
        actor.go.acquire()
        if self.stopping:
            raise ActorStopped

    def run_until(self, moment: float, done: Callable[[], bool] = lambda: False) -> None:
        """Give turns until virtual time has come to ``moment``, or ``done`` says so, asked once a virtual second.

        :raises Stuck: every actor waits for a lock of another.
        :raises Exception: what an actor has raised.
        """
        asked_at = self.now
        while True:
            able = [actor for actor in self._actors if not actor.ended and actor.blocked_pid is None]
            if not able:
                if any(not actor.ended for actor in self._actors):
                    raise Stuck("every actor waits for a lock: " + ", ".join(self._blocked_names()))
                return
            soonest = min(actor.wake for actor in able)
            if soonest > self.now:
                if soonest > moment:
                    self.now = moment
                    return
                self.now = soonest
                if self.now - asked_at >= 1.0:
                    asked_at = self.now
                    if done():
                        return
            self._turn(self._random.choice([actor for actor in able if actor.wake <= self.now]))

    def ended(self, prefix: str) -> bool:
        """Whether every actor has ended whose name begins so."""
        return all(actor.ended for actor in self._actors if actor.name.startswith(prefix))

    def stop(self) -> None:
        """End every actor where it is; what it had not committed is rolled back."""
        self.stopping = True
        for _ in range(1000):
            living = [actor for actor in self._actors if not actor.ended]
            if not living:
                break
            for actor in living:
                if actor.blocked_pid is None:
                    actor.go.release()
                    self._settle(actor)
                self._wake_granted()
        for actor in self._actors:
            actor.thread.join(STUCK_S)

    def _turn(self, actor: Actor) -> None:
        if self._clock_set_to != self.now:
            self._monitor.execute(SET_CLOCK, [round((EPOCH_S + self.now) * 1_000_000)])
            self._clock_set_to = self.now
        actor.go.release()
        self._settle(actor)
        self._wake_granted()
        if self._errors:
            name, error = self._errors[0]
            raise RuntimeError(f"{name} raised {type(error).__name__}: {error}") from error

    def _settle(self, actor: Actor) -> None:
        """Wait until an actor has paused, or waits for a lock."""
        waited = 0.0
        while not actor.paused.acquire(timeout=LOCK_CHECK_S):
            waited += LOCK_CHECK_S
            new = self._waiting() - {other.blocked_pid for other in self._actors}
            if new:
                actor.blocked_pid = min(new)
                self.lock_waits += 1
                return
            if waited > STUCK_S:
                raise Stuck(f"{actor.name} neither pauses nor waits for a lock")

    def _wake_granted(self) -> None:
        blocked = [actor for actor in self._actors if actor.blocked_pid is not None]
        if not blocked:
            return
        waiting = self._waiting()
        for actor in blocked:
            if actor.blocked_pid not in waiting:
                actor.blocked_pid = None
                self._settle(actor)

    def _waiting(self) -> set[int]:
        pids = [pid for (pid,) in self._monitor.execute(WAITING_FOR_LOCK)]
        return {pid for (pid,) in self._monitor.execute(OF_THIS_DATABASE, [pids])} if pids else set()

    def _blocked_names(self) -> list[str]:
        return [actor.name for actor in self._actors if actor.blocked_pid is not None]
