"""Grows boosted trees with LightGBM, round by round, so that a training can be stopped, saved and resumed at each.

A resumed training ends with the same bytes as one that ran through. The scores of the rows so far are the sums of the
trees so far, added in the same order; and the random numbers of a round depend on its number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.class_weights import balanced, by_class
from longshore.shared.specs.families import LightgbmConfig
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.trees.boosted import Doubles, load_booster, objective_of, raw_scores
from longshore.workers.families.trees.columns import Floats, TreeColumns
from longshore.workers.families.trees.library import library, thread_count
from longshore.workers.families.trees.model_text import MAX_CHARS, TreeModel, parse_model
from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.data.dataset import TrainingData
from longshore.workers.train.seeds import derive_seed

if TYPE_CHECKING:
    from lightgbm import Booster, Dataset, Sequence

#: Bytes of 64-bit numbers that are sorted into bins at a time.
_CHUNK_BYTES = 32 << 20
#: Rows that are read together where LightGBM asks for single ones.
_BLOCK_ROWS = 256
#: Rows whose scores are computed at a time.
_SCORED_ROWS = 1 << 18
#: The metric of LightGBM that is the loss on the training rows, by objective.
_LOSSES = {"binary": "binary_logloss", "multiclass": "multi_logloss", "regression": "l2"}


class Boosting:
    """A training of trees, and how far it has come.

    :param config: the configuration of the family.
    :param data: rows in memory, of one class or one number each.
    :param state: a :meth:`state` to resume from.
    :raises InvalidInput: LightGBM is not installed, or refuses the rows.
    """

    def __init__(
        self, spec: TrainSpec, config: LightgbmConfig, data: TrainingData, state: Mapping[str, Any] | None = None
    ) -> None:
        self._spec, self._config, self._data = spec, config, data
        self.columns = TreeColumns.of(data.signature.features)
        self._objective, self._outputs = objective_of(data.signature)
        #: The trees of earlier attempts; ``None`` if there are none.
        self._grown = None if state is None else self._parse(state["model"])
        self._lightgbm = library()
        self._parameters = self._settings()
        try:
            self._booster: Booster = self._lightgbm.Booster(self._parameters, self._dataset())
        except self._lightgbm.basic.LightGBMError as error:
            raise InvalidInput("config", f"LightGBM refuses the training: {error}") from error
        #: Rounds of :attr:`_booster` that are done.
        self._own_rounds = 0

    @property
    def rounds(self) -> int:
        """Rounds that have trees, over all attempts."""
        return self._earlier + self._own_rounds

    @property
    def loss(self) -> float:
        """The mean loss on the training rows."""
        return float(self._booster.eval_train()[0][2])

    def grow(self) -> bool:
        """Add one round. Returns whether it has a tree; if not, no split saves any more loss."""
        if drawn := self._drawn(self.rounds):
            self._booster.reset_parameter(drawn)
        ended = self._booster.update()
        # LightGBM keeps a first tree without splits, which is not the first of a resumed training.
        if not ended or self.rounds == 0:
            self._own_rounds += 1
        return not ended

    def add_scores(self, scores: Doubles, rows: Floats, start: int) -> None:
        """Add the values of the rounds from ``start`` on to the scores of some rows, in place.

        The sum does not depend on how the rounds are divided among calls.

        :param rows: as of ``data``, ``(n, width)``.
        """
        matrix = self.columns.matrix(rows)
        if start < self._earlier:
            assert self._grown is not None
            booster = load_booster(self._grown.text())
            for number in range(start, self._earlier):
                scores += raw_scores(booster, matrix, number, 1)
        for number in range(max(start - self._earlier, 0), self._own_rounds):
            scores += raw_scores(self._booster, matrix, number, 1)

    def model(self) -> TreeModel:
        """The trees so far."""
        own = None
        if self._own_rounds:
            text = self._booster.model_to_string(num_iteration=self._own_rounds)
            own = self._parse(text)
        if self._grown is None:
            assert own is not None, "there is a round before a model is asked for"
            return own
        return self._grown.followed_by(own)

    def state(self) -> dict[str | int, State]:
        """What the rest of the training depends on, except the rows and the spec."""
        return {"model": self.model().text()}

    @property
    def _earlier(self) -> int:
        return 0 if self._grown is None else self._grown.rounds

    def _parse(self, text: object) -> TreeModel:
        if not isinstance(text, str):
            raise CorruptBlob("the checkpoint has no model of LightGBM")
        if len(text) > MAX_CHARS:
            raise InvalidInput(
                "epochs", f"the model has {len(text)} characters, more than {MAX_CHARS}; grow fewer trees"
            )
        return parse_model(text, len(self.columns.names), self._objective, self._outputs)

    @property
    def _threads(self) -> int:
        return thread_count(len(self._data.train_rows) * len(self.columns.names))

    def _settings(self) -> dict[str, object]:
        config = self._config
        kind = self._objective.partition(" ")[0]
        settings: dict[str, object] = {
            **config.model_dump(exclude={"rounds", "bagging_fraction"}),
            **{"objective": kind, "metric": _LOSSES[kind], "seed": derive_seed("lightgbm", self._spec.seed) % 2**31},
            # The same rows and settings give the same bytes.
            **{"deterministic": True, "force_row_wise": True, "num_threads": self._threads},
            "verbosity": -1,
        }
        if self._outputs > 1:
            settings["num_class"] = self._outputs
        if config.bagging_fraction < 1:
            settings |= {"bagging_freq": 1, "bagging_fraction": _below(_below(config.bagging_fraction))}
        return settings

    def _drawn(self, number: int) -> dict[str, object]:
        """The settings of a round by which its random numbers depend on its number alone."""
        drawn: dict[str, object] = {}
        if self._config.feature_fraction < 1:
            drawn["feature_fraction_seed"] = derive_seed("columns", self._spec.seed, number) % 2**31
        if (share := self._config.bagging_fraction) < 1:
            # LightGBM takes a new seed only with another share: two that differ by the last bit take turns.
            drawn["bagging_fraction"] = share if number % 2 else _below(share)
            # LightGBM seeds blocks of rows with consecutive numbers.
            drawn["bagging_seed"] = derive_seed("rows", self._spec.seed, number) % 2**30
        return drawn

    def _dataset(self) -> Dataset:
        data, rows = self._data, self._data.train_rows
        scores = None if self._grown is None else self._earlier_scores()
        names = list(self.columns.names)
        dataset: Dataset = self._lightgbm.Dataset(
            _sequence(self._lightgbm.Sequence, data, self.columns),
            label=data.targets.values[rows].astype(np.float64),
            weight=self._weights(),
            init_score=None if scores is None else np.ascontiguousarray(scores.T).reshape(-1),
            feature_name=names,
            categorical_feature=[names[column] for column in self.columns.categorical],
            params=self._parameters,
        )
        return dataset

    def _earlier_scores(self) -> Doubles:
        assert self._grown is not None
        booster, rows = load_booster(self._grown.text()), self._data.train_rows
        parts = [rows[start : start + _SCORED_ROWS] for start in range(0, len(rows), _SCORED_ROWS)]
        return np.concatenate([raw_scores(booster, self.columns.matrix(self._data.features[part])) for part in parts])

    def _weights(self) -> Doubles | None:
        """The weight of each row to train on, if classes have weights."""
        given, labels = self._spec.class_weights, self._data.signature.labels
        if given is None:
            return None
        if labels is None:
            raise InvalidInput("class_weights", "the target has no classes; leave it out")
        weights = balanced(self._data.class_counts) if given == "balanced" else by_class(given, labels)
        return np.asarray(weights, np.float64)[self._data.targets.values[self._data.train_rows].astype(np.int64)]


def _below(share: float) -> float:
    return float(np.nextafter(share, 0))


def _sequence(base: type[Sequence], data: TrainingData, columns: TreeColumns) -> Sequence:
    """The rows to train on, for LightGBM, which reads them in parts instead of copying all of them."""

    class TrainedRows(base):  # type: ignore[misc, valid-type]  # a class of a package that need not be installed
        batch_size = max(1, _CHUNK_BYTES // (8 * len(columns.names)))

        def __init__(self) -> None:
            self._block, self._block_rows = -1, np.empty((0, 0))

        def __getitem__(self, index: int | slice | list[int]) -> Doubles:
            if not isinstance(index, int | np.integer):
                return self._read(index)
            # LightGBM asks for the rows of its sample one by one, in their order.
            block, place = divmod(int(index), _BLOCK_ROWS)
            if block != self._block:
                start = block * _BLOCK_ROWS
                self._block, self._block_rows = block, self._read(slice(start, start + _BLOCK_ROWS))
            row: Doubles = self._block_rows[place]
            return row

        def __len__(self) -> int:
            return len(data.train_rows)

        def _read(self, index: slice | list[int]) -> Doubles:
            return columns.matrix(data.features[data.train_rows[index]]).astype(np.float64)

    rows: Sequence = TrainedRows()
    return rows


def gain_shares(model: TreeModel, columns: TreeColumns) -> Iterator[tuple[str, float]]:
    """Yield the columns of the table with their share of the loss that all splits have saved, largest first.

    Columns that no split uses are left out.
    """
    totals: dict[str, float] = {}
    for feature, gain in zip(columns.features, model.gains(), strict=True):
        totals[feature] = totals.get(feature, 0.0) + gain
    whole = sum(totals.values())
    for feature, gain in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        if gain > 0:
            yield feature, gain / whole
