"""The second step of a batch: each job of its plan is submitted, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from longshore.producers.client import Client
from longshore.producers.gateway.batches.plan import Plan, PlannedJob, read_lines
from longshore.producers.gateway.openai.requests import Embedding, Endpoint, Generation
from longshore.producers.requests import Generate, Infer
from longshore.shared.errors import InvalidInput, QueueFull
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.gateway.batches import BatchRecord
from longshore.shared.store.store import Store

#: Jobs of requests that somebody waits for have priority 4.
PRIORITY = 3


def submit_jobs(
    client: Client, store: Store, batch: BatchRecord, plan: Plan, check: Callable[[], None]
) -> tuple[list[UUID | None], list[str | None]]:
    """The jobs of a batch, and the errors of those that cannot be submitted. Those that are there already are found by
    their idempotency keys.

    :param check: called before each job; what it raises ends the step.
    :returns: ``None`` in place of a job that is not submitted: it has an error, or the batch was cancelled or has
        expired.
    :raises QueueFull: the producer has as many jobs as an operator allows; call it again later.
    """
    jobs: list[UUID | None] = []
    errors: list[str | None] = []
    for index, planned in enumerate(plan.jobs):
        check()
        key = f"{batch.id}/{index}"
        job, error = client.ledger.submissions.find_key(client.settings.producer, key), None
        if job is None and _is_running(client, batch):
            try:
                job = client.submit_many([_request(store, batch, planned, key)])[0].id
            except QueueFull:
                raise
            except InvalidInput as refused:
                error = str(refused)
            fault_point("batch:job_submitted")
        jobs.append(job)
        errors.append(error)
    return jobs, errors


def _is_running(client: Client, batch: BatchRecord) -> bool:
    now = client.ledger.batches.find(client.settings.producer, batch.id)
    return now is not None and now.state == "in_progress" and now.read_at < now.expires_at


def _request(store: Store, batch: BatchRecord, planned: PlannedJob, key: str) -> Generate | Infer:
    requests = [line.request for line in read_lines(store, planned.lines, Endpoint(batch.endpoint))]
    # The same at every call, as the key stands for the same request.
    timeout = (batch.expires_at - batch.created_at).total_seconds()
    texts = [text for request in requests if isinstance(request, Embedding) for text in request.texts]
    if texts:
        return Infer(
            planned.model,
            texts,
            idempotency_key=key,
            timeout=timeout,
            priority=PRIORITY,
            max_row_errors=planned.rows,
        )
    generations: Sequence[Generation] = [request for request in requests if isinstance(request, Generation)]
    return Generate(
        planned.model,
        [row for request in generations for row in request.rows],
        generations[0].options,
        idempotency_key=key,
        timeout=timeout,
        priority=PRIORITY,
        max_row_errors=planned.rows,
    )
