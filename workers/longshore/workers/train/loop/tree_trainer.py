"""A whole training of trees: from rows to a trained model. The counterpart of ``trainer.py`` for networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import LightgbmConfig
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.trees.boosted import BoostedTrees, objective_of, outputs_of
from longshore.workers.families.trees.columns import TreeColumns
from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.data.batches import InMemoryRows
from longshore.workers.train.data.class_notes import class_notes
from longshore.workers.train.data.dataset import Tables, TrainingData, read_training_data
from longshore.workers.train.data.split import Rows
from longshore.workers.train.loop.boosting import Boosting, gain_shares
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.early_stopping import EarlyStopping
from longshore.workers.train.loop.history import TrainingHistory
from longshore.workers.train.loop.loss_notes import tree_loss_notes
from longshore.workers.train.loop.result import MAX_CONFUSION_CLASSES, TrainedModel, TrainingSummary
from longshore.workers.train.objective.criteria import make_loss
from longshore.workers.train.objective.evaluator import MetricsEvaluator
from longshore.workers.train.strategy.single import Single

#: Columns that the note on their importance lists, at most.
_LISTED = 8
#: Rows that are measured at a time.
_BATCH_ROWS = 65_536
_CPU = torch.device("cpu")


def train_trees(
    spec: TrainSpec, config: LightgbmConfig, tables: Tables, context: TrainingContext, fold: tuple[int, int] | None
) -> TrainedModel:
    """Train what ``spec`` asks for; see :func:`~longshore.workers.train.loop.trainer.train`.

    An epoch is ``config.rounds`` rounds. Cancelling takes effect, and checkpoints are saved, between two rounds.

    :raises InvalidInput: the spec does not fit the rows, a row is bad, or LightGBM is not installed.
    """
    data = read_training_data(spec, tables, fold)
    objective_of(data.signature)
    TreeColumns.of(data.signature.features)
    context.check()
    return TreeTrainer(spec, config, data, context).run()


class RoundCounter(nn.Module):
    """The number of rounds as the only weight, so that early stopping finds those of the best epoch."""

    rounds: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rounds", torch.zeros((), dtype=torch.int64))


class ScoredRows:
    """Measures rows after each epoch. Only the trees that are new are computed."""

    def __init__(self, trainer: TreeTrainer, rows: Rows, prefix: str) -> None:
        data = trainer.data
        self._trainer = trainer
        self._rows = data.features[rows]
        self._done = 0
        self._scores = np.zeros((len(rows), objective_of(data.signature)[1]))
        self._outputs = outputs_of(self._scores, trainer.binary).clone()
        self.evaluator = trainer.evaluator(InMemoryRows(self._outputs, trainer.targets(rows), _all(rows)), prefix)

    def measure(self) -> dict[str, float]:
        """The loss and the metrics with the trees so far."""
        boosting = self._trainer.boosting
        boosting.add_scores(self._scores, self._rows, self._done)
        self._done = boosting.rounds
        self._outputs.copy_(outputs_of(self._scores, self._trainer.binary))
        return self.evaluator.run(nn.Identity(), self._trainer.context.check)


class TreeTrainer:
    """Grows trees, epoch by epoch."""

    def __init__(self, spec: TrainSpec, config: LightgbmConfig, data: TrainingData, context: TrainingContext) -> None:
        self.spec, self.config, self.data, self.context = spec, config, data, context
        self.classes = None if data.signature.labels is None else len(data.signature.labels)
        self.binary = self.classes == 2
        state = context.checkpoints.state
        self.boosting = Boosting(spec, config, data, state)
        self._counter = RoundCounter()
        self._stopping = None if spec.early_stopping is None else EarlyStopping(spec.early_stopping, spec.monitor)
        held_out = {
            "val_": data.held_out_rows,
            "train_": data.train_rows if spec.train_metrics else data.train_rows[:0],
        }
        self._scored = {prefix: ScoredRows(self, rows, prefix) for prefix, rows in held_out.items() if len(rows)}
        #: The current epoch, from 1, its rounds that are done, and the metrics of the one before.
        self._epoch, self._round = 1, 0
        self._metrics: dict[str, float] = {}
        self._history = TrainingHistory(spec.monitor)
        #: Whether a round without splits has ended the training.
        self._ended = False
        if state is not None:
            self._restore(state)

    def run(self) -> TrainedModel:
        """Train to the end."""
        while self._epoch <= self.spec.epochs and not self._ended and not self._stopped:
            self._grow_epoch()
            self._metrics = self._measure()
            self._history.add(self._epoch, self._metrics)
            self.context.report(self._epoch, dict(self._metrics))
            if self._stopping is not None:
                self._counter.rounds.fill_(self.boosting.rounds)
                self._stopping.update(self._epoch, self._metrics, self._counter)
            self._epoch, self._round = self._epoch + 1, 0
        self._save()
        return self._result()

    def targets(self, rows: Rows) -> torch.Tensor:
        """The targets of some rows, as losses take them."""
        targets = torch.from_numpy(self.data.targets.values[rows])
        return targets.float() if self.classes is None else targets.long()

    def evaluator(self, rows: InMemoryRows, prefix: str) -> MetricsEvaluator:
        """Measures rows that are inputs of a module, or its outputs."""
        spec, task = self.spec, self.data.signature.task
        return MetricsEvaluator(
            *(rows, self.classes, make_loss(spec, task), _BATCH_ROWS, _CPU, prefix, spec.metrics, task)
        )

    @property
    def _stopped(self) -> bool:
        return self._stopping is not None and self._stopping.stopped

    def _grow_epoch(self) -> None:
        checkpointer = self.context.checkpoints.checkpointer
        while self._round < self.config.rounds and not self._ended:
            self.context.check()
            self._ended = not self.boosting.grow()
            self._round += 1
            # A training that has ended is saved once its last epoch is measured, which a resumed one would not do.
            if checkpointer is not None and not self._ended and checkpointer.due(self.boosting.rounds):
                self._save()

    def _measure(self) -> dict[str, float]:
        measured = {prefix: rows.measure() for prefix, rows in self._scored.items()}
        # The loss with the weights of the classes replaces the measured one.
        metrics = measured.get("train_", {}) | {"train_loss": self.boosting.loss} | measured.get("val_", {})
        for name in ("train_loss", "val_loss"):
            if not math.isfinite(metrics.get(name, 0.0)):
                rate = self.config.learning_rate
                raise InvalidInput(
                    "config.learning_rate",
                    f"{rate}: {name} became {metrics[name]} in epoch {self._epoch}; lower it, or look for extreme "
                    "values in the target",
                )
        return metrics

    def _save(self) -> None:
        if self.context.checkpoints.checkpointer is not None:
            self.context.checkpoints.checkpointer.save(self._state, self._epoch, self.boosting.rounds)

    def _state(self) -> State:
        return {
            **self.boosting.state(),
            "history": self._history.state_dict(),
            "stopping": None if self._stopping is None else self._stopping.state_dict(Single()),
            "place": {"epoch": self._epoch, "round": self._round, "ended": self._ended, "metrics": dict(self._metrics)},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        place = state["place"]
        self._epoch, self._round, self._ended = place["epoch"], place["round"], place["ended"]
        self._metrics = dict(place["metrics"])
        self._history.load_state_dict(state["history"])
        if self._stopping is not None:
            self._stopping.load_state_dict(state["stopping"], Single(), self._counter)

    def _result(self) -> TrainedModel:
        data, model, epochs = self.data, self.boosting.model(), self._epoch - 1
        metrics = dict(self._metrics)
        rate = self.config.learning_rate
        notes = [*tree_loss_notes(self.spec, data.signature, self._history, rate=rate, ended=self._ended)]
        if self._stopping is not None:
            self._stopping.restore(self._counter)
            model, metrics = model.first(int(self._counter.rounds)), dict(self._stopping.metrics)
            notes += self._stopping.notes(epochs, self.spec.epochs)
        if self._ended:
            notes.append(f"no split saves more loss after {self.boosting.rounds} rounds, so no more trees were grown")
        module = BoostedTrees(model, data.signature)
        if len(data.test_rows):
            test = self._raw_evaluator(data.test_rows, "test_").run(module, self.context.check)
            self.context.report(epochs, dict(test))
            metrics |= test
        if (scored := self._scored.get("val_")) is not None:
            notes += scored.evaluator.notes
        shares = dict(gain_shares(model, self.boosting.columns))
        return TrainedModel(
            module=module,
            signature=data.signature,
            config=self.config,
            metrics=metrics,
            notes=(*notes, *class_notes(self.spec, data), *data.notes, *_importance_note(shares)),
            confusion=self._confusion(module),
            statistics=data.statistics,
            summary=TrainingSummary(
                epochs=epochs,
                stopped_early=self._stopped and epochs < self.spec.epochs,
                monitor=self._history.monitor,
                best_epoch=self._history.best_epoch,
                best_metrics=self._history.best_metrics,
                final_metrics=self._metrics,
            ),
            importance=shares,
        )

    def _confusion(self, module: BoostedTrees) -> list[list[int]] | None:
        if self.classes is None or self.classes > MAX_CONFUSION_CLASSES or not len(self.data.held_out_rows):
            return None
        return self._raw_evaluator(self.data.held_out_rows, "val_").confusion(module, self.context.check)

    def _raw_evaluator(self, rows: Rows, prefix: str) -> MetricsEvaluator:
        features = torch.from_numpy(self.data.features)
        targets = torch.zeros(len(features), dtype=torch.float32 if self.classes is None else torch.int64)
        targets[torch.from_numpy(rows)] = self.targets(rows)
        return self.evaluator(InMemoryRows(features, targets, torch.from_numpy(rows)), prefix)


def _all(rows: Rows) -> torch.Tensor:
    return torch.arange(len(rows))


def _importance_note(shares: Mapping[str, float]) -> list[str]:
    if not shares:
        return ["no column separates the rows, so the version predicts the same for every row"]
    listed = ", ".join(f"{name!r} {share:.1%}" for name, share in list(shares.items())[:_LISTED])
    more = f" and {len(shares) - _LISTED} more" if len(shares) > _LISTED else ""
    return [f"importance of the columns, by the loss that their splits save: {listed}{more}"]
