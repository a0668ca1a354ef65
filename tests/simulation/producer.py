"""Simulated producers: the client's own code from the prepared jobs on, over the simulated Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final
from uuid import UUID

from longshore.broker.tickets import pack_messages, tickets_by_message
from longshore.producers import Client
from longshore.shared.errors import InvalidInput, LongshoreError, ServiceUnavailable, UnknownJob
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.records import NewJob
from tests.simulation.scheduler import Scheduler
from tests.simulation.workload import JobPlan, Step, make_id, make_job

#: Times that a producer submits again with the same key after an error.
TRIES: Final = 4


@dataclass
class Acknowledged:
    """What producers know for certain."""

    #: The jobs whose submission returned.
    jobs: list[UUID] = field(default_factory=list)
    #: The jobs that each idempotency key has led to.
    keys: dict[tuple[str, str], set[UUID]] = field(default_factory=dict)


class Producer:
    """One producer. What it has submitted is remembered across its restarts, as in a file."""

    def __init__(
        self,
        name: str,
        client: Client,
        scheduler: Scheduler,
        steps: Sequence[Step],
        known: Acknowledged,
        random: Random,
        log: Callable[[str, str], None],
    ) -> None:
        self._name = name
        self._client = client
        self._scheduler = scheduler
        self._steps = list(steps)
        self._known = known
        self._random = random
        self._log = log
        self._jobs: list[UUID] = []

    def run(self) -> None:
        """Do the steps that are left. A step in which it was killed is not repeated."""
        while self._steps:
            step = self._steps.pop(0)
            self._scheduler.pause(step.delay)
            try:
                if step.what == "submit":
                    self._submit(step)
                elif self._jobs:
                    self._change(step)
            except (ServiceUnavailable, InvalidInput, UnknownJob) as error:
                self._log(self._name, f"{step.what} failed: {error}")

    def _submit(self, step: Step) -> None:
        depends_on = None
        if step.jobs[0].kind == "chain" and self._jobs:
            depends_on = self._jobs[step.pick % len(self._jobs)]
        keyed = step.jobs[0].keyed
        for _ in range(TRIES):
            try:
                ids = self._send(self._make(step.jobs, step.name if keyed else None, depends_on))
            except ServiceUnavailable as error:
                if not keyed:
                    raise
                self._log(self._name, f"submits again with the same key after: {error}")
                self._scheduler.pause(0.5)
            else:
                self._log(self._name, f"has submitted {step.jobs[0].kind} {', '.join(str(id_)[-6:] for id_ in ids)}")
                self._jobs += ids
                self._known.jobs += ids
                if keyed:
                    self._known.keys.setdefault((self._name, step.name), set()).update(ids)
                return

    def _make(self, plans: Sequence[JobPlan], key: str | None, depends_on: UUID | None) -> list[NewJob]:
        return [
            make_job(
                plan,
                make_id(self._random, self._scheduler.now),
                self._name,
                key=None if key is None else f"{key}.{number}",
                depends_on=depends_on,
            )
            for number, plan in enumerate(plans)
        ]

    def _send(self, jobs: Sequence[NewJob]) -> list[UUID]:
        """As :meth:`Client.submit_many` once the jobs are prepared."""
        client = self._client
        messages = list(pack_messages(tickets_of(jobs)))
        if len(messages) == 1 and messages[0].batch_key is not None:
            ids = client.ledger.submissions.submit(jobs)
            fault_point("producer:submitted")
            client._publisher.publish_coalesced(messages[0], set(ids))
        else:
            ids = client.ledger.submissions.submit(jobs, (), tickets_by_message(messages))
            fault_point("producer:submitted")
            client._publisher.send(messages)
        return ids

    def _change(self, step: Step) -> None:
        job = self._client._job(self._jobs[step.pick % len(self._jobs)])
        self._log(self._name, f"asks to {step.what} {str(job.id)[-6:]}")
        try:
            if step.what == "cancel":
                job.cancel()
            elif step.what == "retry":
                job.retry()
            else:
                job.retry(rows="failed")
        except ServiceUnavailable:
            raise
        except LongshoreError as error:
            self._log(self._name, f"{step.what} is refused: {str(error)[:80]}")
