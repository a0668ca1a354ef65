"""Metrics of trainings and of evaluations against scikit-learn, on random rows in random batches and ranks."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from sklearn import metrics as sk
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from longshore.shared.conditions.decision import VersionMetrics, decide
from longshore.shared.conditions.language import SIGNS, parse
from longshore.shared.specs.class_weights import balanced
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.evaluation.bootstrap import Bootstrap
from longshore.workers.evaluation.classes import ClassRows
from longshore.workers.evaluation.known import KnownTargets
from longshore.workers.evaluation.known_sets import KnownSets
from longshore.workers.evaluation.label_sets import SetRows
from longshore.workers.evaluation.rows import Collector
from longshore.workers.evaluation.values import ValueRows
from longshore.workers.train.data.dataset import Tables
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.trainer import train
from longshore.workers.train.objective.class_sums import CLASS_METRICS
from longshore.workers.train.objective.embedding_evaluator import recall_at_1
from longshore.workers.train.objective.label_sums import LABEL_METRICS
from longshore.workers.train.objective.metrics import make_metrics
from longshore.workers.train.objective.number_sums import NUMBER_METRICS
from longshore.workers.train.objective.rank_totals import RankTotals
from longshore.workers.train.strategy.single import Single
from tests.differential.cases import COMPARED, seeds

CPU = torch.device("cpu")
Logits = npt.NDArray[np.float32]
T = TypeVar("T")


def random_logits(random: np.random.Generator, rows: int, outputs: int) -> Logits:
    """Logits of one of the kinds that metrics get wrong."""
    logits = random.normal(size=(rows, outputs))
    kind = random.integers(8)
    if kind == 0:
        logits *= 200  # probabilities that 32 bits round to 0 and 1
    elif kind == 1:
        logits = random.random((rows, outputs))  # all of them could be probabilities
    elif kind == 2:
        logits = logits.round()  # ties
    elif kind == 3:
        logits = logits * 0 + random.normal()  # a network that has learned nothing
    elif kind == 4:
        logits *= 1e-9  # probabilities that 32 bits do not tell apart
    elif kind == 5:
        logits -= 12 * np.arange(outputs)  # classes that are almost never probable
    elif kind == 6:
        logits = logits[random.integers(0, rows, rows)]  # equal rows
    return logits.astype(np.float32)


def random_classes(random: np.random.Generator, rows: int, classes: int) -> npt.NDArray[np.int64]:
    """Targets; often of few of the classes, and some of them rare."""
    chosen = random.permutation(classes)[: random.integers(1, classes + 1)]
    weights = random.random(len(chosen)) ** random.choice([0.0, 1.0, 8.0]) + 1e-9
    return random.choice(chosen, rows, p=weights / weights.sum())


def training(
    names: Sequence[str], classes: int | None, task: str | None, outputs: torch.Tensor, targets: torch.Tensor, seed: int
) -> dict[str, float]:
    """The metrics of a training: the rows in random batches, on one device and on some ranks."""
    random = np.random.default_rng(seed)

    def measure(rows: torch.Tensor, totals: RankTotals) -> dict[str, float]:
        sums = make_metrics(names, classes, CPU, "multilabel" if task == "multilabel" else None)
        cuts = np.sort(random.integers(0, len(rows) + 1, random.integers(0, 4)))
        for part in np.split(rows.numpy(), cuts):
            if len(part):
                sums.add(outputs[part], targets[part])
        return sums.metrics(totals)

    order = torch.from_numpy(random.permutation(len(outputs)))
    alone = measure(order, RankTotals(Single(), sharded=True))
    ranks = int(random.integers(2, 4))
    if len(outputs) >= ranks and seed % 4 == 0:
        parts = [order[rank::ranks] for rank in range(ranks)]
        for found in together([partial(measure, part) for part in parts]):
            assert found == pytest.approx(alone, rel=1e-9, abs=1e-9, nan_ok=True)
    return {name: value for name, value in alone.items() if not math.isnan(value)}


class ThreadStrategy(Single):
    """A rank that is a thread of this process."""

    def __init__(self, rank: int, values: list[torch.Tensor | None], barrier: threading.Barrier) -> None:
        self.rank, self.world_size = rank, len(values)
        self._values, self._barrier = values, barrier

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.all_gather`."""
        self._values[self.rank] = value
        self._barrier.wait(60)
        gathered = torch.stack([each for each in self._values if each is not None])
        self._barrier.wait(60)
        return gathered

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.all_reduce`."""
        return self.all_gather(values).sum(dim=0)


def together(work: Sequence[Callable[[RankTotals], T]]) -> list[T]:
    """Run one function on each rank."""
    values: list[torch.Tensor | None] = [None] * len(work)
    barrier, results = threading.Barrier(len(work)), {}

    def run(rank: int) -> None:
        try:
            results[rank] = work[rank](RankTotals(ThreadStrategy(rank, values, barrier), sharded=True))
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(len(work))]


def evaluated(collector: Collector, outputs: Logits, targets: npt.NDArray[np.float64], seed: int) -> dict[str, float]:
    """The metrics of an evaluation: the rows in random windows."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(outputs) + 1, 2))
    for rows in np.split(np.arange(len(outputs)), cuts):
        if len(rows):
            collector.add(rows, outputs[rows], targets[rows])
    return collector.measure(Bootstrap(0, 0, lambda: None), 0).metrics


def log_odds(logits: Logits, code: int) -> npt.NDArray[np.longdouble]:
    """The logarithm of the odds of a class, in more digits than the code under test has. True ties are ties."""
    exact = logits.astype(np.longdouble)
    exact -= exact.max(axis=1, keepdims=True)
    others = np.delete(exact, code, axis=1)
    most = others.max(axis=1)
    odds = exact[:, code] - most - np.log(np.exp(others - most[:, None]).sum(axis=1))
    rounded: npt.NDArray[np.longdouble] = np.round(odds, 16)
    return rounded


@pytest.mark.parametrize("seed", seeds(100))
def test_classes(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, classes = int(random.choice([1, 2, 5, 40, 300])), int(random.integers(2, 8))
    logits, codes = random_logits(random, rows, classes), random_classes(random, rows, classes)
    guesses = logits.argmax(axis=1)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(codes, guesses, average="macro", zero_division=0)
    loss = -torch.log_softmax(torch.from_numpy(logits).double(), dim=1).numpy()[np.arange(rows), codes].mean()
    expected = {
        "accuracy": sk.accuracy_score(codes, guesses),
        **{"precision": precision, "recall": recall, "f1": f1},
    }
    occurring = [1] if classes == 2 else np.unique(codes)
    if len(np.unique(codes)) > 1:
        ranks = [np.unique(log_odds(logits, int(code)), return_inverse=True)[1] for code in occurring]
        areas = [sk.roc_auc_score(codes == code, rank) for code, rank in zip(occurring, ranks, strict=True)]
        expected["auroc"] = np.mean(areas)
    with np.errstate(over="ignore"):
        perplexity = {"perplexity": np.exp(loss)} if np.exp(loss) < 1e300 else {}
    found = training(CLASS_METRICS, classes, None, torch.from_numpy(logits), torch.from_numpy(codes), seed)
    assert without(found, "perplexity") == pytest.approx(expected, abs=1e-12)
    if perplexity:
        assert found["perplexity"] == pytest.approx(np.exp(loss))
    names = [str(code) for code in range(classes)]
    measured = evaluated(ClassRows(names), logits, codes.astype(np.float64), seed)
    assert without(measured, "log_loss") == pytest.approx(expected, abs=1e-12)
    assert measured["log_loss"] == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("seed", seeds(6))
def test_a_training_and_an_evaluation_of_its_version_measure_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    task = ("classification", "regression", "multilabel")[seed % 3]
    rows = 1500
    x = random.normal(size=(rows, 3)).astype(np.float32)
    noisy = x @ random.normal(size=(3, 4)) + random.normal(size=(rows, 4))
    columns: dict[str, object] = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}
    names: Sequence[str] = CLASS_METRICS
    if task == "regression":
        names, columns["y"] = NUMBER_METRICS, noisy[:, 0].astype(np.float32)
    elif task == "multilabel":
        names, columns["y"] = LABEL_METRICS, [list(np.flatnonzero(row > 0.5)) for row in noisy]
    else:
        columns["y"] = noisy.argmax(axis=1)
    columns["part"] = np.where(random.random(rows) < 0.7, "train", "validation")
    table = pa.table(columns)
    spec = TrainSpec.model_validate(
        {"model": "m", "family": "mlp", "target": "y", "task": task, "split": "part", "epochs": 2}
        | {"data": InlineInput(block="b", offset=0, rows=1), "metrics": names, "features": ["a", "b", "c"]}
    )
    trained = train(spec, Tables(table), TrainingContext(CPU))
    held_out = table.filter(pa.array(columns["part"] == "validation"))
    with torch.no_grad():
        outputs = trained.module(torch.from_numpy(x[columns["part"] == "validation"])).numpy()
    labels = trained.signature.labels or ()
    reader = KnownSets(trained.signature) if task == "multilabel" else KnownTargets(trained.signature)
    targets = reader.read(held_out.column("y").combine_chunks()).values
    collector = ValueRows() if task == "regression" else (SetRows if task == "multilabel" else ClassRows)(labels)
    measured = evaluated(collector, outputs, targets, seed)
    common = {name: value for name, value in measured.items() if f"val_{name}" in trained.metrics}
    assert len(common) >= (3 if task == "regression" else 5)
    assert {name: trained.metrics[f"val_{name}"] for name in common} == pytest.approx(common, rel=1e-5)
    loss = measured["mse" if task == "regression" else "log_loss"]
    assert trained.metrics["val_loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("seed", seeds(40))
def test_conditions_decide_as_the_same_expression_in_python(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Shares of few rows: limits are often met exactly.
    numbers = {name: int(random.integers(0, 11)) / 10 for name in ("val_accuracy", "val_f1", "test_loss", "accuracy")}
    other = {name: int(random.integers(0, 11)) / 10 for name in numbers}
    candidate, production = VersionMetrics("m:2", numbers), VersionMetrics("m:1", other)

    def comparison() -> tuple[str, str]:
        left, sign = str(random.choice(list(numbers))), str(random.choice(sorted(SIGNS)))
        limit = int(random.integers(0, 11)) / 10
        right, value = random.choice([[f"{limit}", f"{limit}"], ["production", repr(other[left])]])
        return f"{left} {sign} {right}", f"{numbers[left]!r} {sign} {value}"

    def condition(depth: int) -> tuple[str, str]:
        kind = random.integers(4) if depth else 3
        if kind == 3:
            return comparison()
        if kind == 2:
            text, value = condition(depth - 1)
            return f"not ({text})", f"not ({value})"
        word = ("and", "or")[kind]
        (first, one), (second, two) = condition(depth - 1), condition(depth - 1)
        return f"({first}) {word} {second}", f"({one}) {word} {two}"

    for _ in range(20):
        text, value = condition(3)
        if len(text) <= 1000:
            expected = eval(value, {"__builtins__": {}})
            assert decide(parse(text, "promote_if"), candidate, lambda _: production).holds == expected, text
            COMPARED.add()


def without(metrics: Mapping[str, float], name: str) -> dict[str, float]:
    """The metrics except one."""
    return {each: value for each, value in metrics.items() if each != name}


@pytest.mark.parametrize("seed", seeds(40))
def test_probabilities_that_are_not_rounded_rank_as_scikit_learn_ranks_them(seed: int) -> None:
    """The usual call, with probabilities of all classes, where it is defined."""
    random = np.random.default_rng(seed)
    rows, classes = int(random.integers(20, 200)), int(random.integers(3, 6))
    codes = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    logits = (random.normal(size=(rows, classes)) + np.eye(classes)[codes]).astype(np.float32)
    chances = torch.softmax(torch.from_numpy(logits).double(), dim=1).numpy()
    area = sk.roc_auc_score(codes, chances, multi_class="ovr", average="macro")
    found = training(["auroc"], classes, None, torch.from_numpy(logits), torch.from_numpy(codes), seed)
    assert found == pytest.approx({"auroc": area}, abs=1e-12)


@pytest.mark.parametrize("seed", seeds(100))
def test_several_labels_a_row(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, labels = int(random.choice([1, 2, 5, 40, 300])), int(random.integers(1, 6))
    logits = random_logits(random, rows, labels)
    true = random.random((rows, labels)) < random.choice([0.0, 0.02, 0.5, 1.0], labels)
    guesses = torch.sigmoid(torch.from_numpy(logits)).numpy() >= 0.5
    by_label = [
        sk.precision_recall_fscore_support(true[:, label], guesses[:, label], average="binary", zero_division=0)[:3]
        for label in range(labels)
    ]
    expected = {
        "accuracy": 1 - sk.hamming_loss(true, guesses),
        "subset_accuracy": (true == guesses).all(axis=1).mean(),
        **dict(zip(("precision", "recall", "f1"), np.mean(by_label, axis=0), strict=True)),
        "micro_f1": sk.f1_score(true.ravel(), guesses.ravel(), zero_division=0),
    }
    varied = [label for label in range(labels) if 0 < true[:, label].sum() < rows]
    if varied:
        expected["auroc"] = np.mean([sk.roc_auc_score(true[:, label], logits[:, label]) for label in varied])
    found = training(LABEL_METRICS, labels, "multilabel", torch.from_numpy(logits), torch.from_numpy(true), seed)
    assert found == pytest.approx(expected, abs=1e-12)
    targets = np.column_stack([true, np.zeros(rows)]).astype(np.float64)
    measured = evaluated(SetRows([str(label) for label in range(labels)]), logits, targets, seed)
    losses = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits).double(), torch.from_numpy(true * 1.0)
    )
    assert measured == pytest.approx({**expected, "log_loss": float(losses)}, abs=1e-12)


@pytest.mark.parametrize("seed", seeds(100))
def test_numbers(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, outputs = int(random.choice([1, 2, 5, 40, 300])), int(random.integers(1, 4))
    scale, offset = float(random.choice([1e-6, 1e-3, 1.0, 1e6])), float(random.choice([0.0, 1.0, 1.7e9]))
    true = (random.normal(size=(rows, outputs)) * scale + offset).astype(np.float32)
    if random.integers(4) == 0:
        true[:, 0] = np.float32(0.1)  # does not vary
    guesses = true if random.integers(6) == 0 else (true + random.normal(size=true.shape) * scale).astype(np.float32)
    exact, answers = true.astype(np.float64), guesses.astype(np.float64)
    # The mean of equal numbers is rounded in scikit-learn; without their offset it is not.
    level = exact - exact[0]
    expected = {
        "mae": sk.mean_absolute_error(exact, answers),
        "mse": sk.mean_squared_error(exact, answers),
        "rmse": sk.root_mean_squared_error(exact, answers),
    }
    if rows > 1:
        expected["r2"] = sk.r2_score(level, answers - exact[0])
    targets = true[:, 0] if outputs == 1 else true
    found = training(NUMBER_METRICS, None, None, torch.from_numpy(guesses), torch.from_numpy(targets), seed)
    assert found == pytest.approx(expected, rel=1e-9)
    if outputs == 1:
        measured = evaluated(ValueRows(), guesses, exact[:, 0], seed)
        assert measured == pytest.approx(without(expected, "rmse"), rel=1e-9)


@pytest.mark.parametrize("seed", seeds(20))
def test_nearest_rows(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, width = int(random.integers(2, 120)), int(random.integers(2, 9))
    vectors = functional.normalize(torch.from_numpy(random.normal(size=(rows, width)).astype(np.float32)), dim=1)
    classes = random_classes(random, rows, int(random.integers(1, 9)))
    nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(vectors.numpy()).kneighbors(return_distance=False)
    paired = np.bincount(classes)[classes] > 1
    found = recall_at_1(vectors, torch.from_numpy(classes), lambda: None)
    if paired.any():
        assert found == (classes[nearest[:, 0]] == classes)[paired].mean()
    else:
        assert math.isnan(found)


@pytest.mark.parametrize("seed", seeds(20))
def test_balanced_weights(seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = random_classes(random, int(random.integers(1, 300)), int(random.integers(1, 9)))
    there = np.unique(codes)
    expected = compute_class_weight("balanced", classes=there, y=codes)
    assert balanced(np.unique(codes, return_counts=True)[1].tolist()) == pytest.approx(expected.tolist())
