"""From requests to jobs that can be written: everything is checked here, and nothing is queued yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from longshore.producers.planning.context import PlanningContext
from longshore.producers.planning.evaluate import plan_evaluation
from longshore.producers.planning.infer import InferencePlanner
from longshore.producers.planning.inline_rows import InputBlocks, are_alike_tokens
from longshore.producers.planning.language.generate import GenerationPlanner
from longshore.producers.planning.queues import QueueChoice
from longshore.producers.planning.search import plan_cross_validation, plan_tuning
from longshore.producers.planning.targets import Target
from longshore.producers.planning.train import plan_training
from longshore.producers.requests import CrossValidate, Evaluate, Generate, Infer, Request, Train, Tune
from longshore.producers.ttl_cache import TtlCache
from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.ledger.jobs.submission import Submission
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewJob
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store


@singledispatch
def plan_request(request: Request, context: PlanningContext) -> NewJob:
    """The job of one request, by the planner that is registered for its class.

    Inference and generation have planners of their own, :class:`RowPlanners`, which plan thousands of small requests
    together.

    :raises InvalidInput: an option or the data is wrong; names it.
    """
    raise TypeError(f"{type(request).__name__} is no request")


plan_request.register(Train, plan_training)
plan_request.register(Tune, plan_tuning)
plan_request.register(CrossValidate, plan_cross_validation)
plan_request.register(Evaluate, plan_evaluation)


@dataclass(frozen=True)
class RowPlanners:
    """The planners of one call for the kinds of requests that are planned together."""

    inference: InferencePlanner
    generation: GenerationPlanner

    @classmethod
    def of(cls, context: PlanningContext, known: TtlCache[Target]) -> RowPlanners:
        """:param known: targets that earlier calls looked up."""
        return cls(InferencePlanner(context, known), GenerationPlanner(context, known))

    def target(self, request: Infer | Generate) -> Target:
        """The version and the options of a request.

        :raises InvalidInput: one of them is wrong; names it.
        """
        if isinstance(request, Generate):
            return self.generation.target(request)
        return self.inference.target(request)

    def plan(self, requests: Sequence[Infer | Generate]) -> list[NewJob]:
        """The jobs of requests of the same class that have the same target.

        :raises InvalidInput: the data does not fit.
        """
        texts = [each for each in requests if isinstance(each, Generate)]
        if texts:
            return self.generation.plan(texts)
        return self.inference.plan([each for each in requests if isinstance(each, Infer)])


def prepare(
    requests: Sequence[Request], ledger: Ledger, settings: Settings, targets: TtlCache[Target] | None = None
) -> Submission:
    """Check every request.

    :param targets: versions and options that were looked up for earlier requests.
    :raises InvalidInput: one is wrong; where there are several, the field names which.
    """
    context = planning_context(ledger, settings)
    planners = RowPlanners.of(context, targets or TtlCache())
    jobs: list[NewJob] = []
    for start, alike in _runs(requests):
        over_rows = [each for each in alike if isinstance(each, Infer | Generate)]
        if over_rows:
            jobs += _plan_alike(planners, start, over_rows, len(requests))
            continue
        for index, request in enumerate(alike, start):
            with numbered(index, len(requests)):
                jobs.append(plan_request(request, context))
    return Submission(jobs, context.blocks.made)


def prepare_apart(
    requests: Sequence[Infer | Generate], ledger: Ledger, settings: Settings, targets: TtlCache[Target] | None = None
) -> list[Submission | Exception]:
    """Check requests of several callers, each as if alone: the rows of one have no influence on the types of another's.

    :returns: for each request, what is to be written, or what is wrong with it. If Postgres cannot be reached, all from
        there on have the error of the first that has asked it: each would wait for it as long again.
    """
    context = planning_context(ledger, settings)
    planners = RowPlanners.of(context, targets or TtlCache())
    made = context.blocks.made
    away: ServiceUnavailable | None = None

    def plan(request: Infer | Generate) -> Submission | Exception:
        nonlocal away
        if away is not None:
            return away
        before = len(made)
        try:
            planners.target(request)  # asks Postgres; what follows can only miss the store
        except ServiceUnavailable as error:
            away = error
            return error
        except Exception as error:
            return error
        try:
            return Submission(planners.plan([request]), made[before:])
        except Exception as error:
            return error

    return [plan(request) for request in requests]


def planning_context(ledger: Ledger, settings: Settings) -> PlanningContext:
    """What the planners of one call share."""

    def store() -> Store:
        return Store(settings.store, expected=ledger.models.exist)

    return PlanningContext(ledger, QueueChoice(ledger.workers), settings.producer, InputBlocks(store), store)


def _runs(requests: Sequence[Request]) -> Iterator[tuple[int, Sequence[Request]]]:
    """Runs of neighbouring requests that can be planned together, each with the index of its first."""
    start = 0
    for index, request in enumerate(requests):
        if index > start and not _alike(requests[start], request):
            yield start, requests[start:index]
            start = index
    if requests:
        yield start, requests[start:]


def are_alike(requests: Sequence[Infer | Generate]) -> bool:
    """Whether requests of several callers can be planned together with the same result as apart: they ask for the same
    and have tokens, or arrays of the same type without a number that makes a row unusable.
    """
    first = requests[0]
    if len(requests) == 1:
        return False
    if isinstance(first.data, dict):
        return are_alike_tokens([each.data for each in requests]) and all(_alike(first, each) for each in requests)
    if not isinstance(first.data, np.ndarray) or first.data.ndim < 2:
        return False
    dtype, shape = first.data.dtype, first.data.shape[1:]
    return dtype.kind in "biuf" and all(
        _alike(first, each)
        and type(each.data) is np.ndarray
        and (each.data.dtype, each.data.shape[1:]) == (dtype, shape)
        and len(each.data)
        and bool(np.isfinite(each.data).all())
        for each in requests
    )


def _alike(one: Request, other: Request) -> bool:
    return (
        isinstance(one, Infer | Generate)
        and isinstance(other, Infer | Generate)
        and type(one) is type(other)
        and type(one.data) is type(other.data)
        and one.model == other.model
        and one.options == other.options
    )


def _plan_alike(planner: RowPlanners, start: int, requests: Sequence[Infer | Generate], total: int) -> list[NewJob]:
    try:
        return planner.plan(requests)
    except InvalidInput:
        if total == 1:
            raise
    # Something is wrong with one of them: together they cannot tell with which.
    jobs: list[NewJob] = []
    for index, request in enumerate(requests, start):
        with numbered(index, total):
            jobs += planner.plan([request])
    return jobs


@contextmanager
def numbered(index: int, total: int) -> Iterator[None]:
    """Name which of several requests an error is of."""
    try:
        yield
    except InvalidInput as error:
        if total == 1:
            raise
        raise type(error)(f"requests[{index}].{error.field}", error.reason) from None
