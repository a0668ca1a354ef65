"""The second step of a batch: each job of its plan is submitted, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from longshore.producers.client import Client
from longshore.producers.gateway.batches.plan import BatchPlan, PlannedJob, read_lines
from longshore.producers.gateway.openai.requests import Embedding, Endpoint, Generation
from longshore.producers.requests import Generate, Infer
from longshore.shared.errors import InvalidInput, QueueFull
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.gateway.batches import BatchNotRunning, BatchRecord, HeldBatch
from longshore.shared.store.store import Store

#: Jobs of requests that somebody waits for have priority 4.
PRIORITY: Final = 3
#: Rows of a shard of embeddings, which is committed as a whole: what a cancelled batch loses at most of one worker.
EMBEDDINGS_PER_SHARD: Final = 128


def submit_jobs(
    client: Client, store: Store, batch: BatchRecord, held: HeldBatch, plan: BatchPlan, check: Callable[[], None]
) -> tuple[list[UUID | None], list[str | None]]:
    """The jobs of a batch, and the errors of those that cannot be submitted. Those that are there already are found by
    their idempotency keys.

    A job is submitted only while the batch runs in the hands of this gateway: whoever takes it, cancels it or ends it
    knows all its jobs from then on.

    :param check: called before each job; what it raises ends the step.
    :returns: ``None`` in place of a job that is not submitted: it has an error, or the batch was cancelled or has
        expired.
    :raises QueueFull: the producer has as many jobs as an operator allows; call it again later.
    """
    keys = [job_key(batch, index) for index in range(len(plan.jobs))]
    known = client.ledger.submissions.find_keys(client.settings.producer, keys)
    is_running = batch.state == "in_progress" and batch.read_at < batch.expires_at
    jobs: list[UUID | None] = []
    errors: list[str | None] = []
    for key, planned in zip(keys, plan.jobs, strict=True):
        check()
        job, error = known.get(key), None
        if job is None and is_running:
            request = _request(store, batch, planned, key)
            fault_point("batch:submitting")
            try:
                job = client._submit_if([request], held.lock_running)[0].id
            except QueueFull:
                raise
            except InvalidInput as refused:
                error = str(refused)
            except BatchNotRunning:
                is_running = False
            fault_point("batch:job_submitted")
        jobs.append(job)
        errors.append(error)
    return jobs, errors


def known_jobs(client: Client, batch: BatchRecord) -> Sequence[UUID]:
    """The jobs of a batch that were submitted by now, though its plan may be lost."""
    if batch.jobs is not None:
        return [job for job in batch.jobs if job is not None]
    keys = [job_key(batch, index) for index in range(batch.parts)]
    return list(client.ledger.submissions.find_keys(client.settings.producer, keys).values())


def job_key(batch: BatchRecord, index: int) -> str:
    """The idempotency key of a job."""
    return f"{batch.id}/{index}"


def _request(store: Store, batch: BatchRecord, planned: PlannedJob, key: str) -> Generate | Infer:
    requests = [line.request for line in read_lines(store, planned.lines, Endpoint(batch.endpoint))]
    # The same at every call, as the key stands for the same request.
    timeout = (batch.expires_at - batch.created_at).total_seconds()
    texts = [text for request in requests if isinstance(request, Embedding) for text in request.texts]
    if texts:
        return Infer(
            planned.model,
            texts,
            counts_tokens=True,
            rows_per_shard=EMBEDDINGS_PER_SHARD,
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
