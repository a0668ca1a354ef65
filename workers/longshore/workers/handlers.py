"""The function that runs a shard, by its action. A new kind of job is registered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from longshore.shared.ledger.records import Claim
from longshore.shared.vocabulary import Action
from longshore.workers.attempt_ends import Ran
from longshore.workers.context import WorkerContext
from longshore.workers.evaluation.job import run_evaluation
from longshore.workers.generate.job import run_generation
from longshore.workers.inference.job import run_infer
from longshore.workers.jobs.plan import run_planning
from longshore.workers.jobs.promote import run_promotion
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.search.fold import run_fold
from longshore.workers.search.job import run_tuning
from longshore.workers.train.job import run_training

#: Runs one attempt at a shard to its commit. What it raises ends the attempt; see :mod:`longshore.workers.execution`.
Handler: TypeAlias = Callable[[WorkerContext, Claim, Heartbeat], None]

#: Runs attempts at shards of many jobs together, and others that join them, each to its end. It raises no error of a
#: shard. The last argument is the id of the Celery task.
SessionRunner: TypeAlias = Callable[[WorkerContext, Sequence[Claim], str], Ran]

HANDLERS: Mapping[Action, Handler] = {
    Action.INFER: run_infer,
    Action.TRAIN: run_training,
    Action.EVALUATE: run_evaluation,
    Action.PROMOTE: run_promotion,
    Action.PLAN: run_planning,
    Action.TUNE: run_tuning,
    Action.CROSS_VALIDATE: run_fold,
}

SESSIONS: Mapping[Action, SessionRunner] = {
    Action.GENERATE: run_generation,
}
