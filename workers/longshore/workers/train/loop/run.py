"""Runs a training loop from its checkpoint to its end."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.loop import Evaluator, TrainingLoop
from longshore.workers.train.loop.result import TrainingSummary


@dataclass(frozen=True)
class LoopResult:
    """What a loop has reached. Its network has the weights of the version."""

    #: Those of the weights.
    metrics: dict[str, float]
    #: Notes of early stopping, a sentence each.
    notes: tuple[str, ...]
    #: ``None`` if no epoch is known: only after the last checkpoint of a release without a history.
    summary: TrainingSummary | None


def run_loop(loop: TrainingLoop, context: TrainingContext) -> LoopResult:
    """Resume if there is a checkpoint, train, save the end, and restore the best epoch after early stopping.

    :raises InvalidInput: a loss is not finite.
    """
    if context.checkpoints.state is not None:
        loop.restore(context.checkpoints.state)
    metrics = dict(loop.run())
    if context.checkpoints.checkpointer is not None:
        context.checkpoints.checkpointer.save(loop.state, loop.position.epoch, loop.position.done)
    stopping = loop.early_stopping
    notes: tuple[str, ...] = ()
    if stopping is not None:
        stopping.restore(loop.network)
        metrics = dict(stopping.metrics)
        notes = stopping.notes(loop.position.epoch - 1, loop.spec.epochs)
    return LoopResult(metrics, notes, _summary(loop))


def run_test(loop: TrainingLoop, context: TrainingContext, evaluator: Evaluator) -> dict[str, float]:
    """Measure the final weights on test rows, and report it.

    :raises InvalidInput: the loss is not finite.
    """
    metrics = evaluator.run(loop.network, context.check)
    loop.check_finite(metrics["test_loss"], "the loss on test rows")
    context.report(loop.position.epoch - 1, dict(metrics))
    return metrics


def _summary(loop: TrainingLoop) -> TrainingSummary | None:
    history, stopping, epochs = loop.history, loop.early_stopping, loop.position.epoch - 1
    if not history.best_epoch:
        return None
    return TrainingSummary(
        epochs=epochs,
        stopped_early=stopping is not None and stopping.stopped and epochs < loop.spec.epochs,
        monitor=history.monitor,
        best_epoch=history.best_epoch,
        best_metrics=history.best_metrics,
        final_metrics=loop.position.metrics,
    )
