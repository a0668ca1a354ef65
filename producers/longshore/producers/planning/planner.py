"""From requests to jobs that can be written: everything is checked here, and nothing is queued yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from longshore.producers.planning.evaluate import plan_evaluation
from longshore.producers.planning.infer import InferencePlanner, Target
from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.queues import QueueChoice
from longshore.producers.planning.search import plan_cross_validation, plan_tuning
from longshore.producers.planning.train import plan_training
from longshore.producers.requests import CrossValidate, Evaluate, Infer, Request, Train, Tune
from longshore.producers.ttl_cache import TtlCache
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewInput, NewJob
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store


@dataclass(frozen=True)
class Prepared:
    """Jobs in the order of their requests, and the rows that came with them."""

    jobs: list[NewJob]
    inputs: list[NewInput]


def prepare(
    requests: Sequence[Request], ledger: Ledger, settings: Settings, targets: TtlCache[Target] | None = None
) -> Prepared:
    """Check every request.

    :param targets: versions and options that were looked up for earlier requests.
    :raises InvalidInput: one is wrong; where there are several, the field names which.
    """
    blocks = InputBlocks(lambda: Store(settings.store))
    queues = QueueChoice(ledger.workers)
    planner = InferencePlanner(
        *(ledger.models, ledger.submissions, queues, settings.producer, blocks, targets or TtlCache())
    )
    jobs: list[NewJob] = []
    for start, alike in _runs(requests):
        first = alike[0]
        if isinstance(first, Infer):
            jobs += _plan_alike(planner, start, [each for each in alike if isinstance(each, Infer)], len(requests))
        elif isinstance(first, Evaluate):
            with _numbered(start, len(requests)):
                jobs.append(plan_evaluation(first, ledger.models, queues, settings.producer, blocks))
        else:
            with _numbered(start, len(requests)):
                jobs.append(_plan(first, ledger, queues, settings.producer, blocks))
    return Prepared(jobs, blocks.made)


def _plan(
    request: Train | Tune | CrossValidate, ledger: Ledger, queues: QueueChoice, producer: str, blocks: InputBlocks
) -> NewJob:
    if isinstance(request, Train):
        return plan_training(request, ledger.workers, ledger.models, queues, producer, blocks)
    if isinstance(request, Tune):
        return plan_tuning(request, ledger.workers, ledger.models, queues, producer, blocks)
    return plan_cross_validation(request, ledger.workers, ledger.models, queues, producer, blocks)


def _runs(requests: Sequence[Request]) -> Iterator[tuple[int, Sequence[Request]]]:
    """Runs of neighbouring requests that can be planned together, each with the place of its first."""
    start = 0
    for place, request in enumerate(requests):
        if place > start and not _alike(requests[start], request):
            yield start, requests[start:place]
            start = place
    if requests:
        yield start, requests[start:]


def _alike(one: Request, other: Request) -> bool:
    return (
        isinstance(one, Infer)
        and isinstance(other, Infer)
        and type(one.data) is type(other.data)
        and one.model == other.model
        and one.options == other.options
    )


def _plan_alike(planner: InferencePlanner, start: int, requests: Sequence[Infer], total: int) -> list[NewJob]:
    try:
        return planner.plan(requests)
    except InvalidInput:
        if total == 1:
            raise
    # Something is wrong with one of them: together they cannot tell with which.
    jobs: list[NewJob] = []
    for place, request in enumerate(requests):
        with _numbered(start + place, total):
            jobs += planner.plan([request])
    return jobs


@contextmanager
def _numbered(place: int, total: int) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        if total == 1:
            raise
        raise type(error)(f"requests[{place}].{error.field}", error.reason) from None
