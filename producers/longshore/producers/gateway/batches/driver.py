"""Drives batches from step to step, as one of any number of gateways.

A batch belongs to the gateway that holds its lease. If that dies, another takes the batch when the lease has run out,
and goes on with the step that was not recorded: every step can be repeated, and two that run at once do no harm. A
batch that waits for its jobs, or for another try, belongs to nobody and costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

from longshore.producers.aio.client import AsyncClient
from longshore.producers.gateway.batches.steps import Again, DriverStopped, Submitted, Wait, next_step
from longshore.producers.gateway.state import Gateway
from longshore.shared.errors import LongshoreError, QueueFull, ServiceUnavailable
from longshore.shared.ledger.gateway.batches import HeldBatch
from longshore.shared.store.store import Store

#: Seconds between two looks for batches that need something. New ones wake the gateway that they came to.
TICK_S: Final = 1.0
#: Batches that one gateway reads, submits or writes at once.
MAX_BATCHES: Final = 3
#: Seconds of computing after which a step lets others compute, who want the interpreter's lock.
SLICE_S: Final = 0.001
#: Seconds before a step is tried again after an outage, or while the producer has as many jobs as it may have.
RETRY_S: Final = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Left:
    """How a batch is left to whoever takes it next."""

    #: Seconds in which nobody does.
    pause: float = 0
    failed: bool = False


class _Slice(threading.local):
    """Of the steps in one thread."""

    #: The thread's seconds of computing when it began.
    begun: float = 0


class BatchDriver:
    """The batches of one gateway.

    :param gateway: what it serves.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._store = Store(gateway.settings.store, expected=gateway.ledger.models.exist)
        # Another name at each look: a batch that was lost and taken again is driven by the later task alone.
        name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._names = (f"{name}:{number}" for number in count())
        self._slice = _Slice()
        self._woken = asyncio.Event()
        self._stopping = threading.Event()
        self._driving: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for batches."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="longshore: batches")

    async def stop(self) -> None:
        """Leave all batches to other gateways."""
        self._stopping.set()
        tasks = [task for task in (self._task, *self._driving) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def wake(self) -> None:
        """Look for batches now."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._take()
            except LongshoreError as error:
                log.warning("no batches are taken: %s", error)
            except Exception:
                log.exception("no batches are taken")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), TICK_S)

    async def _take(self) -> None:
        free = MAX_BATCHES - len(self._driving)
        if free <= 0:
            return
        gateway, name = self._gateway, next(self._names)
        taken = await gateway.threads.call(gateway.ledger.batches.take, name, gateway.options.batch_lease_s, free)
        for id_, producer in taken:
            drive = self._drive_of(producer, id_, name)
            task = asyncio.get_running_loop().create_task(drive, name=f"longshore: {id_}")
            self._driving.add(task)
            task.add_done_callback(self._make_room)

    def _make_room(self, task: asyncio.Task[None]) -> None:
        self._driving.discard(task)
        self._woken.set()

    async def _drive_of(self, producer: str, id_: str, name: str) -> None:
        with self._gateway.clients.using(producer) as client:
            await self._drive(client, client.ledger.batches.held(producer, id_, name))

    async def _drive(self, client: AsyncClient, held: HeldBatch) -> None:
        driving = asyncio.create_task(self._steps(client, held))
        renewing = asyncio.create_task(self._renew(client, held))
        left = _Left()
        try:
            # It ends first if the lease is lost.
            await asyncio.wait((driving, renewing), return_when=asyncio.FIRST_COMPLETED)
            if driving.done():
                left = driving.result()
        except Exception:
            log.exception("%s goes on in %g s", held.id, RETRY_S)
            left = _Left(RETRY_S)
        finally:
            for task in (driving, renewing):
                task.cancel()
            await asyncio.wait((driving, renewing))
            with suppress(LongshoreError):
                await client.call(lambda _: held.release(left.pause, failed=left.failed))

    async def _renew(self, client: AsyncClient, held: HeldBatch) -> None:
        lease = self._gateway.options.batch_lease_s
        while True:
            await asyncio.sleep(lease / 3)
            try:
                if not await client.call(lambda _: held.renew(lease)):
                    return
            except LongshoreError as error:
                log.warning("the lease of %s is not renewed: %s", held.id, error)

    async def _steps(self, client: AsyncClient, held: HeldBatch) -> _Left:
        """Do what can be done now."""
        try:
            while True:
                batch = await client.call(lambda blocking: blocking.ledger.batches.find(held.producer, held.id))
                step = (
                    None if batch is None else next_step(batch, held, self._gateway.options, self._store, self._check)
                )
                outcome = None if step is None else await client.call(step)
                if isinstance(outcome, Again):
                    return _Left(outcome.seconds, failed=True)
                if isinstance(outcome, Submitted):
                    if outcome.token_id is not None and outcome.jobs:
                        await self._gateway.rates.add_unsettled(outcome.token_id, [str(job) for job in outcome.jobs])
                elif isinstance(outcome, Wait) or not outcome:
                    return _Left()  # it waits, has ended, or is no longer this gateway's
        except DriverStopped:
            return _Left()
        except (ServiceUnavailable, QueueFull) as error:
            log.warning("%s goes on in %g s: %s", held.id, RETRY_S, error)
            return _Left(RETRY_S)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise DriverStopped
        # Requests would wait for the interpreter's lock, for 5 ms each time they want it. All steps together compute
        # half of the time at most.
        now = time.thread_time()
        if now >= self._slice.begun + SLICE_S:
            time.sleep(SLICE_S * max(1, 2 * len(self._driving) - 1))
            self._slice.begun = now
