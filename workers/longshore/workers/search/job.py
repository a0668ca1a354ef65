"""Runs a trial if Optuna is installed."""

from __future__ import annotations

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import Claim
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import Heartbeat


def run_tuning(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """See :func:`~longshore.workers.search.trial.run_trial`.

    :raises InvalidInput: as in ``run_trial``, or Optuna is not installed on this worker.
    """
    try:
        from longshore.workers.search.trial import run_trial
    except ImportError as error:
        if error.name != "optuna":
            raise
        raise InvalidInput(
            "optuna", f"not installed on {context.worker.name}; run there: pip install 'longshore[tune]'"
        ) from None
    run_trial(context, claim, beat)
