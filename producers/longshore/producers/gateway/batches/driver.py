"""Drives batches from step to step, as one of any number of gateways.

A batch belongs to the gateway that holds its lease. If that dies, another takes the batch when the lease has run out,
and goes on with the step that was not recorded: every step can be repeated, and two that run at once do no harm.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
from contextlib import suppress
from typing import Final

from longshore.producers.aio.client import AsyncClient
from longshore.producers.gateway.batches.steps import Submitted, Wait, next_step
from longshore.producers.gateway.state import Gateway
from longshore.shared.errors import LongshoreError, WaitTimeout
from longshore.shared.ledger.gateway.batches import HeldBatch
from longshore.shared.store.store import Store

#: Seconds between two looks for batches that nobody drives. New ones wake the gateway that they came to.
TICK_S: Final = 2.0
#: Batches that one gateway drives at once; most of them wait for their jobs.
MAX_BATCHES: Final = 100
#: Batches that it reads, submits or writes at once.
MAX_WORKING: Final = 2
#: Seconds after which a batch is looked at again whose jobs have not ended: it may have been cancelled.
LOOK_S: Final = 10.0
#: Seconds before a step is tried again that has failed.
RETRY_S: Final = 5.0

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The gateway stops: another one takes the step again."""


class BatchDriver:
    """The batches of one gateway.

    :param gateway: what it serves.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._store = Store(gateway.settings.store, expected=gateway.ledger.models.exist)
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._woken = asyncio.Event()
        self._stopping = threading.Event()
        self._working = asyncio.Semaphore(MAX_WORKING)
        self._driven: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for batches."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="longshore: batches")

    async def stop(self) -> None:
        """Leave all batches to other gateways."""
        self._stopping.set()
        tasks = [task for task in (self._task, *self._driven.values()) if task is not None]
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
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), TICK_S)

    async def _take(self) -> None:
        free = MAX_BATCHES - len(self._driven)
        if free <= 0:
            return
        gateway = self._gateway
        taken = await gateway.threads.call(gateway.ledger.batches.take, self._name, gateway.options.batch_lease_s, free)
        for id_, producer in taken:
            task = asyncio.get_running_loop().create_task(self._drive(producer, id_), name=f"longshore: {id_}")
            self._driven[id_] = task
            task.add_done_callback(lambda _, id_=id_: self._driven.pop(id_, None))  # type: ignore[misc]

    async def _drive(self, producer: str, id: str) -> None:
        client = self._gateway.clients.of(producer)
        held = client.ledger.batches.held(producer, id, self._name)
        driving = asyncio.create_task(self._steps(client, held))
        renewing = asyncio.create_task(self._renew(client, held))
        try:
            # It ends first if the lease is lost.
            await asyncio.wait((driving, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (driving, renewing):
                task.cancel()
            await asyncio.wait((driving, renewing))
            with suppress(LongshoreError):
                await client.call(lambda _: held.release())

    async def _renew(self, client: AsyncClient, held: HeldBatch) -> None:
        lease = self._gateway.options.batch_lease_s
        while True:
            await asyncio.sleep(lease / 3)
            try:
                if not await client.call(lambda _: held.renew(lease)):
                    return
            except LongshoreError as error:
                log.warning("the lease of %s is not renewed: %s", held.id, error)

    async def _steps(self, client: AsyncClient, held: HeldBatch) -> None:
        while True:
            try:
                batch = await client.call(lambda blocking: blocking.ledger.batches.find(held.producer, held.id))
                step = (
                    None if batch is None else next_step(batch, held, self._gateway.options, self._store, self._check)
                )
                if step is None:
                    return
                async with self._working:
                    outcome = await client.call(step)
                if isinstance(outcome, Wait):
                    await self._wait(client, outcome)
                elif isinstance(outcome, Submitted):
                    if outcome.token_id is not None and outcome.jobs:
                        await self._gateway.rates.add_unsettled(outcome.token_id, [str(job) for job in outcome.jobs])
                elif not outcome:
                    return  # it has ended, or is no longer this gateway's
            except Stopped:
                return
            except LongshoreError as error:
                log.warning("%s goes on in %g s: %s", held.id, RETRY_S, error)
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("a step of %s has failed, and is tried again", held.id)
                await asyncio.sleep(RETRY_S)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    async def _wait(self, client: AsyncClient, wait: Wait) -> None:
        """Until the jobs have ended, or it is time to look."""
        with suppress(WaitTimeout):
            await client.wait([await client.job(job) for job in wait.jobs], min(wait.seconds, LOOK_S))
