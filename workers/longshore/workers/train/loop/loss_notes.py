"""Notes on the course of the losses of a training: what went wrong, and what to try."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

from longshore.shared.specs.signature import Signature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.loop.history import TRAIN_LOSS, VALIDATION_LOSS, TrainingHistory

#: Fewer epochs do not tell where a loss is going.
_FEWEST_EPOCHS = 3
#: Changes of a loss by a smaller share are noise; so are those by a smaller share of the loss of a network that knows
#: nothing. A validation loss, of fewer rows, is noisier.
_RISE, _NOISE, _VALIDATION_NOISE = 0.1, 0.02, 0.05
#: Epochs above the best value, at least, before a training is said to overfit; and the patience that is proposed.
_OVERFIT_EPOCHS, _PATIENCE = 3, 5
#: Rises in the last half of the epochs, at least, and their share of it, from which on a loss oscillates.
_JUMPS, _JUMP_SHARE = 3, 0.25
#: The loss of a classifier that knows nothing, times this, is no result of learning.
_WORSE = 2
#: The last share of the epochs; and the share of the loss, or of its fall over all epochs, by which it must have fallen
#: in them if it still falls.
_LAST, _FALL, _FALL_OF_ALL = 0.2, 0.05, 0.15
#: Schedules whose learning rate ends with the job, so that it cannot be extended.
_ENDING = ("cosine", "linear", "one_cycle")
#: What helps against overfitting, besides more rows.
_SMALLER_NETWORK = "weight_decay, dropout or a smaller network"
_SMALLER_TREES = "a lower config.learning_rate, fewer config.num_leaves or a larger config.min_data_in_leaf"


def loss_notes(spec: TrainSpec, signature: Signature, history: TrainingHistory) -> tuple[str, ...]:
    """Notes on a training that has ended, a sentence each; at most one, since one cause has many signs.

    They depend on the losses by epoch alone.
    """
    if len(history.train_losses) < _FEWEST_EPOCHS:
        return ()
    scale = _scale(signature, history.train_losses)
    remedy = _lower("learning_rate", spec.learning_rate)
    note = _rate_note(spec, signature, history, scale, remedy)
    if note is None and spec.early_stopping is None:
        # Early stopping has kept the best epoch, and another note says why the training has ended.
        note = _overfitting_note(history, scale, _SMALLER_NETWORK) or _falling_note(spec, history, scale)
        note = note or _lost_note(spec, signature, history.train_losses, scale, remedy)
    return () if note is None else (note,)


def tree_loss_notes(
    spec: TrainSpec, signature: Signature, history: TrainingHistory, *, rate: float, ended: bool
) -> tuple[str, ...]:
    """Like :func:`loss_notes`, for trees, with what helps these.

    :param rate: the factor of what a tree adds.
    :param ended: whether no split saves any more loss, so that more epochs would add nothing.
    """
    if len(history.train_losses) < _FEWEST_EPOCHS:
        return ()
    scale = _scale(signature, history.train_losses)
    note = _rate_note(spec, signature, history, scale, _lower("config.learning_rate", rate))
    if note is None and spec.early_stopping is None:
        note = _overfitting_note(history, scale, _SMALLER_TREES)
        if note is None and not ended:
            note = _falling_note(spec, history, scale)
    return () if note is None else (note,)


def _scale(signature: Signature, train: Sequence[float]) -> float:
    """The loss of a classifier that knows nothing; of numbers, the usual loss."""
    if signature.task == "classification":
        return math.log(len(signature.labels or (0, 1)))
    return math.log(2) if signature.task == "multilabel" else statistics.median(train)


def _lower(option: str, rate: float) -> str:
    return f"{option}={rate:g} is likely too high; try {rate / 10:g}"


def _rate_note(
    spec: TrainSpec, signature: Signature, history: TrainingHistory, scale: float, remedy: str
) -> str | None:
    train = history.train_losses
    if train[-1] > (1 + _RISE) * train[0] and train[-1] - train[0] > _NOISE * scale:
        return (
            f"train_loss rose from {train[0]:.3g} in epoch {history.first_epoch} to {train[-1]:.3g} in the last one: "
            f"{remedy}"
        )
    rises = [
        after > (1 + _RISE) * before and after - before > _NOISE * scale for before, after in itertools.pairwise(train)
    ]
    # The loss of distillation is another one.
    is_comparable = signature.task == "classification" and spec.teacher is None
    if is_comparable and _is_no_better_than_guessing(train, scale, shaky=any(rises)):
        return _guessing_text(train[-1], scale, remedy)
    last = rises[len(rises) // 2 :]
    if sum(last) < max(_JUMPS, _JUMP_SHARE * len(last)):
        return None
    return f"train_loss went up by more than {_RISE:.0%} in {sum(last)} of the last {len(last)} epochs: {remedy}"


def _is_no_better_than_guessing(train: Sequence[float], scale: float, *, shaky: bool) -> bool:
    """Whether a classifier was thrown off, and did not recover."""
    is_stuck = train[-2] - train[-1] < _NOISE * scale and train[-1] > (1 - _NOISE) * scale
    return (shaky and train[-1] > _WORSE * scale) or (is_stuck and max(train) > _WORSE * scale)


def _overfitting_note(history: TrainingHistory, scale: float, remedies: str) -> str | None:
    train, validation = history.train_losses, history.validation_losses
    if not validation:
        return None
    lowest = min(validation)
    best = validation.index(lowest)
    limit = max((1 + _RISE) * lowest, lowest + _VALIDATION_NOISE * scale)
    above = len(list(itertools.takewhile(lambda loss: loss > limit, reversed(validation))))
    if above < _OVERFIT_EPOCHS or train[-1] >= train[best]:
        return None
    floor = lowest + _NOISE * scale
    rising = len(list(itertools.takewhile(lambda loss: loss > floor, reversed(validation))))
    rises = history.first_epoch + len(validation) - rising
    return (
        f"overfitting: val_loss rises from epoch {rises} on, to {validation[-1]:.3g} in the last one; best epoch "
        f"{history.first_epoch + best}, with {lowest:.3g}; early_stopping={_PATIENCE} keeps the best epoch; more rows, "
        f"{remedies} help"
    )


def _lost_note(spec: TrainSpec, signature: Signature, train: Sequence[float], scale: float, remedy: str) -> str | None:
    """On a classifier that is still far worse than guessing, whatever its loss does."""
    if signature.task != "classification" or spec.teacher is not None or train[-1] <= _WORSE * scale:
        return None
    return _guessing_text(train[-1], scale, remedy)


def _guessing_text(loss: float, scale: float, remedy: str) -> str:
    return f"train_loss is {loss:.3g} in the last epoch, and guessing gives {scale:.3g}: {remedy}"


def _falling_note(spec: TrainSpec, history: TrainingHistory, scale: float) -> str | None:
    validated = history.validation_losses
    name, losses = (VALIDATION_LOSS, validated) if validated else (TRAIN_LOSS, history.train_losses)
    last = max(1, round(_LAST * len(losses)))
    before, end = losses[-1 - last], losses[-1]
    fall, noise = before - end, _NOISE * scale
    is_large = fall > max(_FALL * before, noise)
    is_steady = losses[0] - end > noise and fall > _FALL_OF_ALL * (losses[0] - end)
    if end > min(losses) or not (is_large or is_steady):
        return None
    over = "in the last epoch" if last == 1 else f"over the last {last} epochs"
    more = "" if spec.schedule in _ENDING or not spec.keep_checkpoints else ", or go on with longshore jobs extend"
    return f"{name} still fell at the end, from {before:.4g} to {end:.4g} {over}: give the training more epochs{more}"
