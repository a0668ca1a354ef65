"""The Celery tasks. They are thin: a message only names shards to look at.

The parent imports this module too, to know the names of the tasks; only the child imports what needs torch.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from celery import Task, shared_task
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from longshore.broker.logs import configure_logging
from longshore.broker.tickets import TASK_PREFIX, parse_shard_ids
from longshore.shared.ledger.shards.batching import MAX_BATCH_SHARDS
from longshore.shared.vocabulary import Action
from longshore.workers.process.watchdog.show import Shown

if TYPE_CHECKING:
    from longshore.workers.context import WorkerContext

log = logging.getLogger(__name__)

#: Characters of a line for monitors: as many as the jobs of a full batch need.
MAX_RESULT_CHARS = 64 + 37 * MAX_BATCH_SHARDS
#: The context that this child process keeps between two messages. A Celery task is a function, so it is a global.
_contexts: list[WorkerContext] = []


def _configure_logging(**_: object) -> None:
    configure_logging()


def _start_child(**_: object) -> None:
    shown = Shown.from_environment()
    try:
        from longshore.workers.process.child import start_child

        context = start_child(shown)
    except Exception as error:
        # Celery would go on with a child that can run nothing, and fails every message that it gets.
        log.error("the child cannot start: %s: %s", type(error).__name__, error)
        logging.shutdown()
        os._exit(1)
    _contexts[:] = [context]
    log.info("%s is ready on %s", context.worker.name, context.device)
    shown.ready()


def _stop_child(**_: object) -> None:
    from longshore.workers.process.assemble import close_context

    while _contexts:
        close_context(_contexts.pop())


def run(task: Task, shard_ids: Sequence[Sequence[str | int]], coalescing_key: str | None = None) -> str:
    """The body of every task. Returns a line for monitors."""
    from longshore.broker.coalescing_key import CoalescingKey
    from longshore.workers.execution import run_message

    key = None if coalescing_key is None else CoalescingKey.parse(coalescing_key)
    return run_message(_contexts[0], parse_shard_ids(shard_ids), str(task.request.id), key)


setup_logging.connect(_configure_logging)
worker_process_init.connect(_start_child)
worker_process_shutdown.connect(_stop_child)
for action in Action:
    shared_task(name=TASK_PREFIX + action, bind=True, resultrepr_maxsize=MAX_RESULT_CHARS)(run)
