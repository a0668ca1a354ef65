"""Compares generated texts with the expected ones, and measures what the expected ones cost the model."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from longshore.shared.specs.evaluate import WorstRow
from longshore.workers.evaluation.bootstrap import Bootstrap, Interval
from longshore.workers.evaluation.rows import Measured
from longshore.workers.metrics.rates import Floats
from longshore.workers.metrics.texts import exact_match, rouge_l, token_f1

#: Compare a text with one expected text; of several, the best counts.
_SCORES: Final[dict[str, Callable[[str, str], float]]] = {
    "exact_match": exact_match,
    "token_f1": token_f1,
    "rouge_l": rouge_l,
}
#: Characters that Postgres does not store; results have U+FFFD in their place.
_NOT_STORED: Final = re.compile(r"[\0\ud800-\udfff]")
#: Characters of a text that are kept of a row with a large loss.
_KEPT_CHARACTERS: Final = 500


class TextRows:
    """Collects rows: 60 bytes each, and the texts of the worst ones.

    :param worst: how many rows with the largest losses are kept.
    """

    def __init__(self, worst: int) -> None:
        self._worst_count = worst
        self._scores: dict[str, list[float]] = {name: [] for name in _SCORES}
        self._valid: list[bool] = []
        self._costs: dict[int, tuple[float, int]] = {}
        self._rows: list[int] = []
        #: The loss, and minus the number of the row, so that of equal losses the first rows stay.
        self._worst: list[tuple[float, int, str, str]] = []

    @property
    def rows(self) -> Sequence[int]:
        """The numbers of the rows that were added."""
        return self._rows

    def add(self, row: int, text: str, references: Sequence[str], *, valid: bool | None = None) -> None:
        """Add a row.

        :param references: the expected texts, at least one.
        :param valid: whether the text matches the schema; ``None``: there is none.
        """
        text = _NOT_STORED.sub("\N{REPLACEMENT CHARACTER}", text)
        self._rows.append(row)
        for name, score in _SCORES.items():
            self._scores[name].append(max(score(text, reference) for reference in references))
        if valid is not None:
            self._valid.append(valid)
        loss = 1.0 - self._scores["token_f1"][-1]
        reference = _NOT_STORED.sub("\N{REPLACEMENT CHARACTER}", references[0][:_KEPT_CHARACTERS])
        entry = (loss, -row, reference, text[:_KEPT_CHARACTERS])
        if len(self._worst) < self._worst_count:
            heapq.heappush(self._worst, entry)
        elif self._worst:
            heapq.heappushpop(self._worst, entry)

    def add_cost(self, row: int, cost: float, tokens: int) -> None:
        """Add what an expected text costs the model.

        :param cost: minus the natural logarithm of its probability after the prompt.
        :param tokens: of the expected text.
        """
        self._costs[row] = cost, tokens

    def measure(self, bootstrap: Bootstrap) -> Measured:
        """Compute the metrics of all rows; there must be at least one."""
        columns = {name: np.array(values) for name, values in self._scores.items()}
        if self._valid:
            columns["json_validity"] = np.array(self._valid, np.float64)
        metrics = {name: float(values.mean()) for name, values in columns.items()}
        intervals = bootstrap.of_means(metrics, columns)
        if self._costs:
            metrics["perplexity"], interval = self._perplexity(bootstrap)
            if interval is not None:
                intervals["perplexity"] = interval
        return Measured(
            rows=len(self._rows),
            metrics=metrics,
            intervals=intervals,
            worst=tuple(
                WorstRow(row=-row, target=reference, prediction=text, loss=loss)
                for loss, row, reference, text in sorted(self._worst, reverse=True)
            ),
        )

    def _perplexity(self, bootstrap: Bootstrap) -> tuple[float, Interval | None]:
        """Over all tokens, and its interval: that of a quotient of sums, by the contributions of the rows to it."""
        costs: Floats = np.array([cost for cost, _ in self._costs.values()])
        tokens: Floats = np.array([count for _, count in self._costs.values()], np.float64)
        mean = float(costs.sum() / tokens.sum())
        deviations = (costs - mean * tokens) / tokens.mean()
        interval = bootstrap.of_means({"cost": mean}, {"cost": deviations}).get("cost")
        return _exp(mean), None if interval is None else (_exp(interval[0]), _exp(interval[1]))


def _exp(value: float) -> float:
    """JSON has no infinity."""
    return math.exp(min(value, 700.0))
